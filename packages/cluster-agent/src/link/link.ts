import { backoffMs, type Random } from '@freehold/reconcile'
import type { Log } from '../log.ts'
import { runSession, type SessionOptions } from './session.ts'

/** Between attempts: doubling with jitter. A final refusal is asked about again only rarely. */
export const reconnectBackoff = { minMs: 500, maxMs: 30_000 }
const finalRefusalPauseMs = 10 * 60_000
/** A link that lived this long starts the backoff anew; one that dies at once does not. */
const stableMs = 5_000

/** Keeps a session with the control plane until the signal aborts: dials, and dials again after every end. */
export async function keepLinked(
  options: SessionOptions & { random: Random; log: Log },
  signal: AbortSignal,
): Promise<void> {
  const { clock, random, log } = options
  let failures = 0
  while (!signal.aborted) {
    const end = await runSession(options, signal)
    if (signal.aborted) return
    failures = end.upMs >= stableMs ? 1 : failures + 1
    const pauseMs = end.refusal?.final ? finalRefusalPauseMs : backoffMs(reconnectBackoff, failures, random)
    const fields = { reason: end.reason, retryInMs: Math.round(pauseMs) }
    if (end.refusal) log.error('The control plane refused this agent.', { ...fields, final: end.refusal.final })
    else log.warn('No link to the control plane; going on with the last desired state.', fields)
    await clock.sleep(pauseMs, signal)
  }
}
