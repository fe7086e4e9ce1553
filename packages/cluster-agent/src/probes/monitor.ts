import type { Desired, Report } from '@freehold/contracts'
import { type Clock, createDriver, type Random } from '@freehold/reconcile'
import type { Engine } from '../docker/engine.ts'
import { sentenceOf } from '../log.ts'
import { label } from '../swarm/labels.ts'
import type { ProbeResult, Prober } from './prober.ts'
import { type Probed, probedContainers } from './targets.ts'
import { firstVerdict, nextLookInMs, nextVerdict, type Verdict } from './verdict.ts'

const listPeriodMs = 5_000
const probesLimit = 1000

export type ProbeReports = Report['probes']

/**
 * Watches the health of this node's containers: one loop lists them, and each has a loop of its own that asks it.
 * Addresses come from Docker's bridge on this node and are read again whenever one is missing.
 */
export function createProbeMonitor(options: {
  engine: Engine
  prober: Prober
  clock: Clock
  random: Random
  desired: () => Desired | null
  /** A verdict changed. */
  onChange: () => void
}) {
  const { engine, prober, clock, random } = options
  const watched = new Map<string, { probed: Probed; verdict: Verdict; abort: AbortController }>()
  let addresses = new Map<string, string>()

  /** Null: too early to say. */
  const ask = async ({ containerId, healthCheck }: Probed, signal: AbortSignal): Promise<ProbeResult | null> => {
    if (healthCheck === null) return { passing: true, message: 'It runs.' }
    if (healthCheck.type === 'command') {
      const health = await engine.containerHealth({ id: containerId }, signal)
      if (health?.status === 'starting') return null
      const message = health?.message || `Docker's health check says ${health?.status ?? 'nothing'}.`
      return { passing: health?.status === 'healthy', message }
    }
    if (!addresses.has(containerId)) addresses = await engine.containerAddresses(signal)
    const address = addresses.get(containerId)
    if (!address) return { passing: false, message: 'Its address on this node cannot be found.' }
    if (healthCheck.port === undefined) return { passing: false, message: 'Its health check names no port.' }
    const target = { address, port: healthCheck.port, timeLimitMs: healthCheck.timeoutSeconds * 1000 }
    return healthCheck.type === 'http'
      ? prober.http({ ...target, path: healthCheck.path }, signal)
      : prober.tcp(target, signal)
  }

  const watch = async (taskId: string, signal: AbortSignal): Promise<void> => {
    const startedAtMs = clock.now()
    while (!signal.aborted) {
      const entry = watched.get(taskId)
      if (!entry) return
      const result = await ask(entry.probed, signal).catch(
        (error): ProbeResult => ({ passing: false, message: sentenceOf(error) }),
      )
      if (signal.aborted) return
      const before = entry.verdict
      if (result) entry.verdict = nextVerdict(before, result, clock.now())
      if (before.health !== entry.verdict.health) options.onChange()
      await clock.sleep(nextLookInMs(entry.verdict, clock.now() - startedAtMs), signal)
    }
  }

  const forget = (taskId: string) => {
    watched.get(taskId)?.abort.abort()
    watched.delete(taskId)
  }

  const driver = createDriver({
    clock,
    random,
    periodMs: listPeriodMs,
    backoff: { minMs: 1_000, maxMs: 15_000 },
    run: async (signal) => {
      const desired = options.desired()
      const containers = desired
        ? await engine.containers({ label: `${label.cluster}=${desired.clusterId}` }, signal)
        : []
      const present = new Map(
        (desired ? probedContainers(containers, desired) : [])
          .slice(0, probesLimit)
          .map((probed) => [probed.taskId, probed]),
      )
      let lost = false
      for (const taskId of [...watched.keys()]) {
        if (present.has(taskId)) continue
        forget(taskId)
        lost = true
      }
      for (const [taskId, probed] of present) {
        const entry = watched.get(taskId)
        if (entry) {
          entry.probed = probed
          continue
        }
        const abort = new AbortController()
        watched.set(taskId, { probed, verdict: firstVerdict(clock.now()), abort })
        void watch(taskId, abort.signal)
      }
      if (lost) options.onChange()
      return undefined
    },
  })

  return {
    start: () => driver.start(),
    /** Containers came or went, or the desired state changed. */
    wake: () => driver.wake({ forgetFailures: true }),
    stop: async () => {
      await driver.stop()
      for (const taskId of [...watched.keys()]) forget(taskId)
    },
    /** What there is to say; of a container that nothing is known of yet nothing is said. */
    reports: (): ProbeReports =>
      [...watched].flatMap(([taskId, { verdict }]) =>
        verdict.health === 'unknown'
          ? []
          : [{ taskId, health: verdict.health, message: verdict.message.slice(0, 300) }],
      ),
  }
}
