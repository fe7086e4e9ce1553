import {
  type MemberCounts,
  type MemberState,
  memberStates,
  type ReleasePhase,
  type ReleaseRollout,
} from '@freehold/contracts'
import { isMoreThan, leastOf } from './plan.ts'

type Status = ReleaseRollout['status']
type Data = ReleaseRollout['data']

/** All there is to know to say how a rollout goes on. */
export interface RolloutView {
  data: Pick<Data, 'paused' | 'aborted' | 'approvedPhases' | 'attempt'>
  /** As it was decided last: which phases are open and which reached their threshold is read from it. */
  status: Status
  phases: readonly ReleasePhase[]
  /** Where the members of each phase stand. */
  counts: readonly MemberCounts[]
  /** The attempt in which it stopped; 0: it never did. Only a retry, which raises the attempt, ends that. */
  stoppedAttempt: number
  /** How long the open phase was watched since it reached its threshold. */
  watchedMs: number
  isWithdrawn: boolean
  /** Members that an abort, or a newer rollout, must still give back what they had. */
  revertsLeft: number
  /** Members that cannot be given it back, because it was withdrawn. */
  skippedReverts: number
  now: string
}

/**
 * How a rollout stands and what is open now. What always holds:
 *
 * 1. Phases open one after another, each only when the one before has its successes now, was watched for its soak time,
 *    and, where the next asks for approval, an operator has given it.
 * 2. A stopped, paused, aborted or final rollout opens nothing.
 * 3. Members that left count in no threshold. Where all of a phase left, an operator must open the next one: nobody has
 *    shown there that the release works. A phase that never had members holds nobody up.
 * 4. Where every member left, nobody has shown that the release works: it stops, and the channel keeps what it carries.
 * 5. Failures in any open phase stop it, not only in the last.
 */
export function advance(view: RolloutView): Status {
  const status = counted(view)
  if (status.state === 'superseded') {
    return status.finishedAt === null && view.revertsLeft === 0 ? { ...status, finishedAt: view.now } : status
  }
  if (status.state === 'aborted') return status
  if (status.state === 'succeeded') return { ...status, message: successOf(status.counts) }
  if (view.data.aborted !== null) return abortedOf(view, status)
  const trouble = troubleOf(view, status)
  if (trouble !== null) return { ...status, state: 'stopped', message: trouble }
  if (baseOf(status.counts) === 0 && !view.data.paused) {
    return status.counts.left === 0
      ? succeeded(status, view.now)
      : {
          ...status,
          state: 'stopped',
          message: 'Every member has left. Abort this, and create a rollout for who follows now.',
        }
  }
  return goOn(view, status, view.watchedMs)
}

/**
 * True where devices that were assigned the release shall begin nothing by it. Once a rollout has ended, those that had
 * not begun were given back what they had, so that nobody need be held; unless its records were lost, and nobody could.
 */
export function isHeld({ data, status }: Pick<ReleaseRollout, 'data' | 'status'>): boolean {
  if (status.state === 'succeeded') return false
  if (status.state === 'aborted') return data.aborted === null
  if (status.state === 'superseded') return status.finishedAt === null
  return data.paused || data.aborted !== null || status.state === 'stopped'
}

/** True where a newer rollout took its place, and members that had not begun are not given back yet what they had. */
export function isGivingWay({ state, finishedAt }: Pick<Status, 'state' | 'finishedAt'>): boolean {
  return state === 'superseded' && finishedAt === null
}

/** True where members of open phases may be assigned the release. */
export function mayAssign({ data, status }: Pick<ReleaseRollout, 'data' | 'status'>): boolean {
  const isFinal = status.state === 'aborted' || status.state === 'superseded'
  return !isFinal && !isHeld({ data, status }) && openPhases(status) > 0
}

export function openPhases({ phases }: Pick<Status, 'phases'>): number {
  return phases.filter(({ openedAt }) => openedAt !== null).length
}

/** Time that counts as watched: never backwards, and never more than a loop that runs each minute can have slept. */
export function watchedSince(elapsedMs: number): number {
  return Math.min(Math.max(0, elapsedMs), 120_000)
}

/** What a report of a device means for a member; undefined: nothing that is known here. */
export function stateOfReport(state: string | null): MemberState | undefined {
  if (state === 'not-supported') return 'failed'
  return reportable.find((each) => each === state)
}

export function emptyCounts(): MemberCounts {
  return Object.fromEntries(memberStates.map((state) => [state, 0])) as MemberCounts
}

export function failuresOf(counts: MemberCounts): number {
  return counts.failed + counts['rolled-back']
}

const reportable = memberStates.filter((state) => state !== 'waiting' && state !== 'left')

/** Members that count: all but those that left. */
function baseOf(counts: MemberCounts): number {
  return memberStates.reduce((sum, state) => (state === 'left' ? sum : sum + counts[state]), 0)
}

function counted({ status, counts }: RolloutView): Status {
  const sum = emptyCounts()
  for (const phase of counts) for (const state of memberStates) sum[state] += phase[state]
  return {
    ...status,
    counts: sum,
    phases: counts.map((phase, index) => ({
      members: memberStates.reduce((members, state) => members + phase[state], 0),
      counts: { ...phase },
      openedAt: status.phases[index]?.openedAt ?? null,
      reachedAt: status.phases[index]?.reachedAt ?? null,
    })),
  }
}

function abortedOf({ data, revertsLeft, skippedReverts, now }: RolloutView, status: Status): Status {
  if (revertsLeft > 0) {
    return { ...status, state: 'stopped', message: `Aborted: ${revertsLeft} devices are still to be sent back.` }
  }
  const message =
    data.aborted === 'revert'
      ? `Aborted: every device goes back to what it had.${skippedOf(skippedReverts)}`
      : 'Aborted: who has begun with the release keeps it, all others keep what they had.'
  return { ...status, state: 'aborted', message, finishedAt: now }
}

function skippedOf(count: number): string {
  if (count === 0) return ''
  return ` Except ${count} that had a release which was withdrawn: they keep this one. Roll out another to them.`
}

/** Why it must stop; null: it need not. */
function troubleOf(view: RolloutView, status: Status): string | null {
  if (view.isWithdrawn) return 'The release was withdrawn. Abort this rollout, and begin one of another release.'
  for (const [index, phase] of view.phases.entries()) {
    const counts = view.counts[index]
    if (counts === undefined || status.phases[index]?.openedAt == null) continue
    const failures = failuresOf(counts)
    if (isMoreThan(failures, phase.errorPercent, baseOf(counts))) {
      return `${failures} of ${baseOf(counts)} devices failed in phase ${index + 1}, more than ${phase.errorPercent} %. Look at them, then retry or abort.`
    }
  }
  return view.stoppedAttempt === view.data.attempt
    ? 'Too many devices failed. Look at them, then retry or abort.'
    : null
}

/** Goes through phases until one must be waited for; few are passed at once: those that never had members. */
function goOn(view: RolloutView, before: Status, watchedMs: number): Status {
  const { phases, counts, data, now } = view
  const next = openPhases(before)
  let status = before
  let isDeserted = false
  if (next > 0) {
    const at = next - 1
    const phase = phases[at]
    const standing = counts[at]
    if (phase === undefined || standing === undefined) return before
    const named = `Phase ${next} of ${phases.length}`
    const base = baseOf(standing)
    const needed = leastOf(phase.successPercent, base)
    if (standing.succeeded < needed) {
      const left = base - failuresOf(standing)
      const hint = left < needed ? ` Only ${left} still can: retry those that failed.` : ''
      const message = `${named}: ${standing.succeeded} of ${base} devices succeeded, ${failuresOf(standing)} failed; ${needed} must succeed.${hint}`
      return running({ ...withReached(status, at, null), message }, data)
    }
    status = withReached(status, at, status.phases[at]?.reachedAt ?? now)
    isDeserted = base === 0 && standing.left > 0
    const leftMs = base === 0 ? 0 : phase.soakMinutes * 60_000 - watchedMs
    if (leftMs > 0) {
      const message = `${named} has its successes; it is watched for ${Math.ceil(leftMs / 60_000)} more minutes.`
      return paused({ ...status, state: 'soaking', message }, data)
    }
    if (next === phases.length && !data.paused) {
      return succeeded(status, now)
    }
  }
  if (data.paused) return paused(status, data)
  if ((isDeserted || phases[next]?.approval === true) && next >= data.approvedPhases) {
    const why = isDeserted
      ? ` Every device of phase ${next} has left, so that nobody has shown there that the release works.`
      : ''
    return {
      ...status,
      state: 'waiting-for-approval',
      message: `Phase ${next + 1} of ${phases.length} waits for approval.${why}`,
    }
  }
  return goOn(view, opened(status, next, now), 0)
}

function succeeded(status: Status, now: string): Status {
  return { ...status, state: 'succeeded', message: successOf(status.counts), finishedAt: now }
}

function opened(status: Status, index: number, now: string): Status {
  const phases = status.phases.map((phase, at) => (at === index ? { ...phase, openedAt: now } : phase))
  return { ...status, phases, phase: index, state: 'running' }
}

function withReached(status: Status, index: number, reachedAt: string | null): Status {
  if (status.phases[index]?.reachedAt === reachedAt) return status
  return { ...status, phases: status.phases.map((phase, at) => (at === index ? { ...phase, reachedAt } : phase)) }
}

function running(status: Status, data: Pick<Data, 'paused'>): Status {
  return paused({ ...status, state: 'running' }, data)
}

function paused(status: Status, data: Pick<Data, 'paused'>): Status {
  return data.paused
    ? { ...status, state: 'paused', message: 'Paused: no further phase opens, and no further device begins.' }
    : status
}

function successOf(counts: MemberCounts): string {
  const base = baseOf(counts)
  if (base === 0) return 'No device follows the channel now; those that join it get this release.'
  return `${counts.succeeded} of ${base} devices have it${failuresOf(counts) > 0 ? `, ${failuresOf(counts)} failed` : ''}.`
}
