import {
  type Channel,
  channelKind,
  type Device,
  type DeviceGroup,
  deviceGroupKind,
  deviceKind,
} from '@freehold/contracts'
import { pagesOf, type Store } from '@freehold/store'
import { groupOf, inOrder, isPinned } from '../releases/index.ts'
import type { ChannelMember } from './plan.ts'

/**
 * Devices that a channel's rollouts are for: allowed, in a group that follows it, and not pinned for its type, neither
 * they nor their group. `deviceIds`: only these are looked at.
 */
export type MembersOf = (channelId: string, deviceIds?: readonly string[]) => Promise<readonly ChannelMember[]>

/** Reads who follows a channel from the store, page after page: a hundred thousand devices never are in memory at once. */
export function createMembersOf({ store }: { store: Store }): MembersOf {
  return async (channelId, deviceIds) => {
    const channel = await store.get(channelKind, channelId)
    const groups = inOrder(await store.all(deviceGroupKind))
    if (channel === undefined || !groups.some((group) => follows(group, channel))) return []
    const found: ChannelMember[] = []
    const look = (device: Device): void => {
      const group = groupOf(groups, device.labels)
      if (group === undefined || !follows(group, channel) || device.data.access !== 'allowed') return
      if (isPinned({ type: channel.data.type, device: device.data, group })) return
      found.push({ deviceId: device.id, groupId: group.id })
    }
    if (deviceIds === undefined) {
      for await (const page of pagesOf(store, deviceKind)) page.forEach(look)
      return found
    }
    for (const deviceId of deviceIds) {
      const device = await store.get(deviceKind, deviceId)
      if (device !== undefined) look(device)
    }
    return found
  }
}

function follows({ data }: DeviceGroup, channel: Channel): boolean {
  return channel.id === (channel.data.type === 'app' ? data.appChannelId : data.hostChannelId)
}
