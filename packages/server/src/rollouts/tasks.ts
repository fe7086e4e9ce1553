import type { Revision, Service, Task, WorkloadSpec } from '@freehold/contracts'

const ended = new Set(['complete', 'failed', 'rejected', 'shutdown', 'orphaned', 'remove'])
/** Ended though nobody asked for it. */
export const broken = new Set(['complete', 'failed', 'rejected'])
const sentenceLimit = 600

/**
 * How many replicas a revision of this service runs now. Scale is a property of the service and not of a revision:
 * it reaches whichever revision serves at once, without a new rollout.
 */
export function replicasOf(service: Service, spec: WorkloadSpec): number {
  const { deploymentStrategy, scaleFactor, maxReplicas } = service.data
  if (scaleFactor === 0) return 0
  if (spec.mode === 'global') return 1
  if (deploymentStrategy === 'all-nodes') return spec.replicas
  return deploymentStrategy === 'limited-replicas' ? Math.min(scaleFactor, maxReplicas ?? scaleFactor) : scaleFactor
}

/** Containers of one revision, counted as they are seen. */
export function countTasks(options: {
  service: Service
  revision: Revision
  tasks: readonly Task[]
  replicas: ReadonlyMap<string, number>
}) {
  const { service, revision, replicas } = options
  const { spec } = revision.data
  const own = options.tasks.filter((task) => task.revisionId === revision.id)
  const live = own.filter((task) => !ended.has(task.state))
  const running = own.filter((task) => task.state === 'running' && task.desiredState === 'running')
  const healthy = running.filter((task) => isHealthy(task, spec))
  const desired = replicasOf(service, spec)
  /** Null: a global service whose number of nodes has not been reported yet. */
  const wanted = spec.mode === 'global' && desired > 0 ? (replicas.get(revision.id) ?? null) : desired
  return { own, live, running, healthy, wanted, complete: wanted !== null && healthy.length >= Math.max(1, wanted) }
}

/** Passing where there is a check; running where there is none. */
export function isHealthy(task: Task, spec: WorkloadSpec): boolean {
  return spec.healthCheck === null ? task.health !== 'failing' : task.health === 'passing'
}

/** The most telling of the tasks, in words: exit code, what the engine says, what the probe saw. */
export function causeOf(tasks: readonly Task[]): string {
  const rank = (task: Task): number => (broken.has(task.state) ? 2 : task.health === 'failing' ? 1 : 0)
  const task = tasks.toSorted((one, other) => rank(one) - rank(other) || (one.since < other.since ? -1 : 1)).at(-1)
  if (task === undefined) return 'No container was started.'
  const where = task.nodeName === null ? '' : ` on ${task.nodeName}`
  const said = task.message === '' ? '' : `: ${task.message}`
  const exit = task.exitCode === null || !broken.has(task.state) ? '' : ` with exit code ${task.exitCode}`
  const health =
    task.state === 'running' && task.healthMessage !== '' ? `; its health check says: ${task.healthMessage}` : ''
  const word = task.state === 'complete' ? 'ended by itself' : `is ${task.state}`
  return `A container${where} ${word}${exit}${said}${health}.`.slice(0, sentenceLimit)
}

/** The slot or, in global mode, the node a task fills. */
export function placeOf(task: Task): string {
  return task.slot === null ? `node ${task.swarmNodeId}` : `slot ${task.slot}`
}
