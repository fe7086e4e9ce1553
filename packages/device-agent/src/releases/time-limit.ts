import type { Clock } from '@freehold/reconcile'

const minutesMs = 60_000

/**
 * The longest that each call may take. A host is pulled while it is applied, and again where it has to return, for 45
 * minutes at most; its commit waits up to 30 for its own checks. Those end by themselves first, and say why.
 */
export const timeLimitsMs = {
  look: 30_000,
  action: 60_000,
  commit: { app: 5 * minutesMs, host: 35 * minutesMs },
  apply: { app: 20 * minutesMs, host: 50 * minutesMs },
  rollBack: { app: 20 * minutesMs, host: 50 * minutesMs },
  download: 360 * minutesMs,
}

/** Runs one call; throws where it is not done in time or no longer wanted, whether or not it heeds its signal. */
export async function limited<Value>(
  run: (signal: AbortSignal) => Promise<Value>,
  options: { clock: Clock; signal: AbortSignal; limitMs: number },
): Promise<Value> {
  const { clock, signal, limitMs } = options
  signal.throwIfAborted()
  const stop = new AbortController()
  const cancel = clock.after(limitMs, () =>
    stop.abort(new Error(`It was not done within ${Math.round(limitMs / 1000)} s.`)),
  )
  const forward = () => stop.abort(signal.reason)
  signal.addEventListener('abort', forward, { once: true })
  const stopped = Promise.withResolvers<never>()
  stop.signal.addEventListener('abort', () => stopped.reject(stop.signal.reason), { once: true })
  stopped.promise.catch(() => undefined)
  try {
    return await Promise.race([run(stop.signal), stopped.promise])
  } finally {
    cancel()
    signal.removeEventListener('abort', forward)
  }
}
