import type { Clock } from '@freehold/reconcile'

/** A virtual clock for very many timers: one bucket for each second, so that setting and cancelling cost the same for all. */
export interface WheelClock extends Clock {
  /** Moves time forward second by second, letting promises settle after each in which something fell due. */
  advance(durationMs: number): Promise<void>
}

interface Timer {
  atMs: number
  order: number
  callback: () => void
}

export function createWheelClock(options: { startMs: number; settle: () => Promise<void> }): WheelClock {
  const buckets = new Map<number, Set<Timer>>()
  let nowMs = options.startMs
  let order = 0

  /** What fired is let go of at once: who still holds the way to cancel it would hold all of that second, and so ever more. */
  async function fireSecond(second: number): Promise<void> {
    for (let bucket = buckets.get(second); bucket !== undefined; bucket = buckets.get(second)) {
      buckets.delete(second)
      for (const timer of [...bucket].toSorted((one, other) => one.atMs - other.atMs || one.order - other.order)) {
        // One that fell due before it may have cancelled it.
        if (!bucket.delete(timer)) continue
        nowMs = Math.max(nowMs, timer.atMs)
        timer.callback()
      }
      await options.settle()
    }
  }

  const clock: WheelClock = {
    now: () => nowMs,
    after(delayMs, callback) {
      // Whole milliseconds, as the time of day has them.
      const timer = { atMs: nowMs + Math.max(0, Math.ceil(delayMs)), order: order++, callback }
      const second = Math.floor(timer.atMs / 1000)
      const bucket = buckets.get(second) ?? new Set<Timer>()
      bucket.add(timer)
      buckets.set(second, bucket)
      return () => {
        bucket.delete(timer)
        if (bucket.size === 0 && buckets.get(second) === bucket) buckets.delete(second)
      }
    },
    sleep: (delayMs, signal) =>
      new Promise((resolve) => {
        if (signal?.aborted) return resolve()
        const done = () => {
          cancel()
          signal?.removeEventListener('abort', done)
          resolve()
        }
        const cancel = clock.after(delayMs, done)
        signal?.addEventListener('abort', done, { once: true })
      }),
    async advance(durationMs) {
      const endMs = nowMs + durationMs
      for (let second = Math.floor(nowMs / 1000); second * 1000 < endMs; second++) {
        await fireSecond(second)
        nowMs = Math.max(nowMs, Math.min(endMs, (second + 1) * 1000))
      }
    },
  }
  return clock
}
