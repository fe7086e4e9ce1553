import { imageKind, type Revision, revisionKind, serviceKind } from '@freehold/contracts'
import type { Transaction } from '@freehold/store'
import { RegistryError } from './errors.ts'

/** How many services a refusal names. */
const namedServices = 5

/**
 * Throws `still-served` where a revision of a service runs this manifest: every revision is kept so that a service can
 * go back to it. `host` is how revisions name this registry. Reads the revisions of the repository: deletes are rare.
 */
export async function refuseWhileServed(
  transaction: Transaction,
  image: { repository: string; digest: string; host: string },
): Promise<void> {
  const { repository, digest, host } = image
  const revisions = [
    ...(await transaction.all(revisionKind, { where: { repository: `${host}/${repository}` } })),
    ...(await revisionsOfItsServices(transaction, repository)),
  ].filter((revision) => revision.data.imageDigest === digest)
  const uses = new Map<string, Revision>()
  for (const revision of revisions) uses.set(revision.data.serviceId, revision)
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

/** Those made while this server was reached under another name say another host. */
async function revisionsOfItsServices(transaction: Transaction, repository: string): Promise<Revision[]> {
  const image = await transaction.find(imageKind, 'name', repository)
  if (image?.data.location.internal !== true) return []
  const revisions: Revision[] = []
  for (const service of await transaction.all(serviceKind, { where: { imageId: image.id } })) {
    revisions.push(...(await transaction.all(revisionKind, { where: { serviceId: service.id } })))
  }
  return revisions
}
