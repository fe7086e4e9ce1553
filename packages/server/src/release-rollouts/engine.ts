import { channelKind, isOpenRollout, type ReleaseRollout, releaseKind, releaseRolloutKind } from '@freehold/contracts'
import type { Actor, Store } from '@freehold/store'
import type { Logger } from 'pino'
import type { Assignments, RolloutTerms, StoredAssignment } from '../releases/index.ts'
import { assignNext, bringLatecomers, revertNext } from './assigning.ts'
import { createFollower } from './follower.ts'
import type { MembersOf } from './followers.ts'
import { type Kept, keepChanges, readKept } from './keeping.ts'
import { advance, isGivingWay, isHeld, watchedSince } from './kind.ts'
import {
  createLive,
  failedDevices,
  isReverting,
  isStale,
  isUnbegun,
  type Live,
  previousOf,
  revertsLeft,
  takeReport,
  takeRetry,
  unfinishedDevices,
} from './live.ts'
import { phasesOf } from './plan.ts'
import { type NewestReports, newestReports, type Report } from './reports.ts'

export interface EngineOptions {
  store: Store
  assignments: Assignments
  membersOf: MembersOf
  /** Devices whose desired state may be another now although their assignment is the same. */
  reconsider: (deviceIds: readonly string[]) => void
  now: () => number
  /** Milliseconds of a clock that only goes forward, whatever is done to the time of day. */
  elapsed: () => number
  log: Logger
}

/** Status and facts are written at most this often where nothing was decided. */
const writeEveryMs = 1_000
const keepEveryMs = 10_000
/** Batches of members a rollout may be assigned before others get their turn. */
const batchesAtMost = 5
const actor: Actor = { type: 'system', id: 'release-rollouts', name: 'release-rollouts' }

/**
 * Moves rollouts on. What always holds:
 *
 * 1. One thing at a time: the loop and the handlers take turns, so that nothing is assigned after an operator was
 *    answered that it is paused, aborted or superseded.
 * 2. First it is on disk that a phase is open, then its members are assigned. A process that dies in between goes on with the
 *    same members; nobody outside an open phase is ever assigned.
 * 3. Where a rollout ends, those that had not begun are given back what they had, before the next one assigns anything.
 *    A process that dies in between goes on there: it counts as finished only after that.
 * 4. What devices say lives in memory and reaches the disk with the next decision, or within seconds.
 */
export function createEngine(options: EngineOptions) {
  const { store, assignments, membersOf, reconsider, now, elapsed, log } = options
  const lives = new Map<string, Live>()
  const settings = new Map<string, RolloutTerms>()
  let reports: NewestReports = newestReports()
  let turn: Promise<unknown> = Promise.resolve()
  let isLoaded = false
  const follower = createFollower({ store, membersOf, lives: () => [...lives.values()].filter(isOpen), now })

  function inTurn<T>(work: () => Promise<T>): Promise<T> {
    const result = turn.then(work)
    turn = result.catch(() => undefined)
    return result
  }

  /** Reads what is under way. Must have resolved before devices are answered. */
  async function load(): Promise<void> {
    await follower.begin()
    const newest = new Map<string, ReleaseRollout>()
    for (const rollout of await store.all(releaseRolloutKind)) {
      settings.set(rollout.id, settingsOf(rollout))
      // Ids follow the time of day, which may have been set back; versions only grow. What never began replaced nothing.
      const { channelId } = rollout.data
      const isNewest = rollout.version > (newest.get(channelId)?.version ?? 0)
      if (isNewest && rollout.status.startedAt !== null) newest.set(channelId, rollout)
      if (isOpenRollout(rollout.status)) await resume(rollout)
      else if (isGivingWay(rollout.status)) await giveWayOn(rollout)
    }
    for (const rollout of newest.values()) {
      if (rollout.status.state !== 'succeeded') continue
      const kept = await readSafely(rollout)
      if (kept !== undefined) await attach(rollout, kept)
    }
    isLoaded = true
  }

  async function resume(rollout: ReleaseRollout): Promise<void> {
    const kept = await readSafely(rollout)
    const hasBegun = rollout.status.startedAt !== null
    if (kept !== undefined && hasBegun) {
      await attach(rollout, kept)
      return
    }
    const message = hasBegun
      ? 'Its records are damaged. Who has the release keeps it; create another rollout.'
      : 'The control plane ended while it began. Nothing was assigned; create it again.'
    const ended = { ...rollout.status, state: 'aborted' as const, message, finishedAt: new Date(now()).toISOString() }
    const resource = await write(rollout, ended)
    settings.set(rollout.id, settingsOf(resource))
  }

  async function giveWayOn(rollout: ReleaseRollout): Promise<void> {
    const kept = await readSafely(rollout)
    if (kept !== undefined) lives.set(rollout.id, await liveOf(rollout, kept))
  }

  /** Nothing that is damaged keeps the others from going on. */
  async function readSafely(rollout: ReleaseRollout): Promise<Kept | undefined> {
    try {
      return await readKept(store, rollout)
    } catch (error) {
      log.error({ err: error, rolloutId: rollout.id }, 'the members of a rollout cannot be read')
      return undefined
    }
  }

  async function attach(resource: ReleaseRollout, kept: Kept): Promise<Live> {
    const live = await liveOf(resource, kept)
    for (const other of lives.values()) if (isReplacedBy(other, live)) await detach(other)
    lives.set(live.id, live)
    settings.set(live.id, settingsOf(resource))
    return live
  }

  async function liveOf(resource: ReleaseRollout, kept: Kept): Promise<Live> {
    const release = await store.get(releaseKind, resource.data.releaseId)
    const channel = await store.get(channelKind, resource.data.channelId)
    return createLive({
      kept,
      resource,
      type: channel?.data.type ?? release?.data.type ?? 'app',
      isWithdrawn: release?.status.state !== 'signed',
      elapsedMs: elapsed(),
    })
  }

  /** A newer one took its place. One that was open is followed until it has given back what it must. */
  async function detach(live: Live): Promise<void> {
    live.resource = (await store.get(releaseRolloutKind, live.id)) ?? live.resource
    if (!isGivingWay(live.resource.status)) lives.delete(live.id)
    settle(live)
  }

  /** What its devices are told besides the release is what it says now. */
  function settle(live: Live): void {
    if (settings.get(live.id)?.held === isHeld(live.resource)) return
    settings.set(live.id, settingsOf(live.resource))
    reconsider(unfinishedDevices(live))
  }

  /** One look at one rollout: what changed, what follows, and the next assignments. */
  async function step(live: Live): Promise<{ againInMs: number }> {
    const resource = await store.get(releaseRolloutKind, live.id)
    if (resource === undefined) {
      lives.delete(live.id)
      return { againInMs: Number.POSITIVE_INFINITY }
    }
    live.resource = resource
    for (const other of lives.values()) {
      if (!isGivingWay(other.resource.status) || !isReplacedBy(other, live)) continue
      await step(other)
      if (lives.has(other.id)) return { againInMs: 0 }
    }
    if (live.head.attempt < resource.data.attempt) await follower.drop(live, failedDevices(live))
    if (takeRetry(live, now())) {
      keepChanges(store, live.id, live)
      await store.facts.flush()
    }
    await decide(live)
    settle(live)
    if (await act(live)) return { againInMs: 0 }
    return { againInMs: keepQuietly(live) }
  }

  async function decide(live: Live): Promise<void> {
    const { head, members, resource } = live
    watch(live)
    const status = advance({
      data: resource.data,
      status: resource.status,
      phases: phasesOf(resource.data),
      counts: members.counts,
      stoppedAttempt: head.stoppedAttempt,
      watchedMs: head.watchedMs,
      isWithdrawn: live.isWithdrawn,
      revertsLeft: revertsLeft(live),
      skippedReverts: live.skippedReverts,
      now: new Date(now()).toISOString(),
    })
    const isDecision = decisionIn(status) !== decisionIn(resource.status)
    if (!isDecision && elapsed() - live.wroteAtMs < writeEveryMs) return
    if (status.state === 'stopped' && !live.isWithdrawn && resource.data.aborted === null) {
      head.stoppedAttempt = resource.data.attempt
    }
    if (reachedIn(status) !== reachedIn(resource.status)) head.watchedMs = 0
    if (isDecision) {
      keepChanges(store, live.id, live)
      await store.facts.flush()
    }
    live.resource = await write(resource, status)
    live.wroteAtMs = elapsed()
    if (isDecision) log.info({ rolloutId: live.id, state: status.state }, status.message)
  }

  async function write(rollout: ReleaseRollout, status: ReleaseRollout['status']): Promise<ReleaseRollout> {
    const { channelId, releaseId } = rollout.data
    const isEnding = isOpenRollout(rollout.status) && !isOpenRollout(status)
    return store.transaction(actor, async (transaction) => {
      const channel = isEnding ? await transaction.get(channelKind, channelId) : undefined
      if (channel !== undefined) {
        const carried = status.state === 'succeeded' ? { releaseId, since: status.finishedAt } : {}
        const { rolloutId } = channel.status
        await transaction.setStatus(channelKind, channelId, {
          ...channel.status,
          ...carried,
          rolloutId: rolloutId === rollout.id ? null : rolloutId,
        })
      }
      return transaction.setStatus(releaseRolloutKind, rollout.id, status)
    })
  }

  /** True where there is more to do at once. */
  async function act(live: Live): Promise<boolean> {
    if (isReverting(live)) return giveBack(live)
    const { resource, head } = live
    for (let batch = 0; batch < batchesAtMost; batch++) {
      if (!(await assignNext(live, { store, assignments, reallyHad }))) break
      if (batch === batchesAtMost - 1) return true
    }
    if (resource.status.state === 'succeeded' && !head.hasToldLatecomers) {
      await bringLatecomers(live, { assignments, followers: await membersOf(resource.data.channelId) })
      head.hasToldLatecomers = true
      keepChanges(store, live.id, live)
    }
    if (!isOpen(live) && resource.status.state !== 'succeeded') lives.delete(live.id)
    return false
  }

  /** One that left an open rollout of another channel and had not begun has what it had before that. */
  function reallyHad(deviceId: string, { releaseId, rolloutId }: StoredAssignment): string | null {
    const other = lives.get(rolloutId ?? '')
    const index = other?.members.indexOf(deviceId)
    if (other === undefined || index === undefined || other.resource.status.state === 'succeeded') return releaseId
    return isUnbegun(other, index) ? previousOf(other, index) : releaseId
  }

  function takeReports(): void {
    const taken = reports
    reports = newestReports()
    for (const live of lives.values()) {
      for (const [deviceId, report] of taken[live.type]) takeReport(live, { deviceId, ...report })
    }
  }

  /** Gives the next members back what they had; with the last of them the rollout comes to its end. */
  async function giveBack(live: Live): Promise<boolean> {
    // Who says that it began, and was not listened to yet, has begun.
    takeReports()
    for (let batch = 0; batch < batchesAtMost; batch++) {
      if (await revertNext(live, { store, assignments })) continue
      await decide(live)
      settle(live)
      if (!isReverting(live)) lives.delete(live.id)
      return lives.has(live.id)
    }
    return true
  }

  /** A step whose failure is the loop's to mend: whoever asked was heard already. */
  async function tryStep(live: Live): Promise<void> {
    try {
      await step(live)
    } catch (error) {
      log.warn({ err: error, rolloutId: live.id }, 'a rollout could not be moved on; it is tried again')
    }
  }

  /** Adds to the soak of the open phase what was really watched of it. */
  function watch(live: Live): void {
    const nowMs = elapsed()
    if (reachedIn(live.resource.status) !== null) live.head.watchedMs += watchedSince(nowMs - live.watchedAtMs)
    live.watchedAtMs = nowMs
  }

  /** Hands what is worth it to the facts now and then; answers when there is something to do again. */
  function keepQuietly(live: Live): number {
    const waitsMs =
      live.members.isDirty() || live.resource.status.state === 'soaking' ? keepEveryMs : Number.POSITIVE_INFINITY
    if (waitsMs === keepEveryMs && elapsed() - live.keptAtMs >= keepEveryMs) {
      keepChanges(store, live.id, live)
      live.keptAtMs = elapsed()
    }
    return Math.min(waitsMs, isStale(live) ? writeEveryMs : waitsMs, soakLeftMs(live))
  }

  return {
    inTurn,
    load,
    attach,
    tryStep,
    lives: lives as ReadonlyMap<string, Live>,
    settingsOf: (rolloutId: string) => settings.get(rolloutId),
    /** A rollout that may yet give members a release back. */
    revertingTo: (releaseId: string): ReleaseRollout | undefined =>
      [...lives.values()].find(
        (live) => live.head.previous.includes(releaseId) && (isOpen(live) || isGivingWay(live.resource.status)),
      )?.resource,
    isMember(deviceId: string, channelId: string): boolean {
      for (const live of lives.values()) {
        if (live.resource.data.channelId !== channelId || !isOpen(live)) continue
        const index = live.members.indexOf(deviceId)
        return index !== undefined && live.members.stateOf(index) !== 'left'
      }
      return false
    },
    note(report: Report): void {
      if (isLoaded && lives.size === 0) return
      reports[report.type].set(report.deviceId, { progress: report.progress, atMs: now() })
    },
    /** One round over everything under way. */
    async run(signal?: AbortSignal): Promise<{ againInMs: number }> {
      let againInMs = Number.POSITIVE_INFINITY
      await inTurn(async () => {
        takeReports()
        await follower.follow()
      })
      const errors: unknown[] = []
      for (const live of [...lives.values()]) {
        if (signal?.aborted === true) break
        const stepped = inTurn(async () => (lives.has(live.id) ? step(live) : undefined))
        await stepped.then(
          (outcome) => {
            againInMs = Math.min(againInMs, outcome?.againInMs ?? againInMs)
          },
          (error: unknown) => errors.push(error),
        )
      }
      if (errors.length > 0) throw new AggregateError(errors, `${errors.length} rollouts could not be moved on.`)
      return { againInMs }
    },
    /** Writes what is not written yet. */
    async finish(): Promise<void> {
      await inTurn(async () => {
        for (const live of lives.values()) keepChanges(store, live.id, live)
        await store.facts.flush()
      })
    },
  }
}
export type Engine = ReturnType<typeof createEngine>

function isOpen({ resource }: Live): boolean {
  return isOpenRollout(resource.status)
}

function isReplacedBy(old: Live, live: Live): boolean {
  return old.resource.data.channelId === live.resource.data.channelId && old.id !== live.id
}

function settingsOf(rollout: ReleaseRollout): RolloutTerms {
  const { window, soakSeconds, force } = rollout.data
  return { window, soakSeconds, force, held: isHeld(rollout) }
}

/** What must be on disk before anything follows from it; counts may wait. */
function decisionIn({ state, finishedAt, phases }: ReleaseRollout['status']): string {
  return JSON.stringify([state, finishedAt, phases.map(({ openedAt, reachedAt: reached }) => [openedAt, reached])])
}

/** Which phase is the last open one, and when it reached its threshold; null: it did not yet. */
function reachedIn({ phases }: ReleaseRollout['status']): string | null {
  const index = phases.findLastIndex(({ openedAt }) => openedAt !== null)
  const reachedAt = phases[index]?.reachedAt
  return reachedAt == null ? null : `${index} ${reachedAt}`
}

function soakLeftMs({ resource, head }: Live): number {
  const { state, phase } = resource.status
  if (state !== 'soaking') return Number.POSITIVE_INFINITY
  const soakMs = (phasesOf(resource.data)[phase]?.soakMinutes ?? 0) * 60_000
  return Math.max(1_000, soakMs - head.watchedMs)
}
