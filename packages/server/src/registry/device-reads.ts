import { manifestKind } from '@freehold/contracts'
import { pagesOf, type Reads } from '@freehold/store'
import type { PullingDevice } from './access.ts'
import type { Endpoint } from './endpoint.ts'
import { RegistryError } from './errors.ts'
import { findManifest, referenceTo } from './repository.ts'

/** Manifests looked at for one request; an image has a handful, and referrers may be many. */
const mostManifests = 2_000

/**
 * What a device may read of repositories that it may pull from at all:
 * - manifests by digest: those it may pull, the children of such an index, and what refers to any of these;
 * - blobs that one of these manifests names, and the list of what refers to one of them;
 * - no tag and no list of tags: a release names digests, and where a tag points is for people.
 *
 * What is not its own and what is not there is refused in the same words. Throws `denied`.
 */
export async function requireOfDevice(
  reads: Reads,
  digestsIn: PullingDevice['digestsIn'],
  endpoint: Endpoint,
): Promise<void> {
  if (endpoint.kind === 'base') return
  const wanted = wantedBy(endpoint)
  if (wanted === undefined) {
    throw new RegistryError('denied', 'A device pulls manifests by digest and blobs, nothing else.')
  }
  const { repository } = wanted
  if (await isPart(reads, { repository, roots: await digestsIn(repository) }, wanted)) return
  throw new RegistryError('denied', 'A device may pull only what its releases have.')
}

interface Wanted {
  kind: 'manifest' | 'blob'
  repository: string
  digest: string
}

function wantedBy(endpoint: Endpoint): Wanted | undefined {
  if (endpoint.kind === 'blob') return endpoint
  if (endpoint.kind === 'referrers') return { ...endpoint, kind: 'manifest' }
  if (endpoint.kind !== 'manifest' || endpoint.reference.kind === 'tag') return undefined
  return { kind: 'manifest', repository: endpoint.repository, digest: endpoint.reference.digest }
}

/**
 * Whether the roots, what they consist of or what refers to them has what is wanted. Referrers come last, because pulls
 * ask for parts. A child counts as soon as its index names it, be it here or not: a mirror's may still be elsewhere.
 */
async function isPart(
  reads: Reads,
  { repository, roots }: { repository: string; roots: ReadonlySet<string> },
  wanted: Wanted,
): Promise<boolean> {
  if (wanted.kind === 'manifest' && roots.has(wanted.digest)) return true
  const reached = new Set(roots)
  const mayReach = (digest: string) => {
    const isNew = !reached.has(digest) && reached.size < mostManifests
    if (isNew) reached.add(digest)
    return isNew
  }
  let level = [...roots]
  while (level.length > 0) {
    for (const digest of level) {
      const row = await findManifest(reads, repository, digest)
      if (row === undefined) continue
      const { blobs, manifests } = row.data
      const parts = wanted.kind === 'manifest' ? manifests : blobs.map((blob) => blob.digest)
      if (parts.includes(wanted.digest)) return true
      // The loop goes on with what is put behind.
      level.push(...manifests.filter(mayReach))
    }
    const referrers = await referrersOf(reads, repository, level)
    if (wanted.kind === 'manifest' && referrers.includes(wanted.digest)) return true
    level = referrers.filter(mayReach)
  }
  return false
}

/** What refers to any of these manifests, at most `mostManifests` and a page. */
async function referrersOf(reads: Reads, repository: string, digests: readonly string[]): Promise<string[]> {
  const referrers: string[] = []
  for (const digest of digests) {
    const where = { subject: referenceTo(repository, digest) }
    for await (const page of pagesOf(reads, manifestKind, { where })) {
      referrers.push(...page.map(({ data }) => data.digest))
      if (referrers.length >= mostManifests) return referrers
    }
  }
  return referrers
}
