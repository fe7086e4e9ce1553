import type { Revision, Rollout, RolloutPhase, Service, Task, Workload, WorkloadSpec } from '@freehold/contracts'
import { entered, isFinal, type RolloutStatus } from './status.ts'
import { broken, causeOf, containers, countTasks, isHealthy, placeOf, replicasOf } from './tasks.ts'

/** What the agents see of one service now. */
export interface Observation {
  /** The agent of the Swarm's leader is linked and its engine answers. */
  connected: boolean
  /** The last report describes a desired state that holds this rollout in its present phase. */
  current: boolean
  /** Up to when what is seen is proved by an answer, in ms since the epoch; null: not at all. Only proven time counts. */
  provenAtMs: number | null
  /** Every task of the service, joined with the probes of its node's agent. */
  tasks: readonly Task[]
  /** Replicas the Swarm was asked for, by revision id; for global mode the number of eligible nodes. */
  replicas: ReadonlyMap<string, number>
}

/** Everything a rollout is decided from. */
export interface RolloutView {
  rollout: Rollout
  service: Service
  revision: Revision
  /** What served before; null for the first, and where it is the same revision. */
  previous: Revision | null
  observation: Observation
  /** While verifying: what admission says of its image; null where that is not known yet. */
  verdict: { admitted: boolean; message: string } | null
  /** How long this rollout was in its present phase while an agent reported. */
  watchedMs: number
  now: Date
}

const failuresUntilVerdict = 3
/** An agent that never comes back must not keep a rollout open for ever. */
const absenceLimitMs = 24 * 60 * 60 * 1000
const removalGraceMs = 30_000
const sentenceLimit = 600

/** `recreate` where the service asks for it, or where a port of the node or a volume cannot be held by both. */
export function strategyFor(
  service: Service,
  specs: { next: WorkloadSpec; others: readonly WorkloadSpec[] },
): 'beside' | 'recreate' {
  if (specs.others.length === 0) return 'beside'
  if (service.data.rollout.strategy === 'recreate') return 'recreate'
  const ports = new Set(specs.next.ports.map((port) => `${port.published}/${port.protocol}`))
  const volumes = new Set(specs.next.volumes.map((volume) => volume.name))
  const clash = specs.others.some(
    (other) =>
      other.ports.some((port) => ports.has(`${port.published}/${port.protocol}`)) ||
      other.volumes.some((volume) => volumes.has(volume.name)),
  )
  return clash ? 'recreate' : 'beside'
}

/** What of a service shall run while no rollout is under way. */
export function settledWorkloads(service: Service, current: Revision | null): Workload[] {
  return current === null ? [] : [workload(service, current)]
}

/**
 * What of a service shall run in each phase of a rollout. Beside: the previous revision stays until the new one has
 * proved itself. Recreate: the previous one is scaled to nothing first, and comes back if the new one fails.
 */
export function workloadsOf(view: Pick<RolloutView, 'rollout' | 'service' | 'revision' | 'previous'>): Workload[] {
  const { rollout, service, revision, previous } = view
  const { strategy, supersededRevisionId } = rollout.data
  const next = workload(service, revision)
  switch (rollout.status.phase) {
    case 'verifying': {
      if (previous === null) return []
      const startAfterRevisionId = strategy === 'recreate' ? supersededRevisionId : null
      return [{ ...workload(service, previous), startAfterRevisionId }]
    }
    case 'starting':
    case 'settling': {
      if (strategy === 'beside') return previous === null ? [next] : [workload(service, previous), next]
      const after = { ...next, startAfterRevisionId: previous?.id ?? supersededRevisionId }
      return previous === null ? [after] : [{ ...workload(service, previous), replicas: 0 }, after]
    }
    case 'retiring':
    case 'succeeded':
      return [next]
    case 'reverting': {
      if (previous === null) return []
      const back = workload(service, previous)
      if (strategy === 'beside') return [back]
      return [
        { ...back, startAfterRevisionId: revision.id },
        { ...next, replicas: 0 },
      ]
    }
    default:
      return previous === null ? [] : [workload(service, previous)]
  }
}

/**
 * The one step a rollout takes next, decided from what is observed and never from what was accepted. Answers the
 * present status itself where there is nothing to write.
 */
export function advance(view: RolloutView): RolloutStatus {
  const { rollout, observation } = view
  const { phase } = rollout.status
  if (isFinal(phase)) return rollout.status
  if (phase === 'verifying') return advanceVerifying(view)
  if (replicasOf(view.service, view.revision.data.spec) === 0 && phase !== 'reverting') return stopped(view)
  if (rollout.data.abortRequested && phase !== 'reverting') {
    return revert(view, 'aborted', 'A person asked to stop it.', [])
  }
  if (
    view.now.getTime() - Date.parse(rollout.status.startedAt) >
    absenceLimitMs + rollout.data.deadlineSeconds * 1000
  ) {
    return giveUp(view)
  }
  if (!observation.connected) return unseen(view)
  /** Every write makes what was seen before it old for a moment, so saying so would be a write for each write. */
  if (!observation.current) return rollout.status
  switch (phase) {
    case 'starting':
      return advanceStarting(view)
    case 'settling':
      return advanceSettling(view)
    case 'retiring':
      return advanceRetiring(view)
    default:
      return advanceReverting(view)
  }
}

function workload(service: Service, revision: Revision): Workload {
  return {
    serviceId: service.id,
    serviceName: service.data.name,
    revisionId: revision.id,
    revisionNumber: revision.data.number,
    replicas: replicasOf(service, revision.data.spec),
    startAfterRevisionId: null,
    spec: revision.data.spec,
  }
}

function seenOf(view: RolloutView, revision: Revision) {
  const { service, observation } = view
  return countTasks({ service, revision, tasks: observation.tasks, replicas: observation.replicas })
}

/** Nothing of the revision runs yet, so no agent has a part in this, and ending it leaves everything as it is. */
function advanceVerifying(view: RolloutView): RolloutStatus {
  const { rollout, verdict } = view
  if (rollout.data.abortRequested) return unstarted(view, { outcome: 'aborted', reason: 'A person asked to stop it.' })
  if (verdict?.admitted === true) return enter(view, 'starting', verdict.message)
  if (verdict !== null) return unstarted(view, { outcome: 'failed', reason: verdict.message, refused: true })
  const isOverdue = view.now.getTime() - Date.parse(rollout.status.startedAt) > absenceLimitMs
  return isOverdue
    ? unstarted(view, { outcome: 'failed', reason: 'Its signatures could not be read for a day.' })
    : rollout.status
}

function unstarted(
  view: RolloutView,
  failure: { outcome: 'failed' | 'aborted'; reason: string; refused?: true },
): RolloutStatus {
  const { previous, observation } = view
  const reason = failure.reason.slice(0, sentenceLimit)
  const seesIt = previous !== null && observation.connected && observation.current && seenOf(view, previous).complete
  const ending =
    previous === null
      ? 'Nothing of it was started, and there was no revision before it.'
      : `Nothing of it was started; revision ${previous.data.number} ${seesIt ? 'serves' : 'was left as it was'}.`
  const failed = {
    ...view,
    rollout: { ...view.rollout, status: { ...view.rollout.status, failure: { ...failure, reason, logTail: [] } } },
  }
  return finish(failed, failure.outcome, { message: `${reason} ${ending}`, previousServes: seesIt ? true : null })
}

function advanceStarting(view: RolloutView): RolloutStatus {
  const { rollout, revision } = view
  const seen = seenOf(view, revision)
  const failures = seen.own.filter((task) => broken.has(task.state))
  if (failures.length >= failuresUntilVerdict) {
    return revert(view, 'failed', `Its containers failed ${failures.length} times: ${causeOf(failures)}`, failures)
  }
  if (seen.complete) {
    const message = `Revision ${revision.data.number} is healthy; watching it for ${rollout.data.settleSeconds} s.`
    return rollout.data.settleSeconds > 0 ? enter(view, 'settling', message) : retire(view)
  }
  if (view.watchedMs > rollout.data.deadlineSeconds * 1000) {
    const suspects = seen.own.filter((task) => !isHealthy(task, revision.data.spec) || task.state !== 'running')
    const reason = `Not healthy within ${rollout.data.deadlineSeconds} s: ${seen.healthy.length} of ${seen.wanted ?? 'its'} containers. ${causeOf(suspects)}`
    return revert(view, 'failed', reason, suspects)
  }
  return progress(view, waitingMessage(view, seen))
}

function advanceSettling(view: RolloutView): RolloutStatus {
  const { rollout, revision } = view
  const seen = seenOf(view, revision)
  if (seen.complete) {
    return view.watchedMs >= rollout.data.settleSeconds * 1000 ? retire(view) : progress(view, rollout.status.message)
  }
  const places = new Set(seen.healthy.map(placeOf))
  const lost = seen.own.filter(
    (task) =>
      (task.health === 'failing' && task.state === 'running') || (broken.has(task.state) && !places.has(placeOf(task))),
  )
  if (lost.length > 0) {
    return revert(view, 'failed', `It was healthy, but did not stay so: ${causeOf(lost)}`, lost)
  }
  return enter(view, 'starting', 'Its health is out of sight; it must be seen again.')
}

function retire(view: RolloutView): RolloutStatus {
  const { previous, revision } = view
  if (previous === null) return succeed(view)
  return enter(
    view,
    'retiring',
    `Revision ${revision.data.number} stayed healthy; removing revision ${previous.data.number}.`,
  )
}

function advanceRetiring(view: RolloutView): RolloutStatus {
  const { rollout, revision, previous } = view
  const seen = seenOf(view, revision)
  const graceMs =
    rollout.data.deadlineSeconds * 1000 + (previous?.data.spec.stopGraceSeconds ?? 0) * 1000 + removalGraceMs
  const late = view.watchedMs > graceMs
  if (!seen.complete) {
    const failures = seen.own.filter((task) => broken.has(task.state))
    if (failures.length >= failuresUntilVerdict || late) {
      return revert(view, 'failed', `It broke while the old revision was removed: ${causeOf(seen.own)}`, seen.own)
    }
    return progress(view, waitingMessage(view, seen))
  }
  const left = previous === null ? [] : seenOf(view, previous).live
  if (left.length === 0) return succeed(view)
  if (late)
    return succeed(view, ` Of the old revision ${left.length} containers still run; the agent goes on removing them.`)
  return progress(view, `Waiting for ${containers(left.length)} of the old revision to end.`)
}

function advanceReverting(view: RolloutView): RolloutStatus {
  const { rollout, revision, previous } = view
  const { failure } = rollout.status
  const outcome = failure?.outcome === 'aborted' ? 'aborted' : 'failed'
  const reason = failure?.reason ?? 'It was stopped.'
  const before = previous === null ? null : seenOf(view, previous)
  const serves = before === null || before.wanted === 0 ? null : before.complete
  const gone = seenOf(view, revision).live.length === 0
  const graceMs =
    (rollout.data.deadlineSeconds +
      Math.max(revision.data.spec.stopGraceSeconds, previous?.data.spec.stopGraceSeconds ?? 0)) *
      1000 +
    removalGraceMs
  if ((gone && serves !== false) || view.watchedMs > graceMs) {
    const ending =
      previous === null
        ? 'There was no revision before it; nothing runs.'
        : serves === true
          ? `Revision ${previous.data.number} serves.`
          : serves === null
            ? 'The service is scaled to 0.'
            : `Revision ${previous.data.number} was put back, but is not healthy: ${causeOf(before?.own ?? [])}`
    return finish(view, outcome, { message: `${reason} ${ending}`, previousServes: serves })
  }
  const waits = serves === false ? `revision ${previous?.data.number} to be healthy` : 'its containers to end'
  return progress(view, `Going back (${reason}) Waiting for ${waits}.`)
}

function stopped(view: RolloutView): RolloutStatus {
  return finish(view, 'succeeded', {
    message: `Revision ${view.revision.data.number} is set; the service is scaled to 0, so nothing runs.`,
    previousServes: null,
  })
}

function succeed(view: RolloutView, addition = ''): RolloutStatus {
  const message = `Revision ${view.revision.data.number} serves.${addition}`
  return finish(view, 'succeeded', { message, previousServes: null })
}

function giveUp(view: RolloutView): RolloutStatus {
  const outcome = view.rollout.status.failure?.outcome === 'aborted' ? 'aborted' : 'failed'
  const reason = view.rollout.status.failure?.reason ?? 'No verdict within a day, because no agent reported.'
  const failure = view.rollout.status.failure ?? { outcome, reason, logTail: [] }
  return finish({ ...view, rollout: { ...view.rollout, status: { ...view.rollout.status, failure } } }, outcome, {
    message: `${reason} What runs now is not known.`,
    previousServes: null,
  })
}

function unseen(view: RolloutView): RolloutStatus {
  if (view.rollout.status.phase === 'settling') {
    return enter(view, 'starting', 'No agent of the cluster reports; its health must be seen again.')
  }
  return progress(view, 'Waiting for an agent of the cluster to report. This time does not count.')
}

function revert(
  view: RolloutView,
  outcome: 'failed' | 'aborted',
  reason: string,
  suspects: readonly Task[],
): RolloutStatus {
  const logTail = suspects.findLast((task) => task.logTail.length > 0)?.logTail ?? []
  const failure = { outcome, reason: reason.slice(0, sentenceLimit), logTail: logTail.slice(-20) }
  const back =
    view.previous === null
      ? 'Removing it; there is none before it.'
      : `Going back to revision ${view.previous.data.number}.`
  return entered(
    { ...view.rollout.status, ...countsOf(view), failure },
    { phase: 'reverting', message: `${failure.reason} ${back}`, now: view.now },
  )
}

function finish(
  view: RolloutView,
  phase: 'succeeded' | 'failed' | 'aborted',
  options: { message: string; previousServes: boolean | null },
): RolloutStatus {
  return entered(
    { ...view.rollout.status, ...countsOf(view), previousServes: options.previousServes },
    { phase, message: options.message, now: view.now },
  )
}

function enter(view: RolloutView, phase: RolloutPhase, message: string): RolloutStatus {
  return entered({ ...view.rollout.status, ...countsOf(view) }, { phase, message, now: view.now })
}

/** Says what it waits for; the very same status where that has not changed. */
function progress(view: RolloutView, message: string): RolloutStatus {
  const { status } = view.rollout
  const counts = view.observation.connected ? countsOf(view) : { healthy: status.healthy, wanted: status.wanted }
  if (status.message === message && status.healthy === counts.healthy && status.wanted === counts.wanted) return status
  return { ...status, message, ...counts }
}

function countsOf(view: RolloutView): { healthy: number; wanted: number } {
  const seen = seenOf(view, view.revision)
  return { healthy: seen.healthy.length, wanted: seen.wanted ?? 0 }
}

function waitingMessage(view: RolloutView, seen: ReturnType<typeof countTasks>): string {
  const { previous, rollout } = view
  if (rollout.data.strategy === 'recreate' && previous !== null && seen.own.length === 0) {
    const old = seenOf(view, previous).live.length
    if (old > 0) return `Waiting for ${containers(old)} of revision ${previous.data.number} to stop.`
  }
  if (seen.wanted === null || (seen.wanted === 0 && seen.own.length === 0)) return 'Waiting for the agent to start it.'
  const waiting = seen.own.filter((task) => task.state !== 'running' || !isHealthy(task, view.revision.data.spec))
  const cause = waiting.length === 0 ? '' : ` ${causeOf(waiting)}`
  return `${seen.healthy.length} of ${containers(seen.wanted)} healthy.${cause}`
}
