import { randomUUIDv7 } from 'node:crypto'
import {
  clusterKind,
  FreeholdError,
  type Image,
  imageKind,
  type Revision,
  type Rollout,
  repositoryOfReference,
  revisionKind,
  rolloutKind,
  type Service,
  serviceKind,
} from '@freehold/contracts'
import type { Reads, Transaction } from '@freehold/store'
import type { TagLookup } from '../external-registries/index.ts'
import { ensureServiceImage } from '../images/index.ts'
import { activeRollout, isRefused, makeRevision, newestRevision, startRollout } from '../rollouts/index.ts'
import { findImage, pinProblem } from './image.ts'
import { checkPorts, checkService, sameWorkload, specOf } from './kind.ts'

/** What the rules need to know of this installation. */
export interface ServiceRules {
  /** Host and port under which agents and people reach our registry. */
  registryHost: () => string
  now: () => number
  /** What tags of images elsewhere mean; absent: nobody is asked, and nodes pull what the tag means to them. */
  tags?: TagLookup
}

type Trigger = Rollout['data']['trigger']
type Started = { rollout: Rollout; revision: Revision }

/** Makes a service and, where its image is there, its first rollout. Without `imageId` an image of its own is made. */
export async function createService(
  transaction: Transaction,
  input: { data: Service['data']; labels?: Record<string, string> },
  rules: ServiceRules,
): Promise<Service> {
  checkService(input.data)
  await checkCluster(transaction, input.data)
  const id = randomUUIDv7()
  const data = await withImage(transaction, { id, data: input.data })
  const service = await transaction.create(serviceKind, {
    id,
    data,
    ...(input.labels === undefined ? {} : { labels: input.labels }),
  })
  await rollOut(transaction, { service, trigger: 'create' }, rules)
  return current(transaction, id)
}

/** Changes a service; a change of what runs makes a revision and a rollout. */
export async function updateService(
  transaction: Transaction,
  input: { id: string; data: Service['data']; labels?: Record<string, string>; expectedVersion?: number },
  rules: ServiceRules,
): Promise<Service> {
  const { id, labels, expectedVersion } = input
  const before = await current(transaction, id)
  if (input.data.name !== before.data.name) {
    throw new FreeholdError(
      'conflict',
      "A service's name is its identity in the Swarm and cannot change. Create a service with the new name and delete this one.",
    )
  }
  if (input.data.clusterId !== before.data.clusterId) {
    throw new FreeholdError(
      'conflict',
      'A service stays in its cluster. Create it in the other cluster and delete this one.',
    )
  }
  checkService(input.data)
  await checkCluster(transaction, input.data, id)
  const data = await withImage(transaction, { id, data: input.data })
  const service = await transaction.update(serviceKind, id, {
    data,
    ...(labels === undefined ? {} : { labels }),
    ...(expectedVersion === undefined ? {} : { expectedVersion }),
  })
  if (service.generation !== before.generation) await rollOut(transaction, { service, trigger: 'update' }, rules)
  return current(transaction, id)
}

/** Removes a service with its revisions and rollouts; its agents remove it from the Swarm. Its image is kept. */
export async function deleteService(
  transaction: Transaction,
  input: { id: string; expectedVersion?: number },
): Promise<void> {
  const { id, expectedVersion } = input
  await transaction.delete(serviceKind, id, expectedVersion === undefined ? {} : { expectedVersion })
  for (const rollout of await transaction.all(rolloutKind, { where: { serviceId: id } })) {
    await transaction.delete(rolloutKind, rollout.id)
  }
  for (const revision of await transaction.all(revisionKind, { where: { serviceId: id } })) {
    await transaction.delete(revisionKind, revision.id)
  }
}

/**
 * Makes a revision of what the service is now and starts its rollout; undefined where the newest revision is that
 * already, or its image has not been pushed. `force` makes one in any case, for people who ask for it.
 */
export async function rollOut(
  transaction: Transaction,
  options: { service: Service; trigger: Trigger; force?: boolean },
  rules: ServiceRules,
): Promise<Started | undefined> {
  const { service, trigger, force = false } = options
  const image = await imageFor(transaction, service)
  const { imageVersion, deployOnPush } = service.data
  const found = await findImage(transaction, {
    image,
    imageVersion,
    registryHost: rules.registryHost(),
    ...(rules.tags === undefined ? {} : { tags: rules.tags }),
  })
  if (found === null) return undefined
  const newest = await newestRevision(transaction, service.id)
  if (newest === undefined && trigger === 'update' && image.data.location.internal && !deployOnPush) return undefined
  const kept = force ? undefined : await keptImage(transaction, { service, image, newest, trigger, found })
  const { reference, digest } = kept ?? found
  const spec = specOf(service, reference)
  const served = kept?.revision ?? newest
  if (!force && served !== undefined && sameWorkload(served.data.spec, spec)) {
    const isRetry = trigger === 'push' && (await isRefused(transaction, service, served))
    if (!isRetry) return undefined
    return begin(transaction, { service, revision: served, trigger }, rules)
  }
  const revision = await makeRevision(transaction, { service, spec, imageVersion, imageDigest: digest })
  const problem = digest === null ? pinProblem({ image, imageVersion }, rules.tags) : undefined
  const note =
    problem === undefined
      ? {}
      : { note: `Its tag could not be pinned to a digest: ${problem} Each node runs what the tag means when it pulls.` }
  return begin(transaction, { service, revision, trigger, ...note }, rules)
}

async function begin(
  transaction: Transaction,
  options: { service: Service; revision: Revision; trigger: Trigger; note?: string },
  rules: ServiceRules,
): Promise<Started> {
  const rollout = await startRollout(transaction, { ...options, now: new Date(rules.now()) })
  return { rollout, revision: options.revision }
}

/**
 * The image an edit stays with although its tag means another digest now: where pushes do not deploy (nobody pushes to
 * an image elsewhere or to a mirror), and where the pushed one still waits for its signature. Undefined where the edit
 * takes what the tag means.
 */
async function keptImage(
  transaction: Transaction,
  edit: {
    service: Service
    image: Image
    newest: Revision | undefined
    trigger: Trigger
    found: { reference: string; digest: string | null }
  },
): Promise<{ reference: string; digest: string | null; revision: Revision } | undefined> {
  const { service, image, newest, trigger, found } = edit
  const { location } = image.data
  const takesPushes = location.internal && location.mirrorOf === undefined && service.data.deployOnPush
  const { currentRevisionId, awaitingSignature } = service.status
  const isHeld =
    trigger === 'update' && found.digest !== null && awaitingSignature?.digest === found.digest && currentRevisionId
  const revision = isHeld ? await transaction.get(revisionKind, isHeld) : takesPushes ? undefined : newest
  if (revision === undefined || revision.data.imageVersion !== service.data.imageVersion) return undefined
  if (repositoryOfReference(revision.data.spec.image) !== repositoryOfReference(found.reference)) return undefined
  return { reference: revision.data.spec.image, digest: revision.data.imageDigest, revision }
}

/** Rolls out as described now, another version of the image, or an earlier revision. */
export async function deployService(
  transaction: Transaction,
  input: { id: string; imageVersion?: string | undefined; revisionId?: string | undefined },
  rules: ServiceRules,
): Promise<Started> {
  if (input.revisionId !== undefined) {
    if (input.imageVersion !== undefined) {
      throw new FreeholdError('conflict', 'Give an imageVersion or a revisionId, not both: a revision has its image.')
    }
    return goBack(transaction, { id: input.id, revisionId: input.revisionId }, rules)
  }
  let service = await current(transaction, input.id)
  if (input.imageVersion !== undefined && input.imageVersion !== service.data.imageVersion) {
    const data = serviceKind.data.parse({ ...service.data, imageVersion: input.imageVersion })
    checkService(data)
    service = await transaction.update(serviceKind, service.id, { data })
  }
  const started = await rollOut(transaction, { service, trigger: 'manual', force: true }, rules)
  if (started !== undefined) return started
  const image = await imageFor(transaction, service)
  const { location } = image.data
  if (location.internal && location.mirrorOf !== undefined) {
    const problem = pinProblem({ image, imageVersion: service.data.imageVersion }, rules.tags)
    throw new FreeholdError(
      'conflict',
      `The mirror ${image.data.name} has no version ${service.data.imageVersion}. ${problem ?? 'Its registry was not asked; try again.'}`,
    )
  }
  throw new FreeholdError(
    'conflict',
    `There is no version ${service.data.imageVersion} of the image ${image.data.name} yet. Push ${rules.registryHost()}/${image.data.name}:${service.data.imageVersion} first.`,
  )
}

/** Where to push the image of a service. Throws `conflict` where pushing would not deploy it. */
export async function registryTargetOf(reads: Reads, id: string, rules: ServiceRules) {
  const service = await current(reads, id)
  const image = await imageFor(reads, service)
  if (!image.data.location.internal) {
    throw new FreeholdError(
      'conflict',
      `This service runs ${image.data.location.externalImage}, which is not pushed here.`,
    )
  }
  const tag = service.data.imageVersion
  const registry = rules.registryHost()
  if (tag.startsWith('sha256:')) {
    const advice =
      service.data.admission?.requireDigest === true
        ? `Push to any tag of ${registry}/${image.data.name}, then set imageVersion to the digest of what you pushed.`
        : 'Set imageVersion to a tag to deploy by pushing.'
    throw new FreeholdError('conflict', `This service is pinned to a digest. ${advice}`)
  }
  return { target: `${registry}/${image.data.name}:${tag}`, registry, repository: image.data.name, tag }
}

async function goBack(
  transaction: Transaction,
  input: { id: string; revisionId: string },
  rules: ServiceRules,
): Promise<Started> {
  const service = await current(transaction, input.id)
  const revision = await transaction.get(revisionKind, input.revisionId)
  if (revision === undefined || revision.data.serviceId !== service.id) {
    throw new FreeholdError('not-found', `${service.data.name} has no revision with the id ${input.revisionId}.`)
  }
  const { number } = revision.data
  const active = await activeRollout(transaction, service.id)
  if (active?.data.revisionId === revision.id) {
    throw new FreeholdError('conflict', `Revision ${number} is being rolled out already.`)
  }
  if (service.status.currentRevisionId === revision.id) {
    const advice = active === undefined ? '' : ' Abort the rollout under way to stay with it.'
    throw new FreeholdError('conflict', `Revision ${number} serves already.${advice}`)
  }
  if (service.data.admission?.requireDigest === true && revision.data.imageDigest === null) {
    const { imageVersion } = revision.data
    throw new FreeholdError(
      'conflict',
      `Revision ${number} ran the tag ${imageVersion} of another registry, and admission.requireDigest wants a digest. Set imageVersion to one instead.`,
    )
  }
  return begin(transaction, { service, revision, trigger: 'rollback' }, rules)
}

async function checkCluster(reads: Reads, data: Service['data'], ownId?: string): Promise<void> {
  const cluster = await reads.get(clusterKind, data.clusterId)
  if (cluster === undefined) throw new FreeholdError('not-found', `There is no cluster with the id ${data.clusterId}.`)
  if (data.ports.published.length === 0) return
  const others = await reads.all(serviceKind, { where: { clusterId: data.clusterId } })
  checkPorts(
    data,
    others.filter((other) => other.id !== ownId),
  )
}

async function withImage(
  transaction: Transaction,
  { id, data }: { id: string; data: Service['data'] },
): Promise<Service['data']> {
  if (data.imageId !== undefined) {
    const image = await transaction.get(imageKind, data.imageId)
    if (image === undefined) throw new FreeholdError('not-found', `There is no image with the id ${data.imageId}.`)
    return data
  }
  const image = await ensureServiceImage(transaction, { id, name: data.name })
  return { ...data, imageId: image.id }
}

async function imageFor(reads: Reads, service: Service): Promise<Image> {
  const { imageId } = service.data
  const image = imageId === undefined ? undefined : await reads.get(imageKind, imageId)
  if (image === undefined) throw new FreeholdError('conflict', `The image of ${service.data.name} no longer exists.`)
  return image
}

async function current(reads: Reads, id: string): Promise<Service> {
  const service = await reads.get(serviceKind, id)
  if (service === undefined) throw new FreeholdError('not-found', `There is no service with the id ${id}.`)
  return service
}
