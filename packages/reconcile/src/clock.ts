/** Time as a parameter: real in production, virtual in simulations. */
export interface Clock {
  /** Milliseconds since 1970. */
  now(): number
  /** Calls back once after `delayMs`; the returned function cancels it. */
  after(delayMs: number, callback: () => void): () => void
  /** Resolves after `delayMs`, or as soon as the signal aborts; it never rejects. */
  sleep(delayMs: number, signal?: AbortSignal): Promise<void>
}

/** The machine's clock. Its timers keep the process alive until they fire or are cancelled. */
export const systemClock: Clock = {
  now: () => Date.now(),
  after: (delayMs, callback) => {
    const timer = setTimeout(callback, delayMs)
    return () => clearTimeout(timer)
  },
  sleep: (delayMs, signal) => sleepBy(systemClock, delayMs, signal),
}

/** A clock that stands still until it is told to move. */
export interface FakeClock extends Clock {
  /** Moves time forward, firing what is due in order and letting promises settle in between. */
  advance(durationMs: number): Promise<void>
  /** Moves from timer to timer until the condition holds; false where it does not within `limitMs` of virtual time. */
  runUntil(condition: () => boolean, limitMs: number): Promise<boolean>
  /** Timers not yet fired. */
  pending(): number
}

interface FakeTimer {
  atMs: number
  order: number
  callback: () => void
}

/** Virtual time. `settle` is awaited between timers; the default lets every promise that needs no I/O settle. */
export function createFakeClock(options: { startMs?: number; settle?: () => Promise<void> } = {}): FakeClock {
  const settle = options.settle ?? (() => new Promise<void>((resolve) => setImmediate(resolve)))
  const timers = new Set<FakeTimer>()
  let nowMs = options.startMs ?? 0
  let order = 0

  const nextUntil = (limitMs: number): FakeTimer | undefined => {
    let next: FakeTimer | undefined
    for (const timer of timers) {
      if (timer.atMs > limitMs) continue
      if (!next || timer.atMs < next.atMs || (timer.atMs === next.atMs && timer.order < next.order)) next = timer
    }
    return next
  }
  const fire = async (timer: FakeTimer): Promise<void> => {
    timers.delete(timer)
    nowMs = Math.max(nowMs, timer.atMs)
    timer.callback()
    await settle()
  }

  const clock: FakeClock = {
    now: () => nowMs,
    after: (delayMs, callback) => {
      const timer = { atMs: nowMs + Math.max(0, delayMs), order: order++, callback }
      timers.add(timer)
      return () => timers.delete(timer)
    },
    sleep: (delayMs, signal) => sleepBy(clock, delayMs, signal),
    advance: async (durationMs) => {
      const endMs = nowMs + durationMs
      await settle()
      for (let timer = nextUntil(endMs); timer; timer = nextUntil(endMs)) await fire(timer)
      nowMs = endMs
    },
    runUntil: async (condition, limitMs) => {
      const endMs = nowMs + limitMs
      await settle()
      while (!condition()) {
        const timer = nextUntil(endMs)
        if (!timer) {
          nowMs = endMs
          return false
        }
        await fire(timer)
      }
      return true
    },
    pending: () => timers.size,
  }
  return clock
}

function sleepBy(clock: Clock, delayMs: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal?.aborted) return resolve()
    const done = () => {
      cancel()
      signal?.removeEventListener('abort', done)
      resolve()
    }
    const cancel = clock.after(delayMs, done)
    signal?.addEventListener('abort', done, { once: true })
  })
}
