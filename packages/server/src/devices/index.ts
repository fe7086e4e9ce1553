/**
 * Devices: how they enrol with join tokens, prove themselves, send heartbeats by the hundred thousand, and are seen to
 * be there or gone.
 *
 * - A heartbeat touches memory alone; what is worth keeping is written later, together with others.
 * - What the change feed and the audit log tell is what changes rarely: enrolled, came, went, claimed, doubled, revoked.
 * - Tokens are kept as hashes, and never logged.
 * - What a device shall run is the releases' to say; here it is put together with what else it is told, signed, and sent
 *   to those that do not hold it. What devices say of it is passed on when it changes.
 * - Devices pull from the registry with their node token: `pull.ts` says who, `images.ts` what.
 *
 * Not here: which device shall run what (releases, release rollouts), and the agent on the device.
 */
import type { Assignment, DeviceStatus, SignedAssignment } from '@freehold/contracts'
import { type Clock, createDriver, type Random } from '@freehold/reconcile'
import type { Store } from '@freehold/store'
import type { Logger } from 'pino'
import type { AllHandlers } from '../http/handler.ts'
import type { FrequentMount } from '../http/mounts.ts'
import type { Affected, ReleasesOfDevices } from '../releases/index.ts'
import type { RuntimeSettings } from '../settings/index.ts'
import { completeDevices } from './complete.ts'
import { deviceOfToken } from './credentials.ts'
import { createDesiredKeeper } from './desired.ts'
import { createEndpoints } from './endpoints.ts'
import { createHeartbeats, type OnProgress } from './heartbeat.ts'
import { createJoinTokenHandlers } from './join-tokens.ts'
import { createKeeper, lastReportOf, snapshotOf } from './keeper.ts'
import { createOverload, type Lag, watchLag } from './overload.ts'
import { createPresence } from './presence.ts'
import { createRegister } from './register.ts'
import { createDeviceHandlers } from './service.ts'
import { createStatusWriter } from './status-writer.ts'
import type { Strangers } from './strangers.ts'
import { createFollower, createWatcher } from './watcher.ts'

export type { OnProgress } from './heartbeat.ts'
export { createImagesOf, createReleasesOf } from './images.ts'
export { makeProvisioningToken, revokeUnused, troubleOfJoinToken } from './join-tokens.ts'
export type { Lag } from './overload.ts'
export { createDevicePull, type DevicePull, type DevicePuller } from './pull.ts'
export { createStrangers } from './strangers.ts'

export interface DevicesNoun {
  handlers: Pick<AllHandlers, 'devices' | 'joinTokens'>
  endpoints: FrequentMount[]
  /** The last report of a device; null: none was heard, or it is not readable. */
  reportOf(deviceId: string): Promise<DeviceStatus | null>
  /** What those devices shall be is computed anew with their next heartbeat; it costs memory now. */
  reconsider(affected: Affected): void
  /**
   * The id of the device that is let in and has this node token; null: there is none. Throws `too-many-requests` where
   * tokens of nobody come from this address too often.
   */
  deviceOfToken(token: string, address: string): Promise<string | null>
  /** Completes what older versions stored; to be awaited before anybody asks for devices. */
  prepare(): Promise<void>
  /** Begins to write and to watch. */
  start(): void
  /** Ends that, and writes what was heard. */
  stop(): Promise<void>
}

const backoff = { minMs: 500, maxMs: 30_000 }
const writeEveryMs = 1_000
const lookEveryMs = 5_000
/** Registrations and other heartbeats that wait for the store together. */
const inFlightAtMost = 2_000

export function createDevicesNoun(options: {
  store: Store
  settings: RuntimeSettings
  clock: Clock
  random: Random
  publicUrl: () => string
  strangers: Strangers
  releases: ReleasesOfDevices
  /** Signs what one device shall do, for it alone. */
  signAssignment: (assignment: Assignment) => Promise<SignedAssignment>
  /** Told what a device says of a release, whenever it says something else than before. Must return at once. */
  onProgress: OnProgress
  /** Default: by how late timers fire. */
  lag?: Lag
  log: Logger
}): DevicesNoun {
  const { store, settings, clock, random, publicUrl, strangers, releases, onProgress, log } = options
  const now = () => clock.now()
  const desired = createDesiredKeeper({
    releases,
    sign: options.signAssignment,
    now,
    onProblem: (error) => log.warn({ err: error }, 'an assignment could not be signed; the device asks again'),
  })
  const presence = createPresence({ now, desired })
  const statuses = createStatusWriter({
    store,
    now,
    snapshot: (deviceId) => snapshotOf(presence, presence.get(deviceId)),
  })
  const heartbeats = createHeartbeats({ store, presence, statuses, desired, onProgress, now })
  const keeper = createKeeper({ store, presence, now })
  const watcher = createWatcher({ store, presence, statuses, keeper, now })
  const follower = createFollower({
    store,
    presence,
    statuses,
    onError: (error) => log.warn({ err: error }, 'following the changes of devices failed; starting over'),
  })
  const overload = createOverload({ random: Math.random, inFlightAtMost, lag: options.lag ?? watchLag() })
  const loop = (job: string, periodMs: number, run: () => Promise<void>) =>
    createDriver({
      run: async () => {
        await run()
        return undefined
      },
      clock,
      random,
      periodMs,
      backoff,
      timeLimitMs: 60_000,
      onFailure: ({ error }) => log.warn({ err: error, job }, 'a background job failed; it is tried again'),
    })
  const drivers = [
    loop('device records', writeEveryMs, async () => {
      await statuses.write()
      await keeper.write()
    }),
    loop('silent devices', lookEveryMs, () => watcher.look()),
  ]
  let unsubscribe = () => {}

  return {
    handlers: {
      devices: createDeviceHandlers({ store, presence, releases, now }),
      joinTokens: createJoinTokenHandlers({ store, publicUrl, now }),
    },
    endpoints: createEndpoints({
      heartbeats,
      register: createRegister({ store, settings, strangers, now }),
      presence,
      overload,
      strangers,
    }),
    reportOf: (deviceId) => lastReportOf(store, presence, deviceId),
    reconsider: (affected) => desired.reconsider(affected, presence),
    async deviceOfToken(token, address) {
      const found = await deviceOfToken(store, { token, now: now() })
      if (found === 'unknown') strangers.note(address)
      return typeof found === 'string' ? null : found.deviceId
    },
    prepare: () => completeDevices(store),
    start() {
      unsubscribe = store.onChange(follower.wake)
      follower.wake()
      for (const driver of drivers) driver.start()
    },
    async stop() {
      unsubscribe()
      overload.close()
      await Promise.all(drivers.map((driver) => driver.stop()))
      await follower.settled()
      await keeper.finish()
    },
  }
}
