import { randomUUIDv7 } from 'node:crypto'
import { type ExternalRegistry, externalRegistryKind, FreeholdError, imageKind } from '@freehold/contracts'
import type { Transaction } from '@freehold/store'
import { getResource } from '../http/resources.ts'
import { type Sealer, Secret } from '../secrets/index.ts'
import { checkLocation, checkRegistry, type Described, type PasswordChange, refusePasswordElsewhere } from './kind.ts'

/** How many images a refusal names. */
const namedImages = 5

/** Registers a registry. Throws `already-exists`, `invalid-input`. */
export async function createExternalRegistry(
  transaction: Transaction,
  input: { data: Described; password?: string | undefined; labels?: Record<string, string> },
  sealer: Sealer,
): Promise<ExternalRegistry> {
  const { data, password, labels } = input
  const id = randomUUIDv7()
  checkRegistry(data, password !== undefined)
  return transaction.create(externalRegistryKind, {
    id,
    data: { ...data, ...sealedFields(password, id, sealer) },
    ...(labels === undefined ? {} : { labels }),
  })
}

/**
 * Changes a registry; what the last test found no longer counts. Throws `not-found`, `stale-version`, and
 * `invalid-input` where the stored password would go to another address or user.
 */
export async function updateExternalRegistry(
  transaction: Transaction,
  input: {
    id: string
    data: Described
    password?: PasswordChange
    labels?: Record<string, string>
    expectedVersion?: number
  },
  sealer: Sealer,
): Promise<ExternalRegistry> {
  const { id, data, password, ...rest } = input
  const before = await getResource(transaction, externalRegistryKind, id)
  refusePasswordElsewhere(before.data, data, password)
  const { sealedPassword, passwordSet } = before.data
  const fields =
    password === undefined
      ? { passwordSet, ...(sealedPassword === undefined ? {} : { sealedPassword }) }
      : sealedFields(password ?? undefined, id, sealer)
  checkRegistry(data, fields.passwordSet)
  const after = await transaction.update(externalRegistryKind, id, { data: { ...data, ...fields }, ...rest })
  await refuseImagesLeftBehind(transaction, after)
  if (after.generation === before.generation) return after
  return transaction.setStatus(externalRegistryKind, id, externalRegistryKind.initialStatus)
}

/** Throws `not-found`, `stale-version`, and `conflict` while images name it. */
export async function deleteExternalRegistry(
  transaction: Transaction,
  input: { id: string; expectedVersion?: number },
): Promise<void> {
  const { id, expectedVersion } = input
  const registry = await getResource(transaction, externalRegistryKind, id)
  const { items } = await transaction.list(imageKind, { where: { externalRegistryId: id }, limit: namedImages + 1 })
  if (items.length > 0) {
    const named = items.slice(0, namedImages).map((image) => image.data.name)
    const more = items.length > namedImages ? ' and others' : ''
    throw new FreeholdError(
      'conflict',
      `${registry.data.name} is used by the ${items.length === 1 ? 'image' : 'images'} ${named.join(', ')}${more}. Delete them or give them another registry first.`,
    )
  }
  await transaction.delete(externalRegistryKind, id, expectedVersion === undefined ? {} : { expectedVersion })
}

/** An image that names a registry must find it, and be at home there. Throws `not-found`, `conflict`. */
export async function checkImageRegistry(
  transaction: Transaction,
  location: Parameters<typeof checkLocation>[0],
): Promise<void> {
  const id = location.internal ? location.mirrorOf?.externalRegistryId : location.externalRegistryId
  if (id !== undefined) checkLocation(location, await getResource(transaction, externalRegistryKind, id))
}

/** A registry that moves takes no images with it that are at its old address. */
async function refuseImagesLeftBehind(transaction: Transaction, registry: ExternalRegistry): Promise<void> {
  const images = await transaction.all(imageKind, { where: { externalRegistryId: registry.id } })
  for (const image of images) checkLocation(image.data.location, registry)
}

function sealedFields(
  password: string | undefined,
  id: string,
  sealer: Sealer,
): { passwordSet: boolean; sealedPassword?: string } {
  if (password === undefined) return { passwordSet: false }
  return { passwordSet: true, sealedPassword: sealer.seal(new Secret(password), id) }
}
