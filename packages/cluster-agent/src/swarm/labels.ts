/** Labels on everything the agent makes; what does not carry `cluster` with our cluster's id is never touched. */
export const label = {
  cluster: 'freehold.cluster',
  service: 'freehold.service',
  revision: 'freehold.revision',
  /** The revision's number, for sentences. */
  number: 'freehold.revision-number',
  /** Replicas the agent asked for last; a different count in the Swarm was set by somebody else. */
  replicas: 'freehold.replicas',
  /** Hash of what the agent wrote last; a service that does not hash to it was changed by somebody else. */
  written: 'freehold.written',
} as const

/** The one overlay network all workloads of a Swarm share. */
export const networkName = 'freehold'

/** The Swarm service of one service at one revision. */
export function swarmServiceName(workload: { serviceName: string; revisionNumber: number }): string {
  return `${workload.serviceName}-r${workload.revisionNumber}`
}
