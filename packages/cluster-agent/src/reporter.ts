import { type AgentMessage, agentFrameLimitBytes, type Report } from '@freehold/contracts'
import { type Clock, createDriver, type Random } from '@freehold/reconcile'

const periodMs = 30_000
const spacingMs = 100
const sizeLimitBytes = agentFrameLimitBytes / 2

/**
 * Tells the control plane what is, whenever that changes and every 30 s: at once after a change, but reports follow
 * each other by 100 ms at least, and what did not change is not sent before its time, unless the control plane asks.
 */
export function createReporter(options: { report: () => Report; clock: Clock; random: Random }) {
  const { clock } = options
  let send: ((message: AgentMessage) => Promise<void>) | undefined
  let look: string | undefined
  let sentText = ''
  let sentAtMs = Number.NEGATIVE_INFINITY

  const driver = createDriver({
    clock,
    random: options.random,
    periodMs,
    backoff: { minMs: spacingMs, maxMs: 1_000 },
    run: async () => {
      if (!send) return undefined
      const sinceMs = clock.now() - sentAtMs
      if (sinceMs < spacingMs) return { againInMs: spacingMs - sinceMs }
      const report = bounded(options.report())
      const text = JSON.stringify({ ...report, at: '' })
      const answered = look
      if (text === sentText && answered === undefined && sinceMs < periodMs) return { againInMs: periodMs - sinceMs }
      sentText = text
      sentAtMs = clock.now()
      look = undefined
      await send({ type: 'report', report, ...(answered === undefined ? {} : { look: answered }) })
      return undefined
    },
  })

  return {
    start: () => driver.start(),
    stop: () => driver.stop(),
    /** Something changed. */
    wake: () => driver.wake({ forgetFailures: true }),
    /** The control plane wants to know how it stands now. */
    onLook: (id: string) => {
      look = id
      driver.wake({ forgetFailures: true })
    },
    onUp: (link: (message: AgentMessage) => Promise<void>) => {
      send = link
      look = undefined
      sentText = ''
      sentAtMs = Number.NEGATIVE_INFINITY
      driver.wake({ forgetFailures: true })
    },
    onDown: () => {
      send = undefined
    },
  }
}

/** A report that would not fit a frame loses log lines first, then ended containers. */
function bounded(report: Report): Report {
  const { cluster } = report
  if (!cluster || sizeOf(report) <= sizeLimitBytes) return report
  const map = (change: (tasks: Task[]) => Task[]): Report => ({
    ...report,
    cluster: { ...cluster, workloads: cluster.workloads.map((load) => ({ ...load, tasks: change(load.tasks) })) },
  })
  const withoutLogs = map((tasks) => tasks.map((task) => ({ ...task, logTail: [] })))
  if (sizeOf(withoutLogs) <= sizeLimitBytes) return withoutLogs
  return map((tasks) => tasks.filter(({ exitCode }) => exitCode === null).slice(0, 20))
}

type Task = NonNullable<Report['cluster']>['workloads'][number]['tasks'][number]

function sizeOf(report: Report): number {
  return Buffer.byteLength(JSON.stringify(report))
}
