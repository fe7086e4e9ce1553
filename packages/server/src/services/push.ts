import { isDeepStrictEqual } from 'node:util'
import { type Image, imageKind, type Manifest, type Rollout, type Service, serviceKind } from '@freehold/contracts'
import { type Actor, type Change, pagesOf, type Reads, type Store, type Transaction } from '@freehold/store'
import { demandsSignature, type Judge } from '../admission/index.ts'
import { isRefused, newestRevision } from '../rollouts/index.ts'
import { findImage } from './image.ts'
import { rollOut, type ServiceRules } from './service.ts'

const actor: Actor = { type: 'system', id: 'deploy-on-push', name: 'deploy on push' }
const pageSize = 500
const kinds = ['image', 'manifest', 'rollout', 'service']

export interface PushReconciler {
  /**
   * Deploys every service whose tag means another digest than its newest revision; where it demands a signature, once
   * that is there, and until then its status says what is waited for. After the first pass only what changed is looked
   * at. Takes no input: what a crash left undone is seen again by the next pass.
   */
  run(signal: AbortSignal): Promise<void>
}

type Pushed = { reference: string; digest: string | null }

export function createPushReconciler(options: {
  store: Store
  rules: ServiceRules
  judge: Judge
  /** Brings the service's status up to date, in the same transaction. */
  settle: (transaction: Transaction, service: Service) => Promise<void>
}): PushReconciler {
  const { store, rules, judge, settle } = options
  let seenVersion: number | null = null

  const all = async (signal: AbortSignal): Promise<void> => {
    const version = await store.version()
    const failures: unknown[] = []
    for await (const page of pagesOf(store, serviceKind, { limit: pageSize })) {
      failures.push(...(await deployEach(page)))
      if (signal.aborted) break
    }
    throwAny(failures)
    if (!signal.aborted) seenVersion = version
  }

  const changed = async (since: number, signal: AbortSignal): Promise<void> => {
    const changes = await store.changes(since, { kinds, limit: pageSize })
    const services: Service[] = []
    for (const id of await servicesOf(store, changes)) {
      const service = await store.get(serviceKind, id)
      if (service !== undefined) services.push(service)
    }
    throwAny(await deployEach(services))
    seenVersion = changes.at(-1)?.version ?? since
    if (changes.length === pageSize && !signal.aborted) await changed(seenVersion, signal)
  }

  /** One that fails, because signatures cannot be read, keeps no other waiting; then the whole pass is tried again. */
  const deployEach = async (services: readonly Service[]): Promise<unknown[]> => {
    const failures: unknown[] = []
    for (const service of services) await deployIfPushed(service).catch((error: unknown) => failures.push(error))
    return failures
  }

  const deployIfPushed = async (found: Service): Promise<void> => {
    const pushed = await pushedImage(store, found, rules)
    if (pushed === undefined && found.status.awaitingSignature === undefined) return
    const isJudged = pushed !== undefined && demandsSignature(found.data)
    // Signatures are read before the transaction; if what was judged changes meanwhile, that change wakes the next pass.
    const verdict = isJudged ? await judge({ ...pushed, admission: found.data.admission }) : null
    await store.transaction(actor, async (transaction) => {
      const service = await transaction.get(serviceKind, found.id)
      if (service === undefined || !isDeepStrictEqual(service.data.admission, found.data.admission)) return
      if (!isDeepStrictEqual(await pushedImage(transaction, service, rules), pushed)) return
      const awaited =
        verdict?.admitted === false && pushed?.digest
          ? { digest: pushed.digest, message: `Waiting for a signature. ${verdict.message}` }
          : undefined
      const noted = await note(transaction, service, awaited)
      if (pushed !== undefined && verdict?.admitted !== false) {
        await rollOut(transaction, { service: noted, trigger: 'push' }, rules)
      } else if (noted !== service) await settle(transaction, noted)
    })
  }

  return {
    async run(signal) {
      if (seenVersion === null) return all(signal)
      try {
        await changed(seenVersion, signal)
      } catch (error) {
        if ((error as { code?: string }).code !== 'feed-expired') throw error
        seenVersion = null
        await all(signal)
      }
    },
  }
}

function throwAny(failures: readonly unknown[]): void {
  if (failures.length === 1) throw failures[0]
  if (failures.length > 1) throw new AggregateError(failures, `${failures.length} services could not be looked at.`)
}

/** The services some changes may have something to say to: of their image, its signatures, or a rollout that was refused. */
async function servicesOf(reads: Reads, changes: readonly Change[]): Promise<Set<string>> {
  const services = new Set<string>()
  const images = new Set<string>()
  for (const { kind, operation, id, after } of changes) {
    if (operation === 'delete' || after === null) continue
    if (kind === 'image') images.add(id)
    else if (kind === 'manifest') {
      const { repository, subject } = (after as Manifest).data
      const image = subject === null ? undefined : await reads.find(imageKind, 'name', repository)
      if (image !== undefined) images.add(image.id)
    } else if (kind === 'rollout') {
      const { data, status } = after as Rollout
      if (status.failure?.refused === true) services.add(data.serviceId)
    } else if (operation !== 'status') services.add(id)
  }
  for (const imageId of images) {
    for (const service of await reads.all(serviceKind, { where: { imageId } })) services.add(service.id)
  }
  return services
}

/** Writes what is waited for; the very same service where that has not changed. */
async function note(
  transaction: Transaction,
  service: Service,
  awaited: Service['status']['awaitingSignature'],
): Promise<Service> {
  const { awaitingSignature, ...status } = service.status
  if (isDeepStrictEqual(awaitingSignature, awaited)) return service
  return transaction.setStatus(
    serviceKind,
    service.id,
    awaited === undefined ? status : { ...status, awaitingSignature: awaited },
  )
}

/** What a push means to a service that is deployed by pushes; undefined where it runs, or is tried, already. */
async function pushedImage(reads: Reads, service: Service, rules: ServiceRules): Promise<Pushed | undefined> {
  const { imageId, imageVersion, deployOnPush } = service.data
  if (!deployOnPush || imageId === undefined) return undefined
  const image: Image | undefined = await reads.get(imageKind, imageId)
  if (image === undefined || !image.data.location.internal || image.data.location.mirrorOf !== undefined)
    return undefined
  const found = await findImage(reads, { image, imageVersion, registryHost: rules.registryHost() })
  if (found === null) return undefined
  const newest = await newestRevision(reads, service.id)
  if (newest?.data.imageDigest !== found.digest) return found
  return (await isRefused(reads, service, newest)) ? found : undefined
}
