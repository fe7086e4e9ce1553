import { mkdir } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { FreeholdError } from '@freehold/contracts'
import type { Logger } from 'pino'
import { createChangesNoun, createFeed } from './changes/index.ts'
import { type Config, publicUrlOf } from './config/index.ts'
import { implement } from './http/api.ts'
import { createClientReader } from './http/client-address.ts'
import { createDoor } from './http/door.ts'
import type { AllHandlers } from './http/handler.ts'
import { createMetrics } from './http/metrics.ts'
import { metricsMount } from './http/metrics-mount.ts'
import { createPages, serverVersion } from './http/pages.ts'
import { createIdentityNoun } from './identity/index.ts'
import { openStore } from './open-store.ts'
import { openServerSecret } from './secrets/index.ts'
import { createStatusNoun } from './status/index.ts'

const hourMs = 3_600_000
const closeLimitMs = 10_000
const dashboardDirectory = fileURLToPath(new URL('../../dashboard/dist', import.meta.url))

export interface RunningServer {
  /** Where people and agents reach it. */
  url: string
  port: number
  version: string
  /** The one-time link, while there is no administrator. */
  setupLink: string | null
  /** Stops accepting, ends streams, lets what is under way finish for ten seconds, closes the store. */
  close(): Promise<void>
}

/** The control plane, put together and running. Throws with a sentence where it cannot start, leaving nothing behind. */
export async function createServer(
  config: Config,
  options: { log: Logger; say: (sentence: string) => void },
): Promise<RunningServer> {
  await using starting = new AsyncDisposableStack()
  const { log } = options
  const version = serverVersion()
  const startedAt = new Date().toISOString()
  const secure = config.sslMode === 'external'
  let port = config.port
  let isServing = false

  await makeDirectory(config.dataDirectory)
  const store = await openStore(config, log)
  starting.defer(() => store.close())
  const secret = await openServerSecret(config)
  const feed = await createFeed({
    store,
    onError: (error) => log.warn({ err: error }, 'reading the change feed failed'),
  })
  starting.defer(() => feed.close())

  const identity = createIdentityNoun({ store, secret, secure })
  await feed.onKinds(['user', 'session', 'token'], identity.invalidate)
  starting.defer(every(hourMs, () => identity.sweep(), log))
  if (config.adminAccount !== undefined) await identity.bootstrap(config.adminAccount)

  const changes = createChangesNoun({ store, feed })
  const status = createStatusNoun({
    store,
    version,
    startedAt,
    publicUrl: () => publicUrlOf(config, port),
    isServing: () => isServing,
  })
  const handlers: Partial<AllHandlers> = { ...status.handlers, ...changes.handlers, ...identity.handlers }

  const metrics = createMetrics()
  const door = createDoor({
    api: implement({ handlers, authenticate: identity.authenticate, log }),
    pages: createPages({ dashboardDirectory, version }),
    raw: [metricsMount({ metrics, authenticate: identity.authenticate })],
    upgrades: [],
    clientOf: createClientReader(config.trustedProxies),
    metrics,
    log,
    secure,
  })
  port = await door.listen({ host: config.bind, port: config.port })
  starting.defer(() => door.close(closeLimitMs))
  isServing = true
  starting.defer(() => {
    isServing = false
  })

  const url = publicUrlOf(config, port)
  const setupLink = (await identity.setup.needed()) ? identity.setup.link(url) : null
  const running = starting.move()
  return { url, port, version, setupLink, close: () => running.disposeAsync() }
}

async function makeDirectory(path: string): Promise<void> {
  try {
    await mkdir(path, { recursive: true, mode: 0o700 })
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause)
    throw new FreeholdError('storage-unwritable', `The data directory ${path} cannot be made: ${reason}.`, { cause })
  }
}

/** Does something now and then; returns the way to stop it. */
function every(periodMs: number, work: () => Promise<unknown>, log: Logger): () => void {
  const timer = setInterval(() => {
    work().catch((error: unknown) => log.warn({ err: error }, 'housekeeping failed'))
  }, periodMs)
  timer.unref()
  return () => clearInterval(timer)
}
