/** Builds of one control plane on a store that can be closed and opened again, with real requests over loopback. */
import { randomUUID } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type BlobStore, createFileBlobs } from '@freehold/blobs'
import {
  type BaseImage,
  type Build,
  baseImageInput,
  baseImageKind,
  buildInput,
  buildKind,
  FreeholdError,
  joinTokenKind,
  kinds,
} from '@freehold/contracts'
import { type Clock, systemClock, systemRandom } from '@freehold/reconcile'
import { openSqliteStore, type Store } from '@freehold/store'
import { pino } from 'pino'
import type { z } from 'zod'
import { mapError } from '../http/errors.ts'
import { sendError } from '../http/response.ts'
import { Secret } from '../secrets/index.ts'
import { createRuntimeSettings } from '../settings/index.ts'
import type { BytesGuard } from './bytes.ts'
import { type BuildsNoun, createBuildsNoun, type LocalWorker, type S3ForWorkers } from './index.ts'
import type { BuildLogLine } from './logs.ts'
import type { createWorkerClient } from './worker-client.ts'

export const actor = { type: 'user', id: 'ada', name: 'ada' } as const
export const sshKey = `ssh-ed25519 ${Buffer.concat([Buffer.from([0, 0, 0, 11]), Buffer.from('ssh-ed25519'), Buffer.from([0, 0, 0, 32]), Buffer.alloc(32, 7)]).toString('base64')} ada@example.com`
export const passphrase = 'correct "horse" battery'
const userToken = 'fht_user'

export interface WorldOptions {
  clock?: Clock
  s3?: S3ForWorkers | null
  localWorker?: LocalWorker | null
  connect?: typeof createWorkerClient
  /** Fails where the archive of the device agent cannot be packed. */
  packAgent?: () => Promise<void>
  /** Of the garbage collection that is tested with it; without it nobody removes anything meanwhile. */
  guard?: (parts: { store: Store; blobs: BlobStore }) => BytesGuard
}

export async function createBuildsWorld(options: WorldOptions = {}) {
  const directory = await mkdtemp(join(tmpdir(), 'freehold-builds-'))
  let shiftMs = 0
  const clock: Clock = options.clock ?? { ...systemClock, now: () => Date.now() + shiftMs }
  const logged: string[] = []
  const log = pino({ level: 'debug' }, { write: (line: string) => logged.push(line) })
  const key = new Secret(Buffer.alloc(32, 3))
  let store: Store
  let blobs: BlobStore
  let noun: BuildsNoun
  let settings: ReturnType<typeof createRuntimeSettings>

  const server = createServer((request, response) => {
    const mount = noun.mounts.find(({ prefix }) => request.url?.startsWith(`${prefix}/`))
    mount
      ?.handle(request, response, { client: { address: '', userAgent: '' }, requestId: randomUUID() })
      .catch((error: unknown) => sendError(response, mapError(error, 'test')))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`

  async function open(): Promise<void> {
    store = await openSqliteStore({ directory, kinds: Object.values(kinds), factFlushMs: 200 })
    blobs = await createFileBlobs({ directory: join(directory, 'blobs') })
    settings = createRuntimeSettings({ store, key })
    noun = createBuildsNoun({
      store,
      blobs,
      guard: options.guard?.({ store, blobs }) ?? {
        hold: (_, work) => work(),
        async removeUnneeded(digest) {
          const named = [buildKind, baseImageKind].map((kind) => store.count(kind, { where: { blob: digest } }))
          if ((await Promise.all(named)).every((count) => count === 0)) await blobs.delete(digest)
        },
      },
      s3: options.s3 ?? null,
      settings,
      secret: { deriveKey: () => key },
      authenticate: async (request) => {
        if (request.headers.authorization !== `Bearer ${userToken}`) throw new FreeholdError('unauthenticated')
        const identity = {
          subject: 'user' as const,
          userId: 'ada',
          name: 'ada',
          role: 'user' as const,
          expiresAt: null,
        }
        return { caller: { identity, actor } as never, byCookie: false }
      },
      localWorker: options.localWorker ?? null,
      agentArchive: async (architecture) => {
        await options.packAgent?.()
        return { url: `${url}/agent-${architecture}`, sha256: 'a'.repeat(64) }
      },
      publicUrl: () => url,
      localUrl: () => url.replace('127.0.0.1', 'localhost'),
      cleanupPeriodMs: 3_600_000,
      clock,
      random: systemRandom,
      log,
      ...(options.connect === undefined ? {} : { connect: options.connect }),
    })
  }
  await open()

  // biome-ignore lint/suspicious/noExplicitAny: handlers of every shape are called as the door does.
  const call = (handler: any, input: object = {}): Promise<any> =>
    handler({
      params: {},
      query: { limit: 500 },
      body: {},
      caller: { identity: null, actor },
      client: { address: '', userAgent: '' },
      signal: new AbortController().signal,
      setHeader: () => {},
      ...input,
    })

  const world = {
    url,
    clock,
    logged,
    userToken,
    get store() {
      return store
    },
    get blobs() {
      return blobs
    },
    get noun() {
      return noun
    },
    /** Time goes by at once. */
    pass(durationMs: number): void {
      shiftMs += durationMs
    },
    async workers(entries: readonly (object | string)[]): Promise<void> {
      await call(settings.handlers.update, { body: { corebuildWorkersJson: JSON.stringify(entries) } })
      noun.settingsChanged()
    },
    create: (data: Partial<z.input<typeof buildInput>> = {}): Promise<Build> =>
      call(noun.handlers.builds.create, {
        body: { data: buildInput.parse({ imageKind: 'ubuntu-iso', architecture: 'amd64', ...data }) },
      }),
    createBase: (data: Partial<z.input<typeof baseImageInput>> = {}): Promise<BaseImage> =>
      call(noun.handlers.baseImages.create, {
        body: { data: baseImageInput.parse({ name: 'base', imageKind: 'ubuntu-iso', architecture: 'amd64', ...data }) },
      }),
    cancel: (id: string): Promise<Build> => call(noun.handlers.builds.cancel, { params: { id } }),
    remove: (id: string) => call(noun.handlers.builds.delete, { params: { id } }),
    removeBase: (id: string) => call(noun.handlers.baseImages.delete, { params: { id } }),
    download: (id: string): Promise<{ url: string; sha256: string; filename: string; sizeBytes: number }> =>
      call(noun.handlers.builds.download, { params: { id }, body: { expiresInSeconds: 900 } }),
    async log(id: string, follow = false): Promise<BuildLogLine[]> {
      const lines: BuildLogLine[] = []
      for await (const line of await call(noun.handlers.builds.log, { params: { id }, query: { follow } }))
        lines.push(line)
      return lines
    },
    async listWorkers() {
      return (await call(noun.handlers.buildWorkers.list)).items
    },
    async read(id: string): Promise<Build> {
      const build = await store.get(buildKind, id)
      if (build === undefined) throw new Error(`There is no build ${id}.`)
      return build
    },
    token: async (build: Build) => (await store.get(joinTokenKind, build.data.joinTokenId))?.data.revoked,
    /** Waits until the build is in this state. */
    async until(id: string, state: Build['status']['state']): Promise<Build> {
      for (;;) {
        const build = await world.read(id)
        if (build.status.state === state) return build
        if (build.status.endedAt !== null) throw new Error(`It is ${build.status.state}: ${build.status.message}`)
        await new Promise((resolve) => setTimeout(resolve, 20))
      }
    },
    start: () => noun.start(),
    /** Ends the process in good order, or as by a kill, and begins another one on what is on disk. */
    async restart({ kill }: { kill: boolean }): Promise<void> {
      // A killed process writes nothing any more: what it has under way fails on the closed store.
      if (kill) await store.close()
      await noun.stop()
      if (!kill) await store.close()
      await open()
      noun.start()
    },
    /** Everything that anybody could read anywhere, but for the sealed rows. */
    async everythingSaid(): Promise<string> {
      const audit = await store.audit({ limit: 500 })
      const builds = await store.all(buildKind)
      const logs = await Promise.all(builds.map(({ id }) => world.log(id)))
      const answers = await Promise.all(builds.map(({ id }) => call(noun.handlers.builds.get, { params: { id } })))
      return JSON.stringify([logged, audit, await store.changes(0), logs, answers, await world.listWorkers()])
    },
    async close(): Promise<void> {
      await noun.stop()
      await store.close()
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
      await rm(directory, { recursive: true, force: true })
    },
  }
  return world
}
export type BuildsWorld = Awaited<ReturnType<typeof createBuildsWorld>>
