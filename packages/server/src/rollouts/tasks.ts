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
  const exit = task.exitCode === null || !broken.has(task.state) ? '' : ` with exit code ${task.exitCode}`
  const said = saysMore(task) ? `: ${task.message}` : ''
  const health =
    task.state === 'running' && task.healthMessage !== '' ? `; its health check says: ${task.healthMessage}` : ''
  const sentence = `A container${where} ${doing[task.state] ?? `is ${task.state}`}${exit}${said}${health}`
  return `${sentence.slice(0, sentenceLimit - 1).replace(/\.$/, '')}.`
}

/** What a container in each of Swarm's states does, after "A container on vm". */
const doing: Readonly<Record<string, string>> = {
  new: 'is new',
  pending: 'waits for a node',
  assigned: 'is about to start',
  accepted: 'is about to start',
  preparing: 'is being prepared; its image is pulled',
  ready: 'is about to start',
  starting: 'is starting',
  running: 'runs',
  complete: 'ended by itself',
  failed: 'failed',
  rejected: 'could not be started',
  shutdown: 'was stopped',
  orphaned: 'was lost with its node',
  remove: 'is being removed',
}

/** An engine repeats state and exit code in words of its own ("started", "task: non-zero exit (3)"); that is left out. */
function saysMore({ state, message, exitCode }: Task): boolean {
  if (message === '' || message.toLowerCase() === state) return false
  if (exitCode !== null && message === `task: non-zero exit (${exitCode})`) return false
  if (state === 'assigned' || state === 'accepted' || state === 'ready') return false
  return !(state === 'running' && message === 'started') && !(state === 'complete' && message === 'finished')
}

/** `1 container`, `2 containers`. */
export function containers(count: number): string {
  return `${count} ${count === 1 ? 'container' : 'containers'}`
}

/** The slot or, in global mode, the node a task fills. */
export function placeOf(task: Task): string {
  return task.slot === null ? `node ${task.swarmNodeId}` : `slot ${task.slot}`
}
