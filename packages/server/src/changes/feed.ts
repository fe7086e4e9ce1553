import { FreeholdError } from '@freehold/contracts'
import type { Change, Store } from '@freehold/store'

const pageSize = 500
/** A watcher that catches up holds a page of its own while its client reads it. */
const catchUpPageSize = 50
/** A watcher that has this many changes waiting is dropped; it comes back where it was. */
const maxWaiting = 5_000
const retryMs = 1_000

interface Watcher {
  kinds: ReadonlySet<string>
  /** Changes up to this version reach it another way. */
  after: number
  push(change: Change): void
  fail(error: unknown): void
}

/**
 * The change feed for everyone in this process. One reader follows the store and hands each change to the watchers
 * it concerns, so two hundred watchers cost one read.
 *
 * - A watcher gets every change after its start exactly once, in order.
 * - A wake-up carries no data: the reader asks the store what there is after its position.
 * - Nobody waits for a slow watcher; it is dropped.
 */
export async function createFeed(options: { store: Store; onError: (error: unknown) => void }) {
  const { store } = options
  const watchers = new Set<Watcher>()
  const joining: (() => void)[] = []
  let position = await store.version()
  let pumping: Promise<void> | undefined
  let wanted = false
  let closed = false
  let retry: NodeJS.Timeout | undefined
  const unsubscribe = store.onChange(wake)

  function wake(): void {
    wanted = true
    if (closed || pumping !== undefined) return
    pumping = pump().finally(() => {
      pumping = undefined
      if (wanted || joining.length > 0) wake()
    })
  }

  /** Watchers join between two reads: each read is for all of them or for none. */
  async function pump(): Promise<void> {
    while (!closed) {
      for (const admit of joining.splice(0)) admit()
      if (!wanted) return
      wanted = false
      try {
        if (await readPage(position)) wanted = true
      } catch (error) {
        if (closed) return
        options.onError(error)
        if (error instanceof FreeholdError && error.code === 'feed-expired') await startOver(error)
        else return retryLater()
      }
    }
  }

  /** Resolves to whether there may be more. */
  async function readPage(since: number): Promise<boolean> {
    const kinds = [...new Set([...watchers].flatMap((watcher) => [...watcher.kinds]))]
    const head = await store.version()
    if (head === since) return false
    const changes = kinds.length === 0 ? [] : await store.changes(since, { limit: pageSize, kinds })
    for (const change of changes) {
      for (const watcher of watchers) {
        if (watcher.kinds.has(change.kind)) watcher.push(change)
      }
    }
    const last = changes.at(-1)?.version ?? since
    position = changes.length < pageSize ? Math.max(head, last) : last
    return changes.length === pageSize
  }

  /** The log was cut behind our back: what lies between is lost to everyone who watches. */
  async function startOver(error: FreeholdError): Promise<void> {
    for (const watcher of watchers) watcher.fail(error)
    position = await store.version()
  }

  function retryLater(): void {
    retry ??= setTimeout(() => {
      retry = undefined
      wake()
    }, retryMs).unref()
  }

  /** Resolves when the watcher is served, with changes after its `after`. */
  function join(watcher: Watcher): Promise<void> {
    if (closed) throw stopping()
    return new Promise((resolve) => {
      joining.push(() => {
        watcher.after = position
        watchers.add(watcher)
        resolve()
      })
      wake()
    })
  }

  /**
   * Every change of these kinds after `since` (default: now), until the signal aborts. Throws `feed-expired` where
   * `since` is older than what is kept, `unavailable` when the watcher is too slow; both mean: come back.
   */
  async function watch(request: {
    since: number | undefined
    kinds: readonly string[]
    signal: AbortSignal
  }): Promise<AsyncIterable<Change>> {
    const { kinds, signal } = request
    const queue = createQueue(signal)
    const watcher: Watcher = { kinds: new Set(kinds), after: 0, push: queue.push, fail: queue.fail }
    const since = request.since ?? (await store.version())
    // Asked before anything is answered, so that an expired start is an error and no stream.
    await store.changes(since, { limit: 1, kinds })
    await join(watcher)
    return follow(watcher, { since, kinds, queue, signal })
  }

  /** What was before the watcher joined comes from the store, page after page; what came since waits in its queue. */
  async function* follow(
    watcher: Watcher,
    request: { since: number; kinds: readonly string[]; queue: ReturnType<typeof createQueue>; signal: AbortSignal },
  ): AsyncGenerator<Change> {
    try {
      let { since } = request
      while (since < watcher.after && !request.signal.aborted) {
        const page = await store.changes(since, { limit: catchUpPageSize, kinds: request.kinds })
        for (const change of page) if (change.version <= watcher.after) yield change
        since = page.length < catchUpPageSize ? watcher.after : (page.at(-1)?.version ?? watcher.after)
      }
      yield* request.queue.items()
    } finally {
      watchers.delete(watcher)
    }
  }

  return {
    watch,
    /** Calls back after changes of these kinds, without saying which. Returns the unsubscribe. */
    async onKinds(kinds: readonly string[], listener: () => void): Promise<() => void> {
      const watcher: Watcher = { kinds: new Set(kinds), after: 0, push: listener, fail: listener }
      await join(watcher)
      return () => watchers.delete(watcher)
    },
    watcherCount: () => watchers.size,
    async close(): Promise<void> {
      closed = true
      unsubscribe()
      clearTimeout(retry)
      await pumping
      for (const admit of joining.splice(0)) admit()
      for (const watcher of watchers) watcher.fail(stopping())
      watchers.clear()
    },
  }
}
export type Feed = Awaited<ReturnType<typeof createFeed>>

function stopping(): FreeholdError {
  return new FreeholdError('unavailable', 'The server is stopping.')
}

function createQueue(signal: AbortSignal) {
  let waiting: Change[] = []
  let failure: unknown
  let wakeUp: () => void = () => {}
  return {
    push(change: Change): void {
      if (failure !== undefined) return
      if (waiting.length >= maxWaiting) {
        waiting = []
        failure = new FreeholdError(
          'unavailable',
          'You read more slowly than things change; watch again from the last event.',
        )
      } else waiting.push(change)
      wakeUp()
    },
    fail(error: unknown): void {
      failure ??= error
      wakeUp()
    },
    async *items(): AsyncGenerator<Change> {
      const onAbort = () => wakeUp()
      signal.addEventListener('abort', onAbort)
      try {
        while (!signal.aborted) {
          const batch = waiting
          waiting = []
          for (const change of batch) yield change
          if (waiting.length > 0) continue
          if (failure !== undefined) throw failure
          await new Promise<void>((resolve) => {
            wakeUp = resolve
            if (signal.aborted || failure !== undefined || waiting.length > 0) resolve()
          })
        }
      } finally {
        signal.removeEventListener('abort', onAbort)
      }
    },
  }
}
