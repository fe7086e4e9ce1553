import {
  imageKind,
  type Revision,
  repositoryOfReference,
  revisionKind,
  type Service,
  serviceKind,
} from '@freehold/contracts'
import type { Reads } from '@freehold/store'

/** Revisions read at once. */
const pageSize = 100

export interface ServedImage {
  repository: string
  digest: string
  /** How revisions name this registry. */
  host: string
}

export interface Serving {
  service: Service
  /** The newest of the service's revisions that run the digest. */
  revision: Revision
}

/**
 * The services of which a revision runs this manifest, each once, the newest revisions first, at most `limit`. Every
 * revision is kept so that a service can go back to it.
 */
export async function servingOf(reads: Reads, image: ServedImage, limit: number): Promise<Serving[]> {
  const serving = new Map<string, Serving>()
  const seen = new Set<string>()
  const imageId = await idOfImage(reads, image.repository)
  let cursor: string | null = null
  do {
    const page: { items: Revision[]; nextCursor: string | null } = await reads.list(revisionKind, {
      where: { imageDigest: image.digest },
      order: 'changed',
      limit: pageSize,
      ...(cursor === null ? {} : { cursor }),
    })
    for (const revision of page.items) {
      const { serviceId, spec } = revision.data
      if (seen.has(serviceId)) continue
      const service = await reads.get(serviceKind, serviceId)
      // Those made while this server was reached under another name say another host.
      const isOurs =
        repositoryOfReference(spec.image) === `${image.host}/${image.repository}` ||
        (imageId !== undefined && service?.data.imageId === imageId)
      if (service === undefined || !isOurs) continue
      seen.add(serviceId)
      serving.set(serviceId, { service, revision })
      if (serving.size >= limit) return [...serving.values()]
    }
    cursor = page.nextCursor
  } while (cursor !== null)
  return [...serving.values()]
}

async function idOfImage(reads: Reads, repository: string): Promise<string | undefined> {
  const image = await reads.find(imageKind, 'name', repository)
  return image?.data.location.internal === true ? image.id : undefined
}
