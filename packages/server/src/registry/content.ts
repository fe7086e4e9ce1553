import { buffer } from 'node:stream/consumers'
import { type BlobStore, parseDigest } from '@freehold/blobs'
import { type Manifest, manifestKind } from '@freehold/contracts'
import { pagesOf, type Reads } from '@freehold/store'
import { manifestLimitBytes } from './manifest.ts'
import { digestOf } from './manifest-bytes.ts'
import { findLink, findManifest, findTag, referenceTo } from './repository.ts'

/** What other nouns may read of the registry's content. It answers undefined, never bytes that are not the digest's. */
export interface RegistryContent {
  /** Whether the repository holds this manifest, tagged or not. */
  holds(repository: string, digest: string): Promise<boolean>
  digestOfTag(repository: string, tag: string): Promise<string | undefined>
  /** Bytes of a manifest of the repository; undefined where it is not there or damaged. */
  manifest(repository: string, digest: string): Promise<Buffer | undefined>
  /** Bytes of a blob linked in the repository; undefined where it is not there, damaged, or larger than the limit. */
  blob(repository: string, digest: string, options: { limitBytes: number }): Promise<Buffer | undefined>
  /** Manifests whose subject is this digest, oldest first, at most `limit` of those whose artifact type is asked for. */
  referrers(
    repository: string,
    digest: string,
    options: { isWanted: (artifactType: string) => boolean; limit: number },
  ): Promise<Manifest['data'][]>
}

/** Pages of referrers that are read at most, wanted or not. */
const referrerPages = 20

export function createRegistryContent({ reads, blobs }: { reads: Reads; blobs: BlobStore }): RegistryContent {
  const read = async (digest: string, limitBytes: number): Promise<Buffer | undefined> => {
    const algorithm = parseDigest(digest)?.algorithm
    const stat = algorithm === undefined ? undefined : await blobs.stat(digest)
    if (algorithm === undefined || stat === undefined || stat.sizeBytes > limitBytes) return undefined
    const bytes = await open(blobs, digest)
    if (bytes === undefined) return undefined
    return digestOf(bytes, algorithm) === digest ? bytes : undefined
  }
  return {
    holds: async (repository, digest) => (await findManifest(reads, repository, digest)) !== undefined,
    digestOfTag: async (repository, tag) => (await findTag(reads, repository, tag))?.data.digest,
    async manifest(repository, digest) {
      if ((await findManifest(reads, repository, digest)) === undefined) return undefined
      return read(digest, manifestLimitBytes)
    },
    async blob(repository, digest, { limitBytes }) {
      if ((await findLink(reads, repository, digest)) === undefined) return undefined
      return read(digest, limitBytes)
    },
    async referrers(repository, digest, { isWanted, limit }) {
      const found: Manifest['data'][] = []
      let pages = 0
      for await (const page of pagesOf(reads, manifestKind, { where: { subject: referenceTo(repository, digest) } })) {
        found.push(...page.flatMap(({ data }) => (isWanted(data.artifactType ?? '') ? [data] : [])))
        pages += 1
        if (pages >= referrerPages || found.length >= limit) break
      }
      return found.slice(0, limit)
    },
  }
}

/** A blob that goes away between being looked at and being opened was not there. */
async function open(blobs: BlobStore, digest: string): Promise<Buffer | undefined> {
  try {
    return await buffer(await blobs.open(digest))
  } catch (error) {
    if ((error as { code?: string }).code === 'blob-unknown') return undefined
    throw error
  }
}
