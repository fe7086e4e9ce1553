import type { Clock } from '@freehold/reconcile'
import { randomUUID } from '../builtin.ts'
import { type Log, sentenceOf } from '../log.ts'
import { type SupervisorClient, SupervisorError } from './client.ts'
import {
  type Look,
  look,
  newWatch,
  type PendingUpdate,
  type UpdateStatus,
  updateStatus,
  type Watch,
  type WatchLimits,
  watchLimits,
} from './update.ts'

/** Asks the Supervisor for an update and watches what really comes of it. One watch at a time. */
export interface Updater {
  /** Resolves as soon as the Supervisor was asked; what comes of it is in `status()` and `settled()`. */
  request(options: { force: boolean; requestedBy: string }): Promise<UpdateStatus>
  /** Goes on with an update that was asked for before this process started. */
  resume(pending: PendingUpdate): void
  /** Of the last update; null: none was asked for. */
  status(): UpdateStatus | null
  /** Resolves when the outcome is one that is told (`locked` and `failed` included) or the signal aborts. */
  settled(signal: AbortSignal): Promise<UpdateStatus | null>
  stop(): Promise<void>
}

export function createUpdater(options: {
  client: SupervisorClient
  clock: Clock
  monotonicMs: () => number
  log: Log
  /** Stores or clears what must outlive a restart. */
  remember: (pending: PendingUpdate | null) => Promise<void>
  limits?: WatchLimits
  /** Pause between looks, and the longer one after the first minute. */
  lookEveryMs?: { first: number; later: number }
}): Updater {
  const {
    client,
    clock,
    monotonicMs,
    log,
    limits = watchLimits,
    lookEveryMs = { first: 1_000, later: 10_000 },
  } = options
  let last: UpdateStatus | null = null
  let running: { stop: AbortController; ended: Promise<void> } | undefined
  const waiting = new Set<() => void>()

  const publish = (status: UpdateStatus) => {
    if (last?.outcome !== status.outcome) {
      const { message, ...facts } = status
      log.info(`Update: ${status.outcome}. ${message}`, facts)
    }
    last = status
    for (const wake of waiting) wake()
  }

  const watchUntilSettled = async (pending: PendingUpdate, signal: AbortSignal): Promise<void> => {
    const startedMs = monotonicMs()
    const elapsedMs = () => monotonicMs() - startedMs
    let watch: Watch = newWatch
    publish(updateStatus(watch, pending, 0))
    while (!watch.settled) {
      await clock.sleep(elapsedMs() < 60_000 ? lookEveryMs.first : lookEveryMs.later, signal)
      if (signal.aborted) return
      watch = look(watch, pending, await lookAt(client, elapsedMs(), signal), limits)
      if (signal.aborted) return
      publish(updateStatus(watch, pending, elapsedMs()))
    }
    await options.remember(null)
  }

  const begin = (pending: PendingUpdate) => {
    const stop = new AbortController()
    const ended = watchUntilSettled(pending, stop.signal).catch((error: unknown) =>
      log.warn('The update is no longer watched.', { reason: sentenceOf(error) }),
    )
    running = { stop, ended }
  }
  const end = async () => {
    running?.stop.abort()
    await running?.ended
    running = undefined
  }

  const ask: Updater['request'] = async ({ force, requestedBy }) => {
    const before = await client.device()
    const pending = { id: randomUUID(), requestedBy, commitBefore: before.commit }
    await end()
    // Stored first: the Supervisor may replace this agent as soon as it was asked.
    await options.remember(pending)
    try {
      const started = await client.requestUpdate({ force })
      if (started === 'ignored') {
        const message = 'Instant updates are off on this device; ask again with force, or wait for its next check.'
        await options.remember(null)
        publish(updateStatus({ ...newWatch, outcome: 'ignored', message, settled: true }, pending, 0))
      } else begin(pending)
    } catch (error) {
      await options.remember(null)
      if (!(error instanceof SupervisorError)) throw error
      const outcome = error.reason === 'locked' ? 'locked' : 'failed'
      publish(updateStatus({ ...newWatch, outcome, message: error.message, settled: true }, pending, 0))
      if (outcome === 'failed') throw error
    }
    return last ?? updateStatus(newWatch, pending, 0)
  }

  let queue: Promise<unknown> = Promise.resolve()
  return {
    request: (wanted) => {
      const asked = queue.then(() => ask(wanted))
      queue = asked.catch(() => undefined)
      return asked
    },
    resume: begin,
    status: () => last,
    settled: (signal) =>
      new Promise((resolve) => {
        const check = () => {
          const isTold = last !== null && last.outcome !== 'requested' && last.outcome !== 'applying'
          if (!isTold && !signal.aborted) return
          waiting.delete(check)
          signal.removeEventListener('abort', check)
          resolve(last)
        }
        waiting.add(check)
        signal.addEventListener('abort', check, { once: true })
        check()
      }),
    stop: end,
  }
}

async function lookAt(client: SupervisorClient, atMs: number, signal: AbortSignal): Promise<Look> {
  const [device, apps] = await Promise.allSettled([client.device(signal), client.apps(signal)])
  const refusal = [device, apps].find((result) => result.status === 'rejected')
  return {
    atMs,
    device: device.status === 'fulfilled' ? device.value : null,
    apps: apps.status === 'fulfilled' ? apps.value : null,
    problem: refusal ? sentenceOf(refusal.reason) : null,
  }
}
