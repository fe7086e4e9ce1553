import { type Image, imageKind, type Manifest, manifestKind, tagKind } from '@freehold/contracts'
import type { Actor, Store, Transaction } from '@freehold/store'
import { ensureImage, showUsage, withVersions } from '../images/index.ts'
import { pardon, pardonLinks } from './condemned.ts'
import { damagedAmong } from './damage.ts'
import { RegistryError } from './errors.ts'
import { contentBytes, type Descriptor, type ParsedManifest } from './manifest.ts'
import { markUntagged } from './removal.ts'
import { charge, findLink, findManifest, findTag, type Limits, requireImage } from './repository.ts'

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
    sizeBytes: contentBytes(
      { size: push.sizeBytes, blobs: manifest.blobs },
      children.map((child) => child.data),
    ),
    platforms: platformsOf(push),
    pushedBy: actor.name,
    at,
  })
  await transaction.setStatus(imageKind, image.id, status)
}

const platformsOf = ({ manifest, platforms }: ManifestPush): string[] => [
  ...(manifest.manifests.length > 0 ? manifest.platforms : platforms),
]
