import type { ClusterReport, Desired } from '@freehold/contracts'
import type { SwarmNode, SwarmTask } from '../docker/types.ts'
import { label, swarmServiceName } from './labels.ts'
import type { Observed } from './observe.ts'
import { finalTaskStates, isOurs, revisionOf } from './plan.ts'
import { replicasOf } from './spec.ts'

/** Failed tasks kept per revision; Docker itself keeps five a slot. */
const failedTasksKept = 5
const runningTasksKept = 100

export type WorkloadReport = ClusterReport['workloads'][number]
export type ReportedTask = WorkloadReport['tasks'][number]

/** Last lines of a failed task, as far as they were read. */
export type LogTailOf = (taskId: string) => string[]

/** What the Swarm runs for us: every desired revision, and every other that still has a service or containers. */
export function reportWorkloads(desired: Desired, observed: Observed, logTailOf: LogTailOf): WorkloadReport[] {
  const reports = new Map<string, WorkloadReport>()
  const put = (serviceId: string | undefined, revisionId: string | undefined, replicas: number) => {
    if (serviceId && revisionId) reports.set(revisionId, { serviceId, revisionId, replicas, tasks: [] })
  }
  for (const task of observed.tasks) put(task.Spec.ContainerSpec?.Labels?.[label.service], revisionOf(task), 0)
  for (const workload of desired.workloads) put(workload.serviceId, workload.revisionId, 0)
  for (const { Spec } of observed.services.filter((service) => isOurs(service, desired.clusterId))) {
    put(Spec.Labels[label.service], Spec.Labels[label.revision], replicasOf(Spec) ?? eligibleNodes(observed.nodes))
  }
  for (const task of shownTasks(observed.tasks)) {
    const revisionId = revisionOf(task)
    if (revisionId) reports.get(revisionId)?.tasks.push(reportTask(task, revisionId, logTailOf))
  }
  return [...reports.values()]
}

export function reportNodes(nodes: SwarmNode[]): ClusterReport['swarmNodes'] {
  return nodes.map((node) => ({
    swarmNodeId: node.ID,
    hostname: node.Description.Hostname,
    role: node.Spec.Role,
    state: node.Status.State,
    availability: node.Spec.Availability,
    leader: node.ManagerStatus?.Leader === true,
  }))
}

/** Tasks that ended otherwise than by being told to: they failed, were rejected, or a container just ended. */
export function hasFailed(task: SwarmTask): boolean {
  return ['failed', 'rejected', 'complete', 'orphaned'].includes(task.Status.State)
}

/** Whether every service runs as asked and nothing is on its way, so that nobody needs to look again soon. */
export function isSettled(desired: Desired, observed: Observed): boolean {
  const ours = observed.services.filter((service) => isOurs(service, desired.clusterId))
  if (observed.tasks.some((task) => task.DesiredState !== 'running' && isStopping(task))) return false
  return ours.every((service) => {
    const tasks = observed.tasks.filter((task) => task.ServiceID === service.ID && task.DesiredState === 'running')
    const running = tasks.filter((task) => task.Status.State === 'running').length
    return running === tasks.length && running === (replicasOf(service.Spec) ?? eligibleNodes(observed.nodes))
  })
}

/** The names of all services that are ours and desired: as seen, for telling later whether somebody removed one. */
export function createdServices(desired: Desired, observed: Observed): Set<string> {
  const desiredNames = new Set(desired.workloads.map(swarmServiceName))
  const names = observed.services.filter((service) => isOurs(service, desired.clusterId)).map(({ Spec }) => Spec.Name)
  const before = [...observed.created].filter((name) => desiredNames.has(name))
  return new Set([...before, ...names.filter((name) => desiredNames.has(name))])
}

function eligibleNodes(nodes: SwarmNode[]): number {
  return nodes.filter(({ Status, Spec }) => Status.State === 'ready' && Spec.Availability === 'active').length
}

function isStopping(task: SwarmTask): boolean {
  return !finalTaskStates.has(task.Status.State)
}

function shownTasks(tasks: SwarmTask[]): SwarmTask[] {
  const byRevision = Map.groupBy(tasks, revisionOf)
  return [...byRevision.values()].flatMap((group) => {
    const newestFirst = group.toSorted((a, b) => b.Status.Timestamp.localeCompare(a.Status.Timestamp))
    const live = newestFirst.filter((task) => !finalTaskStates.has(task.Status.State)).slice(0, runningTasksKept)
    return [...live, ...newestFirst.filter(hasFailed).slice(0, failedTasksKept)]
  })
}

function reportTask(task: SwarmTask, revisionId: string, logTailOf: LogTailOf): ReportedTask {
  const { Status } = task
  const container = Status.ContainerStatus
  const ended = finalTaskStates.has(Status.State) && Boolean(container?.ContainerID)
  return {
    taskId: task.ID,
    revisionId,
    swarmNodeId: task.NodeID || null,
    slot: task.Slot ?? null,
    state: Status.State,
    desiredState: task.DesiredState,
    message: (Status.Err || Status.Message || '').slice(0, 1000),
    exitCode: ended ? (container?.ExitCode ?? null) : null,
    health: 'unknown',
    healthMessage: '',
    since: new Date(Status.Timestamp).toISOString(),
    logTail: hasFailed(task) ? logTailOf(task.ID) : [],
  }
}
