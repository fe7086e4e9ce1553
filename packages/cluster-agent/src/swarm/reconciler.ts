import type { ClusterReport, Desired } from '@freehold/contracts'
import { type Clock, observePlanExecute, type Random } from '@freehold/reconcile'
import type { Engine } from '../docker/engine.ts'
import { type Log, sentenceOf } from '../log.ts'
import type { AgentState } from '../state/index.ts'
import { createExecutors } from './execute.ts'
import { createHeldSteps } from './held-steps.ts'
import { createLogTails } from './log-tails.ts'
import { observe } from './observe.ts'
import { plan } from './plan.ts'
import { createdServices, isSettled, reportNodes, reportWorkloads } from './report.ts'
import { describe, driftOf, type Step } from './steps.ts'

const driftKept = 20
const roundsPerPass = 5
const pendingLimit = 200

export interface SwarmView {
  generation: number
  report: ClusterReport
  /** Nothing is on its way: no step left, every container as asked. */
  settled: boolean
}

/**
 * Makes the Swarm as desired, one pass at a time; only on the manager that leads the Swarm. Reads and writes which
 * services it has made, so that one removed by hand is told from one not made yet, also across restarts.
 */
export function createReconciler(options: {
  engine: Engine
  state: AgentState
  clock: Clock
  random: Random
  log: Log
}) {
  const { engine, state, clock, log } = options
  const tails = createLogTails(engine)
  const held = createHeldSteps(options)
  const drift: ClusterReport['drift'] = []
  let generation = 0
  let created: Set<string> | undefined
  let written = ''

  const onExecuted = (step: Step) => {
    log.info(describe(step))
    held.succeeded(step)
    if (step.kind === 'remove-service') created?.delete(step.name)
    if (step.kind === 'create-service') created?.add(step.spec.Name)
    const found = driftOf(step)
    if (!found) return
    log.warn(found.found, { mended: found.mended })
    drift.unshift({ at: new Date(clock.now()).toISOString(), ...found })
    drift.length = Math.min(drift.length, driftKept)
  }

  return {
    pass: async (desired: Desired, context: { swarmId: string }, signal: AbortSignal): Promise<SwarmView> => {
      if (desired.generation !== generation) held.clear()
      generation = desired.generation
      if (!created) {
        created = new Set(await state.readCreated())
        written = [...created].sort().join()
      }
      const known = created
      const pass = await observePlanExecute<Awaited<ReturnType<typeof observe>>, Step>({
        observe: (signal) => observe(engine, { clusterId: desired.clusterId, created: created ?? known }, signal),
        plan: (observed, nowMs) => held.gate(plan(desired, observed), nowMs),
        execute: createExecutors(engine, desired),
        clock,
        signal,
        maxRounds: roundsPerPass,
        onExecuted,
      })
      created = createdServices(desired, pass.observed)
      const names = [...created].sort()
      if (written !== names.join()) {
        await state.writeCreated(names)
        written = names.join()
      }
      await tails.refresh(pass.observed.tasks, signal)
      for (const { step, error } of pass.failures) {
        held.failed(step, sentenceOf(error), clock.now())
        log.warn(`${describe(step)} This failed: ${sentenceOf(error)}`)
      }
      const steps = held.gate(pass.steps, clock.now())
      return {
        generation: desired.generation,
        settled: pass.steps.length === 0 && isSettled(desired, pass.observed),
        report: {
          swarmId: context.swarmId,
          swarmNodes: reportNodes(pass.observed.nodes),
          workloads: reportWorkloads(desired, pass.observed, tails.of),
          pending: steps.map(describe).slice(0, pendingLimit),
          drift: [...drift],
        },
      }
    },
    /** What planning another desired state needs. */
    look: async (desired: Desired, signal: AbortSignal) =>
      observe(engine, { clusterId: desired.clusterId, created: created ?? new Set() }, signal),
  }
}
