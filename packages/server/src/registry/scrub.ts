import type { BlobStore } from '@freehold/blobs'
import {
  baseImageKind,
  blobLinkKind,
  buildKind,
  damagedBlobKind,
  manifestKind,
  type Scrub,
  scrubKind,
  type scrubSchema,
} from '@freehold/contracts'
import { type Actor, pagesOf, type Store } from '@freehold/store'
import { z } from 'zod'
import type { Damage, Pace } from './damage.ts'

const actor: Actor = { type: 'system', id: 'registry-scrub', name: 'registry scrub' }
/** What looking for one file costs of the bytes a second. */
const lookBytes = 4096
/** A pass with more failures than this in a row ends: storage is away, not one blob broken. */
const failuresInRow = 20
const warningLimit = 20
const retryMs = 60_000
/** A process that has just begun has better things to do with its disk. */
const restMs = 10 * 60_000
/** No single pause is longer, so that a wish to stop is heard. */
const longestPauseMs = 1000

/** Where a pass is. `bytes`: after which digest it goes on; `names`: all bytes are read, and what is named is looked for. */
const progressSchema = z.object({
  phase: z.enum(['bytes', 'names']),
  startedAt: z.iso.datetime(),
  after: z.string(),
  checkedBlobs: z.int(),
  checkedBytes: z.int(),
  failures: z.int(),
})
type Progress = z.output<typeof progressSchema>

export interface ScrubTotals {
  damagedBlobs: number
  /** Since this process began. */
  scrubbedBytes: number
}

export interface RegistryScrub {
  /**
   * Looks at suspects, then goes on with the pass under way, or begins one where it is time or was asked for. Ends with
   * the pass or with the signal; answers when it wants to be called again.
   */
  run(signal: AbortSignal): Promise<{ againInMs: number }>
  /** The next run begins a pass if none is under way. */
  request(): void
  /** The stored bytes of this blob came out wrong: it is looked at soon. */
  suspect(digest: string): void
  state(): Promise<z.output<typeof scrubSchema>>
  totals(): ScrubTotals
}

/**
 * Reads all blobs anew, slowly, and compares them with their digests: disks forget. A pass has two parts: every blob
 * there is, in order of digest, and then every name (link or manifest), for bytes that are not there at all. Where it
 * is, is written down as it goes, so that a restart costs nothing. Memory and reading are bounded, whatever there is.
 */
export function createScrub(options: {
  store: Store
  blobs: BlobStore
  damage: Damage
  log: { info(fields: object, message: string): void; warn(fields: object, message: string): void }
  clock: { now(): number; sleep(delayMs: number, signal: AbortSignal): Promise<void> }
  bytesPerSecond: number
  periodMs: number
}): RegistryScrub {
  const { store, blobs, damage, log, clock, periodMs } = options
  const pace = createPace(options)
  const totals: ScrubTotals = { damagedBlobs: 0, scrubbedBytes: 0 }
  const begunAtMs = clock.now()
  let requested = false

  async function run(signal: AbortSignal): Promise<{ againInMs: number }> {
    await examineSuspects(signal)
    await count()
    const known = await store.find(scrubKind, 'name', 'registry')
    const progress = (known && (await progressOf(known.id))) ?? beginIfDue(known)
    if (progress === undefined) return { againInMs: dueInMs(known) }
    requested = false
    const { id } = known ?? (await makeScrub(store))
    const isWhole = await goOn(id, progress, signal)
    await count()
    if (!isWhole) return { againInMs: signal.aborted ? 0 : retryMs }
    await finish(id, progress)
    return { againInMs: periodMs }
  }

  function dueInMs(scrub: Scrub | undefined): number {
    const lastAt = scrub?.status.lastPass?.startedAt
    const dueAtMs = lastAt === undefined ? 0 : Date.parse(lastAt) + periodMs
    return Math.max(0, Math.max(dueAtMs, begunAtMs + restMs) - clock.now())
  }

  function beginIfDue(scrub: Scrub | undefined): Progress | undefined {
    if (!requested && dueInMs(scrub) > 0) return undefined
    const startedAt = new Date(clock.now()).toISOString()
    return { phase: 'bytes', startedAt, after: '', checkedBlobs: 0, checkedBytes: 0, failures: 0 }
  }

  /** True at the end of the pass; false where it was stopped, or where nothing can be read. */
  async function goOn(id: string, progress: Progress, signal: AbortSignal): Promise<boolean> {
    const keep = () => store.facts.set(scrubKind, id, 'progress', { ...progress })
    keep()
    if (progress.phase === 'bytes') {
      const inRow = { failures: 0 }
      for await (const { digest } of blobs.list({ after: progress.after })) {
        await examineSuspects(signal)
        if (signal.aborted || inRow.failures > failuresInRow) break
        if (digest <= progress.after) continue
        if (await isExamined(digest, progress, signal)) inRow.failures = 0
        else inRow.failures += 1
        if (signal.aborted) break
        progress.after = digest
        keep()
      }
      if (signal.aborted || inRow.failures > failuresInRow) return false
      progress.phase = 'names'
      keep()
    }
    for (const kind of [blobLinkKind, manifestKind, damagedBlobKind] as const) {
      if (!(await lookForNames(kind, progress, signal))) return false
    }
    return lookForImages(progress, signal)
  }

  /** Images of builds and base images whose bytes are not there at all. */
  async function lookForImages(progress: Progress, signal: AbortSignal): Promise<boolean> {
    for (const kind of [buildKind, baseImageKind] as const) {
      for await (const page of pagesOf<typeof buildKind | typeof baseImageKind>(store, kind)) {
        for (const digest of page.flatMap((resource) => kind.indexes.blob?.(resource as never) ?? [])) {
          if (signal.aborted) return false
          await pauseFor(lookBytes, signal)
          if (!(await isThere(digest, progress))) await isExamined(digest, progress, signal)
        }
      }
    }
    return !signal.aborted
  }

  /** Bytes that are named and not there, and records of what may be whole or gone by now. */
  async function lookForNames(
    kind: typeof blobLinkKind | typeof manifestKind | typeof damagedBlobKind,
    progress: Progress,
    signal: AbortSignal,
  ): Promise<boolean> {
    for await (const page of pagesOf(store, kind)) {
      for (const { data } of page) {
        if (signal.aborted) return false
        const isRecord = kind === damagedBlobKind
        if (!isRecord) await pauseFor(lookBytes, signal)
        if (!isRecord && (await isThere(data.digest, progress))) continue
        await isExamined(data.digest, progress, signal)
      }
    }
    return !signal.aborted
  }

  /** Also true where that cannot be said now. */
  async function isThere(digest: string, progress: Progress): Promise<boolean> {
    try {
      return (await blobs.stat(digest)) !== undefined
    } catch (error) {
      fail(progress, digest, error)
      return true
    }
  }

  async function isExamined(digest: string, progress: Progress, signal: AbortSignal): Promise<boolean> {
    try {
      const { readBytes } = await damage.examine(digest, { pace, signal })
      progress.checkedBlobs += 1
      progress.checkedBytes += readBytes
      totals.scrubbedBytes += readBytes
      return true
    } catch (error) {
      if (!signal.aborted) fail(progress, digest, error)
      return false
    }
  }

  function fail(progress: Progress, digest: string, error: unknown): void {
    progress.failures += 1
    if (progress.failures <= warningLimit) log.warn({ err: error, digest }, 'the scrub could not look at a blob')
  }

  async function examineSuspects(signal: AbortSignal): Promise<void> {
    for (const digest of damage.takeSuspects()) {
      if (signal.aborted) return
      // Clients may ask for a damaged blob again and again; once it is known there is nothing to find out.
      if ((await damage.find(digest)) !== undefined) continue
      await damage
        .examine(digest, { pace, signal })
        .catch((error: unknown) => log.warn({ err: error, digest }, 'a suspicious blob could not be looked at'))
    }
  }

  async function pauseFor(sizeBytes: number, signal: AbortSignal): Promise<void> {
    await pace(sizeBytes, signal).catch((error: unknown) => {
      if (!signal.aborted) throw error
    })
  }

  async function finish(id: string, { startedAt, checkedBlobs, checkedBytes, failures }: Progress): Promise<void> {
    const lastPass = {
      startedAt,
      finishedAt: new Date(clock.now()).toISOString(),
      checkedBlobs,
      checkedBytes,
      failures,
    }
    await store.transaction(actor, (transaction) => transaction.setStatus(scrubKind, id, { lastPass }))
    store.facts.set(scrubKind, id, 'progress', null)
    const damaged = totals.damagedBlobs
    log.info({ ...lastPass, damaged }, `the scrub read ${checkedBlobs} blobs; ${damaged} are damaged`)
  }

  async function progressOf(id: string): Promise<Progress | undefined> {
    const { progress } = await store.facts.get(scrubKind, id)
    return progressSchema.safeParse(progress).data
  }

  async function count(): Promise<void> {
    totals.damagedBlobs = await store.count(damagedBlobKind)
  }

  return {
    run,
    request: () => {
      requested = true
    },
    suspect: (digest) => damage.suspect(digest),
    totals: () => ({ ...totals }),
    async state() {
      const scrub = await store.find(scrubKind, 'name', 'registry')
      const progress = scrub === undefined ? undefined : await progressOf(scrub.id)
      const running =
        progress === undefined
          ? null
          : {
              startedAt: progress.startedAt,
              checkedBlobs: progress.checkedBlobs,
              checkedBytes: progress.checkedBytes,
              position: progress.phase === 'names' ? 'names' : progress.after,
            }
      return { running, lastPass: scrub?.status.lastPass ?? null, damagedBlobs: await store.count(damagedBlobKind) }
    },
  }
}

/** Lets so many bytes a second through, over a second; what was not used is not saved up. */
export function createPace(options: {
  clock: { now(): number; sleep(delayMs: number, signal: AbortSignal): Promise<void> }
  bytesPerSecond: number
}): Pace {
  const { clock, bytesPerSecond } = options
  let freeAtMs = 0
  return async (sizeBytes, signal) => {
    signal.throwIfAborted()
    const nowMs = clock.now()
    const takesMs = (sizeBytes / bytesPerSecond) * 1000
    // A clock that was set back must not make this wait for it.
    freeAtMs = Math.min(Math.max(freeAtMs, nowMs), nowMs + longestPauseMs) + takesMs
    for (let leftMs = freeAtMs - nowMs; leftMs >= 1; leftMs -= longestPauseMs) {
      await clock.sleep(Math.min(leftMs, longestPauseMs), signal)
      signal.throwIfAborted()
    }
  }
}

/** The one record; made with the first pass. */
function makeScrub(store: Store): Promise<Scrub> {
  return store.transaction(actor, async (transaction) => {
    const made = await transaction.find(scrubKind, 'name', 'registry')
    return made ?? transaction.create(scrubKind, { data: { name: 'registry' } })
  })
}
