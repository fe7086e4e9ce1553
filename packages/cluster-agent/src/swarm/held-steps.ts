import { type Backoff, backoffMs, type Random } from '@freehold/reconcile'
import { describe, type Step } from './steps.ts'

const backoff: Backoff = { minMs: 500, maxMs: 30_000 }

/**
 * Steps that failed wait before they are tried again, longer each time, while the loop goes on looking and doing all
 * else: one service that Docker refuses must not delay what is seen of the others.
 */
export function createHeldSteps({ random }: { random: Random }) {
  const held = new Map<string, { failures: number; untilMs: number; reason: string }>()

  return {
    failed: (step: Step, sentence: string, nowMs: number): void => {
      const failures = (held.get(keyOf(step))?.failures ?? 0) + 1
      const untilMs = nowMs + backoffMs(backoff, failures, random)
      held.set(keyOf(step), { failures, untilMs, reason: `${describe(step)} This failed: ${sentence}` })
    },
    succeeded: (step: Step): void => {
      held.delete(keyOf(step))
    },
    /** The steps that may be done now; in place of each held one, a wait that says why. */
    gate: (steps: Step[], nowMs: number): Step[] =>
      steps.map((step) => {
        const hold = held.get(keyOf(step))
        return hold && nowMs < hold.untilMs ? { kind: 'wait', reason: hold.reason, untilMs: hold.untilMs } : step
      }),
    /** Something else is desired: everything deserves a try. */
    clear: () => held.clear(),
  }
}

function keyOf(step: Step): string {
  switch (step.kind) {
    case 'create-network':
    case 'remove-service':
      return `${step.kind} ${step.name}`
    case 'create-service':
    case 'update-service':
      return `${step.kind} ${step.spec.Name}`
    case 'wait':
      return step.kind
  }
}
