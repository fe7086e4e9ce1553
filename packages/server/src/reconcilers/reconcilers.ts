import type { Service } from '@freehold/contracts'
import { type Clock, createDriver, type Driver, type Random } from '@freehold/reconcile'
import type { Store, Transaction } from '@freehold/store'
import type { Judge } from '../admission/index.ts'
import type { AgentHub } from '../agents/index.ts'
import { createRolloutAdvancer } from '../rollouts/index.ts'
import { createPushReconciler, refreshService, type ServiceRules } from '../services/index.ts'
import { prune } from './prune.ts'

export interface Reconcilers {
  start(): void
  /** Begins a garbage collection soon. */
  collectGarbage(): void
  /** Resolves when no job runs any more. */
  stop(): Promise<void>
}

const backoff = { minMs: 500, maxMs: 30_000 }
/** Disks with very many blobs take long; what a pass did not come to, the next does. */
const garbageLimitMs = 60 * 60_000
const day = 24 * 60 * 60 * 1000

type Run = (signal: AbortSignal) => Promise<{ againInMs?: number } | undefined>

export function createReconcilers(options: {
  store: Store
  clock: Clock
  random: Random
  hub: AgentHub
  rules: ServiceRules
  /** Whether an image may run. */
  judge: Judge
  /** Garbage collection of the registry's blobs; absent where there is no registry. */
  garbage?: { periodMs: number; collect: (signal: AbortSignal) => Promise<unknown> }
  /** Retention of the registry's tags and manifests; absent where there is no registry. */
  retention?: { periodMs: number; run: (signal: AbortSignal) => Promise<unknown> }
  /** How long the log of changes is kept; default 400 days. */
  logKeptMs?: number
  /** A job that failed; it is tried again. `job` names it. */
  onFailure: (failure: { job: string; error: unknown }) => void
}): Reconcilers {
  const { store, clock, random, hub, rules, judge, garbage, retention, onFailure, logKeptMs = 400 * day } = options
  const settle = (transaction: Transaction, service: Service): Promise<void> =>
    refreshService(transaction, {
      serviceId: service.id,
      clusterId: service.data.clusterId,
      sight: hub.sightOf({ id: service.id, clusterId: service.data.clusterId }),
      registryHost: rules.registryHost(),
    })
  const pushes = createPushReconciler({ store, rules, judge, settle })
  const advancer = createRolloutAdvancer({
    store,
    now: () => clock.now(),
    observe: (rollout) => hub.observe(rollout),
    judge,
    settle,
    onError: (error, rollout) => onFailure({ job: `rollout ${rollout.id}`, error }),
  })
  const loop = (job: string, periodMs: number, run: Run, timeLimitMs = 60_000): Driver =>
    createDriver({
      run,
      clock,
      random,
      periodMs,
      backoff,
      timeLimitMs,
      onFailure: ({ error }) => onFailure({ job, error }),
    })

  /** A step is decided from what agents see of what they were told, so rollouts follow each pass of the agents' job. */
  const agents = loop('agents', 10_000, async (signal) => {
    const outcome = await hub.run(signal)
    rollouts.wake()
    return outcome
  })
  let rolloutsTookMs = 0
  const rollouts = loop('rollouts', 10_000, async (signal) => {
    /** Where very many are under way, each pass is long; it leaves as much time to others as it took itself. */
    if (rolloutsTookMs > 20) await clock.sleep(rolloutsTookMs, signal)
    const startedAt = clock.now()
    const { checkAfterMs } = await advancer.run(signal)
    rolloutsTookMs = Math.min(1000, clock.now() - startedAt)
    return checkAfterMs === null ? undefined : { againInMs: checkAfterMs }
  })
  const deployOnPush = loop('deploy on push', 10 * 60_000, async (signal) => {
    await pushes.run(signal)
    return undefined
  })
  const pruning = loop('pruning', 60 * 60_000, async (signal) => {
    await prune(store, { now: new Date(clock.now()), logKeptMs, signal })
    return undefined
  })
  const collecting =
    garbage &&
    loop(
      'registry garbage',
      garbage.periodMs,
      async (signal) => {
        await garbage.collect(signal)
        return undefined
      },
      garbageLimitMs,
    )
  const retaining =
    retention &&
    loop(
      'registry retention',
      retention.periodMs,
      async (signal) => {
        await retention.run(signal)
        return undefined
      },
      garbageLimitMs,
    )
  const ofRegistry = [retaining, collecting].filter((driver) => driver !== undefined)
  const drivers = [agents, rollouts, deployOnPush, pruning, ...ofRegistry]
  const unsubscribes: (() => void)[] = []

  return {
    start() {
      for (const driver of drivers) driver.start()
      unsubscribes.push(
        hub.onSignal(() => agents.wake()),
        store.onChange(() => {
          agents.wake()
          rollouts.wake()
          deployOnPush.wake()
        }),
      )
    },
    collectGarbage: () => collecting?.wake({ forgetFailures: true }),
    async stop() {
      for (const unsubscribe of unsubscribes.splice(0)) unsubscribe()
      await Promise.all(drivers.map((driver) => driver.stop()))
    },
  }
}
