import type { BlobStore } from '@freehold/blobs'
import type { Retention } from '@freehold/contracts'
import { systemClock, systemRandom } from '@freehold/reconcile'
import type { Store } from '@freehold/store'
import type { Logger } from 'pino'
import { createJudge } from './admission/index.ts'
import { createAgentHub, createAgentUpgrade } from './agents/index.ts'
import {
  type AgentArchive,
  type BuildsNoun,
  createBuildsNoun,
  type LocalWorker,
  type S3ForWorkers,
} from './builds/index.ts'
import { createChangesNoun, type Feed } from './changes/index.ts'
import {
  createAgentHandlers,
  createClusterHandlers,
  createEnrolmentHandlers,
  createNodeHandlers,
  createPullCredentials,
} from './clusters/index.ts'
import { createTypedRequests } from './compat/index.ts'
import {
  createExternalRegistryHandlers,
  createPullBook,
  createTagLookup,
  createUpstreams,
} from './external-registries/index.ts'
import { createFleet } from './fleet.ts'
import type { AllHandlers } from './http/handler.ts'
import type { FrequentMount, RawMount, UpgradeMount } from './http/mounts.ts'
import type { IdentityNoun } from './identity/index.ts'
import { countStore, createImageHandlers } from './images/index.ts'
import { createLogHandlers } from './logs/index.ts'
import { createPlanHandlers } from './plan/index.ts'
import { createReconcilers, type Reconcilers } from './reconcilers/index.ts'
import {
  createImageContentHandlers,
  createRegistryContent,
  createRegistryHandlers,
  createRetainer,
  createRetentionHandlers,
  createScrubHandlers,
  type Registry,
  type RegistryScrub,
} from './registry/index.ts'
import { createRegistryMount } from './registry-mount.ts'
import { createRevisionHandlers, createRolloutHandlers } from './rollouts/index.ts'
import { createSealer, type ServerSecret } from './secrets/index.ts'
import { createServiceHandlers } from './services/index.ts'
import { createRuntimeSettings } from './settings/index.ts'
import { createStatusNoun } from './status/index.ts'

export interface Nouns {
  handlers: AllHandlers
  raw: RawMount[]
  frequent: FrequentMount[]
  upgrades: UpgradeMount[]
  /** Begins the background jobs. */
  start(): void
  /** Ends links and jobs. */
  stop(): Promise<void>
  /** What the registry keeps on its disk. */
  registryStorage: Registry['storage']
  /** What reading its blobs anew found. */
  registryScrubbed: RegistryScrub['totals']
  /** Image builds, since this process began. */
  builds: BuildsNoun['totals']
  /** Housekeeping for now and then. */
  sweep(): Promise<void>
}

export interface NounOptions {
  store: Store
  feed: Feed
  identity: IdentityNoun
  secret: ServerSecret
  blobs: BlobStore
  registryGarbage: { graceMs: number; periodMs: number }
  registryScrub: { bytesPerSecond: number; periodMs: number }
  /** What all repositories together may hold, in bytes; null: no limit. */
  registryQuotaBytes: number | null
  /** For images without rules of their own; null: everything stays. */
  registryRetention: Retention | null
  /** How often images of builds whose time is over are removed. */
  imageCleanupPeriodMs: number
  /** Where the blobs are in S3: how workers put images there. */
  s3ForWorkers: S3ForWorkers | null
  /** The build worker of this machine; null: it has none. */
  localBuildWorker: LocalWorker | null
  /** What `ubuntu-iso` images install. */
  agentArchive: AgentArchive
  version: string
  startedAt: string
  /** Known from the moment the port is taken. */
  publicUrl: () => string
  /** Where processes of this machine reach us. */
  localUrl: () => string
  isServing: () => boolean
  log: Logger
}

/** Every noun of the control plane, wired to what it needs. */
export async function createNouns(options: NounOptions): Promise<Nouns> {
  const { store, feed, blobs, identity, secret, version, startedAt, publicUrl, isServing, log } = options
  const now = () => systemClock.now()
  const registryHost = () => new URL(publicUrl()).host
  const sealer = createSealer(secret.deriveKey('external-registries'))
  const upstreams = createUpstreams({ sealer, now })

  const pull = createPullCredentials({ store, serverKey: secret.deriveKey('cluster-pull').reveal(), registryHost })
  const pullBook = createPullBook({
    upstreams,
    onProblem: ({ registryId, error }) =>
      log.warn({ err: error, registryId }, 'the password of an external registry cannot be read'),
  })
  const hub = createAgentHub({
    store,
    clock: systemClock,
    serverVersion: version,
    registryHost,
    registryFor: (cluster) => pull.of(cluster),
    pullFor: (reads, image) => pullBook.of(reads, image),
  })
  const links = createAgentUpgrade({ accept: (transport) => hub.accept(transport) })
  const settings = createRuntimeSettings({ store, key: secret.deriveKey('settings') })
  const fleet = createFleet({
    store,
    blobs,
    identity,
    settings,
    secret,
    registryHost,
    keepArtifact: (artifact) => registry.keepArtifact(artifact),
    publicUrl,
    clock: systemClock,
    random: systemRandom,
    log,
  })
  const registry = createRegistryMount({
    store,
    blobs,
    identity,
    pull,
    devicePull: fleet.pull,
    secret,
    upstreams,
    publicUrl,
    quotaBytes: options.registryQuotaBytes,
    log,
    scrub: options.registryScrub,
    onSuspect: () => reconcilers.wakeScrub(),
  })
  const builds = createBuildsNoun({
    store,
    blobs,
    guard: registry,
    s3: options.s3ForWorkers,
    settings,
    secret,
    authenticate: identity.authenticate,
    localWorker: options.localBuildWorker,
    agentArchive: options.agentArchive,
    publicUrl,
    localUrl: options.localUrl,
    cleanupPeriodMs: options.imageCleanupPeriodMs,
    clock: systemClock,
    random: systemRandom,
    log,
  })
  await feed.onKinds(['settings'], builds.settingsChanged)
  await countStore(store)
  await fleet.prepare()
  const defaultRetention = options.registryRetention
  const retainer = createRetainer({ store, host: registryHost, defaultRetention, now, log })
  const tags = createTagLookup({ upstreams, refreshMirror: registry.refreshTag, now })
  const rules = { registryHost, now, tags }
  const reconcilers: Reconcilers = createReconcilers({
    store,
    clock: systemClock,
    random: systemRandom,
    hub,
    rules,
    judge: createJudge({ content: createRegistryContent({ reads: store, blobs }), registryHost }),
    garbage: {
      periodMs: options.registryGarbage.periodMs,
      collect: (signal) => registry.collectGarbage({ graceMs: options.registryGarbage.graceMs, signal }),
    },
    scrub: registry.scrub.run,
    retention: { periodMs: options.registryGarbage.periodMs, run: (signal) => retainer.run(signal) },
    onFailure: ({ job, error }) => log.warn({ err: error, job }, 'a background job failed; it is tried again'),
  })

  const handlers: AllHandlers = {
    ...identity.handlers,
    ...createChangesNoun({ store, feed }).handlers,
    ...createStatusNoun({ store, version, startedAt, publicUrl, isServing, now }).handlers,
    clusters: createClusterHandlers({ store }),
    nodes: createNodeHandlers({ store }),
    enrolments: createEnrolmentHandlers({ store, publicUrl, now }),
    agents: createAgentHandlers({ store, now }),
    ...createScrubHandlers({ store, scrub: registry.scrub, wake: () => reconcilers.wakeScrub() }),
    images: {
      ...createImageHandlers({ store, importImage: registry.importImage }),
      ...createImageContentHandlers({ store, blobs, registryHost, onDamage: registry.scrub.suspect, now }),
      ...createRetentionHandlers({ store, retainer }),
    },
    ...fleet.handlers,
    ...builds.handlers,
    settings: settings.handlers,
    registry: createRegistryHandlers({
      store,
      registry,
      garbage: { ...options.registryGarbage, wake: () => reconcilers.collectGarbage() },
      quotaBytes: options.registryQuotaBytes,
      defaultRetention,
    }),
    externalRegistries: createExternalRegistryHandlers({ store, sealer, upstreams, now }),
    services: { ...createServiceHandlers({ store, rules }), ...createLogHandlers({ store, hub }) },
    revisions: createRevisionHandlers({ store }),
    rollouts: createRolloutHandlers({ store }),
    plan: createPlanHandlers({ store, hub, rules, sealer }),
  }
  const typedRequests = createTypedRequests({ handlers, authenticate: identity.authenticate, publicUrl, log })

  return {
    handlers,
    raw: [registry.mount, typedRequests, fleet.mount, ...builds.mounts],
    frequent: fleet.endpoints,
    upgrades: [links],
    registryStorage: registry.storage,
    registryScrubbed: registry.scrub.totals,
    builds: builds.totals,
    start() {
      reconcilers.start()
      fleet.start()
      builds.start()
    },
    async stop() {
      hub.close()
      links.close()
      upstreams.close()
      await builds.stop()
      await reconcilers.stop()
      await fleet.stop()
    },
    sweep: () => registry.sweep(),
  }
}
