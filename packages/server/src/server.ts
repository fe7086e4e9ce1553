import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { FreeholdError } from '@freehold/contracts'
import type { Store } from '@freehold/store'
import type { Logger } from 'pino'
import { createFeed } from './changes/index.ts'
import { type Config, publicUrlOf, retentionOf } from './config/index.ts'
import { createDeviceAgentArchive } from './device-agent-archive/index.ts'
import { implement } from './http/api.ts'
import { createClientReader } from './http/client-address.ts'
import { createDoor } from './http/door.ts'
import { createMetrics } from './http/metrics.ts'
import { metricsMount } from './http/metrics-mount.ts'
import { createPages, serverVersion } from './http/pages.ts'
import { createIdentityNoun } from './identity/index.ts'
import { createLocalAgent, createLocalEnrolment } from './local-agent/index.ts'
import { createLocalBuildWorker, type LocalBuildWorker } from './local-build-worker/index.ts'
import { createNouns } from './nouns.ts'
import { openBlobs } from './open-blobs.ts'
import { openStore } from './open-store.ts'
import { checkServerSecret, openServerSecret } from './secrets/index.ts'

const hourMs = 3_600_000
const closeLimitMs = 10_000
const dashboardDirectory = fileURLToPath(new URL('../../dashboard/dist', import.meta.url))
const installation = fileURLToPath(new URL('../../..', import.meta.url))
const agentEntry = fileURLToPath(new URL('../../cluster-agent/src/main.ts', import.meta.url))
const buildWorkerEntry = fileURLToPath(new URL('../../build-worker/src/main.ts', import.meta.url))

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

export interface ServerOptions {
  log: Logger
  /** A sentence for the person at the terminal. */
  say: (sentence: string) => void
  /** A line of the log of the local agent, or of the local build worker. */
  passOn: (line: string) => void
}

/**
 * The control plane, put together and running: store, identity, nouns, door, background jobs, local agent. It ends in
 * the reverse order. Throws with a sentence where it cannot start, leaving nothing behind.
 */
export async function createServer(config: Config, options: ServerOptions): Promise<RunningServer> {
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
  await checkServerSecret({ store, secret, acceptNew: config.acceptNewSecret, log })
  const blobs = await openBlobs(config, { secret, log })
  starting.defer(() => blobs.close())
  const feed = await createFeed({
    store,
    onError: (error) => log.warn({ err: error }, 'reading the change feed failed'),
  })
  starting.defer(() => feed.close())

  const identity = createIdentityNoun({ store, secret, secure })
  await feed.onKinds(['user', 'session', 'token'], identity.invalidate)
  if (config.adminAccount !== undefined) await identity.bootstrap(config.adminAccount)

  const deviceAgentArchive = createDeviceAgentArchive({
    installation,
    cacheFolder: join(config.dataDirectory, 'device-agent'),
    publicUrl: () => publicUrlOf(config, port),
    log,
  })
  starting.defer(() => deviceAgentArchive.close())
  const localBuildWorker = config.localBuildWorker ? createBuildWorker(config, options) : null
  starting.defer(() => localBuildWorker?.stop())

  const nouns = await createNouns({
    store,
    feed,
    identity,
    secret,
    blobs: blobs.store,
    registryGarbage: { graceMs: config.registryGarbageGraceMs, periodMs: config.registryGarbagePeriodMs },
    registryScrub: { bytesPerSecond: config.registryScrubBytesPerSecond, periodMs: config.registryScrubPeriodMs },
    registryQuotaBytes: config.registryQuotaBytes ?? null,
    registryRetention: retentionOf(config),
    imageCleanupPeriodMs: config.imageCleanupPeriodMs,
    s3ForWorkers: blobs.s3ForWorkers,
    version,
    startedAt,
    localBuildWorker,
    agentArchive: deviceAgentArchive.archiveFor,
    publicUrl: () => publicUrlOf(config, port),
    localUrl: () => localUrlOf(config, port),
    isServing: () => isServing,
    log,
  })
  starting.defer(() => nouns.stop())

  const metrics = createMetrics(nouns)
  const door = createDoor({
    api: implement({
      handlers: nouns.handlers,
      authenticate: identity.authenticate,
      onRightsChange: identity.onRightsChange,
      log,
    }),
    pages: createPages({ dashboardDirectory, version }),
    raw: [...nouns.raw, deviceAgentArchive.mount, metricsMount({ metrics, authenticate: identity.authenticate })],
    frequent: nouns.frequent,
    upgrades: nouns.upgrades,
    clientOf: createClientReader(config.trustedProxies),
    metrics,
    log,
    secure,
  })
  port = await door.listen({ host: config.bind, port: config.port })
  starting.defer(() => door.close(closeLimitMs))
  nouns.start()
  starting.defer(every(hourMs, nouns.sweep, log))
  if (config.localCluster) starting.defer(startLocalAgent({ config, port, store, ...options }))
  isServing = true
  starting.defer(() => {
    isServing = false
  })

  const url = publicUrlOf(config, port)
  const setupLink = (await identity.setup.needed()) ? identity.setup.link(url) : null
  const running = starting.move()
  return { url, port, version, setupLink, close: () => running.disposeAsync() }
}

/** Returns the way to stop it. */
function startLocalAgent(options: ServerOptions & { config: Config; port: number; store: Store }): () => Promise<void> {
  const { config, port, store } = options
  const agent = createLocalAgent({
    entry: agentEntry,
    dockerHost: config.dockerHost,
    controlPlaneUrl: localUrlOf(config, port),
    directory: join(config.dataDirectory, 'agent'),
    logLevel: config.logLevel,
    enrol: createLocalEnrolment({ store, now: Date.now }),
    say: options.say,
    passOn: options.passOn,
  })
  return () => agent.stop()
}

function createBuildWorker(config: Config, { log, passOn }: ServerOptions): LocalBuildWorker {
  return createLocalBuildWorker({
    entry: buildWorkerEntry,
    directory: join(config.dataDirectory, 'build-worker'),
    log,
    passOn,
  })
}

/** Where processes of this machine reach us, whatever stands in front of us for others. */
function localUrlOf({ bind }: Config, port: number): string {
  const everywhere = bind === '0.0.0.0' || bind === '::'
  return publicUrlOf({ bind: everywhere ? '127.0.0.1' : bind, hostname: undefined, sslMode: 'none' }, port)
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
