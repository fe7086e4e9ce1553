import type { Clock } from './clock.ts'

/**
 * One pass of a loop: observe, plan the next steps, execute them, observe again. What always holds:
 *
 * 1. `plan` is pure and sees only what was just observed; no plan outlives its round.
 * 2. The pass ends when nothing is left to do, when only waiting is left, when a step failed, or after `maxRounds`.
 * 3. A failing step does not keep the others of its round from being tried; it is never retried within the pass.
 * 4. What is returned was observed after the last step that was executed.
 */
export interface StepLike {
  kind: string
}

/** Waiting is a step too: it says what for, and where known until when. */
export interface WaitStep {
  kind: 'wait'
  reason: string
  untilMs?: number
}

/** What executes each kind of step; waiting needs no executor. */
export type Executors<Step extends StepLike> = {
  [K in Exclude<Step['kind'], 'wait'>]: (step: Extract<Step, { kind: K }>, signal: AbortSignal) => Promise<void>
}

export interface Failure<Step> {
  step: Step
  error: unknown
}

export interface Pass<Observed, Step> {
  observed: Observed
  /** What the plan still holds; empty: as desired. */
  steps: Step[]
  executed: Step[]
  failures: Failure<Step>[]
}

export async function observePlanExecute<Observed, Step extends StepLike>(options: {
  observe: (signal: AbortSignal) => Promise<Observed>
  plan: (observed: Observed, nowMs: number) => Step[]
  execute: Executors<Step>
  clock: Clock
  signal: AbortSignal
  maxRounds: number
  /** After a step succeeded. */
  onExecuted?: (step: Step) => void
}): Promise<Pass<Observed, Step>> {
  const { observe, plan, clock, signal } = options
  const executed: Step[] = []
  const failures: Failure<Step>[] = []
  for (let round = 0; ; round++) {
    signal.throwIfAborted()
    const observed = await observe(signal)
    const steps = plan(observed, clock.now())
    const doable = steps.filter((step) => step.kind !== 'wait')
    if (doable.length === 0 || failures.length > 0 || round >= options.maxRounds) {
      return { observed, steps, executed, failures }
    }
    for (const step of doable) {
      signal.throwIfAborted()
      try {
        await executorOf(options.execute, step)(step, signal)
        executed.push(step)
        options.onExecuted?.(step)
      } catch (error) {
        failures.push({ step, error })
      }
    }
  }
}

/** The table is complete by its type; TypeScript cannot follow that the entry fits the step it was looked up for. */
function executorOf<Step extends StepLike>(table: Executors<Step>, step: Step) {
  return table[step.kind as keyof Executors<Step>] as unknown as (step: Step, signal: AbortSignal) => Promise<void>
}
