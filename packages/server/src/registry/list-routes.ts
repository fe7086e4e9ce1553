import { imageKind, type Manifest, manifestKind, tagKind } from '@freehold/contracts'
import type { Store } from '@freehold/store'
import { RegistryError } from './errors.ts'
import { type Exchange, nextLink, pageSize, sendJson } from './exchange.ts'
import { mediaTypes } from './manifest.ts'
import { referenceTo, repositoryExists } from './repository.ts'

/** Names on a page where the client asks for no number, and the most it may ask for. */
const pageLimit = 10_000
/** A page of referrers is an index and no larger than one may be pushed. */
const referrersLimitBytes = 3 * 1024 * 1024
/** Rows of names one read takes, and reads one answer takes where many of them are not listed. */
const namesPerRead = 500
const fewestPerRead = 50
const nameReads = 40
const referrersPerRead = 100
const referrerReads = 50

/** Listing tags, repositories and referrers (OCI Distribution 1.1, end-8, end-12; the catalogue is Docker's). */
export function createListRoutes({ store }: { store: Store }) {
  async function tags(exchange: Exchange, repository: string): Promise<void> {
    if (!(await repositoryExists(store, repository))) {
      throw new RegistryError('name-unknown', `There is no repository ${repository}.`)
    }
    const read = async (after: string, limit: number) => {
      const rows = await store.listByKey(tagKind, 'reference', { prefix: `${repository}:`, after, limit })
      return rows.map(({ data }) => ({ name: data.name, isListed: true }))
    }
    const { page, headers } = await listing(exchange, read, `/v2/${repository}/tags/list`)
    sendJson(exchange, 200, { name: repository, tags: page }, headers)
  }

  async function catalog(exchange: Exchange): Promise<void> {
    const read = async (after: string, limit: number) => {
      const rows = await store.listByKey(imageKind, 'name', { after, limit })
      return rows.map(({ data }) => ({ name: data.name, isListed: data.location.internal }))
    }
    const { page, headers } = await listing(exchange, read, '/v2/_catalog')
    sendJson(exchange, 200, { repositories: page }, headers)
  }

  async function referrers(exchange: Exchange, target: { repository: string; digest: string }): Promise<void> {
    const { query } = exchange
    const artifactType = query.get('artifactType')
    const { manifests, cursor } = await collect(target, { artifactType, cursor: query.get('cursor') })
    const body = { schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests }
    const filter: Record<string, string> = artifactType === null ? {} : { artifactType }
    const path = `/v2/${target.repository}/referrers/${target.digest}`
    sendJson(exchange, 200, body, {
      'content-type': mediaTypes.ociIndex,
      ...(artifactType === null ? {} : { 'oci-filters-applied': 'artifactType' }),
      ...(cursor === null ? {} : nextLink(path, { ...filter, cursor })),
    })
  }

  /** Reads on until there is nothing more, the answer is large enough, or it has read enough for one request. */
  async function collect(
    { repository, digest }: { repository: string; digest: string },
    from: { artifactType: string | null; cursor: string | null },
  ) {
    const manifests: object[] = []
    let { cursor } = from
    let sizeBytes = 0
    const read = (limit: number) =>
      store.list(manifestKind, {
        where: { subject: referenceTo(repository, digest) },
        limit,
        ...(cursor === null ? {} : { cursor }),
      })
    for (let reads = 0; reads < referrerReads; reads += 1) {
      const page = await read(referrersPerRead)
      for (const [index, row] of page.items.entries()) {
        if (from.artifactType !== null && row.data.artifactType !== from.artifactType) continue
        const descriptor = describe(row)
        const descriptorBytes = Buffer.byteLength(JSON.stringify(descriptor))
        if (manifests.length > 0 && sizeBytes + descriptorBytes > referrersLimitBytes) {
          // A shorter page ends just before this one, and so does its cursor.
          return { manifests, cursor: index === 0 ? cursor : (await read(index)).nextCursor }
        }
        manifests.push(descriptor)
        sizeBytes += descriptorBytes
      }
      cursor = page.nextCursor
      if (cursor === null) break
    }
    return { manifests, cursor }
  }

  return { tags, catalog, referrers }
}

function describe({ data }: Manifest): object {
  return {
    mediaType: data.mediaType,
    digest: data.digest,
    size: data.size,
    ...(data.artifactType === null ? {} : { artifactType: data.artifactType }),
    ...(Object.keys(data.annotations).length === 0 ? {} : { annotations: data.annotations }),
  }
}

/** Names after `after`, in order, at most `limit`; none only where there are no more. */
export type ReadNames = (after: string, limit: number) => Promise<{ name: string; isListed: boolean }[]>

/** The page that the query asks for, with the Link to the next. */
async function listing({ query }: Exchange, read: ReadNames, path: string) {
  const size = pageSize(query, pageLimit)
  const { page, next } = await pageOfNames(read, { last: query.get('last') ?? '', size })
  return { page, headers: next === null ? {} : nextLink(path, { n: String(size), last: next }) }
}

/**
 * Reads a page of `size` names after `last`, and whether more follow: one name more than asked for tells. It reads in
 * steps and ends with a shorter page, never with an empty one, where what is listed lies too far apart.
 * `next`: after which name the next page begins, null for none.
 */
export async function pageOfNames(
  read: ReadNames,
  { last, size }: { last: string; size: number },
): Promise<{ page: string[]; next: string | null }> {
  const page: string[] = []
  let after = last
  for (let reads = 0; size > 0; reads += 1) {
    const limit = Math.min(namesPerRead, Math.max(fewestPerRead, size + 1 - page.length))
    const names = await read(after, limit)
    for (const { name, isListed } of names) {
      if (isListed && page.length === size) return { page, next: page.at(-1) ?? null }
      if (isListed) page.push(name)
      after = name
    }
    if (names.length < limit) break
    if (reads >= nameReads && page.length > 0) return { page, next: after }
  }
  return { page, next: null }
}
