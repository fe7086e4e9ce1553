import {
  type Cluster,
  clusterKind,
  type Desired,
  type Revision,
  type Rollout,
  revisionKind,
  rolloutKind,
  type Service,
  serviceKind,
  type Workload,
} from '@freehold/contracts'
import type { Reads } from '@freehold/store'
import { activeRollout, settledWorkloads, workloadsOf } from '../rollouts/index.ts'
import { desiredOf } from './kind.ts'

/** The desired state of one cluster, kept up to date service by service. */
export interface DesiredBoard {
  /** Reads the services named, or all of them the first time, in one snapshot. True if what is desired has changed. */
  refresh(reads: Reads, changed: ReadonlySet<string>): Promise<boolean>
  /** Undefined before the first refresh and after the cluster was deleted. */
  desired(): Desired | undefined
  /** The store version of the last refresh: what is desired holds everything up to it. */
  composedAt(): number
  /** Of the agents' answer: the generation of a report that describes what is desired now. */
  generation(): number
}

export function createDesiredBoard(options: {
  clusterId: string
  registryFor: (cluster: Cluster) => Desired['registry']
}): DesiredBoard {
  const { clusterId, registryFor } = options
  const workloads = new Map<string, Workload[]>()
  const prints = new Map<string, string>()
  const revisions = createRevisionMemory()
  let composedAt = 0
  let generation = 0
  let head = ''
  let cluster: Cluster | undefined
  let isLoaded = false

  const place = (serviceId: string, next: Workload[] | undefined): boolean => {
    const print = next === undefined || next.length === 0 ? undefined : JSON.stringify(next)
    if (prints.get(serviceId) === print) return false
    if (print === undefined || next === undefined) {
      prints.delete(serviceId)
      workloads.delete(serviceId)
    } else {
      prints.set(serviceId, print)
      workloads.set(serviceId, next)
    }
    return true
  }
  const compose = async (reads: Reads, service: Service, active: Rollout | undefined): Promise<Workload[]> => {
    if (active === undefined) {
      const { currentRevisionId } = service.status
      return settledWorkloads(
        service,
        currentRevisionId === null ? null : await revisions.get(reads, currentRevisionId),
      )
    }
    const { revisionId, previousRevisionId } = active.data
    const revision = await revisions.get(reads, revisionId)
    const previous = previousRevisionId === null ? null : await revisions.get(reads, previousRevisionId)
    return workloadsOf({ rollout: active, service, revision, previous })
  }
  const loadAll = async (reads: Reads): Promise<boolean> => {
    const services = await reads.all(serviceKind, { where: { clusterId } })
    const active = await reads.all(rolloutKind, { where: { activeInCluster: clusterId } })
    const byService = new Map(active.map((rollout) => [rollout.data.serviceId, rollout]))
    let differs = false
    for (const service of services) {
      if (place(service.id, await compose(reads, service, byService.get(service.id)))) differs = true
    }
    return differs
  }
  const loadSome = async (reads: Reads, ids: ReadonlySet<string>): Promise<boolean> => {
    let differs = false
    for (const id of ids) {
      const service = await reads.get(serviceKind, id)
      const isHere = service !== undefined && service.data.clusterId === clusterId
      const next = isHere ? await compose(reads, service, await activeRollout(reads, id)) : undefined
      if (place(id, next)) differs = true
    }
    return differs
  }

  return {
    async refresh(reads, changed) {
      const version = await reads.version()
      cluster = await reads.get(clusterKind, clusterId)
      if (cluster === undefined) return false
      const nextHead = JSON.stringify([cluster.data.name, registryFor(cluster)])
      let differs = nextHead !== head
      head = nextHead
      if (isLoaded ? await loadSome(reads, changed) : await loadAll(reads)) differs = true
      const isFirst = !isLoaded
      isLoaded = true
      composedAt = version
      if (differs || isFirst) generation = Math.max(version, generation + 1)
      return differs || isFirst
    },
    desired: () =>
      cluster === undefined
        ? undefined
        : desiredOf({
            cluster: { id: clusterId, name: cluster.data.name },
            generation,
            workloads: [...workloads.values()].flat(),
            registry: registryFor(cluster),
          }),
    composedAt: () => composedAt,
    generation: () => generation,
  }
}

const revisionsRemembered = 5000

/** Revisions never change, so one that was read need not be read again. */
function createRevisionMemory() {
  const known = new Map<string, Revision>()
  return {
    async get(reads: Reads, id: string): Promise<Revision> {
      const found = known.get(id) ?? (await reads.get(revisionKind, id))
      if (found === undefined) throw new Error(`The revision ${id} is not in the store.`)
      if (known.size >= revisionsRemembered) known.clear()
      known.set(id, found)
      return found
    },
  }
}
