/**
 * Services: what people want to run. Here are the rules a service must keep, the workload made of it, and its status.
 *
 * A revision is everything about a service that decides how a container runs, except how many there are: scale belongs
 * to the service, reaches whichever revision serves at once and needs no rollout. Any other change of the workload makes a
 * revision and a rollout in the same transaction. A service's name is its identity in the Swarm and never changes.
 *
 * Not here: how a rollout proceeds (`rollouts`), what runs where (`agents`).
 */
export { mergeDrift, type Sight, specOf } from './kind.ts'
export { createPushReconciler } from './push.ts'
export { refreshService } from './refresh.ts'
export { createServiceHandlers } from './routes.ts'
export {
  createService,
  deleteService,
  deployService,
  type ServiceRules,
  updateService,
} from './service.ts'
