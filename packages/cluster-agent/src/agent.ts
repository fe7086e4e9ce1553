import { type Desired, FreeholdError, type NodeFacts, type Report } from '@freehold/contracts'
import { type Clock, createDriver, type Random } from '@freehold/reconcile'
import type { Engine } from './docker/engine.ts'
import { watchEvents } from './docker/watch.ts'
import { ensureEnrolled } from './link/enrol.ts'
import { keepLinked } from './link/link.ts'
import type { Transport } from './link/transport.ts'
import { type Log, sentenceOf } from './log.ts'
import { engineFacts } from './node-facts.ts'
import { createOperations } from './operations/operations.ts'
import { createServiceLogs } from './operations/service-logs.ts'
import { createProbeMonitor } from './probes/monitor.ts'
import type { Prober } from './probes/prober.ts'
import { createReporter } from './reporter.ts'
import type { AgentState } from './state/index.ts'
import { joinOrInit, type Membership } from './swarm/membership.ts'
import { planToTheEnd } from './swarm/plan.ts'
import { createReconciler, type SwarmView } from './swarm/reconciler.ts'
import { describe } from './swarm/steps.ts'

const reconcilePeriodMs = 30_000
const engineBackoff = { minMs: 500, maxMs: 15_000 }

export interface AgentOptions {
  /** Network to the control plane. */
  transport: Transport
  /** Docker on this machine. */
  engine: Engine
  /** How containers are asked for their health. */
  prober: Prober
  /** What is kept over restarts. */
  state: AgentState
  clock: Clock
  random: Random
  log: Log
  agentVersion: string
  /** Said of the machine until the engine answers. */
  machine: NodeFacts
  name: string
  jumpCode: string | null
  swarm: { init: boolean; advertiseAddress: string }
}

export interface Agent {
  /** Begins; resolves once the loops run. Rejects where stored state cannot be read. */
  start(): Promise<void>
  /** Resolves only by `stop()`; rejects where the agent cannot go on: it is not enrolled and was refused. */
  finished(): Promise<void>
  /** Ends the link and every loop; what runs in Docker goes on running. */
  stop(): Promise<void>
}

/**
 * The cluster agent of one node. Everything it touches comes in as a parameter, so that a simulator runs this very
 * code with virtual time, a bad network and a simulated Swarm. What always holds:
 *
 * 1. It works from the last desired state on disk, with or without a control plane.
 * 2. Only the agent of the manager that leads the Swarm changes the Swarm; every agent asks its own containers.
 * 3. The engine being away ends neither the link nor the reports: they say so.
 */
export function createAgent(options: AgentOptions): Agent {
  const { transport, engine, prober, state, clock, random, log } = options
  const stopping = new AbortController()
  const reconciler = createReconciler({ engine, state, clock, random, log })
  let facts = options.machine
  let desired: Desired | null = null
  let engineProblem: string | null = 'The engine has not been asked yet.'
  let view: SwarmView | null = null
  let eagerSinceMs = clock.now()
  let link: Promise<void> = Promise.resolve()
  let events: Promise<void> = Promise.resolve()
  let saving: Promise<void> = Promise.resolve()

  const reporter = createReporter({
    clock,
    random,
    report: (): Report => ({
      generation: (facts.leader ? view?.generation : desired?.generation) ?? 0,
      at: new Date(clock.now()).toISOString(),
      node: facts,
      engineProblem,
      probes: probes.reports(),
      cluster: facts.leader && engineProblem === null ? (view?.report ?? null) : null,
    }),
  })
  const probes = createProbeMonitor({
    engine,
    prober,
    clock,
    random,
    desired: () => desired,
    onChange: () => reporter.wake(),
  })
  const say = (update: { facts?: NodeFacts; engineProblem: string | null; view?: SwarmView | null }) => {
    if (update.engineProblem !== null && update.engineProblem !== engineProblem) log.warn(update.engineProblem)
    facts = update.facts ?? facts
    engineProblem = update.engineProblem
    if (update.view !== undefined) view = update.view
    reporter.wake()
  }

  const reconcile = async (signal: AbortSignal): Promise<{ againInMs?: number } | undefined> => {
    const membership: Membership = await joinOrInit({ engine, log, ...options.swarm }, signal)
    const current = engineFacts(membership.info, { leader: membership.leads })
    if (membership.problem !== null || !membership.leads || !desired) {
      say({ facts: current, engineProblem: membership.problem, view: null })
      if (membership.problem !== null) throw new Reported(membership.problem)
      return undefined
    }
    const next = await reconciler.pass(desired, { swarmId: membership.swarmId }, signal)
    if (next.settled) eagerSinceMs = Number.POSITIVE_INFINITY
    else if (eagerSinceMs === Number.POSITIVE_INFINITY) eagerSinceMs = clock.now()
    say({ facts: current, engineProblem: null, view: next })
    return next.settled ? undefined : { againInMs: lookAgainInMs(clock.now() - eagerSinceMs) }
  }

  const driver = createDriver({
    clock,
    random,
    periodMs: reconcilePeriodMs,
    backoff: engineBackoff,
    run: reconcile,
    onFailure: ({ error }) => {
      if (!(error instanceof Reported)) say({ engineProblem: sentenceOf(error) })
    },
  })

  const accept = (next: Desired, { isFirst }: { isFirst: boolean }) => {
    // Within a link an older generation is an echo. On a new link the first always counts: a control plane restored
    // from a backup counts from an earlier number, and what it says to a node it has just verified is what is desired.
    if (!isFirst && desired && next.generation < desired.generation) return
    desired = next
    eagerSinceMs = clock.now()
    driver.wake({ forgetFailures: true })
    probes.wake()
    saving = saving
      .then(() => state.writeDesired(next))
      .catch((error) => log.error('The desired state could not be kept on disk.', { reason: sentenceOf(error) }))
  }

  const operations = createOperations({
    'service-logs': createServiceLogs({ engine, clock }),
    plan: async (operation, send, signal) => {
      if (!facts.leader)
        throw new FreeholdError('conflict', "This node does not lead the Swarm; ask the leader's agent.")
      const observed = await reconciler.look(operation.desired, signal)
      await send({ kind: 'plan', steps: planToTheEnd(operation.desired, observed).map(describe) })
    },
  })

  const keepLink = async (signal: AbortSignal): Promise<void> => {
    const swarmNodeId = () =>
      engine.info(signal).then(
        (info) => info.Swarm.NodeID || null,
        () => null,
      )
    const identity = await ensureEnrolled({ ...options, swarmNodeId }, signal)
    await keepLinked(
      {
        transport,
        identity: { ...identity.node, privateKeyPem: identity.privateKeyPem },
        clock,
        random,
        log,
        agentVersion: options.agentVersion,
        hello: () => ({ node: facts, generation: desired?.generation ?? 0 }),
        handlers: {
          onUp: (send) => {
            log.info('Linked with the control plane.')
            operations.onUp(send)
            reporter.onUp(send)
          },
          onDown: () => {
            operations.onDown()
            reporter.onDown()
          },
          onDesired: accept,
          onOperation: operations.onOperation,
          onCancel: operations.onCancel,
          onLook: reporter.onLook,
        },
      },
      signal,
    )
  }

  return {
    start: async () => {
      desired = await state.readDesired()
      if (desired) log.info('Going on from the last desired state.', { generation: desired.generation })
      const onSwarm = () => driver.wake()
      const onContainer = () => {
        driver.wake()
        probes.wake()
      }
      for (const loop of [reporter, probes, driver]) loop.start()
      events = watchEvents({ engine, clock, random, onSwarm, onContainer }, stopping.signal)
      link = keepLink(stopping.signal)
      link.catch(() => undefined)
    },
    finished: async () => {
      await link
    },
    stop: async () => {
      stopping.abort(new Error('The agent is stopping.'))
      await Promise.all([link.catch(() => undefined), events, driver.stop(), probes.stop(), reporter.stop()])
      await saving
    },
  }
}

/** Nothing tells the agent that a task has moved on, so it looks often while one should, and less often with time. */
function lookAgainInMs(unsettledForMs: number): number {
  if (unsettledForMs < 10_000) return 100
  return unsettledForMs < 60_000 ? 250 : 1_000
}

/** A failure that has been said already; it only makes the driver back off. */
class Reported extends Error {}
