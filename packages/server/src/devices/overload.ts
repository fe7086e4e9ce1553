import { FreeholdError } from '@freehold/contracts'

const lookEveryMs = 100
/** Answers wait about this long when the process falls behind. */
const tolerableLagMs = 1_000
const shedForMs = 1_000

/** Whether the process falls behind. */
export interface Lag {
  isBehind(): boolean
  close(): void
}

/** Tells by how late a timer fires, and some time after that. */
export function watchLag(): Lag {
  let expectedMs = performance.now() + lookEveryMs
  let shedUntilMs = 0
  const timer = setInterval(() => {
    const nowMs = performance.now()
    if (nowMs - expectedMs > tolerableLagMs) shedUntilMs = nowMs + shedForMs
    expectedMs = nowMs + lookEveryMs
  }, lookEveryMs)
  timer.unref()
  return {
    isBehind: () => shedUntilMs !== 0 && performance.now() <= shedUntilMs,
    close: () => clearInterval(timer),
  }
}

/**
 * Where the process falls behind, devices are sent away with a `Retry-After` of their own each: people, agents and
 * pushes go on, and the devices come back spread out.
 */
export function createOverload(options: { random: () => number; inFlightAtMost: number; lag: Lag }) {
  let inFlight = 0
  return {
    /** Throws `unavailable` with seconds to wait. */
    refuse(): void {
      if (inFlight < options.inFlightAtMost && !options.lag.isBehind()) return
      throw new FreeholdError('unavailable', 'Too many devices speak at once; try again later.', {
        retryAfterSeconds: 2 + Math.floor(options.random() * 8),
      })
    },
    enter(): void {
      inFlight += 1
    },
    leave(): void {
      inFlight -= 1
    },
    close: () => options.lag.close(),
  }
}
export type Overload = ReturnType<typeof createOverload>
