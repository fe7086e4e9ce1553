import type { AssignedRelease, Assignment } from '@freehold/contracts'
import type { ZoneOffset } from '../updates/index.ts'
import { type Half, type HalfName, halves, isBegun, isWaiting, stagedHalf } from './half.ts'
import { isOpen } from './window.ts'

/** What the agent sees of one half; all but `running` is known since its start only. */
export interface Seen {
  hasDriver: boolean
  /** The release that runs; undefined: the driver cannot tell now. */
  running: string | null | undefined
  isDownloaded: boolean
  /** Monotonic: the driver is not called before. */
  pauseUntilMs: number
  /** Monotonic: since when the device is about to go down; null: this agent has not asked for it. */
  restartingSinceMs: number | null
  /** This agent was told what came of a return; one that was cut off in it is asked again. */
  isReturnTold: boolean
  soak: Soak | null
}

export interface Soak {
  sinceMs: number
  lookedMs: number
  /** Null: it was not healthy yet. */
  healthyMs: number | null
  look: { isHealthy: boolean; message: string; log: string }
  /** The control plane answered with the node token since. */
  isContacted: boolean
}

export interface Moment {
  monotonicMs: number
  /** Null: no control plane has told the time since the start; then nothing is begun. */
  believedMs: number | null
  offsets: readonly ZoneOffset[]
}

/** `note` only changes what is remembered; before the others act, `half` is on disk. */
export type Step =
  | { kind: 'note'; name: HalfName; half: Half | null }
  | { kind: 'download' | 'apply' | 'look' | 'commit' | 'roll-back'; name: HalfName; half: Half; force: boolean }
  | { kind: 'wait'; reasons: Record<HalfName, string | null>; againInMs: number }

export type Halves = Record<HalfName, Half | null>

const planLimits = {
  idleMs: 10 * 60_000,
  waitMs: 30_000,
  lookEveryMs: 5_000,
  /** So long, and not longer than the soak, a release may be unhealthy. */
  unhealthyMs: { shortest: 10_000, longest: 60_000 },
  /** A host that cannot reach the control plane for so long is left again: the device would be lost. */
  contactMs: 60 * 60_000,
  restartMs: 30 * 60_000,
  downloads: 5,
  applies: 3,
  rollBacks: 5,
}

/**
 * The next thing to do, from what is on disk, what is wanted, and what is seen. What always holds:
 *
 * 1. Nothing begins outside its window, held, by an expired assignment, or before the time is known.
 * 2. The host goes first; both are never under way at once.
 * 3. A release that failed is not tried again until its attempt is another one.
 * 4. It has succeeded only after its soak, healthy, and heard by the control plane.
 * 5. What was begun is brought to an end: there, or back where it was.
 */
export function nextStep(
  state: Halves,
  assignment: Assignment | null,
  seen: Record<HalfName, Seen>,
  now: Moment,
): Step {
  for (const name of halves) {
    const step = adopt(name, state[name], assignment?.[name] ?? null)
    if (step) return step
  }
  const begun = halves.find((name) => isBegun(state[name]))
  const half = begun && state[begun]
  if (begun && half) return goOn(begun, half, seen[begun], { now, force: assignment?.[begun]?.force ?? false })
  const reasons: Record<HalfName, string | null> = { app: null, host: null }
  for (const name of halves) {
    const begins = begin(name, { state, assignment, seen: seen[name], now })
    if (begins === null || typeof begins === 'string') reasons[name] = begins
    else return begins
  }
  const isWaited = halves.some((name) => reasons[name] !== null)
  return { kind: 'wait', reasons, againInMs: isWaited ? planLimits.waitMs : planLimits.idleMs }
}

/** What a new assignment changes in what is remembered; null: nothing. */
function adopt(name: HalfName, half: Half | null, assigned: AssignedRelease | null): Step | null {
  if (assigned === null) return isWaiting(half) ? { kind: 'note', name, half: null } : null
  if (half === null) return { kind: 'note', name, half: stagedHalf(assigned) }
  if (half.releaseId === assigned.releaseId) {
    if (half.attempt === assigned.attempt) return null
    const isOver = half.phase === 'failed' || half.phase === 'rolled-back' || half.phase === 'not-supported'
    return { kind: 'note', name, half: isOver ? stagedHalf(assigned) : { ...half, attempt: assigned.attempt } }
  }
  if (half.phase === 'soaking')
    return leave(name, half, 'Another release was assigned before this one had proved itself.')
  return isBegun(half) ? null : { kind: 'note', name, half: stagedHalf(assigned) }
}

/** A sentence: why it waits. Null: there is nothing to begin. */
function begin(
  name: HalfName,
  options: { state: Halves; assignment: Assignment | null; seen: Seen; now: Moment },
): Step | string | null {
  const { state, assignment, seen, now } = options
  const half = state[name]
  const assigned = assignment?.[name]
  if (!isWaiting(half) || !assignment || !assigned) return null
  if (!seen.hasDriver) {
    return note(
      name,
      half,
      'not-supported',
      `This device has no way to change its ${name === 'app' ? 'applications' : 'host'}.`,
    )
  }
  if (seen.running === undefined) return 'What runs here cannot be told now.'
  if (seen.running === half.releaseId) return note(name, half, 'soaking', 'It runs already.')
  if (now.believedMs === null) return 'The time is not known: the control plane was not reached since the start.'
  if (Date.parse(assignment.expiresAt) <= now.believedMs)
    return `Its assignment was good until ${assignment.expiresAt}.`
  if (assigned.held) return 'It is held.'
  if (name === 'app' && isWaiting(state.host) && assignment.host?.held === false) return 'The host goes first.'
  const { window } = assigned
  if (!isOpen(window, now.offsets, now.believedMs)) return `It waits for its window, ${window?.from} to ${window?.to}.`
  if (now.monotonicMs < seen.pauseUntilMs) return half.message
  const { force } = assigned
  if (seen.isDownloaded) {
    return {
      kind: 'apply',
      name,
      force,
      half: { ...half, phase: 'applying', message: 'It is being applied.', tries: 1 },
    }
  }
  const begun: Half = { ...half, phase: 'downloading', message: 'It is being downloaded.', tries: half.tries + 1 }
  return { kind: 'download', name, force, half: begun }
}

function goOn(name: HalfName, half: Half, seen: Seen, options: { now: Moment; force: boolean }): Step {
  const { now, force } = options
  if (!seen.hasDriver) return note(name, half, 'failed', 'This device has no way any more to go on with it.')
  if (half.isRestarting && seen.restartingSinceMs !== null) {
    if (now.monotonicMs - seen.restartingSinceMs < planLimits.restartMs) return wait(name, 'The device goes down.')
    const message = 'The device was to go down and did not.'
    return half.phase === 'applying' ? leave(name, half, message) : note(name, half, 'failed', message)
  }
  if (half.phase === 'soaking') return goOnSoaking(name, half, seen, now)
  if (half.phase === 'rolling-back' && half.tries === 0) return rollBack(name, half)
  if (seen.running === undefined) return wait(name, 'What runs here cannot be told now.')
  const isThere = seen.running === half.releaseId
  if (half.phase === 'applying') {
    if (isThere) return note(name, half, 'soaking', 'It runs, and is watched.')
    if (half.isRestarting) return note(name, half, 'rolled-back', 'The device came back in what it had before.')
    if (half.tries >= planLimits.applies) return leave(name, half, 'It was interrupted each time it was applied.')
    return { kind: 'apply', name, force, half: { ...half, tries: half.tries + 1 } }
  }
  // Not being there proves no return: somebody else may have brought something new. Where the driver was cut off in it,
  // it is asked once more.
  const isAnswered = half.isRestarting || seen.isReturnTold || half.tries >= planLimits.rollBacks
  if (!isThere && isAnswered) return note(name, half, 'rolled-back', half.message)
  if (now.monotonicMs < seen.pauseUntilMs) return wait(name, half.message)
  if (half.tries < planLimits.rollBacks) return rollBack(name, half)
  return note(name, half, 'failed', `It could not be left again. ${half.message}`)
}

function goOnSoaking(name: HalfName, half: Half, seen: Seen, now: Moment): Step {
  const { soak, running } = seen
  if (name === 'host' && running !== undefined && running !== half.releaseId) {
    return note(name, half, 'rolled-back', 'The device went back to what it had before by itself.')
  }
  if (!soak || now.monotonicMs - soak.lookedMs >= planLimits.lookEveryMs) {
    return { kind: 'look', name, half, force: false }
  }
  const soakMs = half.soakSeconds * 1000
  const { shortest, longest } = planLimits.unhealthyMs
  const { look } = soak
  if (!look.isHealthy) {
    const isPatienceOver =
      now.monotonicMs - (soak.healthyMs ?? soak.sinceMs) >= Math.min(longest, Math.max(shortest, soakMs))
    return isPatienceOver ? leave(name, half, look.message, look.log) : wait(name, look.message, soak, now)
  }
  const soakedMs = now.monotonicMs - soak.sinceMs
  if (soakedMs < soakMs) return wait(name, 'It runs, and is watched.', soak, now)
  if (!soak.isContacted) {
    if (name === 'host' && soakedMs >= Math.max(soakMs, planLimits.contactMs)) {
      return leave(name, half, 'The control plane could not be reached from it.')
    }
    return wait(name, 'It runs; the control plane has not answered since.', soak, now)
  }
  if (now.monotonicMs < seen.pauseUntilMs) return wait(name, half.message, soak, now)
  return { kind: 'commit', name, half, force: false }
}

function note(name: HalfName, half: Half, phase: Half['phase'], message: string): Step {
  return { kind: 'note', name, half: { ...half, phase, message, tries: 0, isRestarting: false } }
}

function leave(name: HalfName, half: Half, message: string, log = half.log): Step {
  return { kind: 'note', name, half: { ...half, phase: 'rolling-back', message, log, tries: 0, isRestarting: false } }
}

function rollBack(name: HalfName, half: Half): Step {
  return { kind: 'roll-back', name, force: false, half: { ...half, tries: half.tries + 1, isRestarting: false } }
}

function wait(name: HalfName, reason: string, soak?: Soak, now?: Moment): Step {
  const nextLookMs = soak && now ? soak.lookedMs + planLimits.lookEveryMs - now.monotonicMs : planLimits.lookEveryMs
  const reasons = { app: null, host: null, [name]: reason }
  return { kind: 'wait', reasons, againInMs: Math.max(100, nextLookMs) }
}

/** What came of a step that acted. */
export type Outcome =
  | { kind: 'done' }
  | { kind: 'restarting' }
  | { kind: 'locked'; message: string }
  | { kind: 'unsupported'; message: string }
  | { kind: 'no-way-back'; message: string }
  /** `log`: last lines of what failed, where there are any. */
  | { kind: 'failed'; message: string; log?: string }

/** What is remembered after a step, and for how long the driver is left alone. */
export function afterStep(
  step: Exclude<Step, { kind: 'note' | 'wait' }>,
  outcome: Outcome,
): { half: Half; pauseMs: number } {
  const { half } = step
  const become = (phase: Half['phase'], message: string, more: Partial<Half> = {}) => ({
    half: { ...half, phase, message, tries: 0, isRestarting: false, ...more },
    pauseMs: 0,
  })
  const message = 'message' in outcome ? outcome.message : half.message
  const log = outcome.kind === 'failed' && outcome.log !== undefined ? outcome.log : half.log
  const again = { half: { ...half, message, log }, pauseMs: pauseAfter(half.tries) }
  if (outcome.kind === 'restarting') return { half: { ...half, isRestarting: true }, pauseMs: 0 }
  switch (step.kind) {
    case 'download':
      if (outcome.kind === 'unsupported') return become('not-supported', message)
      if (outcome.kind === 'done') return { half: { ...half, message: 'It is downloaded.', tries: 0 }, pauseMs: 0 }
      return half.tries >= planLimits.downloads ? become('failed', message, { log }) : again
    case 'apply':
      if (outcome.kind === 'done') return become('soaking', 'It runs, and is watched.')
      if (outcome.kind === 'locked') return { ...become('staged', message), pauseMs: planLimits.waitMs }
      return become('rolling-back', message, { log })
    case 'commit':
      if (outcome.kind === 'done') return become('succeeded', 'It runs.')
      return { half: { ...half, message }, pauseMs: 60_000 }
    case 'roll-back':
      return afterReturn(half, outcome)
    case 'look':
      return { half, pauseMs: 0 }
  }
}

/** The reason why it is left stays its message; waiting for a lock is no try. */
function afterReturn(half: Half, outcome: Outcome): { half: Half; pauseMs: number } {
  const over = { ...half, tries: 0, isRestarting: false }
  if (outcome.kind === 'done') return { half: { ...over, phase: 'rolled-back' }, pauseMs: 0 }
  if (outcome.kind === 'no-way-back') {
    return { half: { ...over, phase: 'failed', message: `${half.message} ${outcome.message}` }, pauseMs: 0 }
  }
  if (outcome.kind === 'locked') {
    return { half: { ...half, tries: Math.max(1, half.tries - 1) }, pauseMs: planLimits.waitMs }
  }
  const log = outcome.kind === 'failed' && outcome.log !== undefined ? outcome.log : half.log
  return { half: { ...half, log }, pauseMs: pauseAfter(half.tries) }
}

/** 10 s, 30 s, 90 s and so on, at most 15 minutes. */
function pauseAfter(tries: number): number {
  return Math.min(15 * 60_000, 10_000 * 3 ** Math.max(0, tries - 1))
}
