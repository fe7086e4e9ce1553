import type { Desired, Workload } from '@freehold/contracts'
import type { RunningContainer } from '../docker/engine.ts'
import { label } from '../swarm/labels.ts'

export interface HealthTarget {
  address: string
  port: number
  timeLimitMs: number
}

/** A container of this node that the desired state says how to ask. */
export interface Probed {
  taskId: string
  containerId: string
  healthCheck: Workload['spec']['healthCheck']
}

/** Which of the node's containers are ours to ask. */
export function probedContainers(containers: RunningContainer[], desired: Desired): Probed[] {
  const checks = new Map(desired.workloads.map(({ revisionId, spec }) => [revisionId, spec.healthCheck]))
  return containers.flatMap(({ id, labels }) => {
    const taskId = labels['com.docker.swarm.task.id']
    const healthCheck = checks.get(labels[label.revision] ?? '')
    return taskId && healthCheck !== undefined ? [{ taskId, containerId: id, healthCheck }] : []
  })
}
