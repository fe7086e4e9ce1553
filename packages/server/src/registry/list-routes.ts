import { imageKind, type Manifest, manifestKind, tagKind } from '@freehold/contracts'
import type { Store } from '@freehold/store'
import { RegistryError } from './errors.ts'
import { type Exchange, nextLink, pageAfter, pageSize, sendJson } from './exchange.ts'
import { mediaTypes } from './manifest.ts'
import { repositoryExists } from './repository.ts'

/** Names on a page where the client asks for no number, and the most it may ask for. */
const pageLimit = 10_000
/** A page of referrers is an index and no larger than one may be pushed. */
const referrersLimitBytes = 3 * 1024 * 1024
const referrersPerRead = 100
const referrerReads = 50

/** Listing tags, repositories and referrers (OCI Distribution 1.1, end-8, end-12; the catalogue is Docker's). */
export function createListRoutes({ store }: { store: Store }) {
  async function tags(exchange: Exchange, repository: string): Promise<void> {
    if (!(await repositoryExists(store, repository))) {
      throw new RegistryError('name-unknown', `There is no repository ${repository}.`)
    }
    const rows = await store.all(tagKind, { where: { repository } })
    const { page, headers } = listing(exchange, rows.map((tag) => tag.data.name).sort(), `/v2/${repository}/tags/list`)
    sendJson(exchange, 200, { name: repository, tags: page }, headers)
  }

  async function catalog(exchange: Exchange): Promise<void> {
    const images = await store.all(imageKind)
    const names = images.flatMap(({ data }) => (data.location.internal ? [data.name] : [])).sort()
    const { page, headers } = listing(exchange, names, '/v2/_catalog')
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
        where: { subject: `${repository}@${digest}` },
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

/** A page of sorted names with the Link to the next. */
function listing({ query }: Exchange, names: readonly string[], path: string) {
  const size = pageSize(query, pageLimit)
  const { page, more } = pageAfter(names, { last: query.get('last') ?? '', size })
  const last = page.at(-1)
  return { page, headers: more && last !== undefined ? nextLink(path, { n: String(size), last }) : {} }
}
