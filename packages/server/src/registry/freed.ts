import { blobLinkKind, type Manifest, manifestKind } from '@freehold/contracts'
import { pagesOf, type Reads } from '@freehold/store'

/** Repositories that are asked whether they hold the same bytes. */
const holdersRead = 2

/**
 * Bytes that garbage collection frees once these manifests are gone: their own and those of blobs that no other manifest
 * of the repository and no other repository needs. True before they are deleted and after.
 */
export async function freedBytes(reads: Reads, repository: string, going: readonly Manifest[]): Promise<number> {
  const goes = new Set(going.map(({ data }) => data.digest))
  const blobs = new Map(going.flatMap(({ data }) => data.blobs.map(({ digest, size }) => [digest, size] as const)))
  if (blobs.size > 0) {
    for await (const page of pagesOf(reads, manifestKind, { where: { repository } })) {
      for (const { data } of page) {
        if (!goes.has(data.digest)) for (const { digest } of data.blobs) blobs.delete(digest)
      }
      if (blobs.size === 0) break
    }
  }
  let freed = 0
  for (const [digest, sizeBytes] of blobs) if (!(await isElsewhere(reads, repository, digest))) freed += sizeBytes
  for (const { data } of going) if (!(await isElsewhere(reads, repository, data.digest))) freed += data.size
  return freed
}

async function isElsewhere(reads: Reads, repository: string, digest: string): Promise<boolean> {
  const options = { where: { digest }, limit: holdersRead }
  const links = await reads.list(blobLinkKind, options)
  if (links.items.some(({ data }) => data.repository !== repository)) return true
  const manifests = await reads.list(manifestKind, options)
  return manifests.items.some(({ data }) => data.repository !== repository)
}
