import {
  imageKind,
  type Revision,
  repositoryOfReference,
  revisionKind,
  type Service,
  serviceKind,
} from '@freehold/contracts'
import { pagesOf, type Reads } from '@freehold/store'
import { digestsOfReleases } from '../images/index.ts'

/** Revisions read at once. */
const pageSize = 100
const servicesRead = 200

export interface Serving {
  service: Service
  /** One of its revisions that run the digest. */
  revision: Revision
}

interface Place {
  repository: string
  /** How revisions name this registry. */
  host: string
}

/**
 * The services of which a revision runs this manifest, each once with its newest that does, the newest first, at most `limit`. Every
 * revision is kept so that a service can go back to it.
 */
export async function servingOf(reads: Reads, image: Place & { digest: string }, limit: number): Promise<Serving[]> {
  const serving = new Map<string, Serving>()
  const seen = new Set<string>()
  const imageId = await idOfImage(reads, image.repository)
  const where = { imageDigest: image.digest }
  for await (const page of pagesOf(reads, revisionKind, { where, order: 'changed', limit: pageSize })) {
    for (const revision of page) {
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
  }
  return [...serving.values()]
}

/** By digest, what services of the image run right now; at most `servicesRead` services are looked at. */
export async function runningOf(reads: Reads, imageId: string): Promise<Map<string, Serving[]>> {
  const { items } = await reads.list(serviceKind, { where: { imageId }, limit: servicesRead })
  const running = new Map<string, Serving[]>()
  for (const service of items) {
    const { currentRevisionId } = service.status
    const revision = currentRevisionId === null ? undefined : await reads.get(revisionKind, currentRevisionId)
    const digest = revision?.data.imageDigest
    if (revision === undefined || digest === null || digest === undefined) continue
    running.set(digest, [...(running.get(digest) ?? []), { service, revision }])
  }
  return running
}

async function idOfImage(reads: Reads, repository: string): Promise<string | undefined> {
  const image = await reads.find(imageKind, 'name', repository)
  return image?.data.location.internal === true ? image.id : undefined
}

/**
 * What services and devices need of a repository, each with the reason for people: digests that a release has, that any
 * revision of a service runs or a service is pinned to, and tags that services name.
 */
export async function servedOf(
  reads: Reads,
  { repository, host }: Place,
): Promise<{ digests: Map<string, string>; tags: Map<string, string> }> {
  const digests = new Map<string, string>()
  for (const [digest, name] of await digestsOfReleases(reads, repository)) {
    digests.set(digest, `the release ${name} has it`)
  }
  const tags = new Map<string, string>()
  const names = new Map<string, string>()
  const addRevisions = async (where: Record<string, string>) => {
    for await (const page of pagesOf(reads, revisionKind, { where })) {
      for (const { data } of page) {
        if (data.imageDigest === null) continue
        const name = names.get(data.serviceId) ?? (await reads.get(serviceKind, data.serviceId))?.data.name
        names.set(data.serviceId, name ?? data.serviceId)
        digests.set(data.imageDigest, `revision ${data.number} of the service ${name ?? data.serviceId} runs it`)
      }
    }
  }
  await addRevisions({ repository: `${host}/${repository}` })
  const imageId = await idOfImage(reads, repository)
  const services = imageId === undefined ? [] : await reads.all(serviceKind, { where: { imageId } })
  // Revisions made while this server was reached under another name say another host; their services know the image.
  for (const service of services) await addRevisions({ serviceId: service.id })
  for (const { data } of services) {
    const version = data.imageVersion
    if (version.includes(':')) digests.set(version, `the service ${data.name} is pinned to it`)
    else tags.set(version, `the service ${data.name} names it`)
  }
  return { digests, tags }
}
