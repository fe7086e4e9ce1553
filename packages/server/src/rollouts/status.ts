import { finalPhases, type Rollout, type RolloutPhase } from '@freehold/contracts'

/** The next status of a rollout; `next` equal to the present one means: wait. */
export type RolloutStatus = Rollout['status']

const historyLimit = 50

/** Whether a rollout has reached a phase it never leaves. */
export function isFinal(phase: RolloutPhase): boolean {
  return finalPhases.includes(phase)
}

/** The end of a rollout that a newer one takes over from. */
export function superseded(status: RolloutStatus, options: { by: number; now: Date }): RolloutStatus {
  const reason = `Revision ${options.by} took over.`
  return entered(
    { ...status, failure: { outcome: 'superseded', reason, logTail: [] } },
    { phase: 'superseded', message: reason, now: options.now },
  )
}

/** The status a rollout begins with. */
export function begun(options: { now: Date; message: string; phase?: 'verifying' | 'starting' }): RolloutStatus {
  const at = options.now.toISOString()
  return {
    phase: options.phase ?? 'starting',
    message: options.message,
    failure: null,
    previousServes: null,
    phaseSince: at,
    startedAt: at,
    finishedAt: null,
    healthy: 0,
    wanted: 0,
    history: [{ at, message: options.message }],
  }
}

/** The status after a step into a phase. */
export function entered(
  status: RolloutStatus,
  step: { phase: RolloutPhase; message: string; now: Date },
): RolloutStatus {
  const at = step.now.toISOString()
  const history = [...status.history, { at, message: step.message }]
  return {
    ...status,
    phase: step.phase,
    message: step.message,
    phaseSince: at,
    finishedAt: isFinal(step.phase) ? at : null,
    /** The first entry says how it began, so it stays. */
    history: history.length <= historyLimit ? history : [...history.slice(0, 1), ...history.slice(1 - historyLimit)],
  }
}
