import { type Release, releaseImageKind, releaseKind, releaseNameOf } from '@freehold/contracts'
import { pagesOf, type Reads } from '@freehold/store'

/** A release that has an image. Its row says so for as long as it was not withdrawn. */
export interface HoldingRelease {
  releaseId: string
  /** For people: `shop 1.2.0`, of a host `baseos 3.1.0 for raspberrypi4-64`. */
  name: string
  /** Null where only the rows of its images are left: they hold their images all the same. */
  release: Release | null
}

/**
 * The releases that have this manifest, or where no digest is given any manifest of the repository; at most `limit`.
 * What a release has is in use: devices run it, or will, or go back to it.
 */
export async function releasesHolding(
  reads: Reads,
  { repository, digest }: { repository: string; digest?: string },
  limit: number,
): Promise<HoldingRelease[]> {
  const where = digest === undefined ? { repository } : { repository, digest }
  const holding = new Map<string, HoldingRelease>()
  for await (const page of pagesOf(reads, releaseImageKind, { where, order: 'changed' })) {
    for (const { data } of page) {
      if (holding.has(data.releaseId)) continue
      holding.set(data.releaseId, await describe(reads, data.releaseId))
      if (holding.size >= limit) return [...holding.values()]
    }
  }
  return [...holding.values()]
}

/** Every digest of the repository that a release has, each with the name of one such release. */
export async function digestsOfReleases(reads: Reads, repository: string): Promise<Map<string, string>> {
  const digests = new Map<string, string>()
  const names = new Map<string, string>()
  for await (const page of pagesOf(reads, releaseImageKind, { where: { repository } })) {
    for (const { data } of page) {
      const name = names.get(data.releaseId) ?? (await describe(reads, data.releaseId)).name
      names.set(data.releaseId, name)
      digests.set(data.digest, name)
    }
  }
  return digests
}

async function describe(reads: Reads, releaseId: string): Promise<HoldingRelease> {
  const release = await reads.get(releaseKind, releaseId)
  return release === undefined
    ? { releaseId, name: releaseId, release: null }
    : { releaseId, name: releaseNameOf(release.data), release }
}
