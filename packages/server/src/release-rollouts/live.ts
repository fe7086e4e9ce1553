import { type DeviceStatus, isOpenRollout, type ReleaseRollout, type ReleaseType } from '@freehold/contracts'
import type { Kept } from './keeping.ts'
import { failuresOf, isGivingWay, mayAssign, openPhases, stateOfReport } from './kind.ts'

/** What a device says of one half of its releases. */
export type Progress = NonNullable<NonNullable<DeviceStatus['releases']>['app']>

/** A rollout whose devices are followed: one that is open, or the last one of its channel that succeeded. */
export interface Live extends Kept {
  readonly id: string
  readonly type: ReleaseType
  resource: ReleaseRollout
  isWithdrawn: boolean
  /** Members whose assignment was seen to be what it must be since the start of this process. */
  readonly settled: Uint8Array
  /** Members, from 0, that need not be looked at any more to give them back what they had. */
  revertedTo: number
  /** Of those, members that could not be, because it was withdrawn. */
  skippedReverts: number
  /** By the clock that only goes forward; when its status and its facts were last written, and when it was last watched. */
  wroteAtMs: number
  keptAtMs: number
  watchedAtMs: number
}

export function createLive(options: {
  kept: Kept
  resource: ReleaseRollout
  type: ReleaseType
  isWithdrawn: boolean
  elapsedMs: number
}): Live {
  const { kept, resource, type, isWithdrawn, elapsedMs } = options
  const settled = new Uint8Array(kept.members.size)
  for (let index = 0; index < settled.length; index++) {
    // Who reported anything has surely been told.
    settled[index] = kept.members.stateOf(index) === 'waiting' ? 0 : 1
  }
  return {
    ...kept,
    id: resource.id,
    type,
    resource,
    isWithdrawn,
    settled,
    revertedTo: 0,
    skippedReverts: 0,
    wroteAtMs: Number.NEGATIVE_INFINITY,
    keptAtMs: elapsedMs,
    watchedAtMs: elapsedMs,
  }
}

/** Takes a report in; one of another release or attempt says nothing about this rollout. */
export function takeReport(live: Live, report: { deviceId: string; progress: Progress; atMs: number }): void {
  const { members } = live
  const { progress, atMs } = report
  const index = members.indexOf(report.deviceId)
  if (index === undefined || progress.releaseId !== live.resource.data.releaseId) return
  const attempt = members.attemptOf(index)
  const state = stateOfReport(progress.state)
  const before = members.stateOf(index)
  if (attempt === 0 || progress.attempt !== attempt || state === undefined) return
  if (before === 'left') {
    members.noteOfLeft(index, state)
    return
  }
  // What was shown to work stays so; that it broke later is the device's own matter, and stands in its status.
  if (before === 'succeeded' && live.resource.status.state === 'succeeded') return
  const message = progress.message ?? ''
  if (state === before && message.slice(0, 200) === members.messageOf(index)) return
  members.set(index, { state, message, atMs })
  live.settled[index] = 1
}

/** Members that are no longer among those who follow the channel, for good. */
export function dropMember(live: Live, index: number, atMs: number): void {
  if (live.members.stateOf(index) !== 'left') live.members.set(index, { state: 'left', message: '', atMs })
}

/** Gives members that failed one more attempt, where an operator asked for it. True where that was so. */
export function takeRetry(live: Live, atMs: number): boolean {
  const { members, head, resource } = live
  if (head.attempt >= resource.data.attempt) return false
  for (let index = 0; index < members.size; index++) {
    if (!hasFailed(live, index)) continue
    members.setAttempt(index, members.attemptOf(index) + 1)
    members.set(index, { state: 'waiting', message: '', atMs })
    live.settled[index] = 0
  }
  head.attempt = resource.data.attempt
  return true
}

/** The next members, at most so many, that must be seen to be assigned the release. */
export function nextToAssign(live: Live, most: number): number[] {
  const { resource, members, settled } = live
  if (!mayAssign(resource)) return []
  const next: number[] = []
  const end = members.endOf(openPhases(resource.status))
  for (let index = 0; index < end && next.length < most; index++) {
    if (settled[index] === 0 && members.stateOf(index) !== 'left') next.push(index)
  }
  return next
}

/** True where members are being given back what they had: all of them, or those that have not begun. */
export function isReverting({ resource: { data, status } }: Live): boolean {
  return isGivingWay(status) || (data.aborted !== null && isOpenRollout(status))
}

/** True where the device was assigned the release, and may be given back what it had: it has not begun, or has failed. */
export function isUnbegun({ members }: Live, index: number): boolean {
  return members.attemptOf(index) > 0 && !members.hasBegun(index)
}

/** The release that the device had before; null: none. */
export function previousOf({ members, head }: Live, index: number): string | null {
  return head.previous[members.previousOf(index) ?? -1] ?? null
}

/** The next members, at most so many, that may have to be given back what they had; also those that left. */
export function nextToRevert(live: Live, most: number): number[] {
  const next: number[] = []
  for (let index = live.revertedTo; index < live.members.size && next.length < most; index++) {
    if (goesBack(live, index)) next.push(index)
  }
  return next
}

export function revertsLeft(live: Live): number {
  if (!isReverting(live)) return 0
  let left = 0
  for (let index = live.revertedTo; index < live.members.size; index++) if (goesBack(live, index)) left += 1
  return left
}

/** Who was assigned the release goes back, but for those that have begun with it, have not failed, and may keep it. */
function goesBack({ members, resource: { data, status } }: Live, index: number): boolean {
  if (members.attemptOf(index) === 0) return false
  return (data.aborted === 'revert' && !isGivingWay(status)) || !members.hasBegun(index)
}

/** Members that were assigned the release and have not come to an end with it. */
export function unfinishedDevices({ members }: Live): string[] {
  return members.deviceIds.filter((_, index) => {
    const isDone = ['succeeded', 'failed', 'rolled-back', 'left'].includes(members.stateOf(index))
    return members.attemptOf(index) > 0 && !isDone
  })
}

/** Members that failed, and would try once more in a retry. */
export function failedDevices(live: Live): string[] {
  return live.members.deviceIds.filter((_, index) => hasFailed(live, index))
}

function hasFailed({ members }: Live, index: number): boolean {
  const state = members.stateOf(index)
  return state === 'failed' || state === 'rolled-back'
}

export function hasFailures({ members }: Live): boolean {
  return members.counts.some((counts) => failuresOf(counts) > 0)
}

/** Whether counts are newer than the status that is written. */
export function isStale({ resource, members }: Live): boolean {
  return resource.status.phases.some(
    ({ counts }, phase) => JSON.stringify(counts) !== JSON.stringify(members.counts[phase]),
  )
}
