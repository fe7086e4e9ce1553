import { FreeholdError } from '@freehold/contracts'

const lookEveryMs = 100
/** Answers wait about this long when the process falls behind. */
const tolerableLagMs = 1_000
const shedForMs = 1_000
/** So few at once are not why the process falls behind; to send them away would help nobody. */
const fewInFlight = 32

/** Whether the process falls behind. */
export interface Lag {
  isBehind(): boolean
  close(): void
}

/** Tells by how late a timer fires, and some time after that. */
export function watchLag(monotonicMs = () => performance.now()): Lag {
  let expectedMs = monotonicMs() + lookEveryMs
  let shedUntilMs = -Infinity
  const timer = setInterval(() => {
    const nowMs = monotonicMs()
    if (nowMs - expectedMs > tolerableLagMs) shedUntilMs = nowMs + shedForMs
    expectedMs = nowMs + lookEveryMs
  }, lookEveryMs)
  timer.unref()
  return {
    isBehind: () => monotonicMs() <= shedUntilMs,
    close: () => clearInterval(timer),
  }
}

/**
 * Where the process falls behind, a crowd of devices is sent away with a `Retry-After` of their own each: people, agents and
 * pushes go on, and the devices come back spread out.
 */
export function createOverload(options: { random: () => number; inFlightAtMost: number; lag: Lag }) {
  let inFlight = 0
  return {
    /** Throws `unavailable` with seconds to wait. */
    refuse(): void {
      const most = options.lag.isBehind() ? fewInFlight : options.inFlightAtMost
      if (inFlight < most) return
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
