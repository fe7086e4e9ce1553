import { isDeepStrictEqual } from 'node:util'
import {
  type ErrorDetail,
  FreeholdError,
  type Image,
  type Revision,
  type Rollout,
  type Service,
  type Task,
  type WorkloadSpec,
} from '@freehold/contracts'
import { checkAdmission } from '../admission/index.ts'
import { causeOf, containers, countTasks, isFinal, replicasOf } from '../rollouts/index.ts'

type Data = Service['data']
type Status = Service['status']
const tasksKept = 100
const driftKept = 20

/** Refuses what no schema of one field can see. Throws `invalid-input` naming every fault. */
export function checkService(data: Data): void {
  const faults: ErrorDetail[] = []
  const fault = (path: string, message: string): void => {
    faults.push({ path: `data.${path}`, message })
  }
  if (data.maxReplicas !== undefined && data.deploymentStrategy !== 'limited-replicas') {
    fault('maxReplicas', 'only the deploymentStrategy limited-replicas has one')
  }
  if (data.maxReplicas !== undefined && data.scaleFactor > data.maxReplicas) {
    fault('scaleFactor', `${data.scaleFactor} is above maxReplicas (${data.maxReplicas})`)
  }
  if (data.deploymentStrategy === 'all-nodes' && data.scaleFactor > 1) {
    fault('scaleFactor', 'all-nodes runs one container on each node: give 1, or 0 to stop it')
  }
  const { healthCheck } = data
  if (
    healthCheck !== undefined &&
    healthCheck.type !== 'command' &&
    (healthCheck.port ?? data.ports.web) === undefined
  ) {
    fault('healthCheck', `a check of type ${healthCheck.type} needs a port: set healthCheck.port or ports.web`)
  }
  for (const key of repeated(data.ports.published.map(portKey))) fault('ports.published', `${key} is published twice`)
  for (const path of repeated(data.volumes.map((volume) => volume.path))) {
    fault('volumes', `two volumes are mounted at ${path}`)
  }
  for (const { path, message } of checkAdmission(data)) fault(path, message)
  const [first] = faults
  if (first === undefined) return
  throw new FreeholdError('invalid-input', `${first.path}: ${first.message}.`, { details: faults })
}

/** Refuses a port of the nodes that another service of the cluster holds. Throws `conflict` naming it. */
export function checkPorts(data: Data, others: readonly Service[]): void {
  const wanted = new Set(data.ports.published.map(portKey))
  for (const other of others) {
    const clash = other.data.ports.published.find((port) => wanted.has(portKey(port)))
    if (clash !== undefined) {
      throw new FreeholdError(
        'conflict',
        `Port ${portKey(clash)} of the cluster's nodes is published by the service ${other.data.name} already. Choose another port.`,
      )
    }
  }
}

/** Where an image is, and which digest a service's version of it means; null while no such version was pushed. */
export function imageOf(options: {
  image: Image
  imageVersion: string
  registryHost: string
  /** What our registry says of a tag or a digest that the image's record does not list. */
  heldDigest?: string | undefined
  /** What the tag of an image elsewhere was heard to mean. */
  heardDigest?: string | undefined
}): { reference: string; digest: string | null } | null {
  const { image, imageVersion, registryHost } = options
  const byDigest = imageVersion.startsWith('sha256:')
  if (!image.data.location.internal) {
    const name = image.data.location.externalImage
    const pinned = byDigest ? imageVersion : options.heardDigest
    return pinned === undefined
      ? { reference: `${name}:${imageVersion}`, digest: null }
      : { reference: `${name}@${pinned}`, digest: pinned }
  }
  const tagged = image.status.versions.find((one) => (byDigest ? one.digest : one.versionString) === imageVersion)
  const digest = tagged?.digest ?? options.heldDigest
  return digest === undefined ? null : { reference: `${registryHost}/${image.data.name}@${digest}`, digest }
}

/** Everything of a service that decides how its containers run. */
export function specOf(service: Pick<Service, 'data'>, reference: string): WorkloadSpec {
  const { data } = service
  const isGlobal = data.deploymentStrategy === 'all-nodes'
  const limited = Math.min(data.scaleFactor, data.maxReplicas ?? data.scaleFactor)
  return {
    image: reference,
    mode: isGlobal ? 'global' : 'replicated',
    replicas: isGlobal ? Math.min(1, data.scaleFactor) : limited,
    maxReplicasPerNode: data.antiAffinity && !isGlobal ? 1 : 0,
    environment: data.environment,
    command: data.command ?? null,
    ports: data.ports.published,
    cpuLimit: data.resources.cpuLimit ?? null,
    memorySizeMB: data.resources.memorySizeMB ?? null,
    volumes: data.volumes,
    healthCheck: healthCheckOf(data),
    stopGraceSeconds: data.stopGraceSeconds,
  }
}

/** Whether two specs run the same thing; how many of it is not part of that. */
export function sameWorkload(one: WorkloadSpec, other: WorkloadSpec): boolean {
  return isDeepStrictEqual({ ...one, replicas: 0 }, { ...other, replicas: 0 })
}

/** What agents see of a service: `reporting` false where nobody looks, and then `message` says why. */
export interface Sight {
  reporting: boolean
  message: string
  tasks: readonly Task[]
  replicas: ReadonlyMap<string, number>
  drift: Status['drift']
}

/** The status of a service: what is seen, and in one honest sentence what that means. Pure. */
export function statusOf(options: {
  service: Service
  /** The revision that serves, and the newest rollout. */
  current: Revision | null
  rollout: Rollout | null
  /** The revision of that rollout, while it is under way. */
  next: Revision | null
  /** Why the version asked for cannot run yet; null where it can. */
  waiting: string | null
  sight: Sight
}): Status {
  const { service, current, next, sight } = options
  const shown = current ?? next
  const counts =
    shown === null ? null : countTasks({ service, revision: shown, tasks: sight.tasks, replicas: sight.replicas })
  const replicas = {
    wanted: counts?.wanted ?? (shown === null ? 0 : replicasOf(service, shown.data.spec)),
    running: sight.reporting ? (counts?.running.length ?? 0) : 0,
    healthy: sight.reporting ? (counts?.healthy.length ?? 0) : 0,
  }
  return {
    ...service.status,
    ...stateOf({ ...options, counts, replicas }),
    replicas,
    tasks: sight.reporting ? mostTelling(sight.tasks) : service.status.tasks,
    drift: sight.reporting ? mergeDrift(service.status.drift, sight.drift) : service.status.drift,
  }
}

function stateOf(options: {
  service: Service
  current: Revision | null
  rollout: Rollout | null
  waiting: string | null
  sight: Sight
  counts: ReturnType<typeof countTasks> | null
  replicas: Status['replicas']
}): Pick<Status, 'state' | 'message'> {
  const { service, current, rollout, waiting, sight, counts, replicas } = options
  const isRolling = rollout !== null && !isFinal(rollout.status.phase)
  if (rollout === null) return { state: 'waiting-for-image', message: waiting ?? 'Nothing has been deployed yet.' }
  if (!sight.reporting) return { state: 'unknown', message: sight.message }
  if (isRolling) return { state: 'deploying', message: rollout.status.message }
  if (current === null || counts === null)
    return { state: 'failed', message: `Nothing runs. ${rollout.status.message}` }
  const number = current.data.number
  const aside = asideOf(rollout, waiting)
  if (service.data.scaleFactor === 0) {
    const left = counts.live.length
    return left === 0
      ? { state: 'stopped', message: `Scaled to 0.${aside}` }
      : { state: 'degraded', message: `Scaled to 0; ${containers(left)} still ending.${aside}` }
  }
  if (counts.complete)
    return {
      state: 'running',
      message: `Revision ${number} serves with ${replicas.healthy} healthy ${replicas.healthy === 1 ? 'container' : 'containers'}.${aside}`,
    }
  const suspects = counts.own.filter((task) => !counts.healthy.includes(task))
  const message = `${replicas.healthy} of ${containers(replicas.wanted)} of revision ${number} healthy. ${causeOf(suspects)}${aside}`
  const isBroken = suspects.some(
    (task) => task.health === 'failing' || ['failed', 'rejected', 'complete'].includes(task.state),
  )
  return { state: replicas.healthy === 0 && isBroken ? 'failed' : 'degraded', message }
}

function asideOf(rollout: Rollout, waiting: string | null): string {
  const { phase } = rollout.status
  const verdict =
    phase === 'failed' || phase === 'aborted'
      ? ` The rollout of revision ${rollout.data.revisionNumber} ${phase === 'failed' ? 'failed' : 'was aborted'}: ${rollout.status.failure?.reason ?? ''}`
      : ''
  return `${verdict}${waiting === null ? '' : ` ${waiting}`}`
}

/** Running ones first, then those that ended last. */
function mostTelling(tasks: readonly Task[]): Task[] {
  const rank = (task: Task): number => (task.state === 'running' ? 0 : 1)
  return tasks
    .toSorted(
      (one, other) => rank(one) - rank(other) || compare(other.since, one.since) || compare(one.taskId, other.taskId),
    )
    .slice(0, tasksKept)
}

/** Newest first, each finding once. */
export function mergeDrift<Drift extends { at: string; serviceId: string | null; found: string }>(
  known: readonly Drift[],
  reported: readonly Drift[],
  limit: number = driftKept,
): Drift[] {
  const keyOf = (drift: Drift): string => `${drift.at} ${drift.serviceId} ${drift.found}`
  const all = new Map([...known, ...reported].map((drift) => [keyOf(drift), drift]))
  return [...all.values()].toSorted((one, other) => compare(other.at, one.at)).slice(0, limit)
}

function healthCheckOf(data: Data): WorkloadSpec['healthCheck'] {
  const { healthCheck } = data
  const { web } = data.ports
  if (healthCheck === undefined) return web === undefined ? null : { type: 'tcp', port: web, timeoutSeconds: 5 }
  if (healthCheck.type === 'command') return healthCheck
  const port = healthCheck.port ?? web
  return port === undefined ? healthCheck : { ...healthCheck, port }
}

function portKey(port: { published: number; protocol: string }): string {
  return `${port.published}/${port.protocol}`
}

function repeated(keys: readonly string[]): string[] {
  return [...new Set(keys.filter((key, at) => keys.indexOf(key) !== at))]
}

function compare(one: string, other: string): number {
  return one < other ? -1 : one > other ? 1 : 0
}
