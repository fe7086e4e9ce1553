import type { BlobEntry, BlobStore } from '@freehold/blobs'
import { type BlobLink, blobLinkKind, type Condemned, condemnedKind, manifestKind } from '@freehold/contracts'
import { type Actor, pagesOf, type Store, type Transaction } from '@freehold/store'
import { countOut, showUsage } from '../images/index.ts'
import { findCondemned } from './condemned.ts'
import type { DigestGuard } from './digest-guard.ts'
import { batchesOf, grouped, isRipe, withoutNeeded } from './garbage-rules.ts'
import { isNeeded } from './needed.ts'
import { findLink } from './repository.ts'

export interface Collected {
  /** False where it was stopped before the end. */
  complete: boolean
  condemned: number
  droppedLinks: number
  removedBlobs: number
  freedBytes: number
  /** What could not be looked at or removed; each is in the log, and the others were gone on with. */
  failures: number
  /** Among the blobs, but none; left where they are. */
  strangeFiles: number
}

export interface StorageTotals {
  /** Bytes of all blobs, as the last whole pass found them; null before the first. */
  heldBytes: number | null
  /** Since this process began. */
  freedBytes: number
}

export interface GarbageProgress {
  running: boolean
  /** Ended since this process began. */
  passes: number
  last: (Collected & { startedAt: string; finishedAt: string }) | null
}

interface GarbageLog {
  info(fields: object, message: string): void
  warn(fields: object, message: string): void
}

const actor: Actor = { type: 'system', id: 'registry-garbage', name: 'registry garbage collection' }
/** Links that are looked at with one reading of their repositories' manifests. */
const linkBatch = 5000
/** Rows one transaction changes; pushes wait for no longer than that takes. */
const writeBatch = 50
const blobBatch = 200
const removalsAtOnce = 8
/** A pass with more failures than this ends: what fails so often is not one bad record. */
const failureLimit = 100
/** Of each sort, a pass. */
const warningLimit = 20

type Pass = Collected & { graceMs: number; signal: AbortSignal }

/**
 * Online mark and sweep. A pass takes away what an earlier one condemned at least a grace time ago, then condemns what
 * nothing needs now. Pushes never wait for it but for the removal of the very blob they bring. What keeps them safe:
 *
 * - Links: nobody's manifest may lose one. Dropping reads the repository's manifests after the mark was durable: a
 *   manifest older than the mark is seen there, a newer one has deleted the mark in its own transaction, and dropping
 *   happens only together with deleting the mark.
 * - Bytes: they go only where, in the transaction that deletes their mark, no link and no manifest of any repository
 *   names them, and while the guard keeps every push of the same digest between its bytes and its row away. A mount
 *   needs a link to begin with.
 * - A client that asked and heard that a blob is there has renewed the link for a grace time.
 * - The file goes after its mark. Dying in between leaves a file without mark, which the next pass condemns again.
 *
 * Manifests are never taken away here, tagged or not.
 */
export function createGarbageCollector(options: {
  store: Store
  blobs: BlobStore
  guard: DigestGuard
  log: GarbageLog
  now: () => number
}) {
  const { store, blobs, guard, log, now } = options
  const totals: StorageTotals = { heldBytes: null, freedBytes: 0 }
  const progress: GarbageProgress = { running: false, passes: 0, last: null }

  async function collect(options: { graceMs: number; signal: AbortSignal }): Promise<Collected> {
    const startedAt = new Date(now()).toISOString()
    progress.running = true
    try {
      const collected = await collectOnce(options)
      progress.last = { ...collected, startedAt, finishedAt: new Date(now()).toISOString() }
      return collected
    } finally {
      progress.running = false
      progress.passes += 1
    }
  }

  async function collectOnce({ graceMs, signal }: { graceMs: number; signal: AbortSignal }): Promise<Collected> {
    const none = {
      complete: false,
      condemned: 0,
      droppedLinks: 0,
      removedBlobs: 0,
      freedBytes: 0,
      failures: 0,
      strangeFiles: 0,
    }
    const pass: Pass = { ...none, graceMs, signal }
    await sweep(pass)
    await condemnLinks(pass)
    const heldBytes = await condemnBlobs(pass)
    pass.complete = goesOn(pass)
    if (pass.complete) totals.heldBytes = heldBytes
    const { graceMs: _grace, signal: _signal, ...collected } = pass
    log.info({ ...collected, heldBytes: totals.heldBytes }, `the registry freed ${pass.freedBytes} bytes`)
    return collected
  }

  async function sweep(pass: Pass): Promise<void> {
    for await (const page of pagesOf(store, condemnedKind)) {
      if (!goesOn(pass)) return
      const ripe = page.filter(({ data }) => ripeSince(pass, data.condemnedAt))
      const links = ripe.filter(({ data }) => data.repository !== null)
      for (const [repository, marks] of grouped(links, ({ data }) => data.repository ?? '')) {
        if (!goesOn(pass)) return
        await attempt(pass, { repository }, () => dropLinks(pass, repository, marks))
      }
      const bytes = ripe.filter(({ data }) => data.repository === null)
      for (const batch of batchesOf(bytes, removalsAtOnce)) {
        if (!goesOn(pass)) return
        const removals = batch.map((mark) => attempt(pass, { digest: mark.data.digest }, () => removeBytes(pass, mark)))
        await Promise.all(removals)
      }
    }
  }

  async function dropLinks(pass: Pass, repository: string, marks: readonly Condemned[]): Promise<void> {
    const unneeded = await unneededOf(
      repository,
      marks.map((mark) => mark.data.digest),
    )
    for (const batch of batchesOf(marks, writeBatch)) {
      pass.droppedLinks += await store.transaction(actor, async (transaction) => {
        let dropped = 0
        for (const mark of batch) {
          if ((await transaction.get(condemnedKind, mark.id)) === undefined) continue
          await transaction.delete(condemnedKind, mark.id)
          const link = await findLink(transaction, repository, mark.data.digest)
          if (link === undefined || !unneeded.has(mark.data.digest)) continue
          await transaction.delete(blobLinkKind, link.id)
          await countOut(transaction, { repository, digest: link.data.digest, sizeBytes: link.data.size })
          dropped += 1
        }
        if (dropped > 0) await showUsage(transaction, repository)
        return dropped
      })
    }
  }

  /** Which of these digests no manifest of the repository needs. */
  async function unneededOf(repository: string, digests: readonly string[]): Promise<Set<string>> {
    const unneeded = new Set(digests)
    for await (const page of pagesOf(store, manifestKind, { where: { repository } })) {
      withoutNeeded(unneeded, page)
      if (unneeded.size === 0) break
    }
    return unneeded
  }

  async function removeBytes(pass: Pass, mark: Condemned): Promise<void> {
    const { digest } = mark.data
    await guard.removing(digest, async () => {
      const goes = await store.transaction(actor, async (transaction) => {
        if ((await transaction.get(condemnedKind, mark.id)) === undefined) return false
        await transaction.delete(condemnedKind, mark.id)
        return !(await isNeeded(transaction, digest))
      })
      if (!goes) return
      const found = await blobs.stat(digest)
      if (found === undefined || !(await blobs.delete(digest))) return
      pass.removedBlobs += 1
      pass.freedBytes += found.sizeBytes
      totals.freedBytes += found.sizeBytes
    })
  }

  async function condemnLinks(pass: Pass): Promise<void> {
    let candidates: BlobLink[] = []
    for await (const page of pagesOf(store, blobLinkKind)) {
      if (!goesOn(pass)) return
      candidates.push(...page.filter((link) => ripeSince(pass, link.createdAt)))
      if (candidates.length < linkBatch) continue
      await condemnUnneeded(pass, candidates)
      candidates = []
    }
    await condemnUnneeded(pass, candidates)
  }

  async function condemnUnneeded(pass: Pass, links: readonly BlobLink[]): Promise<void> {
    for (const [repository, ofRepository] of grouped(links, (link) => link.data.repository)) {
      if (!goesOn(pass)) return
      await attempt(pass, { repository }, async () => {
        const unneeded = await unneededOf(
          repository,
          ofRepository.map((link) => link.data.digest),
        )
        const marked = ofRepository.filter((link) => unneeded.has(link.data.digest)).map(({ data }) => data)
        await condemn(pass, marked, async (transaction, { digest }) =>
          // Of a repository that went away meanwhile there is nothing left to condemn.
          Boolean(await findLink(transaction, repository, digest)),
        )
      })
    }
  }

  /** Answers the bytes of all blobs. */
  async function condemnBlobs(pass: Pass): Promise<number> {
    let heldBytes = 0
    let candidates: BlobEntry[] = []
    const onStrange = (strange: object) => {
      pass.strangeFiles += 1
      if (pass.strangeFiles <= warningLimit) log.warn(strange, 'there is something among the blobs that is none')
    }
    for await (const entry of blobs.list({ onStrange })) {
      if (!goesOn(pass)) return heldBytes
      heldBytes += entry.sizeBytes
      if (!isRipe(entry.modifiedAtMs, { nowMs: now(), graceMs: pass.graceMs })) continue
      candidates.push(entry)
      if (candidates.length < blobBatch) continue
      await condemnUnnamed(pass, candidates)
      candidates = []
    }
    await condemnUnnamed(pass, candidates)
    return heldBytes
  }

  /** Most blobs are named; those are passed over without a transaction. */
  async function condemnUnnamed(pass: Pass, entries: readonly BlobEntry[]): Promise<void> {
    await attempt(pass, {}, async () => {
      const marked: Omit<Condemned['data'], 'condemnedAt'>[] = []
      for (const { digest, sizeBytes } of entries) {
        if (!(await isNeeded(store, digest))) marked.push({ repository: null, digest, size: sizeBytes })
      }
      await condemn(pass, marked, async (transaction, { digest }) => !(await isNeeded(transaction, digest)))
    })
  }

  async function condemn(
    pass: Pass,
    targets: readonly Omit<Condemned['data'], 'condemnedAt'>[],
    holds: (transaction: Transaction, target: { digest: string }) => Promise<boolean>,
  ): Promise<void> {
    const condemnedAt = new Date(now()).toISOString()
    for (const batch of batchesOf(targets, writeBatch)) {
      pass.condemned += await store.transaction(actor, async (transaction) => {
        let count = 0
        for (const target of batch) {
          if ((await findCondemned(transaction, target)) !== undefined) continue
          if (!(await holds(transaction, target))) continue
          await transaction.create(condemnedKind, { data: { ...target, condemnedAt } })
          count += 1
        }
        return count
      })
    }
  }

  const ripeSince = ({ graceMs }: Pass, at: string) => isRipe(Date.parse(at), { nowMs: now(), graceMs })

  async function attempt(pass: Pass, about: object, work: () => Promise<void>): Promise<void> {
    try {
      await work()
    } catch (error) {
      fail(pass, about, error)
    }
  }

  function fail(pass: Pass, about: object, error: unknown): void {
    pass.failures += 1
    if (pass.failures <= warningLimit)
      log.warn({ ...about, err: error }, 'garbage collection of the registry passed something over')
  }

  return {
    collect,
    totals: (): StorageTotals => ({ ...totals }),
    progress: (): GarbageProgress => ({ ...progress }),
  }
}

function goesOn({ signal, failures }: Pass): boolean {
  return !signal.aborted && failures <= failureLimit
}
