import { blobLinkKind, imageKind, type Manifest, manifestKind, type Tag, tagKind } from '@freehold/contracts'
import { type Actor, pagesOf, type Store, type Transaction } from '@freehold/store'
import { countOut, showUsage, withoutVersions } from '../images/index.ts'
import { RegistryError } from './errors.ts'
import { findLink, findManifest } from './repository.ts'

/**
 * Takes tags and manifests out of a repository, with all that tells of them: its usage, the image's record, and since when
 * a manifest that stays has lost a tag. Whether they may go was decided in this same transaction. `at` is now, RFC 3339.
 */
export async function remove(
  transaction: Transaction,
  { repository, at }: { repository: string; at: string },
  { tags, manifests }: { tags: readonly Tag[]; manifests: readonly Manifest[] },
): Promise<void> {
  const going = new Set(manifests.map(({ data }) => data.digest))
  for (const tag of tags) {
    const { digest } = tag.data
    await transaction.delete(tagKind, tag.id)
    if (!going.has(digest)) await markUntagged(transaction, { repository, digest, at })
  }
  for (const { id, data } of manifests) {
    await transaction.delete(manifestKind, id)
    await countOut(transaction, { repository, digest: data.digest, sizeBytes: data.size })
  }
  const names = tags.map((tag) => tag.data.name)
  await forgetVersions(transaction, repository, names)
  if (manifests.length > 0) await showUsage(transaction, repository)
}

/** Takes a blob out of a repository. Throws `blob-unknown`, `still-referenced` (a manifest names it). */
export async function unlinkBlob(store: Store, actor: Actor, repository: string, digest: string): Promise<void> {
  await store.transaction(actor, async (transaction) => {
    const found = await findLink(transaction, repository, digest)
    if (found === undefined) throw new RegistryError('blob-unknown', `${repository} has no blob ${digest}.`)
    await refuseWhileNeeded(transaction, repository, digest)
    await transaction.delete(blobLinkKind, found.id)
    await countOut(transaction, { repository, digest, sizeBytes: found.data.size })
    await showUsage(transaction, repository)
  })
}

/** A delete never breaks a manifest that stays. Reads every manifest of the repository: deletes are rare. */
async function refuseWhileNeeded(transaction: Transaction, repository: string, digest: string): Promise<void> {
  for await (const page of pagesOf(transaction, manifestKind, { where: { repository } })) {
    const user = page.find(({ data }) => data.blobs.some((blob) => blob.digest === digest))
    if (user === undefined) continue
    throw new RegistryError('still-referenced', `The manifest ${user.data.digest} needs it; delete that first.`)
  }
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
async function forgetVersions(transaction: Transaction, repository: string, tags: readonly string[]): Promise<void> {
  const image = await transaction.find(imageKind, 'name', repository)
  if (image === undefined) return
  await transaction.setStatus(imageKind, image.id, withoutVersions(image.status, tags))
}
