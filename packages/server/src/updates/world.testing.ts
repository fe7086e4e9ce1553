import { createHash } from 'node:crypto'
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createFileBlobs } from '@freehold/blobs'
import {
  FreeholdError,
  kinds,
  type SignedMetadata,
  type UpdateRole,
  type UpdatesState,
  updateTargetKind,
} from '@freehold/contracts'
import { systemClock, systemRandom } from '@freehold/reconcile'
import { openSqliteStore, type Store } from '@freehold/store'
import { pino } from 'pino'
import { Updater } from 'tuf-js'
import type { Input } from '../http/handler.ts'
import { createSealer, Secret } from '../secrets/index.ts'
import { createUpdatesNoun, type ReleaseFile, type UpdatesNoun } from './index.ts'

/** For tests: a repository with a store and a port of its own, and independent clients (tuf-js) that read it. */

const actor = { type: 'system', id: 'test', name: 'test' } as const
export const day = 86_400_000
const caller = { identity: null, actor }

/** What lies between server and client: given the path and the true answer, it may give another. */
export type Middleman = (path: string, text: () => Promise<string | null>) => Promise<string | null>
const honest: Middleman = (_path, text) => text()

export async function startWorld(options: { openStore?: () => Promise<Store>; log?: (line: string) => void } = {}) {
  const directory = await mkdtemp(join(tmpdir(), 'freehold-updates-'))
  const openStore =
    options.openStore ?? (() => openSqliteStore({ directory: join(directory, 'store'), kinds: Object.values(kinds) }))
  const blobs = await createFileBlobs({ directory: join(directory, 'blobs') })
  let sealer = createSealer(new Secret(Buffer.alloc(32, 7)))
  const published: string[] = []
  let store = await openStore()
  let noun = makeNoun()
  const server = createServer((request, response) => {
    noun.mount
      .handle(request, response, { client: { address: '', userAgent: '' }, requestId: 'test' })
      .catch((error: unknown) => response.destroy(error as Error))
  })
  const url = await listen(server)
  const get = (path: string) => fetch(`${url}/updates/${path}`, { headers: { authorization: `Bearer ${goodToken}` } })
  let proxy = honest
  const middle = createServer((request, response) => {
    const text = async () => {
      const answer = await get((request.url ?? '').replace(/^\/updates\//, ''))
      return answer.ok ? Buffer.from(await answer.arrayBuffer()).toString('latin1') : null
    }
    proxy(request.url ?? '', text).then(
      (body) => (body === null ? response.writeHead(404).end() : response.end(Buffer.from(body, 'latin1'))),
      (error: unknown) => response.destroy(error as Error),
    )
  })
  const proxyUrl = await listen(middle)
  let clients = 0

  function makeNoun(): UpdatesNoun {
    return createUpdatesNoun({
      store,
      blobs,
      sealer,
      clock: systemClock,
      random: systemRandom,
      log: pino({ level: 'trace' }, { write: (line: string) => options.log?.(line) }),
      authenticateDevice: async (token) => (token === goodToken ? 'good' : null),
      async releasesOf() {
        const all = (await store.all(updateTargetKind)).map(({ data }) => data.releaseId)
        return new Set(all.filter((id) => id !== null && !world.withheld.has(id)) as string[])
      },
      authenticate: async () => {
        throw new FreeholdError('unauthenticated')
      },
      onPublished: async (_transaction, releaseIds) => void published.push(...releaseIds),
    })
  }

  const world = {
    directory,
    url,
    proxyUrl,
    blobs,
    published,
    /** Releases that the device with the good token may not have; it may have all others. */
    withheld: new Set<string>(),
    store: () => store,
    noun: () => noun,
    intercept(next: Middleman): void {
      proxy = next
    },
    /** What a process does that has just started. */
    async pass(): Promise<void> {
      noun = makeNoun()
      await noun.prepare()
      noun.start()
      await noun.stop()
      noun = makeNoun()
    },
    /** The server has another secret from now on. */
    loseSecret(): void {
      sealer = createSealer(new Secret(Buffer.alloc(32, 8)))
      noun = makeNoun()
    },
    /** Lets somebody else have the store meanwhile. */
    async away<T>(work: () => Promise<T>): Promise<T> {
      await store.close()
      try {
        return await work()
      } finally {
        store = await openStore()
        noun = makeNoun()
      }
    },
    /** Copies the store; `restoreBackup` begins with that copy again. */
    async backUp(): Promise<void> {
      await world.away(() => cp(join(directory, 'store'), join(directory, 'backup'), { recursive: true }))
    },
    async restoreBackup(): Promise<void> {
      await world.away(async () => {
        await rm(join(directory, 'store'), { recursive: true })
        await cp(join(directory, 'backup'), join(directory, 'store'), { recursive: true })
      })
    },
    state: (): Promise<UpdatesState> => noun.handlers.updates.get({} as Input<never>) as Promise<UpdatesState>,
    root: () => noun.handlers.updates.root({} as Input<never>) as Promise<SignedMetadata>,
    draft: () => noun.handlers.updates.draftTargets({} as Input<never>) as Promise<SignedMetadata>,
    publishRoot: (body: SignedMetadata) =>
      noun.handlers.updates.publishRoot({ body, caller } as unknown as Input<never>),
    publishTargets: (body: SignedMetadata) =>
      noun.handlers.updates.publishTargets({ body, caller } as unknown as Input<never>),
    rotate: (role: UpdateRole | 'assignment') =>
      noun.handlers.updates.rotateKey({ params: { role }, caller } as unknown as Input<never>) as Promise<{
        keyid: string
        publicKey: string
        isPublished: boolean
      }>,
    dropRootKey: () => noun.handlers.updates.dropRootKey({ caller } as unknown as Input<never>),
    release: (releaseId: string, files: readonly ReleaseFile[]) =>
      store.transaction(actor, (transaction) => noun.publish(transaction, { releaseId, files })),
    withdraw: (releaseId: string) => store.transaction(actor, (transaction) => noun.withdraw(transaction, releaseId)),
    /** What lies below `/updates/`, as the device with the good token. */
    get,
    /** A device that trusts this root from now on; it reads through the proxy. */
    async client(root?: string): Promise<TestClient> {
      clients += 1
      const trusted = root ?? (await (await fetch(`${url}/updates/metadata/1.root.json`)).text())
      return createClient({ directory: join(directory, `client-${clients}`), url: proxyUrl, root: trusted })
    },
    async close(): Promise<void> {
      await noun.stop()
      for (const each of [server, middle]) {
        each.closeAllConnections()
        await new Promise((resolve) => each.close(resolve))
      }
      await store.close()
      await rm(directory, { recursive: true, force: true })
    },
  }
  return world
}
export type World = Awaited<ReturnType<typeof startWorld>>

export const goodToken = `fhn_${'a'.repeat(43)}`

export interface TestClient {
  /** Refreshes, and reads a target's text. Throws where anything is not right. */
  read(path: string): Promise<string>
}

async function createClient(options: { directory: string; url: string; root: string }): Promise<TestClient> {
  const { directory, url, root } = options
  const targetDir = join(directory, 'targets')
  await mkdir(targetDir, { recursive: true })
  await writeFile(join(directory, 'root.json'), root)
  return {
    async read(path) {
      // A new one each time, as a process that has only its files: what was trusted is on its disk.
      const updater = new Updater({
        metadataDir: directory,
        metadataBaseUrl: `${url}/updates/metadata`,
        targetDir,
        targetBaseUrl: `${url}/updates`,
        config: { fetchRetry: 0 },
      })
      await updater.refresh()
      const target = await updater.getTargetInfo(path)
      if (target === undefined) throw new Error(`${path} is no target`)
      const file = join(targetDir, createHash('sha256').update(path).digest('hex'))
      await rm(file, { force: true })
      await updater.downloadTarget(target, file)
      return readFile(file, 'latin1')
    },
  }
}

async function listen(server: Server): Promise<string> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

/** A file of a host release, such as `baseos/generic-amd64/1.0.0/manifest.json`. */
export function textFile(path: string, text = `{"of":"${path}"}`): ReleaseFile {
  const sha256 = createHash('sha256').update(text).digest('hex')
  return { path, text, sha256, sizeBytes: Buffer.byteLength(text) }
}

let releases = 0
/** An id, as releases have them. */
export function newReleaseId(): string {
  releases += 1
  return `01920000-0000-7000-8000-${String(releases).padStart(12, '0')}`
}
