import { blobLinkKind, type Image, imageKind, manifestKind, tagKind } from '@freehold/contracts'
import type { Actor, Reads, Store, Transaction } from '@freehold/store'
import { countIn, countOut, showUsage } from '../images/index.ts'
import { findCondemned, pardon } from './condemned.ts'
import { RegistryError } from './errors.ts'
import { quotaError } from './quota-error.ts'

/** How rows name a manifest or a link: the key of unique names, and of the indexes `subject` and `manifest`. */
export const referenceTo = (repository: string, digest: string): string => `${repository}@${digest}`

export const findLink = (reads: Reads, repository: string, digest: string) =>
  reads.find(blobLinkKind, 'reference', referenceTo(repository, digest))
export const findManifest = (reads: Reads, repository: string, digest: string) =>
  reads.find(manifestKind, 'reference', referenceTo(repository, digest))
export const findTag = (reads: Reads, repository: string, tag: string) =>
  reads.find(tagKind, 'reference', `${repository}:${tag}`)

/** True where anything was ever pushed there, or an image record names it. */
export async function repositoryExists(reads: Reads, repository: string): Promise<boolean> {
  const image = await reads.find(imageKind, 'name', repository)
  if (image?.data.location.internal === true) return true
  const where = { repository }
  const links = await reads.list(blobLinkKind, { where, limit: 1 })
  if (links.items.length > 0) return true
  return (await reads.list(manifestKind, { where, limit: 1 })).items.length > 0
}

/** True where anybody may pull from it, signed in or not. */
export async function isPublic(reads: Reads, repository: string): Promise<boolean> {
  return (await reads.find(imageKind, 'name', repository))?.data.anonymousPull === true
}

/** What all repositories together may hold; null: no limit. */
export interface Limits {
  quotaBytes: number | null
}

/**
 * Makes a stored blob readable through the repository. The caller holds the digest since before the bytes were stored.
 * Throws `quota-exceeded`.
 */
export async function linkBlob(
  store: Store,
  actor: Actor,
  link: { repository: string; digest: string; sizeBytes: number; limits: Limits },
): Promise<void> {
  await store.transaction(actor, (transaction) => addLink(transaction, link))
}

/** The same for a mirror that was not deleted meanwhile; its blobs come one by one, so what it holds is shown at once. */
export async function linkMirroredBlob(...[store, actor, link]: Parameters<typeof linkBlob>): Promise<void> {
  await store.transaction(actor, async (transaction) => {
    await requireImage(transaction, link.repository)
    await addLink(transaction, link)
    await showUsage(transaction, link.repository)
  })
}

/** Throws `name-unknown` where the image was deleted while something was fetched for it. */
export async function requireImage(reads: Reads, repository: string): Promise<Image> {
  const image = await reads.find(imageKind, 'name', repository)
  if (image !== undefined) return image
  throw new RegistryError('name-unknown', `${repository} was deleted just now.`)
}

/**
 * For a client that asks whether a blob is there so as not to upload it: where the link is still there after this, it stays
 * for a whole grace time. The mark is read before the link: a mark made after that lives for as long itself.
 */
export async function renewLink(
  store: Store,
  actor: Actor,
  link: { repository: string; digest: string },
): Promise<void> {
  if ((await findCondemned(store, link)) === undefined) return
  await store.transaction(actor, async (transaction) => {
    if ((await findLink(transaction, link.repository, link.digest)) !== undefined) await pardon(transaction, link)
  })
}

/**
 * Links a blob of `from` into `repository`; false where `from` has none such, or one of another size than is stored.
 * Throws `quota-exceeded`.
 */
export async function mountBlob(
  store: Store,
  actor: Actor,
  mount: { repository: string; digest: string; from: string; sizeBytes: number; limits: Limits },
): Promise<boolean> {
  const { repository, digest, from, sizeBytes, limits } = mount
  return store.transaction(actor, async (transaction) => {
    const source = await findLink(transaction, from, digest)
    if (source?.data.size !== sizeBytes) return false
    await addLink(transaction, { repository, digest, sizeBytes, limits })
    return true
  })
}

async function addLink(
  transaction: Transaction,
  { repository, digest, sizeBytes, limits }: { repository: string; digest: string; sizeBytes: number; limits: Limits },
): Promise<void> {
  await pardon(transaction, { repository, digest })
  await pardon(transaction, { repository: null, digest })
  const known = await findLink(transaction, repository, digest)
  if (known?.data.size === sizeBytes) return
  // A link that tells another size than the bytes have was damaged itself; it is made anew.
  if (known !== undefined) {
    await transaction.delete(blobLinkKind, known.id)
    await countOut(transaction, { repository, digest, sizeBytes: known.data.size })
  }
  await charge(transaction, { repository, digest, sizeBytes, limits })
  await transaction.create(blobLinkKind, { data: { repository, digest, size: sizeBytes } })
}

/** Counts what is about to be added, in the transaction that adds it. Throws `quota-exceeded`. */
export async function charge(
  transaction: Transaction,
  { limits, ...held }: { repository: string; digest: string; sizeBytes: number; limits: Limits },
): Promise<void> {
  const passed = await countIn(transaction, held, limits)
  if (passed !== undefined) throw quotaError(passed)
}
