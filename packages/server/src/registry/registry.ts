import type { IncomingMessage, ServerResponse } from 'node:http'
import type { BlobStore } from '@freehold/blobs'
import { type GarbagePreview, type ImportProgress, repositorySchema } from '@freehold/contracts'
import type { Store } from '@freehold/store'
import type { Upstreams } from '../external-registries/index.ts'
import type { Client } from '../http/handler.ts'
import { type AuthenticateBasic, type AuthenticateBearer, createAccess, type DeviceAgain, type Need } from './access.ts'
import { type Artifact, createArtifactKeeper, type KeptArtifact } from './artifacts.ts'
import { createBlobRoutes } from './blob-routes.ts'
import { createDamage } from './damage.ts'
import { requireOfDevice } from './device-reads.ts'
import { createDigestGuard } from './digest-guard.ts'
import { type Endpoint, parseEndpoint } from './endpoint.ts'
import { RegistryError, toRegistryError } from './errors.ts'
import { type Exchange, isGone, sendJson, sendRefusal } from './exchange.ts'
import { type Collected, createGarbageCollector, type GarbageProgress, type StorageTotals } from './garbage.ts'
import { createGarbagePreview } from './garbage-preview.ts'
import { createImporter, type ImportRequest } from './import.ts'
import { createListRoutes } from './list-routes.ts'
import { createManifestBytes } from './manifest-bytes.ts'
import { createManifestRoutes, type Push } from './manifest-routes.ts'
import { createMirror, type Mirror } from './mirror.ts'
import { createMirrors } from './mirrors.ts'
import { isNeeded } from './needed.ts'
import { createQuota } from './quota.ts'
import { isPublic } from './repository.ts'
import { createScrub, type RegistryScrub } from './scrub.ts'
import { createSoundBlobs } from './sound-blobs.ts'
import { createTokenIssuer } from './token.ts'
import { createTokenEndpoint } from './token-endpoint.ts'
import { createUploadRoutes } from './upload-routes.ts'
import { createUploadSessions } from './upload-session.ts'

export type { Push } from './manifest-routes.ts'

/** The little of a logger that is used. */
export interface RegistryLog {
  debug(fields: object, message: string): void
  info(fields: object, message: string): void
  warn(fields: object, message: string): void
  error(fields: object, message: string): void
}

export interface RegistryOptions {
  store: Store
  blobs: BlobStore
  log: RegistryLog
  /** That sign tokens and name uploads: one for each, the same on every replica. */
  keys: { tokens: string | Uint8Array; uploads: string | Uint8Array }
  /** Under which clients reach this server, without a path: `https://freehold.example`. */
  publicUrl: string
  authenticateBasic: AuthenticateBasic
  authenticateBearer?: AuthenticateBearer
  /** Looks a device up again that has a token of the registry; absent: there are no devices. */
  deviceAgain?: DeviceAgain
  /**
   * Called once for each tag of a push, after it is durable. A hint to look at once, not a delivery: the image's
   * status carries the same, and whoever must not miss a push reads that.
   */
  onPush: (push: Push) => void | Promise<void>
  clock: { now(): number; sleep(delayMs: number, signal: AbortSignal): Promise<void> }
  /** How fast and how often all blobs are read anew. */
  scrub: { bytesPerSecond: number; periodMs: number }
  /** Bytes came out wrong: the scrub should run soon. */
  onSuspect?: () => void
  /** What all repositories together may hold, in bytes; default null, no limit. */
  quotaBytes?: number | null
  /** Registries elsewhere, for mirrors and imports; absent: there are none. */
  upstreams?: Upstreams
  /** How long a mirror trusts what a tag means; default a minute. */
  mirrorRevalidateMs?: number
  /** A client that sends or takes nothing for so long is gone; default 60 s. */
  idleTimeoutMs?: number
}

export interface Registry {
  /**
   * Serves one request below `/v2`. It takes Node's own request and response, because layers are large: bytes go from
   * the socket to the file and back without a web stream in between, with the sockets' own backpressure.
   * It answers every failure by itself and never throws. The server must not limit the time of a whole request.
   */
  handle(request: IncomingMessage, response: ServerResponse, context: { client: Client }): Promise<void>
  /** Copies an image from a registry elsewhere; see `import.ts`. */
  importImage(request: ImportRequest): AsyncIterable<ImportProgress>
  /** Keeps a file of the control plane's own as an artifact; see `artifacts.ts`. */
  keepArtifact(artifact: Artifact): Promise<KeptArtifact>
  /** Runs `work` while nobody removes the bytes of a digest; a row that needs them is written in it. */
  hold<T>(digest: string, work: () => Promise<T>): Promise<T>
  /** Removes the bytes of a digest now, unless something needs them or holds them; garbage collection has them then. */
  removeUnneeded(digest: string): Promise<void>
  /** Of a mirror: asks what a tag means now, as a pull would. */
  refreshTag: Mirror['refreshTag']
  /** Takes away links and bytes that nothing needs; see `garbage.ts`. One at a time. */
  collectGarbage(options: { graceMs: number; signal: AbortSignal }): Promise<Collected>
  /** What collecting garbage would take now; nothing is changed. */
  previewGarbage(options: { graceMs: number }): Promise<GarbagePreview>
  garbageProgress(): GarbageProgress
  /** What garbage collection knows of the disk. */
  storage(): StorageTotals
  /** Reads all blobs anew, bit by bit; see `scrub.ts`. */
  scrub: RegistryScrub
  /** Drops uploads that were left alone for `idleMs`, default a day. */
  sweepUploads(options?: { idleMs?: number }): Promise<{ removed: number; sizeBytes: number }>
}

const dayMs = 24 * 60 * 60 * 1000

export function createRegistry(options: RegistryOptions): Registry {
  const { store, blobs: stored, log, clock, idleTimeoutMs = 60_000 } = options
  const now = () => clock.now()
  const service = new URL(options.publicUrl).host
  const realm = new URL('/v2/token', options.publicUrl).href
  const issuer = createTokenIssuer({ key: options.keys.tokens, service })
  const access = createAccess({ ...options, issuer, realm, service, now })
  const token = createTokenEndpoint({
    access,
    issuer,
    realm,
    now,
    idleTimeoutMs,
    isPublic: (name) => isPublic(store, name),
  })
  const sessions = createUploadSessions({ key: options.keys.uploads })
  const damage = createDamage({ store, blobs: stored, log, now, onSuspect: options.onSuspect ?? (() => {}) })
  const blobs = createSoundBlobs(stored, damage)
  const bytes = createManifestBytes({ blobs, onDamage: damage.suspect })
  const guard = createDigestGuard()
  const quota = createQuota({ store, limits: { quotaBytes: options.quotaBytes ?? null } })
  const manifests = createManifestRoutes({
    store,
    blobs,
    bytes,
    damage,
    guard,
    quota,
    host: service,
    announce,
    now,
    idleTimeoutMs,
  })
  const blobRoutes = createBlobRoutes({ store, blobs, damage, idleTimeoutMs })
  const uploads = createUploadRoutes({ store, blobs, sessions, guard, quota, idleTimeoutMs })
  const mirrors = createMirrors({ store })
  const mirror = createMirror({ ...options, blobs, bytes, damage, guard, quota, mirrors, now, idleTimeoutMs })
  const importer = createImporter({ ...options, blobs, bytes, guard, quota, mirrors, announce, now })
  const keepArtifact = createArtifactKeeper({ store, blobs, bytes, guard, quota, now })
  const garbage = createGarbageCollector({ store, blobs: stored, guard, log, now })
  const previewGarbage = createGarbagePreview({ store, blobs: stored, now })
  const scrub = createScrub({ store, blobs: stored, damage, log, clock, ...options.scrub })
  const lists = createListRoutes({ store })

  function announce(push: Push): void {
    Promise.resolve(push)
      .then(options.onPush)
      .catch((error: unknown) => log.error({ err: error, repository: push.repository }, 'the push hook failed'))
  }

  async function serve(exchange: Omit<Exchange, 'visitor'>, endpoint: Endpoint): Promise<void> {
    if (endpoint.kind === 'token') return token(exchange)
    const needs = needsOf(exchange, endpoint)
    const visitor = await access.authenticate(exchange.request, exchange.client, [
      ...needs,
      ...wishesOf(exchange.query),
    ])
    await access.authorize(visitor, needs)
    if (visitor.digestsIn !== undefined) await requireOfDevice(store, visitor.digestsIn, endpoint)
    await dispatch({ ...exchange, visitor }, endpoint)
  }

  async function dispatch(exchange: Exchange, endpoint: Exclude<Endpoint, { kind: 'token' }>): Promise<void> {
    const { method } = exchange.request
    if (await mirror.answers(exchange, endpoint)) return
    switch (endpoint.kind) {
      case 'base':
        return sendJson(exchange, 200, {})
      case 'catalog':
        return lists.catalog(exchange)
      case 'tags':
        return lists.tags(exchange, endpoint.repository)
      case 'referrers':
        return lists.referrers(exchange, endpoint)
      case 'manifest':
        if (method === 'PUT') return manifests.put(exchange, endpoint)
        return method === 'DELETE' ? manifests.remove(exchange, endpoint) : manifests.get(exchange, endpoint)
      case 'blob':
        return method === 'DELETE' ? blobRoutes.remove(exchange, endpoint) : blobRoutes.get(exchange, endpoint)
      case 'uploads':
        return uploads.start(exchange, endpoint.repository)
      case 'upload':
        if (method === 'PATCH') return uploads.append(exchange, endpoint)
        if (method === 'PUT') return uploads.finish(exchange, endpoint)
        return method === 'DELETE' ? uploads.cancel(exchange, endpoint) : uploads.status(exchange, endpoint)
    }
  }

  async function handle(
    request: IncomingMessage,
    response: ServerResponse,
    { client }: { client: Client },
  ): Promise<void> {
    response.setHeader('docker-distribution-api-version', 'registry/2.0')
    try {
      const { path, query } = splitTarget(request.url ?? '/')
      await serve({ request, response, query, client }, parseEndpoint(request.method ?? 'GET', path))
    } catch (error) {
      await refuse(request, response, error)
    }
  }

  async function refuse(request: IncomingMessage, response: ServerResponse, error: unknown): Promise<void> {
    const context = { err: error, method: request.method, path: request.url?.split('?')[0]?.slice(0, 500) }
    if (isGone({ request, response }, error)) {
      log.debug(context, 'the client went away')
      response.destroy()
      return
    }
    const refusal = toRegistryError(error)
    if (refusal.status >= 500) log.error(context, 'the registry failed')
    if (response.headersSent) response.destroy()
    else await sendRefusal({ request, response }, refusal)
  }

  return {
    handle,
    importImage: importer.run,
    keepArtifact,
    hold: guard.hold,
    async removeUnneeded(digest) {
      await guard.removing(digest, async () => {
        if (!(await isNeeded(store, digest))) await stored.delete(digest)
      })
    },
    refreshTag: mirror.refreshTag,
    collectGarbage: garbage.collect,
    previewGarbage,
    garbageProgress: garbage.progress,
    storage: garbage.totals,
    scrub,
    sweepUploads: ({ idleMs = dayMs } = {}) => blobs.sweepUploads({ idleMs }),
  }
}

/** What the caller must be allowed to do; the challenge asks for a token of just that. */
function needsOf({ request }: Pick<Exchange, 'request'>, endpoint: Exclude<Endpoint, { kind: 'token' }>): Need[] {
  switch (endpoint.kind) {
    case 'base':
      return []
    case 'catalog':
      return [{ type: 'registry', name: 'catalog', actions: ['*'] }]
    case 'tags':
    case 'referrers':
      return [repository(endpoint.repository, 'pull')]
    case 'uploads':
    case 'upload':
      return [repository(endpoint.repository, 'pull', 'push')]
    case 'manifest':
    case 'blob':
      if (request.method === 'DELETE') return [repository(endpoint.repository, 'delete')]
      if (request.method === 'PUT') return [repository(endpoint.repository, 'pull', 'push')]
      return [repository(endpoint.repository, 'pull')]
  }
}

/** What a token should allow besides, though the request is served without: pulling from the source of a mount. */
function wishesOf(query: URLSearchParams): Need[] {
  const from = repositorySchema.safeParse(query.get('from'))
  return query.has('mount') && from.success ? [repository(from.data, 'pull')] : []
}

function repository(name: string, ...actions: string[]): Need {
  return { type: 'repository', name, actions }
}

/** The path as it was sent: nothing may be resolved away (`..`) before its names are parsed. */
function splitTarget(target: string): { path: string; query: URLSearchParams } {
  if (!target.startsWith('/')) throw new RegistryError('unsupported', 'The request must name a path.')
  const at = target.indexOf('?')
  if (at < 0) return { path: target, query: new URLSearchParams() }
  return { path: target.slice(0, at), query: new URLSearchParams(target.slice(at + 1)) }
}
