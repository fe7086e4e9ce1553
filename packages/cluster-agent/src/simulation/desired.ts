import type { Desired, Workload, WorkloadSpec } from '@freehold/contracts'

/** Desired states for tests: names and numbers become ids, so that the same call gives the same ids. */
export function desiredOf(workloads: Workload[], options: { generation?: number; clusterId?: string } = {}): Desired {
  return {
    clusterId: options.clusterId ?? idOf('cluster'),
    clusterName: 'local',
    generation: options.generation ?? 1,
    workloads,
    registry: null,
    externalPulls: [],
  }
}

export function workloadOf(
  serviceName: string,
  revisionNumber: number,
  more: Partial<Omit<Workload, 'spec'>> & { spec?: Partial<WorkloadSpec> } = {},
): Workload {
  const { spec, ...rest } = more
  return {
    serviceId: idOf(serviceName),
    serviceName,
    revisionId: idOf(`${serviceName}/${revisionNumber}`),
    revisionNumber,
    replicas: 1,
    startAfterRevisionId: null,
    spec: {
      image: 'good',
      mode: 'replicated',
      replicas: 1,
      maxReplicasPerNode: 0,
      environment: { GREETING: 'hello' },
      command: null,
      ports: [],
      cpuLimit: null,
      memorySizeMB: null,
      volumes: [],
      healthCheck: { type: 'tcp', port: 80, timeoutSeconds: 5 },
      stopGraceSeconds: 10,
      ...spec,
    },
    ...rest,
  }
}

/** A UUIDv7-shaped id made of a name. */
export function idOf(name: string): string {
  const hex = Buffer.from(name).toString('hex').padEnd(24, '0').slice(-24)
  return `00000000-${hex.slice(0, 4)}-7${hex.slice(4, 7)}-8${hex.slice(7, 10)}-${hex.slice(10, 22)}`
}
