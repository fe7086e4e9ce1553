import { type ChangeEntry, type ErrorCode, routes } from '@freehold/contracts'
import { ApiError, errorFromBody } from './errors.ts'
import { readJson, send, type Transport } from './request.ts'
import { eventsOf, linesOf } from './stream.ts'
import type { WatchInput } from './types.ts'

export interface Patience {
  /** The first wait before connecting again, and the longest; each wait is shortened by up to half, at random. */
  firstMs: number
  maxMs: number
  random: () => number
  /** The server sends at least a comment every 15 s; a connection silent for longer than this is dead. */
  silenceMs: number
}

/** A connection that lived this long was a good one: the next wait is short again. */
const goodAfterMs = 10_000
/** What passes by itself. Everything else (not signed in, feed expired …) ends the watch. */
const passing: readonly ErrorCode[] = ['unavailable', 'timeout', 'internal', 'too-many-requests']

/**
 * Every change after `since`, then each as it happens, each once and in order. A lost connection is made again where
 * it broke. Throws `feed-expired` when the server no longer keeps what comes next: list again, and watch from there.
 */
export async function* watchChanges(
  transport: Transport,
  patience: Patience,
  input: WatchInput,
): AsyncGenerator<ChangeEntry> {
  const { signal, onConnection } = input
  let since = input.since
  let failures = 0
  for (;;) {
    let failure: ApiError | null = null
    const startedAt = performance.now()
    try {
      since ??= await presentVersion(transport, signal)
      for await (const change of connect(transport, patience, { ...input, since })) {
        failures = 0
        if (change.version <= since) continue
        since = change.version
        yield change
      }
    } catch (error) {
      if (!(error instanceof ApiError) || !passing.includes(error.code)) throw error
      failure = error
    }
    signal?.throwIfAborted()
    if (performance.now() - startedAt > goodAfterMs) failures = 0
    const retryInMs = Math.max(waitMs(failures, patience), (failure?.retryAfterSeconds ?? 0) * 1000)
    failures += 1
    onConnection?.({ state: 'disconnected', error: failure, retryInMs })
    await sleep(retryInMs, signal)
  }
}

/** The wait before the next try after so many failures: doubling, bounded, up to half of it taken off at random. */
export function waitMs(failures: number, patience: Pick<Patience, 'firstMs' | 'maxMs' | 'random'>): number {
  const longest = Math.min(patience.maxMs, patience.firstMs * 2 ** Math.min(failures, 20))
  return longest * (1 - patience.random() / 2)
}

async function* connect(
  transport: Transport,
  patience: Patience,
  input: WatchInput & { since: number },
): AsyncGenerator<ChangeEntry> {
  const { since, kinds, signal } = input
  const query = { since, kinds: kinds?.join(',') }
  const response = await send(
    transport,
    routes.changes.watch,
    { query, signal },
    since > 0 ? { 'last-event-id': String(since) } : {},
  )
  input.onConnection?.({ state: 'connected' })
  const lines = linesOf(response, { signal, keepRest: false, silenceMs: patience.silenceMs })
  for await (const event of eventsOf(lines)) {
    const value: unknown = JSON.parse(event.data)
    if (event.type === 'error') {
      throw errorFromBody(value) ?? new ApiError('internal', 'The change feed ended with an unknown error.')
    }
    yield value as ChangeEntry
  }
}

async function presentVersion(transport: Transport, signal: AbortSignal | undefined): Promise<number> {
  const status = (await readJson(await send(transport, routes.status.get, { signal }), signal)) as {
    storeVersion: number
  }
  return status.storeVersion
}

function sleep(durationMs: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    const stop = () => {
      clearTimeout(timer)
      reject(signal?.reason)
    }
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', stop)
      resolve()
    }, durationMs)
    if (signal?.aborted) stop()
    signal?.addEventListener('abort', stop, { once: true })
  })
}
