/**
 * Devices, their releases, the rollouts of those and the signed update channel, wired to each other: who may be told what
 * is decided by the releases, told by the devices, signed by the updates, and paced by the rollouts.
 */
import type { BlobStore } from '@freehold/blobs'
import type { Clock, Random } from '@freehold/reconcile'
import type { Store } from '@freehold/store'
import type { Logger } from 'pino'
import {
  createDevicePull,
  createDevicesNoun,
  createImagesOf,
  createReleasesOf,
  createStrangers,
  type DevicePull,
  type Lag,
} from './devices/index.ts'
import type { AllHandlers } from './http/handler.ts'
import type { FrequentMount, RawMount } from './http/mounts.ts'
import type { IdentityNoun } from './identity/index.ts'
import { createReleaseRolloutsNoun, type ReleaseRolloutsNoun } from './release-rollouts/index.ts'
import { createImageResolver, createLicenseKeeper, createReleasesNoun } from './releases/index.ts'
import { createSealer, type ServerSecret } from './secrets/index.ts'
import type { RuntimeSettings } from './settings/index.ts'
import { createUpdatesNoun } from './updates/index.ts'

export interface Fleet {
  handlers: Pick<
    AllHandlers,
    'devices' | 'joinTokens' | 'releases' | 'channels' | 'deviceGroups' | 'releaseRollouts' | 'updates'
  >
  mount: RawMount
  endpoints: FrequentMount[]
  /** Who of the devices may pull what from the registry. */
  pull: DevicePull
  /** Completes old devices, makes signing keys at the first use, and reads what is under way; to be awaited before anything is answered. */
  prepare(): Promise<void>
  start(): void
  stop(): Promise<void>
}

export function createFleet(options: {
  store: Store
  blobs: BlobStore
  identity: Pick<IdentityNoun, 'authenticate'>
  settings: RuntimeSettings
  secret: ServerSecret
  registryHost: () => string
  keepArtifact: Parameters<typeof createLicenseKeeper>[0]['keepArtifact']
  publicUrl: () => string
  clock: Clock
  random: Random
  log: Logger
  /** Milliseconds of a clock that only goes forward. Default: the process's own. */
  elapsed?: () => number
  /** Whether the process falls behind, so that devices are sent away. Default: by how late timers fire. */
  lag?: Lag
}): Fleet {
  const { store, blobs, identity, settings, secret, registryHost, keepArtifact, publicUrl, clock, random, log } =
    options
  const now = () => clock.now()
  const strangers = createStrangers({ now })

  const updates = createUpdatesNoun({
    store,
    blobs,
    sealer: createSealer(secret.deriveKey('updates')),
    clock,
    random,
    log,
    authenticateDevice: (token, address) => devices.deviceOfToken(token, address),
    releasesOf: (deviceId) => releasesOf(deviceId),
    authenticate: identity.authenticate,
    onPublished: (transaction, releaseIds) => releases.onPublished(transaction, releaseIds),
  })
  const releases = createReleasesNoun({
    store,
    updates,
    rollouts: {
      isMember: (deviceId, channelId) => rollouts.isMember(deviceId, channelId),
      rolloutOf: (rolloutId) => rollouts.rolloutOf(rolloutId),
      revertingTo: (releaseId) => rollouts.revertingTo(releaseId),
    },
    resolveImage: createImageResolver({ registryHost }),
    keepLicense: createLicenseKeeper({ keepArtifact }),
    reconsider: (affected) => devices.reconsider(affected),
    clock,
    random,
    log,
  })
  const devices = createDevicesNoun({
    store,
    settings,
    clock,
    random,
    publicUrl,
    strangers,
    releases,
    signAssignment: updates.signAssignment,
    onProgress: (heard) => rollouts.note(heard),
    log,
    ...(options.lag === undefined ? {} : { lag: options.lag }),
  })
  const rollouts: ReleaseRolloutsNoun = createReleaseRolloutsNoun({
    store,
    assignments: releases.assignments,
    reconsider: (deviceIds) => devices.reconsider(deviceIds),
    clock,
    random,
    now,
    log,
    ...(options.elapsed === undefined ? {} : { elapsed: options.elapsed }),
  })
  const releasesOf = createReleasesOf({ store, resolve: releases.resolve, reportOf: devices.reportOf })
  const imagesOf = createImagesOf({ store, releasesOf })

  return {
    handlers: { ...devices.handlers, ...releases.handlers, ...rollouts.handlers, ...updates.handlers },
    mount: updates.mount,
    endpoints: devices.endpoints,
    pull: createDevicePull({ store, imagesOf, strangers, now }),
    async prepare() {
      await devices.prepare()
      await updates.prepare()
      await rollouts.load()
    },
    start() {
      updates.start()
      releases.start()
      rollouts.start()
      devices.start()
    },
    async stop() {
      await devices.stop()
      await rollouts.stop()
      await releases.stop()
      await updates.stop()
    },
  }
}
