import type { Clock, Random } from '@freehold/reconcile'

/**
 * `now`: people wait for it, as for an end. `soon`: what comes next says it as well, or a heartbeat that is due anyway.
 */
export type Urgency = 'now' | 'soon'

/** Makes a report go out before its turn, yet not often: many wishes are one, whose report says the newest of all. */
export interface Nudge {
  wish(urgency: Urgency): void
  /** A report is being made, whatever for: it says all that was wished for so far. */
  noteReport(): void
  stop(): void
}

/** A report that was wished for comes at least so long after any other. */
const apartMs = 5_000
/** How long a wish waits, and up to how much longer at random, so that a fleet does not speak all at once. */
const waits: Record<Urgency, { leastMs: number; spreadMs: number }> = {
  now: { leastMs: 0, spreadMs: 2_500 },
  soon: { leastMs: 15_000, spreadMs: 5_000 },
}
/** Until when at most what is to be told soon is told. */
export const soonMs = waits.soon.leastMs + waits.soon.spreadMs

export function createNudge(options: {
  clock: Clock
  random: Random
  monotonicMs: () => number
  act: () => void
}): Nudge {
  const { clock, random, monotonicMs } = options
  let lastMs = -Infinity
  let waiting: { urgency: Urgency; atMs: number; cancel: () => void } | undefined
  const forget = () => {
    waiting?.cancel()
    waiting = undefined
  }
  return {
    wish: (urgency) => {
      if (waiting && (waiting.urgency === 'now' || urgency === 'soon')) return
      const nowMs = monotonicMs()
      const { leastMs, spreadMs } = waits[urgency]
      const pauseMs = Math.max(leastMs, lastMs + apartMs - nowMs) + random.next() * spreadMs
      if (waiting && waiting.atMs <= nowMs + pauseMs) return
      forget()
      const cancel = clock.after(pauseMs, () => {
        waiting = undefined
        lastMs = monotonicMs()
        options.act()
      })
      waiting = { urgency, atMs: nowMs + pauseMs, cancel }
    },
    noteReport: () => {
      forget()
      lastMs = monotonicMs()
    },
    stop: forget,
  }
}
