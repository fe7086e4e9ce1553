import { type Image, imageKind, type Service, serviceKind } from '@freehold/contracts'
import type { Actor, Reads, Store } from '@freehold/store'
import { newestRevision } from '../rollouts/index.ts'
import { findImage } from './image.ts'
import { rollOut, type ServiceRules } from './service.ts'

const actor: Actor = { type: 'system', id: 'deploy-on-push', name: 'deploy on push' }
const pageSize = 500

export interface PushReconciler {
  /**
   * Deploys every service whose tag means another digest than its newest revision. After the first pass only services
   * and images that changed are looked at. Takes no input: what a crash left undone is seen again by the next pass.
   */
  run(signal: AbortSignal): Promise<void>
}

export function createPushReconciler({ store, rules }: { store: Store; rules: ServiceRules }): PushReconciler {
  let seenVersion: number | null = null

  const all = async (signal: AbortSignal): Promise<void> => {
    const version = await store.version()
    let cursor: string | null = null
    do {
      const page: { items: Service[]; nextCursor: string | null } = await store.list(serviceKind, {
        limit: pageSize,
        ...(cursor === null ? {} : { cursor }),
      })
      for (const service of page.items) await deployIfPushed(service)
      cursor = page.nextCursor
    } while (cursor !== null && !signal.aborted)
    if (!signal.aborted) seenVersion = version
  }

  const changed = async (since: number, signal: AbortSignal): Promise<void> => {
    const changes = await store.changes(since, { kinds: ['image', 'service'], limit: pageSize })
    const images = new Set<string>()
    const services = new Set<string>()
    for (const change of changes) {
      if (change.operation === 'delete') continue
      if (change.kind === 'image') images.add(change.id)
      else if (change.operation !== 'status') services.add(change.id)
    }
    for (const imageId of images) {
      for (const service of await store.all(serviceKind, { where: { imageId } })) services.add(service.id)
    }
    for (const id of services) {
      const service = await store.get(serviceKind, id)
      if (service !== undefined) await deployIfPushed(service)
    }
    seenVersion = changes.at(-1)?.version ?? since
    if (changes.length === pageSize && !signal.aborted) await changed(seenVersion, signal)
  }

  const deployIfPushed = async (found: Service): Promise<void> => {
    if (!(await isPushed(store, found, rules))) return
    await store.transaction(actor, async (transaction) => {
      const service = await transaction.get(serviceKind, found.id)
      if (service === undefined || !(await isPushed(transaction, service, rules))) return
      await rollOut(transaction, { service, trigger: 'push' }, rules)
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

async function isPushed(reads: Reads, service: Service, rules: ServiceRules): Promise<boolean> {
  const { imageId, imageVersion, deployOnPush } = service.data
  if (!deployOnPush || imageId === undefined) return false
  const image: Image | undefined = await reads.get(imageKind, imageId)
  if (image === undefined || !image.data.location.internal) return false
  const found = await findImage(reads, { image, imageVersion, registryHost: rules.registryHost() })
  if (found === null) return false
  const newest = await newestRevision(reads, service.id)
  return newest?.data.imageDigest !== found.digest
}
