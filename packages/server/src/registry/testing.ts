/** A registry on a real port, store and disk, for tests; nothing of it runs in production. */
import { createHash } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { type BlobStore, createFileBlobs } from '@freehold/blobs'
import { kinds, type Role } from '@freehold/contracts'
import { openSqliteStore, type Store } from '@freehold/store'
import type { Upstreams } from '../external-registries/index.ts'
import type { RegistryUser } from './access.ts'
import { createRegistry, type Push, type Registry } from './registry.ts'

export const password = 'correct horse battery'

export interface TestRegistry {
  url: string
  /** Host and port, as clients name it. */
  host: string
  directory: string
  store: Store
  blobs: BlobStore
  registry: Registry
  pushes: Push[]
  errors: object[]
  warnings: object[]
  clock: { ms: number }
  /** By user name, what the device of that name may pull; no other name that begins with `device` is let in. */
  devices: Map<string, { repository: string; digest: string }[]>
  /** Sends a request as the user `admin`, or as `user` says; `null` sends no credentials. */
  send(method: string, path: string, options?: SendOptions): Promise<Response>
  connections(): Promise<number>
  closeIdle(): void
  /** How often the scrub was asked to run because bytes came out wrong. */
  suspected(): number
  /** Stops the server and closes the store; the directory stays. */
  stop(): Promise<void>
  remove(): Promise<void>
}

export interface SendOptions {
  body?: Uint8Array | string | ReadableStream<Uint8Array> | URLSearchParams
  headers?: Record<string, string>
  user?: string | null
}

export interface TestRegistryOptions {
  /** Of a registry that was stopped: started again on the same data. */
  directory?: string
  idleTimeoutMs?: number
  wrapBlobs?: (blobs: BlobStore) => BlobStore
  onPush?: (push: Push) => void | Promise<void>
  port?: number
  scrubBytesPerSecond?: number
  quotaBytes?: number
  /** Registries elsewhere, for mirrors and imports. */
  upstreams?: (now: () => number) => Upstreams
  mirrorRevalidateMs?: number
}

export async function startTestRegistry(options: TestRegistryOptions = {}): Promise<TestRegistry> {
  const directory = options.directory ?? (await mkdtemp(join(tmpdir(), 'registry-')))
  const store = await openSqliteStore({ directory, kinds: Object.values(kinds) })
  const fileBlobs = await createFileBlobs({ directory: join(directory, 'blobs') })
  const blobs = options.wrapBlobs?.(fileBlobs) ?? fileBlobs
  const pushes: Push[] = []
  const errors: object[] = []
  const warnings: object[] = []
  const clock = { ms: Date.now() }
  const devices: TestRegistry['devices'] = new Map()
  const userNamed = (username: string) => (devices.has(username) ? testDevice(devices, username) : testUser(username))
  let suspected = 0
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(options.port ?? 0, '127.0.0.1', resolve))
  const host = `127.0.0.1:${(server.address() as AddressInfo).port}`
  const url = `http://${host}`
  const registry = createRegistry({
    store,
    blobs,
    log: {
      debug: () => {},
      info: () => {},
      warn: (fields) => warnings.push(fields),
      error: (fields) => errors.push(fields),
    },
    keys: { tokens: 'a key of the tests', uploads: 'another key of the tests' },
    publicUrl: url,
    authenticateBasic: async (username, given) => (given === password ? userNamed(username) : null),
    authenticateBearer: async (token) => (token.startsWith('session-') ? testUser(token.slice(8)) : null),
    deviceAgain: async ({ deviceId }) => (devices.has(deviceId) ? testDevice(devices, deviceId) : null),
    onPush: options.onPush ?? ((push) => void pushes.push(push)),
    clock: { now: () => clock.ms, sleep: (delayMs, signal) => sleep(delayMs, undefined, { signal }) },
    scrub: { bytesPerSecond: options.scrubBytesPerSecond ?? 1024 ** 3, periodMs: 7 * 24 * 3_600_000 },
    onSuspect: () => {
      suspected += 1
    },
    ...(options.quotaBytes === undefined ? {} : { quotaBytes: options.quotaBytes }),
    ...(options.upstreams === undefined ? {} : { upstreams: options.upstreams(() => clock.ms) }),
    ...(options.mirrorRevalidateMs === undefined ? {} : { mirrorRevalidateMs: options.mirrorRevalidateMs }),
    ...(options.idleTimeoutMs === undefined ? {} : { idleTimeoutMs: options.idleTimeoutMs }),
  })
  server.on('request', (request, response) => {
    void registry.handle(request, response, { client: { address: '127.0.0.1', userAgent: '' } })
  })

  async function stop(): Promise<void> {
    server.closeAllConnections()
    await new Promise((resolve) => server.close(resolve))
    await store.close()
  }
  return {
    url,
    host,
    directory,
    store,
    blobs,
    registry,
    pushes,
    errors,
    warnings,
    clock,
    devices,
    stop,
    connections: () => promisify(server.getConnections.bind(server))(),
    suspected: () => suspected,
    closeIdle: () => server.closeIdleConnections(),
    send: (method, path, { body, headers = {}, user = 'admin' } = {}) =>
      fetch(new URL(path, url), {
        method,
        redirect: 'manual',
        headers: { ...(user === null ? {} : { authorization: basic(user) }), ...headers },
        ...(body === undefined ? {} : { body, duplex: 'half' }),
      } as RequestInit),
    async remove() {
      await stop()
      await rm(directory, { recursive: true, force: true })
    },
  }
}

/**
 * `admin`, `user`, `api` have the role of their name; `cluster-<x>` pulls only below `<x>/`, and `device` as
 * `cluster-baseos`; `api-brief` is a machine token that expires in a minute.
 */
export function testUser(username: string): RegistryUser | null {
  if (username === 'device') return testUser('cluster-baseos')
  const role = username.split('-')[0] as Role
  if (!['admin', 'user', 'api', 'cluster'].includes(role)) return null
  const scope = username.slice('cluster-'.length)
  return {
    identity: { role, expiresAt: username === 'api-brief' ? new Date(Date.now() + 60_000).toISOString() : null },
    actor: { type: role === 'cluster' ? 'agent' : 'user', id: username, name: username },
    mayPull: (repository) => role !== 'cluster' || repository.startsWith(`${scope}/`),
  }
}

/** A device as the door would let it in; what it may pull is read anew each time. */
function testDevice(devices: TestRegistry['devices'], username: string): RegistryUser {
  const digestsIn = async (repository: string) =>
    new Set(
      (devices.get(username) ?? []).filter((image) => image.repository === repository).map(({ digest }) => digest),
    )
  return {
    identity: { role: 'cluster', expiresAt: null },
    actor: { type: 'agent', id: username, name: username },
    mayPull: async (repository) => (await digestsIn(repository)).size > 0,
    device: { deviceId: username, credentialId: 'of the tests', digestsIn },
  }
}

export function basic(username: string): string {
  return `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`
}

export function sha256(content: Uint8Array | string): string {
  return `sha256:${createHash('sha256').update(content).digest('hex')}`
}

export function sha512(content: Uint8Array | string): string {
  return `sha512:${createHash('sha512').update(content).digest('hex')}`
}

/** Pushes a blob in one request and answers its descriptor. */
export async function pushBlob(
  { send }: TestRegistry,
  repository: string,
  content: Uint8Array | string,
  mediaType = 'application/vnd.oci.image.layer.v1.tar',
) {
  const body = Buffer.from(content)
  const digest = sha256(body)
  const response = await send('POST', `/v2/${repository}/blobs/uploads/?digest=${digest}`, { body })
  if (response.status !== 201) throw new Error(`The blob was refused: ${await response.text()}`)
  return { mediaType, digest, size: body.length }
}

export const ociManifest = 'application/vnd.oci.image.manifest.v1+json'
export const ociIndex = 'application/vnd.oci.image.index.v1+json'

/** Pushes config and layer and answers the manifest that names them, not pushed yet. */
export async function pushParts(registry: TestRegistry, repository: string, layer: string, extra: object = {}) {
  const config = await pushBlob(
    registry,
    repository,
    JSON.stringify({ os: 'linux', architecture: 'arm64', variant: 'v8', comment: layer }),
    'application/vnd.oci.image.config.v1+json',
  )
  const layers = [await pushBlob(registry, repository, layer)]
  return JSON.stringify({ schemaVersion: 2, mediaType: ociManifest, config, layers, ...extra })
}

export function putManifest(
  { send }: TestRegistry,
  repository: string,
  reference: string,
  body: string,
  mediaType = ociManifest,
) {
  return send('PUT', `/v2/${repository}/manifests/${reference}`, { body, headers: { 'content-type': mediaType } })
}

/** Pushes a whole small image and answers its digest. */
export async function pushImage(registry: TestRegistry, repository: string, tag: string, layer: string) {
  const manifest = await pushParts(registry, repository, layer)
  const response = await putManifest(registry, repository, tag, manifest)
  if (response.status !== 201) throw new Error(`The manifest was refused: ${await response.text()}`)
  return { digest: sha256(manifest), manifest }
}

/** The codes of a refusal's body. */
export async function codesOf(response: Response): Promise<string[]> {
  const body = (await response.json()) as { errors: { code: string }[] }
  return body.errors.map((error) => error.code)
}
