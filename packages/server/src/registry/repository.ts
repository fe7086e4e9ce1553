import { blobLinkKind, type Image, imageKind, type Manifest, manifestKind, tagKind } from '@freehold/contracts'
import type { Actor, Reads, Store, Transaction } from '@freehold/store'
import { countIn, countOut, ensureImage, showUsage, withoutVersions, withVersions } from '../images/index.ts'
import { findCondemned, pardon, pardonLinks } from './condemned.ts'
import { damagedAmong } from './damage.ts'
import { RegistryError } from './errors.ts'
import type { Descriptor, ParsedManifest } from './manifest.ts'
import { quotaError } from './quota-error.ts'

/** How many missing parts a refusal names. */
const namedMissing = 20

/** A manifest whose bytes are already stored, about to become part of a repository. */
export interface ManifestPush {
  repository: string
  digest: string
  sizeBytes: number
  manifest: ParsedManifest
  tags: readonly string[]
  /** Of an image manifest, from its config. */
  platforms: readonly string[]
  /** RFC 3339, UTC. */
  at: string
  limits: Limits
}

const at = (repository: string, digest: string) => `${repository}@${digest}`

export const findLink = (reads: Reads, repository: string, digest: string) =>
  reads.find(blobLinkKind, 'reference', at(repository, digest))
export const findManifest = (reads: Reads, repository: string, digest: string) =>
  reads.find(manifestKind, 'reference', at(repository, digest))
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

async function requireImage(reads: Reads, repository: string): Promise<Image> {
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

async function charge(
  transaction: Transaction,
  { limits, ...held }: { repository: string; digest: string; sizeBytes: number; limits: Limits },
): Promise<void> {
  const passed = await countIn(transaction, held, limits)
  if (passed !== undefined) throw quotaError(passed)
}

/**
 * The push itself, one transaction: everything the manifest needs is there, its row, its tags, and the image's status
 * with tag and digest. The caller holds the digest since before the bytes were stored. Throws `manifest-blob-unknown` naming what is missing, `size-invalid`, `name-taken`, `quota-exceeded`.
 */
export async function pushManifest(store: Store, actor: Actor, push: ManifestPush): Promise<void> {
  await store.transaction(actor, async (transaction) => {
    const image = await ensureImage(transaction, { repository: push.repository, description: '' })
    await requireBlobs(transaction, push)
    const children = await requireManifests(transaction, push)
    await pardonContent(transaction, push)
    await putRow(transaction, actor, push)
    for (const tag of push.tags) await putTag(transaction, actor, { ...push, tag })
    if (push.tags.length > 0) await recordPush(transaction, actor, { push, image, children })
    await showUsage(transaction, push.repository)
  })
}

/**
 * A manifest of a mirror: its row, its tags and the image's status, like a push but without its content, which comes when
 * it is pulled. The caller holds the digest since before the bytes were stored.
 */
export async function mirrorManifest(store: Store, actor: Actor, push: ManifestPush): Promise<void> {
  const { repository } = push
  await store.transaction(actor, async (transaction) => {
    const image = await requireImage(transaction, repository)
    await pardonContent(transaction, push)
    await putRow(transaction, actor, push)
    for (const tag of push.tags) await putTag(transaction, actor, { ...push, tag })
    if (push.tags.length > 0) {
      const children = await Promise.all(
        push.manifest.manifests.map((child) => findManifest(transaction, repository, child.digest)),
      )
      await recordPush(transaction, actor, { push, image, children: children.filter((child) => child !== undefined) })
    }
    await showUsage(transaction, repository)
  })
}

/** From here on the manifest needs them; see the garbage collection for why this must be the same transaction. */
async function pardonContent(transaction: Transaction, { repository, digest, manifest }: ManifestPush): Promise<void> {
  await pardon(transaction, { repository: null, digest })
  const named = manifest.blobs.map((blob) => blob.digest)
  await pardonLinks(transaction, repository, named)
}

async function requireBlobs(transaction: Transaction, { repository, manifest }: ManifestPush): Promise<void> {
  const missing: Descriptor[] = []
  const damaged = await damagedAmong(transaction, digestsOf(manifest.requiredBlobs))
  for (const blob of manifest.requiredBlobs) {
    const link = await findLink(transaction, repository, blob.digest)
    if (link === undefined || damaged.has(blob.digest)) missing.push(blob)
    else requireSize(blob, link.data.size)
  }
  refuseMissing(missing, 'blobs')
}

async function requireManifests(transaction: Transaction, push: ManifestPush): Promise<Manifest[]> {
  const missing: Descriptor[] = []
  const found: Manifest[] = []
  const damaged = await damagedAmong(transaction, digestsOf(push.manifest.manifests))
  for (const child of push.manifest.manifests) {
    const row = await findManifest(transaction, push.repository, child.digest)
    if (row === undefined || damaged.has(child.digest)) missing.push(child)
    else {
      requireSize(child, row.data.size)
      found.push(row)
    }
  }
  refuseMissing(missing, 'manifests')
  return found
}

const digestsOf = (descriptors: readonly Descriptor[]) => descriptors.map(({ digest }) => digest)

function refuseMissing(missing: Descriptor[], noun: 'blobs' | 'manifests'): void {
  if (missing.length === 0) return
  const named = missing.slice(0, namedMissing).map(({ digest }) => digest)
  throw new RegistryError(
    'manifest-blob-unknown',
    `The manifest names ${noun} this repository does not have, or whose bytes are damaged; push them first.`,
    { detail: { missing: named, count: missing.length } },
  )
}

function requireSize({ digest, size }: Descriptor, storedBytes: number): void {
  if (size === storedBytes) return
  throw new RegistryError('size-invalid', `The manifest says ${digest} has ${size} bytes; it has ${storedBytes}.`)
}

async function putRow(transaction: Transaction, actor: Actor, push: ManifestPush): Promise<void> {
  const { repository, digest, sizeBytes, manifest } = push
  const known = await findManifest(transaction, repository, digest)
  if (known?.data.mediaType === manifest.mediaType && known.data.platforms !== undefined) return
  const data: Manifest['data'] = {
    repository,
    digest,
    mediaType: manifest.mediaType,
    size: sizeBytes,
    artifactType: manifest.artifactType,
    annotations: manifest.annotations,
    blobs: manifest.blobs.map((blob) => ({ digest: blob.digest, size: blob.size })),
    manifests: manifest.manifests.map((child) => child.digest),
    subject: manifest.subject,
    platforms: platformsOf(push),
    pushedBy: known?.data.pushedBy ?? actor.name,
  }
  if (known !== undefined) await transaction.update(manifestKind, known.id, { data })
  else {
    await charge(transaction, push)
    await transaction.create(manifestKind, { data })
  }
}

async function putTag(
  transaction: Transaction,
  actor: Actor,
  push: { repository: string; tag: string; digest: string; at: string },
): Promise<void> {
  const { repository, tag, digest } = push
  const data = { repository, name: tag, digest, pushedBy: actor.name }
  const status = { pushedAt: push.at }
  const known = await findTag(transaction, repository, tag)
  if (known === undefined) {
    await transaction.create(tagKind, { data, status })
    return
  }
  await transaction.setStatus(tagKind, known.id, status)
  if (known.data.digest !== digest) {
    await transaction.update(tagKind, known.id, { data })
    await markUntagged(transaction, { repository, digest: known.data.digest, at: push.at })
  }
}

async function recordPush(
  transaction: Transaction,
  actor: Actor,
  { push, image, children }: { push: ManifestPush; image: Image; children: Manifest[] },
): Promise<void> {
  const { tags, digest, manifest, at } = push
  const status = withVersions(image.status, {
    tags,
    digest,
    mediaType: manifest.mediaType,
    sizeBytes: contentBytes(push, children),
    platforms: platformsOf(push),
    pushedBy: actor.name,
    at,
  })
  await transaction.setStatus(imageKind, image.id, status)
}

const platformsOf = ({ manifest, platforms }: ManifestPush): string[] => [
  ...(manifest.manifests.length > 0 ? manifest.platforms : platforms),
]

/** Bytes of manifest, config and layers together; of an index with its children's, a shared blob counted once. */
function contentBytes(push: ManifestPush, children: readonly Manifest[]): number {
  const blobs = new Map(push.manifest.blobs.map((blob) => [blob.digest, blob.size]))
  for (const child of children) for (const blob of child.data.blobs) blobs.set(blob.digest, blob.size)
  const manifests = children.reduce((sum, child) => sum + child.data.size, push.sizeBytes)
  return [...blobs.values()].reduce((sum, size) => sum + size, manifests)
}

/** Takes a blob out of a repository. Throws `blob-unknown`, `still-referenced` (a manifest names it). */
export async function unlinkBlob(store: Store, actor: Actor, repository: string, digest: string): Promise<void> {
  await store.transaction(actor, async (transaction) => {
    const found = await findLink(transaction, repository, digest)
    if (found === undefined) throw new RegistryError('blob-unknown', `${repository} has no blob ${digest}.`)
    await refuseWhileNamed(transaction, repository, ({ blobs }) => blobs.some((blob) => blob.digest === digest))
    await transaction.delete(blobLinkKind, found.id)
    await countOut(transaction, { repository, digest, sizeBytes: found.data.size })
    await showUsage(transaction, repository)
  })
}

/** A delete never breaks a manifest that stays. Reads every manifest of the repository: deletes are rare. */
async function refuseWhileNamed(
  transaction: Transaction,
  repository: string,
  names: (manifest: Manifest['data']) => boolean,
): Promise<void> {
  let cursor: string | null = null
  do {
    const page: { items: Manifest[]; nextCursor: string | null } = await transaction.list(manifestKind, {
      where: { repository },
      limit: 500,
      ...(cursor === null ? {} : { cursor }),
    })
    const user = page.items.find((manifest) => names(manifest.data))
    if (user !== undefined) {
      throw new RegistryError('still-referenced', `The manifest ${user.data.digest} needs it; delete that first.`)
    }
    cursor = page.nextCursor
  } while (cursor !== null)
}

/** Says since when a manifest may count as untagged; retention reads it. */
export async function markUntagged(
  transaction: Transaction,
  { repository, digest, at: untaggedAt }: { repository: string; digest: string; at: string },
): Promise<void> {
  const manifest = await findManifest(transaction, repository, digest)
  if (manifest !== undefined) await transaction.setStatus(manifestKind, manifest.id, { untaggedAt })
}

/** Takes tags out of the image's status. */
export async function forgetVersions(
  transaction: Transaction,
  repository: string,
  tags: readonly string[],
): Promise<void> {
  const image = await transaction.find(imageKind, 'name', repository)
  if (image === undefined) return
  await transaction.setStatus(imageKind, image.id, withoutVersions(image.status, tags))
}
