import {
  type Cluster,
  clusterKind,
  type DamagedBlob,
  damagedBlobKind,
  type Node,
  nodeKind,
  type Rollout,
  rolloutKind,
  type Service,
  serviceKind,
  type statusSchema,
} from '@freehold/contracts'
import type { Reads } from '@freehold/store'
import type { z } from 'zod'
import { clockProblem } from '../agents/index.ts'
import { describeDamage } from '../registry/index.ts'
import { readUpdatesState } from '../updates/index.ts'
import { buildProblems, deviceProblems, releaseRolloutProblems } from './devices.ts'

type Problem = z.output<typeof statusSchema>['problems'][number]
const maxProblems = 50
const rank = { error: 0, warning: 1 }

/** What needs a person, worst first, at most 50. Nodes and services are read by state: the well ones are never loaded. */
export async function listProblems(reads: Reads, nowMs: number): Promise<Problem[]> {
  const problemStates = Object.keys(serviceSeverity)
  const [clusters, offline, wrongClocks, damaged, failed, updates, fleet, rollouts, builds, ...services] =
    await Promise.all([
      reads.all(clusterKind),
      reads.list(nodeKind, { where: { state: 'offline' }, limit: maxProblems }),
      reads.list(nodeKind, { where: { clock: 'wrong' }, limit: maxProblems }),
      reads.list(damagedBlobKind, { limit: maxProblems }),
      reads.all(rolloutKind, { where: { failed: 'yes' } }),
      readUpdatesState(reads, nowMs),
      deviceProblems(reads),
      releaseRolloutProblems(reads, maxProblems),
      buildProblems(reads, { nowMs, limit: maxProblems }),
      ...problemStates.map((state) => reads.list(serviceKind, { where: { state }, limit: maxProblems })),
    ])
  return [
    ...clusters.flatMap(clusterProblem),
    ...offline.items.flatMap(offlineProblem),
    ...wrongClocks.items.flatMap(clockProblemOf),
    ...damaged.items.flatMap(damageProblem),
    ...(updates?.problems ?? []).flatMap((message) =>
      problem('warning', { kind: 'updates', id: null, name: 'signed channel', message }),
    ),
    ...rollouts,
    ...builds,
    ...fleet,
    ...services.flatMap((page) => page.items).flatMap(serviceProblem),
    ...(await rolloutProblems(reads, failed)),
  ]
    .toSorted((a, b) => rank[a.severity] - rank[b.severity])
    .slice(0, maxProblems)
}

function clusterProblem({ id, data, status }: Cluster): Problem[] {
  const severity = { waiting: null, online: null, offline: 'error', degraded: 'warning' } as const
  return problem(severity[status.state], { kind: 'cluster', id, name: data.name, message: status.message })
}

function offlineProblem({ id, data, status }: Node): Problem[] {
  return problem('error', { kind: 'node', id, name: data.name, message: status.message })
}

function clockProblemOf(node: Node): Problem[] {
  const message = clockProblem(node)
  return message === null ? [] : problem('warning', { kind: 'node', id: node.id, name: node.data.name, message })
}

function damageProblem({ id, data }: DamagedBlob): Problem[] {
  const name = data.images[0] ?? data.repositories[0] ?? data.digest
  return problem('error', { kind: 'damaged-blob', id, name, message: describeDamage(data) })
}

const serviceSeverity = { failed: 'error', degraded: 'warning', unknown: 'warning' } as const

function serviceProblem({ id, data, status }: Service): Problem[] {
  const { state, message } = status
  const severity = state in serviceSeverity ? serviceSeverity[state as keyof typeof serviceSeverity] : null
  return problem(severity, { kind: 'service', id, name: data.name, message })
}

/** A service that runs well, but not what was rolled out last. */
async function rolloutProblems(reads: Reads, failed: readonly Rollout[]): Promise<Problem[]> {
  const newest = [...new Map(failed.map((rollout) => [rollout.data.serviceId, rollout])).values()].slice(-maxProblems)
  const services = await Promise.all(newest.map((rollout) => reads.get(serviceKind, rollout.data.serviceId)))
  return services.flatMap((service) => {
    if (service?.status.state !== 'running') return []
    if (!newest.some((rollout) => rollout.id === service.status.rolloutId)) return []
    return problem('warning', {
      kind: 'service',
      id: service.id,
      name: service.data.name,
      message: service.status.message,
    })
  })
}

function problem(severity: Problem['severity'] | null, what: Omit<Problem, 'severity'>): Problem[] {
  return severity === null ? [] : [{ severity, ...what }]
}
