import type { ClusterReport, Desired } from '@freehold/contracts'
import { type Clock, observePlanExecute } from '@freehold/reconcile'
import type { Engine } from '../docker/engine.ts'
import { type Log, sentenceOf } from '../log.ts'
import type { AgentState } from '../state/index.ts'
import { createExecutors } from './execute.ts'
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
  /** A step failed: sentences, empty where none did. */
  problems: string[]
}

/**
 * Makes the Swarm as desired, one pass at a time; only on the manager that leads the Swarm. Reads and writes which
 * services it has made, so that one removed by hand is told from one not made yet, also across restarts.
 */
export function createReconciler(options: { engine: Engine; state: AgentState; clock: Clock; log: Log }) {
  const { engine, state, clock, log } = options
  const tails = createLogTails(engine)
  const drift: ClusterReport['drift'] = []
  let created: Set<string> | undefined
  let written = ''

  const onExecuted = (step: Step) => {
    log.info(describe(step))
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
      if (!created) {
        created = new Set(await state.readCreated())
        written = [...created].sort().join()
      }
      const known = created
      const pass = await observePlanExecute<Awaited<ReturnType<typeof observe>>, Step>({
        observe: (signal) => observe(engine, { clusterId: desired.clusterId, created: created ?? known }, signal),
        plan: (observed) => plan(desired, observed),
        execute: createExecutors(engine, desired.registry),
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
      const problems = pass.failures.map(({ step, error }) => `${describe(step)} This failed: ${sentenceOf(error)}`)
      for (const problem of problems) log.warn(problem)
      return {
        generation: desired.generation,
        problems,
        settled: pass.steps.length === 0 && isSettled(desired, pass.observed),
        report: {
          swarmId: context.swarmId,
          swarmNodes: reportNodes(pass.observed.nodes),
          workloads: reportWorkloads(desired, pass.observed, tails.of),
          pending: [...problems, ...pass.steps.map(describe)].slice(0, pendingLimit),
          drift: [...drift],
        },
      }
    },
    /** What planning another desired state needs. */
    look: async (desired: Desired, signal: AbortSignal) =>
      observe(engine, { clusterId: desired.clusterId, created: created ?? new Set() }, signal),
  }
}
