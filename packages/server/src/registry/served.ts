import { imageKind, type Revision, revisionKind, type Service, serviceKind } from '@freehold/contracts'
import type { Reads, Transaction } from '@freehold/store'
import { RegistryError } from './errors.ts'

/** How many services a refusal names. */
const namedServices = 5

interface Place {
  repository: string
  /** How revisions name this registry. */
  host: string
}

/**
 * Throws `still-served` where a revision of a service runs this manifest: every revision is kept so that a service can
 * go back to it. Reads the revisions of the repository: deletes are rare.
 */
export async function refuseWhileServed(transaction: Transaction, image: Place & { digest: string }): Promise<void> {
  const { digest } = image
  const { revisions } = await usersOf(transaction, image)
  const uses = new Map<string, Revision>()
  for (const revision of revisions) {
    if (revision.data.imageDigest === digest) uses.set(revision.data.serviceId, revision)
  }
  const named: { service: string; revision: number }[] = []
  for (const [serviceId, { data }] of [...uses].slice(0, namedServices)) {
    const service = await transaction.get(serviceKind, serviceId)
    if (service !== undefined) named.push({ service: service.data.name, revision: data.number })
  }
  const [first] = named
  if (first === undefined) return
  throw new RegistryError(
    'still-served',
    `Revision ${first.revision} of the service ${first.service} runs ${digest}, and it is kept to go back to. Delete the service first.`,
    { detail: { services: named } },
  )
}

/**
 * What services need of a repository, each with the reason for people: digests that any of their revisions runs, digests
 * they are pinned to, and tags they name.
 */
export async function servedOf(
  reads: Reads,
  place: Place,
): Promise<{ digests: Map<string, string>; tags: Map<string, string> }> {
  const { revisions, services } = await usersOf(reads, place)
  const digests = new Map<string, string>()
  const tags = new Map<string, string>()
  const names = new Map(services.map((service) => [service.id, service.data.name]))
  for (const { data } of revisions) {
    if (data.imageDigest === null) continue
    if (!names.has(data.serviceId)) {
      const service = await reads.get(serviceKind, data.serviceId)
      names.set(data.serviceId, service?.data.name ?? data.serviceId)
    }
    digests.set(data.imageDigest, `revision ${data.number} of the service ${names.get(data.serviceId)} runs it`)
  }
  for (const { data } of services) {
    const version = data.imageVersion
    if (version.includes(':')) digests.set(version, `the service ${data.name} is pinned to it`)
    else tags.set(version, `the service ${data.name} names it`)
  }
  return { digests, tags }
}

/** Revisions made while this server was reached under another name say another host; their services know the image. */
async function usersOf(
  reads: Reads,
  { repository, host }: Place,
): Promise<{ revisions: Revision[]; services: Service[] }> {
  const revisions = await reads.all(revisionKind, { where: { repository: `${host}/${repository}` } })
  const image = await reads.find(imageKind, 'name', repository)
  if (image?.data.location.internal !== true) return { revisions, services: [] }
  const services = await reads.all(serviceKind, { where: { imageId: image.id } })
  for (const service of services) {
    revisions.push(...(await reads.all(revisionKind, { where: { serviceId: service.id } })))
  }
  return { revisions, services }
}
