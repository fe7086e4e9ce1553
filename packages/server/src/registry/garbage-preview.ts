import type { BlobStore } from '@freehold/blobs'
import { blobLinkKind, type Condemned, condemnedKind, type GarbagePreview, manifestKind } from '@freehold/contracts'
import { pagesOf, type Store } from '@freehold/store'
import { findCondemned, type Target } from './condemned.ts'
import { grouped, isRipe, withoutNeeded } from './garbage-rules.ts'
import { isNeeded } from './needed.ts'

type Item = GarbagePreview['items'][number]

/** Items an answer shows; its numbers count them all. */
const itemLimit = 1000
/** Links that are looked at with one reading of their repositories' manifests. */
const linkBatch = 5000
/** An answer that has not everything by then says so. */
const timeLimitMs = 20_000

/**
 * What garbage collection would take in a pass now and what later, found as the pass itself finds it, but nothing is
 * written. Reading goes on beside pushes, so it is a picture of about now.
 */
export function createGarbagePreview(options: {
  store: Store
  blobs: BlobStore
  now: () => number
}): (given: { graceMs: number }) => Promise<GarbagePreview> {
  const { store, blobs, now } = options
  let underWay: Promise<GarbagePreview> | undefined

  async function look(graceMs: number): Promise<GarbagePreview> {
    const view = createView({ nowMs: now(), graceMs })
    const endsAtMs = performance.now() + timeLimitMs
    const goesOn = () => performance.now() < endsAtMs
    const complete =
      (await lookAtMarks(view, goesOn)) && (await lookAtLinks(view, goesOn)) && (await lookAtBytes(view, goesOn))
    return view.answer(complete)
  }

  /** What an earlier pass condemned, as far as nothing needs it again. */
  async function lookAtMarks(view: View, goesOn: () => boolean): Promise<boolean> {
    for await (const page of pagesOf(store, condemnedKind)) {
      if (!goesOn()) return false
      const links = page.filter(({ data }) => data.repository !== null)
      for (const [repository, marks] of grouped(links, ({ data }) => data.repository ?? '')) {
        const unneeded = await unneededOf(repository, marks)
        for (const { data } of marks) if (unneeded.has(data.digest)) view.add(data, Date.parse(data.condemnedAt))
      }
      for (const { data } of page) {
        if (data.repository !== null || (await isNeeded(store, data.digest))) continue
        view.add(data, Date.parse(data.condemnedAt))
      }
    }
    return true
  }

  async function lookAtLinks(view: View, goesOn: () => boolean): Promise<boolean> {
    let batch: { data: { repository: string; digest: string; size: number } }[] = []
    const judge = async () => {
      for (const [repository, links] of grouped(batch, ({ data }) => data.repository)) {
        const unneeded = await unneededOf(repository, links)
        for (const { data } of links) if (unneeded.has(data.digest)) await addUnmarked(view, data)
      }
      batch = []
    }
    for await (const page of pagesOf(store, blobLinkKind)) {
      if (!goesOn()) return false
      batch.push(...page.filter((link) => isRipe(Date.parse(link.createdAt), view)))
      if (batch.length >= linkBatch) await judge()
    }
    await judge()
    return true
  }

  async function lookAtBytes(view: View, goesOn: () => boolean): Promise<boolean> {
    for await (const { digest, sizeBytes, modifiedAtMs } of blobs.list()) {
      if (!goesOn()) return false
      if (!isRipe(modifiedAtMs, view) || (await isNeeded(store, digest))) continue
      await addUnmarked(view, { repository: null, digest, size: sizeBytes })
    }
    return true
  }

  async function addUnmarked(view: View, target: Target & { size: number }): Promise<void> {
    if ((await findCondemned(store, target)) === undefined) view.add(target, view.nowMs)
  }

  async function unneededOf(repository: string, of: readonly { data: Pick<Condemned['data'], 'digest'> }[]) {
    const unneeded = new Set(of.map(({ data }) => data.digest))
    for await (const page of pagesOf(store, manifestKind, { where: { repository } })) {
      withoutNeeded(unneeded, page)
      if (unneeded.size === 0) break
    }
    return unneeded
  }

  // Whoever asks while an answer is being found gets that one.
  return ({ graceMs }) => {
    underWay ??= look(graceMs).finally(() => {
      underWay = undefined
    })
    return underWay
  }
}

type View = ReturnType<typeof createView>

function createView({ nowMs, graceMs }: { nowMs: number; graceMs: number }) {
  const tallies = { due: { blobs: 0, links: 0, bytes: 0 }, waiting: { blobs: 0, links: 0, bytes: 0 } }
  const items: Record<'due' | 'waiting', Item[]> = { due: [], waiting: [] }
  let count = 0
  return {
    nowMs,
    graceMs,
    add({ repository, digest, size }: Target & { size: number }, condemnedAtMs: number): void {
      const goesAtMs = condemnedAtMs + graceMs
      const due = goesAtMs <= nowMs
      const sort = due ? 'due' : 'waiting'
      count += 1
      if (repository === null) {
        tallies[sort].blobs += 1
        tallies[sort].bytes += size
      } else tallies[sort].links += 1
      if (items[sort].length >= itemLimit) return
      items[sort].push({
        repository,
        digest,
        sizeBytes: size,
        due,
        goesAt: new Date(goesAtMs).toISOString(),
        reason:
          repository === null
            ? 'no repository links it and no manifest has this digest'
            : `no manifest of ${repository} needs it`,
      })
    },
    answer: (complete: boolean): GarbagePreview => ({
      at: new Date(nowMs).toISOString(),
      complete,
      ...tallies,
      items: [...items.due, ...items.waiting].slice(0, itemLimit),
      truncated: count > itemLimit,
    }),
  }
}
