/**
 * Rollouts of releases: how the devices of a channel come to a release, phase by phase, and stop where too many fail.
 *
 * - Who is a member, and in which phase, is settled when a rollout begins and never changes. Members only ever leave.
 * - Where a member stands is what its device says, nothing else.
 * - Members are kept in facts of the rollout, a thousand in one; a rollout costs a few transactions a second at most.
 *
 * Not here: which release a device runs in the end (releases: pins, groups, channels), and how it is told (devices).
 */
import { type Clock, createDriver, type Random } from '@freehold/reconcile'
import type { Store } from '@freehold/store'
import type { Logger } from 'pino'
import type { AllHandlers } from '../http/handler.ts'
import type { Assignments, RolloutTerms } from '../releases/index.ts'
import { createEngine } from './engine.ts'
import { createMembersOf } from './followers.ts'
import type { Progress } from './live.ts'
import { createReleaseRolloutHandlers } from './service.ts'

export interface ReleaseRolloutsNoun {
  handlers: Pick<AllHandlers, 'releaseRollouts'>
  /** A device's report of one half of its releases changed, or was heard for the first time. Memory only. */
  note(report: { deviceId: string; type: 'app' | 'host'; progress: Progress }): void
  /** What the assignments of a rollout say besides the release; undefined: there is no such rollout. From memory. */
  rolloutOf(rolloutId: string): RolloutTerms | undefined
  /** True where the device is a member of an open rollout of the channel. From memory. */
  isMember(deviceId: string, channelId: string): boolean
  /** The id of a rollout that may yet give devices this release back, which they had before it. From memory. */
  revertingTo(releaseId: string): string | undefined
  /** Reads what is under way; to be awaited before devices are answered. */
  load(): Promise<void>
  start(): void
  /** Ends the loop, and writes what was heard. */
  stop(): Promise<void>
}

const lookEveryMs = 60_000
/** Reports that come together are looked at together. */
const gatherMs = 1_000
const backoff = { minMs: 500, maxMs: 30_000 }

export function createReleaseRolloutsNoun(options: {
  store: Store
  assignments: Assignments
  /** These devices must be told anew, although their assignment is the same. */
  reconsider: (deviceIds: readonly string[]) => void
  clock: Clock
  random: Random
  now: () => number
  log: Logger
  /** Milliseconds of a clock that only goes forward. Default: the process's own. */
  elapsed?: () => number
}): ReleaseRolloutsNoun {
  const { store, assignments, reconsider, clock, random, now, log } = options
  const membersOf = createMembersOf({ store })
  const elapsed = options.elapsed ?? (() => performance.now())
  const engine = createEngine({ store, assignments, membersOf, reconsider, now, elapsed, log })
  const driver = createDriver({
    run: (signal) => engine.run(signal),
    clock,
    random,
    periodMs: lookEveryMs,
    backoff,
    onFailure: ({ error }) =>
      log.warn({ err: error, job: 'release rollouts' }, 'a background job failed; it is tried again'),
  })
  let cancelWake: (() => void) | undefined

  return {
    handlers: {
      releaseRollouts: createReleaseRolloutHandlers({ store, engine, membersOf, wake: () => driver.wake(), now }),
    },
    note(report) {
      engine.note(report)
      cancelWake ??= clock.after(gatherMs, () => {
        cancelWake = undefined
        driver.wake()
      })
    },
    rolloutOf: engine.settingsOf,
    isMember: engine.isMember,
    revertingTo: (releaseId) => engine.revertingTo(releaseId)?.id,
    load: engine.load,
    start: () => driver.start(),
    async stop() {
      cancelWake?.()
      await driver.stop()
      await engine.finish()
    },
  }
}
