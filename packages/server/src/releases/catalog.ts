import {
  type Channel,
  channelKind,
  type DeviceGroup,
  deviceGroupKind,
  type Release,
  releaseKind,
  releaseRolloutKind,
} from '@freehold/contracts'
import type { Change, Store } from '@freehold/store'
import { channelIdOf, inOrder } from './kind.ts'

const changesPage = 500
/** Releases held in memory; beyond that all are looked up anew. */
const mostReleases = 5_000

/** What of a device's answer came from where: devices with the same basis share one object. */
export interface Basis {
  groupId: string | null
  appReleaseId: string | null
  hostReleaseId: string | null
  appRolloutId: string | null
  hostRolloutId: string | null
}

/** Which devices have to be looked at again. */
export type Affected = 'all' | readonly string[] | ((basis: Basis) => boolean)

/**
 * Groups, channels and the releases in use, in memory: whatever a device shall run is decided without asking the store.
 * It follows the change feed; what changed tells which devices are concerned, and nothing is read for the others.
 */
export function createCatalog(options: { store: Store; reconsider: (affected: Affected) => void }) {
  const { store, reconsider } = options
  const channels = new Map<string, Channel>()
  const releases = new Map<string, Promise<Release | undefined>>()
  let groups: DeviceGroup[] = []
  let position: number | undefined
  let reading: Promise<void> | undefined

  /** Brings it up to what is committed now. Those who ask while it reads wait for one more reading. */
  async function follow(): Promise<void> {
    while (reading !== undefined) await reading
    reading = read().finally(() => {
      reading = undefined
    })
    await reading
  }

  async function read(): Promise<void> {
    try {
      if (position === undefined) await load()
      else await readChanges(position)
    } catch (error) {
      position = undefined
      throw error
    }
  }

  async function load(): Promise<void> {
    const version = await store.version()
    const [allGroups, allChannels] = [await store.all(deviceGroupKind), await store.all(channelKind)]
    groups = inOrder(allGroups)
    channels.clear()
    for (const channel of allChannels) channels.set(channel.id, channel)
    releases.clear()
    position = version
    reconsider('all')
  }

  async function readChanges(since: number): Promise<void> {
    let from = since
    for (;;) {
      const head = await store.version()
      if (head === from) return
      const kinds = [deviceGroupKind.name, channelKind.name, releaseKind.name, releaseRolloutKind.name]
      const changes = await store.changes(from, { kinds, limit: changesPage })
      for (const change of changes) apply(change)
      const last = changes.at(-1)?.version ?? head
      from = changes.length < changesPage ? Math.max(head, last) : last
      position = from
    }
  }

  function apply(change: Change): void {
    if (change.kind === deviceGroupKind.name) applyGroup(change.id, change.after as DeviceGroup | null)
    else if (change.kind === channelKind.name) applyChannel(change.id, change.after as Channel | null)
    else if (change.kind === releaseKind.name) applyRelease(change.id)
  }

  function applyGroup(id: string, after: DeviceGroup | null): void {
    const before = groups.find((group) => group.id === id)
    groups = inOrder([...groups.filter((group) => group.id !== id), ...(after === null ? [] : [after])])
    if (before !== undefined && after !== null && decidesTheSame(before, after)) return
    reconsider('all')
  }

  function applyChannel(id: string, after: Channel | null): void {
    const before = channels.get(id)
    if (after === null) channels.delete(id)
    else channels.set(id, after)
    const releaseId = after?.status.releaseId ?? null
    if (before !== undefined && before.status.releaseId === releaseId && before.status.since === after?.status.since)
      return
    const followers = new Set(
      groups
        .filter((group) => channelIdOf(group, 'app') === id || channelIdOf(group, 'host') === id)
        .map((one) => one.id),
    )
    if (followers.size === 0) return
    const has = after?.data.type === 'host' ? 'hostReleaseId' : 'appReleaseId'
    // Those whom the rollout gave it have it already.
    reconsider((basis) => basis.groupId !== null && followers.has(basis.groupId) && basis[has] !== releaseId)
  }

  function applyRelease(id: string): void {
    if (!releases.delete(id)) return
    reconsider((basis) => basis.appReleaseId === id || basis.hostReleaseId === id)
  }

  async function release(id: string): Promise<Release | undefined> {
    const known = releases.get(id)
    if (known !== undefined) return known
    if (releases.size >= mostReleases) releases.clear()
    const asked = store.get(releaseKind, id)
    releases.set(id, asked)
    asked.catch(() => releases.delete(id))
    return asked
  }

  return {
    follow,
    /** Resolves once there is something to decide by. */
    ready: async () => {
      if (position === undefined) await follow()
    },
    groups: () => groups,
    channel: (id: string) => channels.get(id),
    release,
  }
}
export type Catalog = ReturnType<typeof createCatalog>

/** Only what people read about it differs. */
function decidesTheSame({ data: one }: DeviceGroup, { data: other }: DeviceGroup): boolean {
  const { description: _one, ...before } = one
  const { description: _other, ...after } = other
  return JSON.stringify(before) === JSON.stringify(after)
}
