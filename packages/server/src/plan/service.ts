import {
  clusterKind,
  type Document,
  externalRegistryKind,
  FreeholdError,
  type Image,
  imageKind,
  revisionKind,
  type Service,
  serviceKind,
  type Workload,
} from '@freehold/contracts'
import type { Actor, Reads, Store, Transaction } from '@freehold/store'
import { createCluster, updateCluster } from '../clusters/index.ts'
import { createExternalRegistry, deleteExternalRegistry, updateExternalRegistry } from '../external-registries/index.ts'
import { createImage, deleteImage, updateImage } from '../images/index.ts'
import { activeRollout, settledWorkloads } from '../rollouts/index.ts'
import type { Sealer } from '../secrets/index.ts'
import { createService, deleteService, type ServiceRules, updateService } from '../services/index.ts'
import { type Change, type Current, diff, ownImages, type PlanChange } from './kind.ts'

const attempts = 5
const tagsAskedAtOnce = 16
const plannedKinds = ['cluster', 'external-registry', 'image', 'service']

export interface PlanInput {
  documents: readonly Document[]
  prune: boolean
}

/** Everything a plan is about, read in one snapshot. */
export async function readCurrent(reads: Reads): Promise<Current> {
  return {
    clusters: await reads.all(clusterKind),
    registries: await reads.all(externalRegistryKind),
    images: await reads.all(imageKind),
    services: await reads.all(serviceKind),
  }
}

/**
 * Makes the stored state what the documents say, all of it or nothing, by the nouns' own rules and with the rights that
 * each change takes by itself. With `version`: `stale-version` if anything desired changed after it.
 */
export async function applyPlan(
  store: Store,
  options: PlanInput & {
    version?: number | undefined
    actor: Actor
    rules: ServiceRules
    sealer: Sealer
    /** Throws where the caller may not change resources of this kind. */
    authorize: (kind: PlanChange['kind']) => void
  },
): Promise<PlanChange[]> {
  const { version, actor, authorize } = options
  const make = async (transaction: Transaction): Promise<PlanChange[]> => {
    const changes = await makeSo(transaction, options)
    for (const { kind } of changes) authorize(kind)
    return changes.map(publicChange)
  }
  if (version === undefined) return store.transaction(actor, make)
  for (let attempt = 0; attempt < attempts; attempt++) {
    const checked = await refuseStale(store, version)
    const changes = await store.transaction(actor, async (transaction) => {
      if ((await transaction.version()) !== checked) return undefined
      return make(transaction)
    })
    if (changes !== undefined) return changes
  }
  throw new FreeholdError('stale-version', 'The control plane changes faster than this plan can be checked. Try again.')
}

/** Asks what the tags of images elsewhere mean, before the transaction that deploys them. New image records are not asked. */
export async function askTags(store: Store, documents: readonly Document[], rules: ServiceRules): Promise<void> {
  const asked = new Map<string, { image: Image; imageVersion: string }>()
  for (const document of documents) {
    if (document.kind !== 'service' || document.spec.image === undefined) continue
    const { image: name, imageVersion } = document.spec
    const known = await store.find(serviceKind, 'name', document.name)
    const image = await store.find(imageKind, 'name', name)
    if (image === undefined || (known?.data.imageId === image.id && known.data.imageVersion === imageVersion)) continue
    asked.set(`${name}:${imageVersion}`, { image, imageVersion })
  }
  const waiting = [...asked.values()]
  const ask = async () => {
    for (let one = waiting.pop(); one !== undefined; one = waiting.pop()) await rules.tags?.ask(store, one)
  }
  await Promise.all(Array.from({ length: tagsAskedAtOnce }, ask))
}

/** What applying would do: done in a transaction that is rolled back. */
export async function previewPlan(
  store: Store,
  options: PlanInput & { actor: Actor; rules: ServiceRules; sealer: Sealer },
): Promise<{ changes: PlanChange[]; version: number; ends: ClusterEnd[] }> {
  const found = new Preview()
  try {
    return await store.transaction(options.actor, async (transaction) => {
      found.version = await transaction.version()
      const before = await readCurrent(transaction)
      const changes = await makeSo(transaction, options)
      found.changes = changes.map(publicChange)
      found.ends = await endsOf(transaction, { before, changes })
      throw found
    })
  } catch (error) {
    if (error === found) return { changes: found.changes, version: found.version, ends: found.ends }
    throw error
  }
}

/** A cluster that a plan changes, and all it would run once every rollout has succeeded. */
export interface ClusterEnd {
  clusterId: string
  name: string
  isNew: boolean
  workloads: Workload[]
}

/** Thrown to roll a preview back, carrying what it found. */
class Preview extends Error {
  version = 0
  changes: PlanChange[] = []
  ends: ClusterEnd[] = []
}

function publicChange({ document: _document, ...change }: Change): PlanChange {
  return change
}

async function makeSo(
  transaction: Transaction,
  { documents, prune, rules, sealer }: PlanInput & { rules: ServiceRules; sealer: Sealer },
): Promise<Change[]> {
  const current = await readCurrent(transaction)
  const changes = diff(documents, current, { prune })
  const own = ownImages(current)
  const leftOver = new Map(current.services.map((service) => [service.id, service.data.imageId]))
  for (const change of changes) {
    if (change.action === 'delete') {
      await remove(transaction, change)
      const imageId = change.kind === 'service' && change.id !== null ? leftOver.get(change.id) : undefined
      if (imageId !== undefined && own.has(imageId)) await deleteImage(transaction, { id: imageId })
    } else if (change.document !== null) {
      await write(transaction, { id: change.id, document: change.document, rules, sealer })
    }
  }
  return changes
}

async function remove(transaction: Transaction, change: Change): Promise<void> {
  if (change.id === null) return
  if (change.kind === 'service') await deleteService(transaction, { id: change.id })
  else if (change.kind === 'image') await deleteImage(transaction, { id: change.id })
  else if (change.kind === 'external-registry') await deleteExternalRegistry(transaction, { id: change.id })
}

async function write(
  transaction: Transaction,
  { id, document, rules, sealer }: { id: string | null; document: Document; rules: ServiceRules; sealer: Sealer },
): Promise<void> {
  const labels = document.labels ?? {}
  if (document.kind === 'cluster') {
    const data = { name: document.name, ...document.spec }
    if (id === null) await createCluster(transaction, { data, labels })
    else await updateCluster(transaction, { id, data, labels })
  } else if (document.kind === 'external-registry') {
    const data = { name: document.name, ...document.spec }
    if (id === null) await createExternalRegistry(transaction, { data, labels }, sealer)
    else await updateExternalRegistry(transaction, { id, data, labels }, sealer)
  } else if (document.kind === 'image') {
    const location = await locationOf(transaction, document.spec.location)
    const data = { name: document.name, ...document.spec, location }
    if (id === null) await createImage(transaction, { data, labels })
    else await updateImage(transaction, { id, data, labels })
  } else {
    const data = await serviceDataOf(transaction, document)
    if (id === null) await createService(transaction, { data, labels }, rules)
    else await updateService(transaction, { id, data, labels }, rules)
  }
}

type Location = Image['data']['location']

/** A location with the id of the registry that a document names. */
async function locationOf(
  transaction: Transaction,
  location: Extract<Document, { kind: 'image' }>['spec']['location'],
): Promise<Location> {
  const idOf = async (name: string) => (await named(transaction, externalRegistryKind, name)).id
  if (location.internal) {
    if (location.mirrorOf === undefined) return { internal: true }
    const { externalRegistry, repository } = location.mirrorOf
    return { internal: true, mirrorOf: { externalRegistryId: await idOf(externalRegistry), repository } }
  }
  const { externalRegistry, ...rest } = location
  return externalRegistry === undefined ? rest : { ...rest, externalRegistryId: await idOf(externalRegistry) }
}

async function serviceDataOf(
  transaction: Transaction,
  document: Extract<Document, { kind: 'service' }>,
): Promise<Service['data']> {
  const { cluster, image, ...spec } = document.spec
  const { id: clusterId } = await named(transaction, clusterKind, cluster)
  const imageId = image === undefined ? {} : { imageId: (await named(transaction, imageKind, image)).id }
  return { ...spec, name: document.name, clusterId, ...imageId }
}

async function named(
  transaction: Transaction,
  kind: typeof clusterKind | typeof imageKind | typeof externalRegistryKind,
  name: string,
) {
  const found = await transaction.find(kind, 'name', name)
  if (found === undefined) throw new FreeholdError('not-found', `There is no ${kind.name} ${name}.`)
  return found
}

/** Refuses if anything desired changed after the plan; what agents report does not count. Answers the version checked. */
async function refuseStale(store: Store, version: number): Promise<number> {
  const checked = await store.version()
  let since = version
  try {
    while (since < checked) {
      const changes = await store.changes(since, { kinds: plannedKinds })
      const desired = changes.find((change) => change.operation !== 'status')
      if (desired !== undefined) {
        throw new FreeholdError(
          'stale-version',
          `The ${desired.kind} ${nameOf(desired)} was changed by ${desired.actor.name} since this plan was made. Make a new plan.`,
        )
      }
      const last = changes.at(-1)
      if (last === undefined) return checked
      since = last.version
    }
  } catch (cause) {
    if (!(cause instanceof FreeholdError) || cause.code !== 'feed-expired') throw cause
    throw new FreeholdError('stale-version', 'This plan is too old to tell what changed since. Make a new one.', {
      cause,
    })
  }
  return checked
}

function nameOf(change: { id: string; after: unknown; before?: unknown }): string {
  const resource = (change.after ?? change.before) as { data?: { name?: string } } | null | undefined
  return resource?.data?.name ?? change.id
}

async function endsOf(
  transaction: Transaction,
  { before, changes }: { before: Current; changes: readonly Change[] },
): Promise<ClusterEnd[]> {
  const oldCluster = new Map(before.services.map((service) => [service.data.name, service.data.clusterId]))
  const affected = new Set<string>()
  for (const change of changes) {
    if (change.kind !== 'service') continue
    const now = await transaction.find(serviceKind, 'name', change.name)
    const clusterId = now?.data.clusterId ?? oldCluster.get(change.name)
    if (clusterId !== undefined) affected.add(clusterId)
  }
  const ends: ClusterEnd[] = []
  for (const clusterId of affected) {
    const cluster = await transaction.get(clusterKind, clusterId)
    if (cluster === undefined) continue
    const services = await transaction.all(serviceKind, { where: { clusterId } })
    const workloads: Workload[] = []
    for (const service of services) workloads.push(...(await endOf(transaction, service)))
    const isNew = !before.clusters.some((one) => one.id === clusterId)
    ends.push({ clusterId, name: cluster.data.name, isNew, workloads })
  }
  return ends
}

/** What a service runs once its rollout, if any, has succeeded. */
async function endOf(transaction: Transaction, service: Service): Promise<Workload[]> {
  const active = await activeRollout(transaction, service.id)
  const revisionId = active?.data.revisionId ?? service.status.currentRevisionId
  const revision = revisionId === null ? undefined : await transaction.get(revisionKind, revisionId)
  return settledWorkloads(service, revision ?? null)
}
