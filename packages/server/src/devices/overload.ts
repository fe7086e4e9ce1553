import { FreeholdError } from '@freehold/contracts'

const lookEveryMs = 100
/** Answers wait about this long when the process falls behind. */
const tolerableLagMs = 1_000
const shedForMs = 1_000
/** So few at once are not why the process falls behind; to send them away would help nobody. */
const fewInFlight = 32

/**
 * Tells when the process falls behind, by how late a timer fires. Then devices are sent away with a `Retry-After` of
 * their own each: people, agents and pushes go on, and the devices come back spread out.
 */
export function createOverload(options: { random: () => number; monotonicMs: () => number; inFlightAtMost: number }) {
  const { monotonicMs } = options
  let expectedMs = monotonicMs() + lookEveryMs
  let shedUntilMs = 0
  let inFlight = 0
  const timer = setInterval(() => {
    const nowMs = monotonicMs()
    if (nowMs - expectedMs > tolerableLagMs) shedUntilMs = nowMs + shedForMs
    expectedMs = nowMs + lookEveryMs
  }, lookEveryMs)
  timer.unref()
  return {
    /** Throws `unavailable` with seconds to wait. */
    refuse(): void {
      const isBehind = monotonicMs() <= shedUntilMs
      if (inFlight < (isBehind ? Math.min(fewInFlight, options.inFlightAtMost) : options.inFlightAtMost)) return
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
    close: () => clearInterval(timer),
  }
}
export type Overload = ReturnType<typeof createOverload>
