import type { BlobStore } from '@freehold/blobs'
import type { Store } from '@freehold/store'
import type { Upstreams } from '../external-registries/index.ts'
import type { Damage } from './damage.ts'
import type { DigestGuard } from './digest-guard.ts'
import type { Endpoint } from './endpoint.ts'
import { RegistryError } from './errors.ts'
import type { Exchange } from './exchange.ts'
import type { ManifestBytes } from './manifest-bytes.ts'
import { createMirrorBlobs } from './mirror-blobs.ts'
import { createMirrorManifests, defaultRevalidateMs } from './mirror-manifests.ts'
import type { MirrorSource, Mirrors } from './mirrors.ts'
import type { Quota } from './quota.ts'

/** Repositories that are filled on demand from a registry elsewhere. */
export interface Mirror {
  /**
   * Does what a mirror does besides before a request is answered: refuses pushes, brings the manifest here. True where
   * it has answered by itself, with a blob on its way here.
   */
  answers(exchange: Exchange, endpoint: Endpoint): Promise<boolean>
  /** Asks what a tag means now, as a pull would. Throws `RegistryError`; nothing for what is no mirror. */
  refreshTag(repository: string, tag: string): Promise<void>
}

export function createMirror(options: {
  store: Store
  blobs: BlobStore
  bytes: ManifestBytes
  damage: Pick<Damage, 'find'>
  guard: DigestGuard
  quota: Quota
  mirrors: Mirrors
  upstreams?: Upstreams
  mirrorRevalidateMs?: number
  log: { warn(fields: object, message: string): void }
  now: () => number
  idleTimeoutMs: number
}): Mirror {
  const { store, upstreams, mirrors, log, mirrorRevalidateMs: revalidateMs = defaultRevalidateMs } = options
  const clientOf = async ({ externalRegistryId }: MirrorSource) => {
    if (upstreams === undefined) throw new RegistryError('unavailable', 'This registry fetches nothing from others.')
    return upstreams.of(store, externalRegistryId)
  }
  const manifests = createMirrorManifests({ ...options, mirrors, clientOf, revalidateMs })
  const blobs = createMirrorBlobs({
    ...options,
    mirrors,
    clientOf,
    onProblem: (error, target) => log.warn({ err: error, ...target }, 'a blob of a mirror did not arrive whole'),
  })

  return {
    async answers(exchange, endpoint) {
      const method = exchange.request.method ?? ''
      const isRead = method === 'GET' || method === 'HEAD'
      if (endpoint.kind === 'uploads' || endpoint.kind === 'upload') await mirrors.refusePush(endpoint.repository)
      if (endpoint.kind === 'manifest') {
        if (method === 'PUT') await mirrors.refusePush(endpoint.repository)
        else if (isRead) await manifests.prepare(endpoint.repository, endpoint.reference)
      }
      return endpoint.kind === 'blob' && isRead ? blobs.serve(exchange, endpoint) : false
    },
    refreshTag: (repository, tag) => manifests.prepare(repository, { kind: 'tag', tag }),
  }
}
