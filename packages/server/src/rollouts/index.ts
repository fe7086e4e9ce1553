/**
 * Revisions and rollouts: a revision is what a service was at one moment, a rollout moves a service to one.
 *
 * The verdict comes from containers that agents observe, never from "accepted" (`kind.ts`, pure). The state is the
 * store's alone, so a control plane killed at any moment goes on where it was; only the clock of a deadline is kept in
 * memory and begins anew, because time in which nobody looked must not count against a revision.
 *
 * Not here: what a service is made of (`services`), how agents are told and heard (`agents`).
 */
export { createRolloutAdvancer } from './advance.ts'
export { type Observation, settledWorkloads, workloadsOf } from './kind.ts'
export { createRevisionHandlers, createRolloutHandlers } from './routes.ts'
export { activeRollout, isRefused, makeRevision, newestRevision, startRollout } from './service.ts'
export { isFinal } from './status.ts'
export { causeOf, containers, countTasks, replicasOf } from './tasks.ts'
