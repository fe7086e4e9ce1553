import { deviceGroupKind, deviceKind, FreeholdError, releaseKind } from '@freehold/contracts'
import type { Change, Store } from '@freehold/store'
import type { MembersOf } from './followers.ts'
import { dropMember, type Live } from './live.ts'

const kinds = [deviceKind.name, deviceGroupKind.name, releaseKind.name]
const pageSize = 500

/**
 * Notices members that are members no more: deleted, revoked, pinned, moved to another channel; and releases that were
 * withdrawn. It reads the change feed, and asks who follows a channel only where something changed that may matter.
 */
export function createFollower(options: {
  store: Store
  membersOf: MembersOf
  /** Rollouts that are open. */
  lives: () => Live[]
  now: () => number
}) {
  const { store, membersOf, now } = options
  let cursor = 0
  /** True: who follows which channel must be asked for all. */
  let isBlind = true

  async function read(suspects: Set<string>): Promise<{ upTo: number; isBlind: boolean; hasReleases: boolean }> {
    const seen = { upTo: cursor, isBlind, hasReleases: isBlind }
    for (;;) {
      const changes = await changesAfter(seen.upTo)
      if (changes === undefined) return { upTo: await store.version(), isBlind: true, hasReleases: true }
      for (const change of changes) {
        seen.upTo = change.version
        if (change.kind === releaseKind.name) seen.hasReleases = true
        else if (change.kind === deviceGroupKind.name) seen.isBlind = true
        else if (change.operation === 'update' || change.operation === 'delete') suspects.add(change.id)
      }
      if (changes.length < pageSize) return seen
    }
  }

  async function changesAfter(since: number): Promise<Change[] | undefined> {
    try {
      return await store.changes(since, { limit: pageSize, kinds })
    } catch (error) {
      if (error instanceof FreeholdError && error.code === 'feed-expired') return undefined
      throw error
    }
  }

  async function dropFrom(live: Live, suspects: readonly string[] | 'all'): Promise<void> {
    const { members, resource } = live
    const asked = (suspects === 'all' ? members.deviceIds : suspects).filter((deviceId) => {
      const index = members.indexOf(deviceId)
      return index !== undefined && members.stateOf(index) !== 'left'
    })
    if (asked.length === 0) return
    const { channelId } = resource.data
    const found = await (suspects === 'all' ? membersOf(channelId) : membersOf(channelId, asked))
    const followers = new Set(found.map(({ deviceId }) => deviceId))
    for (const deviceId of asked) {
      const index = members.indexOf(deviceId)
      if (index !== undefined && !followers.has(deviceId)) dropMember(live, index, now())
    }
  }

  return {
    /** Takes out those of the devices that follow the channel no more. */
    drop: dropFrom,
    /** Everything that changes from here on will be noticed. */
    async begin(): Promise<void> {
      cursor = await store.version()
      isBlind = true
    },
    async follow(): Promise<void> {
      const lives = options.lives()
      if (lives.length === 0) {
        cursor = await store.version()
        isBlind = false
        return
      }
      const suspects = new Set<string>()
      const seen = await read(suspects)
      for (const live of lives) {
        if (seen.hasReleases) {
          const release = await store.get(releaseKind, live.resource.data.releaseId)
          live.isWithdrawn = release?.status.state !== 'signed'
        }
        await dropFrom(live, seen.isBlind ? 'all' : [...suspects])
      }
      cursor = seen.upTo
      isBlind = false
    },
  }
}
