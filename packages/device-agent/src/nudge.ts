import type { Clock, Random } from '@freehold/reconcile'

/** Makes something happen soon, yet not often: at least `apartMs` apart, later at random, many wishes as one. */
export interface Nudge {
  wish(): void
  stop(): void
}

export function createNudge(options: {
  clock: Clock
  random: Random
  monotonicMs: () => number
  apartMs: number
  act: () => void
}): Nudge {
  const { clock, random, monotonicMs, apartMs } = options
  let lastMs = -Infinity
  let cancel: (() => void) | undefined
  return {
    wish: () => {
      if (cancel) return
      const pauseMs = Math.max(0, lastMs + apartMs - monotonicMs()) + random.next() * (apartMs / 2)
      cancel = clock.after(pauseMs, () => {
        cancel = undefined
        lastMs = monotonicMs()
        options.act()
      })
    },
    stop: () => {
      cancel?.()
      cancel = undefined
    },
  }
}
