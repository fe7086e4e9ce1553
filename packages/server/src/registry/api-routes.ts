import { imageKind, type Retention } from '@freehold/contracts'
import type { Store } from '@freehold/store'
import type { Handlers } from '../http/handler.ts'
import { getResource } from '../http/resources.ts'
import { findUsage } from '../images/index.ts'
import type { Registry } from './registry.ts'
import type { Retainer } from './retention.ts'

/** Retention of one image now by the API ends after this; the regular pass goes on where it stopped. */
const applyLimitMs = 60_000

/** What the registry as a whole tells, and its garbage collection. `wake` begins a pass soon. */
export function createRegistryHandlers(options: {
  store: Store
  registry: Pick<Registry, 'storage' | 'garbageProgress' | 'previewGarbage'>
  garbage: { graceMs: number; periodMs: number; wake: () => void }
  quotaBytes: number | null
  defaultRetention: Retention | null
}): Handlers<'registry'> {
  const { store, registry, garbage, quotaBytes, defaultRetention } = options
  const { graceMs, periodMs } = garbage
  const status = () => ({ ...registry.garbageProgress(), graceMs, periodMs })
  return {
    storage: async () => {
      const usedBytes = (await findUsage(store, null))?.status.usedBytes ?? 0
      return { usedBytes, quotaBytes, ...registry.storage(), defaultRetention }
    },
    garbage: async () => status(),
    previewGarbage: () => registry.previewGarbage({ graceMs }),
    collectGarbage: async () => {
      garbage.wake()
      return status()
    },
  }
}

/** Retention of one image: what it would remove, and doing so now. */
export function createRetentionHandlers({
  store,
  retainer,
}: {
  store: Store
  retainer: Retainer
}): Pick<Handlers<'images'>, 'previewRetention' | 'applyRetention'> {
  return {
    previewRetention: async ({ params, body: { retention } }) =>
      retainer.preview(await getResource(store, imageKind, params.id), retention),
    applyRetention: async ({ params }) =>
      retainer.apply(await getResource(store, imageKind, params.id), AbortSignal.timeout(applyLimitMs)),
  }
}
