import {
  type Cluster,
  clusterKind,
  type Desired,
  type Revision,
  type Rollout,
  repositoryOfReference,
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
  /** Image records or registries changed: credentials for pulls are looked up again. */
  forgetPulls(): void
}

/** Credentials for an image elsewhere, named without tag and digest; null where none are needed. */
export type PullFor = (reads: Reads, image: string) => Promise<Desired['externalPulls'][number] | null>

export function createDesiredBoard(options: {
  clusterId: string
  registryFor: (cluster: Cluster) => Desired['registry']
  pullFor: PullFor
}): DesiredBoard {
  const { clusterId, registryFor, pullFor } = options
  const workloads = new Map<string, Workload[]>()
  const prints = new Map<string, string>()
  const revisions = createRevisionMemory()
  const pulls = new Map<string, Awaited<ReturnType<PullFor>>>()
  let composedAt = 0
  let generation = 0
  let head = ''
  let cluster: Cluster | undefined
  let externalPulls: Desired['externalPulls'] = []
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
  /** Only what runs now needs them; each image is looked up once until `forgetPulls`. */
  const findPulls = async (reads: Reads): Promise<Desired['externalPulls']> => {
    const images = new Set([...workloads.values()].flat().map(({ spec }) => repositoryOfReference(spec.image)))
    for (const image of pulls.keys()) if (!images.has(image)) pulls.delete(image)
    for (const image of images) if (!pulls.has(image)) pulls.set(image, await pullFor(reads, image))
    return [...images].toSorted().flatMap((image) => pulls.get(image) ?? [])
  }

  return {
    async refresh(reads, changed) {
      const version = await reads.version()
      cluster = await reads.get(clusterKind, clusterId)
      if (cluster === undefined) return false
      let differs = isLoaded ? await loadSome(reads, changed) : await loadAll(reads)
      externalPulls = await findPulls(reads)
      const nextHead = JSON.stringify([cluster.data.name, registryFor(cluster), externalPulls])
      if (nextHead !== head) differs = true
      head = nextHead
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
            externalPulls,
          }),
    composedAt: () => composedAt,
    generation: () => generation,
    forgetPulls: () => pulls.clear(),
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
