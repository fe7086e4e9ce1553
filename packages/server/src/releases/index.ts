/**
 * Releases: what devices shall run, and which device shall run which.
 *
 * - A release never changes. Its images are named by digest, its manifest is signed by the updates.
 * - A device's own pin decides, else its group's, else what it was assigned (`kind.ts`). Assignments are facts of the
 *   device: rollouts write them, and a device that joins a channel is given the channel's release.
 * - A channel's release changes by rollouts alone.
 * - What a device shall run is decided from memory and that device's own rows (`catalog.ts`, `desired.ts`). A change
 *   tells which devices heard of must be looked at again; whoever is not heard is looked at when it is.
 *
 * Not here: phases and members (release rollouts), signatures (updates), and how a device is told (devices).
 */
import type { Device, deviceReleasesSchema } from '@freehold/contracts'
import { type Clock, createDriver, type Random } from '@freehold/reconcile'
import type { Reads, Store, Transaction } from '@freehold/store'
import type { Logger } from 'pino'
import type { z } from 'zod'
import type { AllHandlers } from '../http/handler.ts'
import { type Assignments, createAssignments } from './assignments.ts'
import { type Affected, createCatalog } from './catalog.ts'
import { createChannelHandlers } from './channels.ts'
import { createDesired, type Desired, type RolloutsView } from './desired.ts'
import { createGroupHandlers } from './groups.ts'
import type { ResolveImage } from './images.ts'
import type { Pins } from './kind.ts'
import { createReleaseHandlers } from './routes.ts'
import { checkPins, type KeepLicense, markSigned, type UpdatesChannel } from './service.ts'

export type { AssignmentChange, Assignments } from './assignments.ts'
export type { Affected, Basis } from './catalog.ts'
export type { Desired, RolloutsView, RolloutTerms } from './desired.ts'
export { createImageResolver, type ResolveImage } from './images.ts'
export { groupOf, inOrder, isPinned, type StoredAssignment } from './kind.ts'
export { createLicenseKeeper } from './license.ts'
export type { UpdatesChannel } from './service.ts'

/** What devices need to know of releases. */
export interface ReleasesOfDevices {
  /** What it shall run, from memory and its own facts; where it joined a channel, that is written first. */
  desiredFor(device: Device): Promise<Desired>
  /** The same for people. */
  resolve(device: Device): Promise<z.output<typeof deviceReleasesSchema>>
  /** Throws `not-found` and `conflict` for pins that are new and do not fit. */
  checkPins(reads: Reads, change: { before: Pins | null; after: Pins }): Promise<void>
}

export interface ReleasesNoun extends ReleasesOfDevices {
  handlers: Pick<AllHandlers, 'releases' | 'channels' | 'deviceGroups'>
  assignments: Assignments
  /** For the updates: marks releases signed, in the transaction that publishes their signature. */
  onPublished(transaction: Transaction, releaseIds: readonly string[]): Promise<void>
  /** Begins to follow what changes. */
  start(): void
  stop(): Promise<void>
}

const backoff = { minMs: 500, maxMs: 30_000 }
const periodMs = 5_000

export function createReleasesNoun(options: {
  store: Store
  updates: UpdatesChannel
  rollouts: RolloutsView
  resolveImage: ResolveImage
  keepLicense: KeepLicense
  /** Devices that must be looked at again: what was computed for them may no longer hold. */
  reconsider: (affected: Affected) => void
  clock: Clock
  random: Random
  log: Logger
}): ReleasesNoun {
  const { store, updates, rollouts, resolveImage, keepLicense, reconsider, clock, random, log } = options
  const catalog = createCatalog({ store, reconsider })
  const assignments = createAssignments({ store, now: () => clock.now(), onAssigned: reconsider })
  const desired = createDesired({ catalog, assignments, rollouts })
  const driver = createDriver({
    run: async () => {
      await catalog.follow()
      const changed = desired.changedTerms()
      if (changed.size > 0) {
        reconsider(
          ({ appRolloutId, hostRolloutId }) => changed.has(appRolloutId ?? '') || changed.has(hostRolloutId ?? ''),
        )
      }
      return undefined
    },
    clock,
    random,
    periodMs,
    backoff,
    onFailure: ({ error }) => log.warn({ err: error }, 'following the changes of releases failed; starting over'),
  })
  let unsubscribe = () => {}

  return {
    handlers: {
      releases: createReleaseHandlers({ store, updates, rollouts, resolveImage, keepLicense }),
      channels: createChannelHandlers({ store }),
      deviceGroups: createGroupHandlers({ store, catalog }),
    },
    assignments: { get: assignments.get, assign: assignments.assign },
    desiredFor: desired.desiredFor,
    resolve: desired.resolve,
    checkPins,
    onPublished: markSigned,
    start() {
      unsubscribe = store.onChange(() => driver.wake())
      driver.start()
    },
    async stop() {
      unsubscribe()
      await driver.stop()
    },
  }
}
