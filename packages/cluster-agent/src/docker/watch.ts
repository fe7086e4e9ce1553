import { backoffMs, type Clock, type Random } from '@freehold/reconcile'
import { label } from '../swarm/labels.ts'
import type { Engine } from './engine.ts'
import type { EngineEvent } from './types.ts'

const backoff = { minMs: 250, maxMs: 10_000 }

/**
 * Follows the engine's events and turns them into wake-ups, until the signal aborts; it never rejects. Whenever the
 * stream has to be opened anew everything is woken, since events may have been missed.
 */
export async function watchEvents(
  options: { engine: Engine; clock: Clock; random: Random; onSwarm: () => void; onContainer: () => void },
  signal: AbortSignal,
): Promise<void> {
  const { engine, clock, random, onSwarm, onContainer } = options
  let failures = 0
  while (!signal.aborted) {
    try {
      for await (const event of engine.events(signal)) {
        failures = 0
        if (concernsContainer(event)) onContainer()
        else if (event.Type === 'service' || event.Type === 'node') onSwarm()
      }
    } catch {
      // The reconcile loop meets the same engine and says what is wrong with it.
    }
    failures += 1
    await clock.sleep(backoffMs(backoff, failures, random), signal)
    if (!signal.aborted) onContainer()
  }
}

/** Ours, and something that changes whether it runs or how healthy it is; not the commands run inside it. */
function concernsContainer({ Type, Action, Actor }: EngineEvent): boolean {
  return Type === 'container' && Actor?.Attributes?.[label.cluster] !== undefined && !Action.startsWith('exec_')
}
