import { type DeviceStatus, type DeviceSummary, deviceKind, deviceStatusSchema } from '@freehold/contracts'
import type { Store } from '@freehold/store'
import { reportFact } from './heartbeat.ts'
import { finestSpanMs, withTally } from './history.ts'
import { shareOf, summaryOf } from './kind.ts'
import type { ClosedSpan, Live } from './live.ts'
import type { Presence } from './presence.ts'

/** Devices whose history is written in one go. */
const batchSize = 500
const stopLimitMs = 5_000

/** What the facts of a device hold, beside its resource. */
export interface DeviceFacts {
  report?: { at: string; intervalMs: number; body: string | null }
  history?: string
}

/**
 * Writes reports and history into the facts: once a span of the history for each device, spread over the span, so that
 * a hundred thousand devices are some two hundred small writes a second in one transaction. A process that dies
 * takes with it what was heard in that time, and nothing else.
 */
export function createKeeper(options: { store: Store; presence: Presence; now: () => number }) {
  const { store, presence, now } = options

  /** Writes what is due, at most one batch. */
  async function write(): Promise<void> {
    const nowMs = now()
    const due: Live[] = []
    for (const live of presence.all()) {
      if (!isDue(live, nowMs)) continue
      due.push(live)
      if (due.length === batchSize) break
    }
    await record(due)
  }

  async function record(lives: readonly Live[]): Promise<void> {
    if (lives.length === 0) return
    const facts = await store.facts.getMany(
      deviceKind,
      lives.map(({ id }) => id),
      ['history'],
    )
    for (const live of lives) {
      const before = facts.get(live.id)?.history
      const history = historyOf(typeof before === 'string' ? before : undefined, live.takeClosed())
      if (history !== undefined) store.facts.set(deviceKind, live.id, 'history', history)
      const body = presence.reportOf(live)
      if (body !== null) store.facts.set(deviceKind, live.id, 'report', reportFact(live, { atMs: live.lastAtMs, body }))
    }
  }

  return {
    write,
    /** Writes all there is about a device that went away, and lets go of it. */
    async retire(lives: readonly Live[]): Promise<void> {
      for (const live of lives) live.closeSpan()
      await record(lives)
      for (const live of lives) presence.forget(live.id)
    },
    /** As much of everything as five seconds allow; the process ends. */
    async finish(): Promise<void> {
      const endMs = performance.now() + stopLimitMs
      const all = [...presence.all()]
      for (let at = 0; at < all.length && performance.now() < endMs; at += batchSize) {
        const batch = all.slice(at, at + batchSize)
        for (const live of batch) live.closeSpan()
        await record(batch)
        await store.facts.flush()
      }
    },
  }
}
export type Keeper = ReturnType<typeof createKeeper>

/** Each device has its own moment within a span. */
function isDue(live: Live, nowMs: number): boolean {
  const { closedSpans } = live
  if (closedSpans === 0) return false
  return closedSpans > 1 || nowMs % finestSpanMs >= momentOf(live.id)
}

/** Within the first nine tenths of a span. */
function momentOf(id: string): number {
  return shareOf(id) * finestSpanMs * 0.9
}

function historyOf(before: string | undefined, closed: readonly ClosedSpan[]): string | undefined {
  let text = before
  for (const { tally, atMs } of closed) text = withTally(text, tally, atMs)
  return text
}

/** The report in the body of a heartbeat; null where it is none (it was measured when it came, but not parsed). */
export function reportIn(body: string | null | undefined): DeviceStatus | null {
  if (body === null || body === undefined) return null
  const { status } = JSON.parse(body) as { status?: unknown }
  const parsed = deviceStatusSchema.safeParse(
    typeof status === 'object' && status !== null && !Array.isArray(status) ? status : {},
  )
  return parsed.success ? parsed.data : null
}

/** From memory, else as it was written down; null where neither has a report that can be read. */
export async function lastReportOf(
  store: Store,
  presence: Pick<Presence, 'get' | 'reportOf'>,
  deviceId: string,
): Promise<DeviceStatus | null> {
  const live = presence.get(deviceId)
  const fresh = live === undefined ? null : reportIn(presence.reportOf(live))
  if (fresh !== null) return fresh
  const facts = (await store.facts.get(deviceKind, deviceId)) as DeviceFacts
  return reportIn(facts.report?.body)
}

/** What a live device's status says now. */
export function snapshotOf(
  presence: Pick<Presence, 'reportOf'>,
  live: Live | undefined,
): { lastHeartbeatAt: string; intervalMs: number; summary: DeviceSummary | null } | undefined {
  if (live === undefined) return undefined
  const report = reportIn(presence.reportOf(live))
  return {
    lastHeartbeatAt: new Date(live.lastAtMs).toISOString(),
    intervalMs: live.intervalMs,
    summary: report === null ? null : summaryOf(report),
  }
}
