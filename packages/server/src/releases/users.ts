import {
  type Channel,
  channelKind,
  deviceGroupKind,
  deviceKind,
  isOpenRollout,
  type ReleaseRollout,
  releaseRolloutKind,
  releaseTypes,
} from '@freehold/contracts'
import { pagesOf, type Reads, type Store } from '@freehold/store'
import { readKept } from './assignments.ts'

/** Who stands in the way of taking a release back: a sentence for people; undefined for nobody. */
export async function carrierOf(reads: Reads, releaseId: string): Promise<string | undefined> {
  const [channel] = (await reads.list(channelKind, { where: { releaseId }, limit: 1 })).items
  if (channel !== undefined) return `The channel ${channel.data.name} carries it; roll out another release there first.`
  const rollout = await openRolloutOf(reads, { releaseId })
  if (rollout === undefined) return undefined
  const name = (await reads.get(channelKind, rollout.data.channelId))?.data.name ?? rollout.data.channelId
  return `A rollout under way brings it to the channel ${name}; abort that first.`
}

/** A rollout that may yet send devices back to a release, as a sentence; `rolloutId`: undefined where there is none. */
export async function revertingTo(reads: Reads, rolloutId: string | undefined): Promise<string | undefined> {
  const rollout = rolloutId === undefined ? undefined : await reads.get(releaseRolloutKind, rolloutId)
  if (rollout === undefined) return undefined
  const name = (await reads.get(channelKind, rollout.data.channelId))?.data.name ?? rollout.data.channelId
  return `The rollout ${rollout.id} of the channel ${name} would send devices back to it where it is aborted; end that first.`
}

/** An open rollout that brings a release, or that a channel has; undefined where there is none. */
export async function openRolloutOf(
  reads: Reads,
  where: { releaseId: string } | { channelId: string },
): Promise<ReleaseRollout | undefined> {
  const { items } = await reads.list(releaseRolloutKind, { where: { ...where, open: 'yes' }, limit: 1 })
  return items.find(({ status }) => isOpenRollout(status))
}

/** A group whose devices are pinned to a release, as a sentence. */
export async function pinningGroupOf(reads: Reads, releaseId: string): Promise<string | undefined> {
  for await (const page of pagesOf(reads, deviceGroupKind)) {
    const group = page.find(
      ({ data }) => data.pinnedAppReleaseId === releaseId || data.pinnedHostReleaseId === releaseId,
    )
    if (group !== undefined) return `The group ${group.data.name} is pinned to it; take the pin away first.`
  }
  return undefined
}

/** A device that is pinned to a release, as a sentence. */
export async function pinnedDeviceOf(reads: Reads, releaseId: string): Promise<string | undefined> {
  for (const index of ['pinnedAppReleaseId', 'pinnedHostReleaseId']) {
    const [device] = (await reads.list(deviceKind, { where: { [index]: releaseId }, limit: 1 })).items
    if (device !== undefined) return `The device ${device.data.name} is pinned to it; take the pin away first.`
  }
  return undefined
}

/**
 * A device that was assigned a release, or said in its last stored report that it has to do with it, as a sentence.
 * Reads every device, a page at a time: releases are deleted rarely.
 */
export async function deviceWith(store: Store, releaseId: string): Promise<string | undefined> {
  for await (const page of pagesOf(store, deviceKind)) {
    const facts = await store.facts.getMany(
      deviceKind,
      page.map(({ id }) => id),
    )
    for (const { id, data } of page) {
      const known = facts.get(id) ?? {}
      if (releaseTypes.some((type) => readKept(known, type)?.releaseId === releaseId)) {
        return `The device ${data.name} was assigned it; roll out another release first.`
      }
      if (reportNames(known, releaseId)) return `The device ${data.name} says that it has it.`
    }
  }
  return undefined
}

/** The channels that are followed by a group, with the group's name. */
export async function followerOf(reads: Reads, channel: Channel): Promise<string | undefined> {
  for await (const page of pagesOf(reads, deviceGroupKind)) {
    const group = page.find(({ data }) => data.appChannelId === channel.id || data.hostChannelId === channel.id)
    if (group !== undefined) return group.data.name
  }
  return undefined
}

function reportNames(facts: Record<string, unknown>, releaseId: string): boolean {
  const { report } = facts
  if (typeof report !== 'object' || report === null || !('body' in report)) return false
  return typeof report.body === 'string' && report.body.includes(releaseId)
}
