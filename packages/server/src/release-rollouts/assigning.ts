import { releaseKind } from '@freehold/contracts'
import type { Store } from '@freehold/store'
import type { AssignmentChange, Assignments, StoredAssignment } from '../releases/index.ts'
import { keepChanges } from './keeping.ts'
import { type Live, nextToAssign, nextToRevert, previousOf } from './live.ts'
import type { ChannelMember } from './plan.ts'

/** Members assigned in one go. */
const batchSize = 1000

/**
 * Assigns the release to the next members of the open phases. What each had before, and the number of its attempt, is on
 * disk before the first assignment is: a process that dies in between goes on exactly there. Attempts of a device only
 * rise, so that it never takes a new order for one that it failed before. True where there may be more to do.
 */
export async function assignNext(
  live: Live,
  parts: {
    store: Store
    assignments: Assignments
    /** What a device really has that was assigned `had` by another rollout. */
    reallyHad: (deviceId: string, had: StoredAssignment) => string | null
  },
): Promise<boolean> {
  const { store, assignments, reallyHad } = parts
  const { members, head, id, type, resource } = live
  const indexes = nextToAssign(live, batchSize)
  if (indexes.length === 0) return false
  const { releaseId } = resource.data
  const current = await assignments.get(indexes.map(deviceAt(live)), type)
  const changes: AssignmentChange[] = []
  let isNew = false
  for (const index of indexes) {
    const deviceId = deviceAt(live)(index)
    const before = current.get(deviceId)
    if (members.previousOf(index) === undefined) {
      const had = before === undefined ? null : reallyHad(deviceId, before)
      members.setPrevious(index, indexOfRelease(head.previous, had))
      members.setAttempt(index, (before?.attempt ?? 0) + 1)
      isNew = true
    }
    const attempt = members.attemptOf(index)
    if (before?.rolloutId === id && before.releaseId === releaseId && before.attempt === attempt) continue
    changes.push({ deviceId, type, releaseId, rolloutId: id, attempt })
  }
  if (isNew) {
    keepChanges(store, id, live)
    await store.facts.flush()
  }
  if (changes.length > 0) await assignments.assign(changes)
  for (const index of indexes) live.settled[index] = 1
  return indexes.length === batchSize
}

/**
 * Gives the next members back what each had. Whoever was assigned something else meanwhile keeps that, and so does who
 * has begun and had a release that was withdrawn: no device would take that. Who failed gets it back in any case, because
 * a release that stayed assigned would be tried again by the next rollout that is reverted. True where there may be more.
 */
export async function revertNext(live: Live, parts: { store: Store; assignments: Assignments }): Promise<boolean> {
  const { store, assignments } = parts
  const { members, id, type } = live
  const indexes = nextToRevert(live, batchSize)
  const current = await assignments.get(indexes.map(deviceAt(live)), type)
  const previous = new Map(indexes.map((index) => [index, previousOf(live, index)]))
  const withdrawn = await withdrawnOf(store, new Set(previous.values()))
  let skipped = 0
  const changes = indexes.flatMap((index): AssignmentChange[] => {
    const deviceId = deviceAt(live)(index)
    const now = current.get(deviceId)
    if (now?.rolloutId !== id) return []
    const releaseId = previous.get(index) ?? null
    if (releaseId !== null && withdrawn.has(releaseId) && members.hasBegun(index)) {
      skipped += 1
      return []
    }
    return [{ deviceId, type, releaseId, rolloutId: null, attempt: now.attempt + 1 }]
  })
  if (changes.length > 0) await assignments.assign(changes)
  live.skippedReverts += skipped
  live.revertedTo = indexes.length < batchSize ? members.size : (indexes.at(-1) ?? members.size) + 1
  return live.revertedTo < members.size
}

/** Gives the release to devices that follow the channel by now and were no members, after the rollout succeeded. */
export async function bringLatecomers(
  live: Live,
  parts: { assignments: Assignments; followers: readonly ChannelMember[] },
): Promise<void> {
  const { members, type, resource } = live
  const { releaseId } = resource.data
  const late = parts.followers.filter(({ deviceId }) => {
    const index = members.indexOf(deviceId)
    return index === undefined || members.stateOf(index) === 'left'
  })
  for (let from = 0; from < late.length; from += batchSize) {
    const batch = late.slice(from, from + batchSize).map(({ deviceId }) => deviceId)
    const current = await parts.assignments.get(batch, type)
    const changes = batch.flatMap((deviceId): AssignmentChange[] => {
      const now = current.get(deviceId)
      if (now?.releaseId === releaseId) return []
      return [{ deviceId, type, releaseId, rolloutId: null, attempt: (now?.attempt ?? 0) + 1 }]
    })
    if (changes.length > 0) await parts.assignments.assign(changes)
  }
}

/** Releases that devices would refuse. */
async function withdrawnOf(store: Store, releaseIds: ReadonlySet<string | null>): Promise<Set<string>> {
  const withdrawn = new Set<string>()
  for (const id of releaseIds) {
    const release = id === null ? undefined : await store.get(releaseKind, id)
    if (id !== null && release?.status.state !== 'signed') withdrawn.add(id)
  }
  return withdrawn
}

function deviceAt({ members }: Live): (index: number) => string {
  return (index) => members.deviceIds[index] ?? ''
}

function indexOfRelease(previous: (string | null)[], releaseId: string | null): number {
  const known = previous.indexOf(releaseId)
  return known >= 0 ? known : previous.push(releaseId) - 1
}
