import { setTimeout as delay } from 'node:timers/promises'

/** What a place has of an image when it has it whole. */
export interface Stored {
  sizeBytes: number
  /** Hexadecimal. */
  sha256: string
}

/** Where an image goes. Rejects with a `FreeholdError` or the signal's reason, and then nothing of it is left there. */
export interface Sink {
  store(bytes: AsyncIterable<Buffer>, contentType: string): Promise<Stored>
}

/** How long a place that does not answer is asked again. */
export interface Patience {
  /** Since it last did something. */
  patienceMs: number
  /** The first pause; each is twice the one before, up to `longestPauseMs`. */
  pauseMs: number
  longestPauseMs: number
}

export const usualPatience: Patience = { patienceMs: 120_000, pauseMs: 250, longestPauseMs: 8_000 }

/**
 * Runs `attempt` until it succeeds or fails for good: for a reason that another attempt does not change, or after
 * `patienceMs`. `attempt` may say that it came further, which begins the time anew.
 */
export async function withPatience<Result>(
  attempt: (cameFurther: () => void) => Promise<Result>,
  options: Patience & {
    signal: AbortSignal
    isTransient: (error: unknown) => boolean
    onRetry?: (error: unknown) => void
  },
): Promise<Result> {
  let since = performance.now()
  let pauseMs = options.pauseMs
  const cameFurther = () => {
    since = performance.now()
    pauseMs = options.pauseMs
  }
  for (;;) {
    try {
      return await attempt(cameFurther)
    } catch (error) {
      options.signal.throwIfAborted()
      if (!options.isTransient(error) || performance.now() - since + pauseMs > options.patienceMs) throw error
      options.onRetry?.(error)
      await delay(pauseMs, undefined, { signal: options.signal }).catch(() => options.signal.throwIfAborted())
      pauseMs = Math.min(pauseMs * 2, options.longestPauseMs)
    }
  }
}
