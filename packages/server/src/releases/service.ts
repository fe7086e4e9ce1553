import { randomUUIDv7 } from 'node:crypto'
import {
  FreeholdError,
  manifestKind,
  type Release,
  type ReleaseService,
  type ReleaseType,
  releaseImageKind,
  type releaseInput,
  releaseKind,
  releaseNameOf,
} from '@freehold/contracts'
import type { Actor, Reads, Store, Transaction } from '@freehold/store'
import type { z } from 'zod'
import { getResource } from '../http/resources.ts'
import type { UpdatesNoun } from '../updates/index.ts'
import type { RolloutsView } from './desired.ts'
import type { ResolvedImage, ResolveImage } from './images.ts'
import { checkRelease, type Pins } from './kind.ts'
import { filesOf, type LicenseFile } from './manifest.ts'
import { carrierOf, deviceWith, pinnedDeviceOf, pinningGroupOf, revertingTo } from './users.ts'

/** The signed channel, as far as releases need it. It calls back with a release once devices can trust it. */
export type UpdatesChannel = Pick<UpdatesNoun, 'publish' | 'withdraw'>

/** Where a licence bundle's bytes were put: an artifact of our registry, and the blob in it. */
export interface KeptLicense extends LicenseFile {
  artifact: ResolvedImage
}
/** Keeps the bytes of a licence bundle in our registry, where nothing takes them away while the artifact is there. */
export type KeepLicense = (input: { deviceType: string; bytes: Buffer; actor: Actor }) => Promise<KeptLicense>

export interface ReleaseRules {
  store: Store
  updates: UpdatesChannel
  rollouts: Pick<RolloutsView, 'revertingTo'>
  resolveImage: ResolveImage
  keepLicense: KeepLicense
}

type Input = z.output<typeof releaseInput>
type Data = Release['data']

const licenseLimitBytes = 8 * 1024 * 1024

/**
 * Makes a release: tags become digests, the manifest is made and handed to the signed channel, all in one transaction.
 * Throws `invalid-input`, `not-found` (an image) and `already-exists`.
 */
export async function createRelease(
  rules: ReleaseRules,
  input: { data: Input; labels?: Record<string, string>; actor: Actor },
): Promise<Release> {
  const { store, updates } = rules
  const { data: asked, labels, actor } = input
  // Whatever refuses it does so before bytes are kept.
  await dataOf(store, asked, { rules, license: null })
  const license = await licenseOf(rules, asked, actor)
  return store.transaction(actor, async (transaction) => {
    const data = await dataOf(transaction, asked, { rules, license })
    if (license !== null) await requireKept(transaction, license)
    const id = randomUUIDv7()
    const files = filesOf({ id, data }, license)
    const [manifest] = files
    if (manifest === undefined) throw new Error('A release has a manifest.')
    const { path, sha256, sizeBytes } = manifest
    await transaction.create(releaseKind, {
      id,
      data,
      status: { ...releaseKind.initialStatus, target: { path, sha256, sizeBytes } },
      ...(labels === undefined ? {} : { labels }),
    })
    for (const { repository, digest } of imagesOf(data, license)) {
      await transaction.create(releaseImageKind, { data: { releaseId: id, repository, digest } })
    }
    await updates.publish(transaction, { releaseId: id, files })
    return getResource(transaction, releaseKind, id)
  })
}

/** Devices can trust these from now on; called by the signed channel, in the transaction that publishes. */
export async function markSigned(transaction: Transaction, releaseIds: readonly string[]): Promise<void> {
  for (const id of releaseIds) {
    const release = await transaction.get(releaseKind, id)
    if (release?.status.state !== 'unsigned') continue
    await transaction.setStatus(releaseKind, id, {
      ...release.status,
      state: 'signed',
      message: 'It may be rolled out.',
    })
  }
}

/** Takes a release back. Throws `not-found`, and `conflict` while a channel carries it or a rollout brings it. */
export async function withdrawRelease(transaction: Transaction, id: string, updates: UpdatesChannel): Promise<Release> {
  const release = await getResource(transaction, releaseKind, id)
  if (release.status.state === 'withdrawn') return release
  const carrier = await carrierOf(transaction, id)
  if (carrier !== undefined) throw inUse(release, { verb: 'withdrawn', carrier })
  await takeOut(transaction, id, updates)
  return transaction.setStatus(releaseKind, id, {
    ...release.status,
    state: 'withdrawn',
    message: 'Taken back: devices refuse it from now on; those that run it go on.',
  })
}

/** Removes a release. Throws `not-found`, `stale-version`, and `conflict` naming what needs it. */
export async function deleteRelease(
  { store, updates, rollouts }: Pick<ReleaseRules, 'store' | 'updates' | 'rollouts'>,
  input: { id: string; expectedVersion?: number; actor: Actor },
): Promise<void> {
  const { id, expectedVersion, actor } = input
  const release = await getResource(store, releaseKind, id)
  const refuseWhereNeeded = async (reads: Reads) => {
    const carrier =
      (await carrierOf(reads, id)) ?? (await pinningGroupOf(reads, id)) ?? (await pinnedDeviceOf(reads, id))
    if (carrier !== undefined) throw inUse(release, { verb: 'deleted', carrier })
  }
  await refuseWhereNeeded(store)
  const device = await deviceWith(store, id)
  if (device !== undefined) throw inUse(release, { verb: 'deleted', carrier: device })
  // Only now: what a device was assigned a moment ago, its rollout knows as what it had before.
  const rollout = await revertingTo(store, rollouts.revertingTo(id))
  if (rollout !== undefined) throw inUse(release, { verb: 'deleted', carrier: rollout })
  await store.transaction(actor, async (transaction) => {
    await refuseWhereNeeded(transaction)
    const current = await getResource(transaction, releaseKind, id)
    if (current.status.state !== 'withdrawn') await takeOut(transaction, id, updates)
    await transaction.delete(releaseKind, id, expectedVersion === undefined ? {} : { expectedVersion })
  })
}

/** Checks those pins that `after` has and `before` had not. Throws `not-found`, and `conflict` for one that does not fit. */
export async function checkPins(reads: Reads, { before, after }: { before: Pins | null; after: Pins }): Promise<void> {
  await checkPin(reads, { type: 'app', before: before?.pinnedAppReleaseId, after: after.pinnedAppReleaseId })
  await checkPin(reads, { type: 'host', before: before?.pinnedHostReleaseId, after: after.pinnedHostReleaseId })
}

async function checkPin(
  reads: Reads,
  { type, before, after }: { type: ReleaseType; before: string | null | undefined; after: string | null },
): Promise<void> {
  if (after === null || after === before) return
  const release = await getResource(reads, releaseKind, after)
  const name = releaseNameOf(release.data)
  if (release.data.type !== type) {
    throw new FreeholdError(
      'conflict',
      `${name} is a release of type ${release.data.type} and cannot be pinned as the ${type} release.`,
    )
  }
  if (release.status.state !== 'signed')
    throw new FreeholdError('conflict', `${name} cannot be pinned: ${whyNot(release)}`)
}

function whyNot({ status }: Release): string {
  return status.state === 'withdrawn'
    ? 'it was withdrawn, and devices refuse it.'
    : 'it waits for its signature; publish signed targets metadata first.'
}

async function takeOut(transaction: Transaction, releaseId: string, updates: UpdatesChannel): Promise<void> {
  await updates.withdraw(transaction, releaseId)
  for (const { id } of await transaction.all(releaseImageKind, { where: { releaseId } })) {
    await transaction.delete(releaseImageKind, id)
  }
}

function inUse(release: Release, { verb, carrier }: { verb: string; carrier: string }): FreeholdError {
  return new FreeholdError('conflict', `${releaseNameOf(release.data)} cannot be ${verb}. ${carrier}`)
}

/** The release as it is stored, its images resolved. Throws what `checkRelease` and `resolveImage` throw. */
async function dataOf(
  reads: Reads,
  asked: Input,
  { rules, license }: { rules: ReleaseRules; license: KeptLicense | null },
): Promise<Data> {
  const resolve = (reference: string, path: string) => rules.resolveImage(reads, { reference, path })
  const services: ReleaseService[] = []
  for (const [index, service] of asked.services.entries()) {
    services.push({ ...service, image: await resolve(service.image, `data.services.${index}.image`) })
  }
  const { host } = asked
  const data: Data = {
    ...asked,
    services,
    host:
      host === null
        ? null
        : {
            deviceType: host.deviceType,
            hostapp: await resolve(host.hostapp, 'data.host.hostapp'),
            baserunner: host.baserunner === null ? null : await resolve(host.baserunner, 'data.host.baserunner'),
            minimumVersion: host.minimumVersion,
            licenseBundle: license?.blobDigest ?? null,
          },
  }
  checkRelease(data)
  const { product, version } = data
  const unique = `${product}/${data.host?.deviceType ?? ''}/${version}`
  if ((await reads.find(releaseKind, 'version', unique)) !== undefined) {
    throw new FreeholdError(
      'already-exists',
      `There is ${releaseNameOf(data)} already; releases never change. Give it another version.`,
    )
  }
  return data
}

async function licenseOf(rules: ReleaseRules, { host }: Input, actor: Actor): Promise<KeptLicense | null> {
  if (host === null || host.licenseBundle === null) return null
  const bytes = Buffer.from(host.licenseBundle, 'base64')
  const path = 'data.host.licenseBundle'
  const refuse = (message: string) =>
    new FreeholdError('invalid-input', `${path}: ${message}`, { details: [{ path, message }] })
  if (bytes.length > licenseLimitBytes) throw refuse(`it has more than ${licenseLimitBytes} bytes.`)
  // RFC 1952 §2.3.1.
  if (bytes[0] !== 0x1f || bytes[1] !== 0x8b) throw refuse('this is no gzip file; give a .tar.gz in Base64.')
  return rules.keepLicense({ deviceType: host.deviceType, bytes, actor })
}

/** Between keeping a licence bundle and making its release somebody may have deleted it. */
async function requireKept(reads: Reads, { artifact }: KeptLicense): Promise<void> {
  const reference = `${artifact.repository}@${artifact.digest}`
  if ((await reads.find(manifestKind, 'reference', reference)) !== undefined) return
  throw new FreeholdError('conflict', `The licence bundle was deleted from ${artifact.repository} just now. Try again.`)
}

/** Each once; the licence bundle counts as one. */
function imagesOf({ services, host }: Data, license: KeptLicense | null): ResolvedImage[] {
  const all = [
    ...services.map(({ image }) => image),
    ...(host === null ? [] : [host.hostapp]),
    ...(host?.baserunner ? [host.baserunner] : []),
    ...(license === null ? [] : [license.artifact]),
  ]
  return [...new Map(all.map((image) => [`${image.repository}@${image.digest}`, image])).values()]
}
