import {
  blobLinkKind,
  FreeholdError,
  type Image,
  imageKind,
  manifestKind,
  repositoryOfService,
  serviceKind,
  tagKind,
} from '@freehold/contracts'
import type { Transaction } from '@freehold/store'
import { checkImageRegistry } from '../external-registries/index.ts'
import { getResource } from '../http/resources.ts'
import { refuseChange } from './kind.ts'
import { releasesHolding } from './releases.ts'
import { countOutRepository, setQuota } from './usage.ts'

/** How many services a refusal names. */
const namedServices = 5

/** Makes an image record. Throws `already-exists`, `not-found` and `conflict` of a registry that does not fit. */
export async function createImage(
  transaction: Transaction,
  input: { data: Image['data']; labels?: Record<string, string> },
): Promise<Image> {
  await checkImageRegistry(transaction, input.data.location)
  const image = await transaction.create(imageKind, input)
  if (image.data.location.internal) await setQuota(transaction, image.data.name, image.data.quotaBytes ?? null)
  return image
}

/** Changes an image record. Throws `not-found`, `stale-version`, `already-exists`, and `conflict` with the reason. */
export async function updateImage(
  transaction: Transaction,
  input: { id: string; data: Image['data']; labels?: Record<string, string>; expectedVersion?: number },
): Promise<Image> {
  const { id, ...change } = input
  const before = await getResource(transaction, imageKind, id)
  const refusal = refuseChange(before.data, change.data)
  if (refusal !== undefined) throw new FreeholdError('conflict', refusal)
  await checkImageRegistry(transaction, change.data.location)
  const after = await transaction.update(imageKind, id, change)
  if (after.data.location.internal) await setQuota(transaction, after.data.name, after.data.quotaBytes ?? null)
  return after
}

/**
 * Removes an image with its tags, manifests and blob links. The blobs' bytes go with the garbage, unless other
 * repositories hold them. Throws `not-found`, `stale-version`, and `conflict` while services use it or
 * releases have it, naming them.
 */
export async function deleteImage(
  transaction: Transaction,
  input: { id: string; expectedVersion?: number },
): Promise<void> {
  const { id, expectedVersion } = input
  const image = await getResource(transaction, imageKind, id)
  const users = await transaction.list(serviceKind, { where: { imageId: id }, limit: namedServices + 1 })
  if (users.items.length > 0)
    throw inUse(
      image,
      users.items.map((service) => service.data.name),
    )
  if (image.data.location.internal) await refuseHeld(transaction, image.data.name)
  await transaction.delete(imageKind, id, expectedVersion === undefined ? {} : { expectedVersion })
  if (image.data.location.internal) await deleteRepository(transaction, image.data.name)
}

async function deleteRepository(transaction: Transaction, repository: string): Promise<void> {
  const where = { repository }
  for (const tag of await transaction.all(tagKind, { where })) await transaction.delete(tagKind, tag.id)
  const sizes = new Map<string, number>()
  for (const { id, data } of await transaction.all(manifestKind, { where })) {
    await transaction.delete(manifestKind, id)
    sizes.set(data.digest, data.size)
  }
  for (const { id, data } of await transaction.all(blobLinkKind, { where })) {
    await transaction.delete(blobLinkKind, id)
    sizes.set(data.digest, data.size)
  }
  await countOutRepository(transaction, repository, sizes)
}

async function refuseHeld(transaction: Transaction, repository: string): Promise<void> {
  const [first] = await releasesHolding(transaction, { repository }, 1)
  if (first === undefined) return
  throw new FreeholdError(
    'conflict',
    `The release ${first.name} has images of ${repository}; devices run them, or may. Withdraw the release first.`,
  )
}

function inUse(image: Image, services: string[]): FreeholdError {
  const named = services.slice(0, namedServices).join(', ')
  const more = services.length > namedServices ? ' and others' : ''
  const noun = services.length === 1 ? 'the service' : 'the services'
  return new FreeholdError(
    'conflict',
    `The image ${image.data.name} is used by ${noun} ${named}${more}. Give them another image or delete them first.`,
  )
}

/** The internal image record of a repository, made where there is none. Throws `conflict` where the name is external. */
export async function ensureImage(
  transaction: Transaction,
  input: { repository: string; description: string },
): Promise<Image> {
  const { repository, description } = input
  const known = await transaction.find(imageKind, 'name', repository)
  if (known === undefined) {
    return transaction.create(imageKind, { data: { name: repository, description, location: { internal: true } } })
  }
  if (!known.data.location.internal) {
    throw new FreeholdError(
      'conflict',
      `${repository} is the name of an external image. Push to another repository, or delete that image record first.`,
    )
  }
  return known
}

/** The image a service gets when it names none: where its pushes go. */
export function ensureServiceImage(transaction: Transaction, service: { id: string; name: string }): Promise<Image> {
  return ensureImage(transaction, {
    repository: repositoryOfService(service),
    description: `Image of the service ${service.name}`,
  })
}
