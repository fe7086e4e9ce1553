import { type Build, buildArchitectures, buildKind, FreeholdError, imageKinds } from '@freehold/contracts'
import { type Clock, createDriver, type Random } from '@freehold/reconcile'
import { pagesOf, type Store } from '@freehold/store'
import type { Logger } from 'pino'
import { troubleOfJoinToken } from '../devices/index.ts'
import type { Sealer } from '../secrets/index.ts'
import { type Attempt, type AttemptEnd, makeUploadToken, runAttempt } from './attempt.ts'
import type { ImageBytes, S3ForWorkers } from './bytes.ts'
import { type Choice, type Need, planDispatch } from './choose.ts'
import type { JobMaker } from './job.ts'
import {
  artifactOf,
  type BuildStatus,
  begun,
  failed,
  givenBack,
  isOpen,
  lost,
  pauseMsAfter,
  progressed,
  refused,
  succeeded,
  waitsBecause,
} from './kind.ts'
import type { BuildLogs } from './logs.ts'
import { createReceiving } from './receiving.ts'
import { openSecrets } from './secrets.ts'
import { moveBuild } from './transition.ts'
import type { Uploads } from './uploads.ts'
import type { Workers } from './workers.ts'

export interface DispatcherOptions {
  store: Store
  workers: Workers
  jobs: JobMaker
  uploads: Uploads
  bytes: ImageBytes
  s3: S3ForWorkers | null
  logs: BuildLogs
  sealer: Sealer
  clock: Clock
  random: Random
  log: Logger
}

export interface DispatcherTotals {
  running: number
  /** Since this process began. */
  succeeded: number
  failed: number
  lostAttempts: number
}

const lookEveryMs = 15_000
const backoff = { minMs: 500, maxMs: 30_000 }
/** Of one look and one sort of image; more wait for the next. */
const buildsAtOnce = 100

/**
 * Brings builds to workers. What always holds:
 *
 * 1. One attempt of a build at a time: it begins in a transaction that finds the build waiting, and while it is known
 *    here no other begins. What is `building` and known to nobody was cut off by the end of a process: it begins anew.
 * 2. An attempt is on disk before a worker hears of it. There are three at most, a lost worker's included; one that a
 *    worker did not take does not count.
 * 3. An image counts only after size and digest of what is stored were found to be what the worker says, and the row
 *    that names it is written while nobody can remove it.
 * 4. What a build left behind that is no image of a succeeded one is dropped, here or by the clean-up.
 */
export function createDispatcher(options: DispatcherOptions) {
  const { store, workers, jobs, uploads, bytes, s3, logs, sealer, clock, random, log } = options
  const attempts = new Map<string, Attempt & { ended: Promise<void> }>()
  /** Workers that attempts of a build were lost on. */
  const lostOn = new Map<string, Set<string>>()
  /** Until when builds are left alone that this machine had no room for. */
  const paused = new Map<string, number>()
  const totals = { succeeded: 0, failed: 0, lostAttempts: 0 }
  let isStopping = false
  const driver = createDriver({
    run,
    clock,
    random,
    periodMs: lookEveryMs,
    backoff,
    onFailure: ({ error }) => log.warn({ err: error, job: 'builds' }, 'a background job failed; it is tried again'),
  })
  const at = () => new Date(clock.now()).toISOString()
  const oursOn = (workerId: string) => [...attempts.values()].filter((each) => each.workerId === workerId).length

  async function move(id: string, rule: (status: BuildStatus) => BuildStatus | undefined): Promise<Build | undefined> {
    const moved = await moveBuild(store, { id, rule })
    if (moved === undefined) return undefined
    if (!isOpen(moved.status)) forget(id)
    logs.tell(id)
    return moved
  }

  function forget(id: string): void {
    lostOn.delete(id)
    paused.delete(id)
  }

  /** The oldest that wait, of every sort: those of a sort that no worker makes hold up no others. */
  async function waitingBuilds(): Promise<Build[]> {
    const found: Build[] = []
    for (const imageKind of imageKinds) {
      for (const architecture of buildArchitectures) {
        const ofSort: Build[] = []
        const where = { state: 'waiting', imageKind, architecture }
        for await (const page of pagesOf(store, buildKind, { where, limit: buildsAtOnce })) {
          ofSort.push(...page.filter(mayBegin))
          if (ofSort.length >= buildsAtOnce) break
        }
        found.push(...ofSort.slice(0, buildsAtOnce))
      }
    }
    return found.toSorted((one, other) => (one.id < other.id ? -1 : 1))
  }

  /** One that waits again may still be clearing up after its last attempt; it wakes us when that is done. */
  function mayBegin({ id }: Build): boolean {
    return !attempts.has(id) && (paused.get(id) ?? 0) <= clock.now()
  }

  async function run(signal: AbortSignal): Promise<{ againInMs: number }> {
    const building = await store.all(buildKind, { where: { state: 'building' } })
    const cutOff = building.filter(({ id }) => !attempts.has(id))
    await takeUp(cutOff)
    if (cutOff.length > 0) return { againInMs: 0 }
    const waiting = await waitingBuilds()
    if (waiting.length === 0 || isStopping) return { againInMs: lookEveryMs }
    const seen = await workers.look(oursOn, signal)
    const plan = planDispatch(waiting.map(needOf), seen)
    for (const build of waiting) {
      const choice = plan.get(build.id)
      if (choice !== undefined && !isStopping) await carryOut(build, choice)
    }
    return { againInMs: lookEveryMs }
  }

  /** What another process began. */
  async function takeUp(builds: readonly Build[]): Promise<void> {
    for (const { id, status } of builds) {
      const message = 'The control plane ended while it was built.'
      const moved = await move(id, (now) => lost(now, { attempt: status.attempt, message, at: at() }))
      if (moved !== undefined) count(moved.status)
    }
  }

  function needOf({ id, data }: Build): Need {
    const { imageKind, architecture } = data
    return { buildId: id, imageKind, architecture, avoid: lostOn.get(id) ?? new Set() }
  }

  async function carryOut(build: Build, choice: Choice): Promise<void> {
    if ('why' in choice) {
      await move(build.id, (status) => waitsBecause(status, choice.why))
      return
    }
    const trouble = await troubleOfJoinToken(store, build.data.joinTokenId, clock.now())
    if (trouble !== undefined) {
      const message = `Its join token ${trouble}: no device could enrol with the image. Create another build.`
      const moved = await move(build.id, (status) => refused(status, { message, at: at() }))
      if (moved !== undefined) count(moved.status)
      return
    }
    await begin(build, choice.workerId)
  }

  async function begin(build: Build, workerId: string): Promise<void> {
    const moved = await move(build.id, (status) => begun(status, { workerId, at: at() }))
    if (moved === undefined) return
    const stop = new AbortController()
    const number = moved.status.attempt
    const token = makeUploadToken()
    const receiving = createReceiving({ build, attempt: number, uploads, bytes, s3, signal: stop.signal })
    const attempt = { build, number, workerId, receiving, stop, isUploadToken: token.matches }
    log.info({ buildId: build.id, workerId, attempt: number }, 'an image is being built')
    const { promise, resolve } = Promise.withResolvers<void>()
    attempts.set(build.id, { ...attempt, ended: promise })
    goOn(attempt, token.value)
      .catch((error: unknown) =>
        log.error({ err: error, buildId: build.id }, 'an attempt ended badly; it is begun anew'),
      )
      .finally(() => {
        receiving.letGo()
        attempts.delete(build.id)
        logs.close(build.id)
        resolve()
        driver.wake()
      })
  }

  async function goOn(attempt: Attempt, uploadToken: string): Promise<void> {
    const { build, number, workerId } = attempt
    await logs.open(build.id)
    // A cancel that came between the row and here found no attempt to end.
    const now = (await store.get(buildKind, build.id))?.status
    if (now?.state !== 'building' || now.attempt !== number) return
    const end = await endOf(attempt, uploadToken)
    const moved = await settle(attempt, end)
    if (moved !== undefined) {
      count(moved.status)
      const { state, message } = moved.status
      // Workers often say last why they failed.
      if (logs.newestOf(build.id) !== message) logs.add(build.id, { attempt: number, text: message })
      log.info({ buildId: build.id, workerId, attempt: number, state }, message)
    }
    if (moved?.status.state !== 'succeeded') {
      // What cannot be dropped now is found by the clean-up.
      await attempt.receiving.drop().catch((error: unknown) => {
        log.warn({ err: error, buildId: build.id }, 'what an attempt left behind could not be removed')
      })
    }
  }

  async function endOf(attempt: Attempt, uploadToken: string): Promise<AttemptEnd> {
    const { build, number, workerId } = attempt
    if (build.data.sealed === null) return { kind: 'failed', message: 'What was to be put into the image is gone.' }
    try {
      const secrets = openSecrets(sealer, build.id, build.data.sealed)
      return await runAttempt({
        attempt,
        openWorker: () => workers.open(workerId),
        secrets,
        uploadToken,
        jobs,
        logs,
        clock,
        onFailure: (error) => log.error({ err: error, buildId: build.id }, 'an attempt failed'),
        write: async (news) => {
          await move(build.id, (status) => progressed(status, { attempt: number, ...news }))
        },
      })
    } catch (error) {
      if (error instanceof FreeholdError) return { kind: 'failed', message: error.message }
      throw error
    }
  }

  async function settle(attempt: Attempt, end: AttemptEnd): Promise<Build | undefined> {
    const { build, number, workerId, stop } = attempt
    const ended = { attempt: number, at: at() }
    if (stop.signal.aborted && end.kind !== 'succeeded') {
      // Cancelled builds have moved already; of others the process ends, in good order.
      const message = 'Waits: the control plane was stopped.'
      return move(build.id, (status) => givenBack(status, { ...ended, message }))
    }
    switch (end.kind) {
      case 'succeeded':
        return keep(attempt, end.said.artifact)
      case 'failed':
        return move(build.id, (status) => failed(status, { ...ended, message: end.message }))
      case 'not-begun':
        workers.rest(workerId, { forMs: end.restMs, why: end.message.replace(/\.$/, '') })
        if (end.isTokenRefused === true) workers.refuse(workerId)
        return move(build.id, (status) =>
          givenBack(status, { ...ended, message: `Waits for a build worker. ${end.message}` }),
        )
      case 'lost':
        return lose(attempt, end)
    }
  }

  /** A worker without room is left alone, so that another may do it; where the room is missing here, the build is. */
  async function lose(
    { build, number, workerId, receiving }: Attempt,
    { message, full }: Omit<Extract<AttemptEnd, { kind: 'lost' }>, 'kind'>,
  ): Promise<Build | undefined> {
    totals.lostAttempts += 1
    const hadNoRoomForImage = receiving.target.wasOutOfSpace === true
    const isFullHere = hadNoRoomForImage || full === 'here'
    const pauseMs = pauseMsAfter(number)
    if (full === 'worker' && !isFullHere) {
      workers.rest(workerId, { forMs: pauseMs, why: 'it had no room for its last job: free some, or enlarge its disk' })
    }
    const ended = {
      attempt: number,
      message: hadNoRoomForImage ? `The control plane had no room for the image: free some. ${message}` : message,
      at: at(),
      ...(isFullHere ? { pauseMs } : {}),
    }
    const moved = await move(build.id, (status) => lost(status, ended))
    if (moved?.status.state !== 'waiting') return moved
    lostOn.set(build.id, new Set(lostOn.get(build.id)).add(workerId))
    if (isFullHere) paused.set(build.id, clock.now() + pauseMs)
    return moved
  }

  async function keep(
    attempt: Attempt,
    said: Parameters<Attempt['receiving']['verify']>[0],
  ): Promise<Build | undefined> {
    const { build, number, receiving } = attempt
    let moved: Build | undefined
    try {
      await receiving.verify(said, async (location) => {
        const artifact = artifactOf({ build, said, location, nowMs: clock.now() })
        moved = await move(build.id, (status) => succeeded(status, { attempt: number, artifact, at: at() }))
        return moved !== undefined
      })
      return moved
    } catch (error) {
      const message =
        error instanceof FreeholdError ? error.message : 'The image could not be looked at where it is stored.'
      if (!(error instanceof FreeholdError)) log.warn({ err: error, buildId: build.id }, message)
      return lose(attempt, { message })
    }
  }

  function count({ state }: BuildStatus): void {
    if (state === 'succeeded') totals.succeeded += 1
    if (state === 'failed') totals.failed += 1
  }

  return {
    /** One look; for tests and simulations. */
    run,
    wake: () => driver.wake({ forgetFailures: true }),
    oursOn,
    totals: (): DispatcherTotals => ({ running: attempts.size, ...totals }),
    /** The attempt under way; undefined: there is none. */
    attemptOf: (buildId: string): Attempt | undefined => attempts.get(buildId),
    /** Ends the attempt under way, whose build has moved before. */
    end(buildId: string): void {
      attempts.get(buildId)?.stop.abort()
      forget(buildId)
      logs.tell(buildId)
      driver.wake()
    },
    start: () => driver.start(),
    /** Ends all attempts; their builds wait for the next process. */
    async stop(): Promise<void> {
      isStopping = true
      await driver.stop()
      for (const attempt of attempts.values()) attempt.stop.abort()
      await Promise.all([...attempts.values()].map(({ ended }) => ended))
    },
  }
}
export type Dispatcher = ReturnType<typeof createDispatcher>
