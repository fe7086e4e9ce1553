import type { Clock } from './clock.ts'
import type { Random } from './random.ts'

/**
 * Runs one job again and again. What always holds:
 *
 * 1. One run at a time.
 * 2. A wake-up carries no data and is never lost: one during a run causes one more run after it, however many came.
 * 3. Without any wake-up it runs every `periodMs`, or sooner where the run itself asked for it.
 * 4. After a failure it waits, longer with each one (exponential, with jitter, bounded); wake-ups do not cut that
 *    short unless they say `forgetFailures`, and the first success ends it.
 * 5. Every run has an AbortSignal that fires at its time limit and at `stop()`. A run must heed it: because of 1 the
 *    driver waits for a run that does not.
 * 6. `stop()` resolves when the run under way has ended; no run starts after it was called.
 */
export interface Driver {
  /** Begins with a run at once. */
  start(): void
  /** Runs soon. `forgetFailures`: something new came in that deserves a try now, even while backing off. */
  wake(options?: { forgetFailures?: boolean }): void
  stop(): Promise<void>
  /** Failures since the last success. */
  failures(): number
}

export interface Backoff {
  minMs: number
  maxMs: number
}

export function createDriver(options: {
  /** `againInMs`: run again that soon although nothing wakes the driver. */
  run: (signal: AbortSignal) => Promise<{ againInMs?: number } | undefined>
  clock: Clock
  random: Random
  periodMs: number
  backoff: Backoff
  /** Default: 60 s. */
  timeLimitMs?: number
  onFailure?: (failure: { error: unknown; failures: number; retryInMs: number }) => void
}): Driver {
  const { clock, random, periodMs, backoff, timeLimitMs = 60_000 } = options
  const stopping = new AbortController()
  let loop: Promise<void> | undefined
  let failures = 0
  let woken = false
  let cutPause: (() => void) | undefined

  const runOnce = async (): Promise<number> => {
    const limit = new AbortController()
    const cancelLimit = clock.after(timeLimitMs, () =>
      limit.abort(new Error(`The run took longer than ${timeLimitMs} ms.`)),
    )
    const forward = () => limit.abort(stopping.signal.reason)
    stopping.signal.addEventListener('abort', forward, { once: true })
    try {
      const outcome = await options.run(limit.signal)
      failures = 0
      return Math.min(outcome?.againInMs ?? periodMs, periodMs)
    } catch (error) {
      failures += 1
      const retryInMs = backoffMs(backoff, failures, random)
      if (!stopping.signal.aborted) options.onFailure?.({ error, failures, retryInMs })
      return retryInMs
    } finally {
      cancelLimit()
      stopping.signal.removeEventListener('abort', forward)
    }
  }

  const pause = (delayMs: number): Promise<void> =>
    new Promise((resolve) => {
      const end = () => {
        cancel()
        cutPause = undefined
        resolve()
      }
      const cancel = clock.after(delayMs, end)
      cutPause = end
    })

  const loopUntilStopped = async (): Promise<void> => {
    while (!stopping.signal.aborted) {
      woken = false
      const delayMs = await runOnce()
      if (stopping.signal.aborted) return
      if (woken && failures === 0) continue
      await pause(delayMs)
    }
  }

  return {
    start: () => {
      if (!stopping.signal.aborted) loop ??= loopUntilStopped()
    },
    wake: ({ forgetFailures = false } = {}) => {
      woken = true
      if (forgetFailures) failures = 0
      if (failures === 0) cutPause?.()
    },
    stop: async () => {
      if (!stopping.signal.aborted) stopping.abort(new Error('The loop is being stopped.'))
      cutPause?.()
      await loop
    },
    failures: () => failures,
  }
}

/** How long to wait after the n-th failure in a row: doubling from `minMs` up to `maxMs`, of which a random half is left out. */
export function backoffMs(backoff: Backoff, failures: number, random: Random): number {
  const fullMs = Math.min(backoff.maxMs, backoff.minMs * 2 ** Math.min(30, Math.max(0, failures - 1)))
  return fullMs * (0.5 + random.next() / 2)
}
