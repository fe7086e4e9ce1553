import { hash } from 'node:crypto'
import type { Device, DeviceDesiredState, DeviceStatus, DeviceSummary } from '@freehold/contracts'

/** A node token lives this long; a third of it before the end a new one is offered. */
export const nodeTokenLifeMs = 90 * 86_400_000
/** How long the operator's word for a wiped device holds. */
export const readoptMs = 86_400_000

const lateAfterIntervals = 1.5
const offlineAfterIntervals = 3
/** Networks and clocks of devices are slow: nobody is late by less than this. */
const leewayMs = 10_000

/** How long after its last heartbeat a device that keeps this interval counts as late and as offline. */
export function patienceOf(intervalMs: number): { lateAfterMs: number; offlineAfterMs: number } {
  return {
    lateAfterMs: lateAfterIntervals * intervalMs + leewayMs,
    offlineAfterMs: offlineAfterIntervals * intervalMs + leewayMs,
  }
}

/** Where a device stands that was last heard so long ago. */
export function connectionOf(silentMs: number, intervalMs: number): 'online' | 'late' | 'offline' {
  const { lateAfterMs, offlineAfterMs } = patienceOf(intervalMs)
  return silentMs <= lateAfterMs ? 'online' : silentMs <= offlineAfterMs ? 'late' : 'offline'
}

/**
 * The interval a device is told to keep so that the whole fleet stays below `heartbeatsPerSecond`; null: its own. One
 * that keeps exactly what it was told is told so again, because null would send it back to its own.
 */
export function intervalFor(options: {
  liveDevices: number
  heartbeatsPerSecond: number
  intervalMs: number
}): number | null {
  const leastMs = Math.ceil((options.liveDevices / options.heartbeatsPerSecond) * 1000)
  return leastMs > 1000 && options.intervalMs <= leastMs ? leastMs : null
}

/** Which starts of the agent were heard under one identity. */
export interface Boots {
  current: string
  earlier: readonly string[]
}
const earlierKept = 4

/**
 * Notes which start of the agent speaks. A device never returns to an earlier start of its own, so `returned` means
 * that two devices take turns. An agent that does not say its start is never suspected.
 */
export function noteBoot(
  boots: Boots | undefined,
  bootId: string | null | undefined,
): { boots: Boots | undefined; verdict: 'same' | 'new' | 'returned' } {
  if (typeof bootId !== 'string' || bootId === '') return { boots, verdict: 'same' }
  if (boots === undefined) return { boots: { current: bootId, earlier: [] }, verdict: 'new' }
  if (boots.current === bootId) return { boots, verdict: 'same' }
  const verdict = boots.earlier.includes(bootId) ? 'returned' : 'new'
  const earlier = [boots.current, ...boots.earlier.filter((one) => one !== bootId)].slice(0, earlierKept)
  return { boots: { current: bootId, earlier }, verdict }
}

/**
 * What a device shall be, as far as there is something to say. Its generation is made of its content, so that it needs
 * no counting and is the same wherever it is computed: equal states have equal generations.
 */
export function desiredStateOf(device: Pick<Device, 'data' | 'labels'>): DeviceDesiredState {
  const content = { name: device.data.name, labels: sorted(device.labels) }
  // 48 bits: below what JSON numbers hold exactly.
  const generation = 1 + Number.parseInt(hash('sha256', JSON.stringify(content), 'hex').slice(0, 12), 16)
  return { generation, ...content }
}

function sorted(labels: Record<string, string>): Record<string, string> {
  return Object.fromEntries(Object.entries(labels).toSorted(([one], [other]) => (one < other ? -1 : 1)))
}

/** The lines of a report that lists show. */
export function summaryOf(status: DeviceStatus): DeviceSummary {
  return {
    agentVersion: status.agentVersion,
    hostname: status.hostname,
    osVersion: status.device?.osVersion ?? status.machine?.operatingSystem ?? null,
    architecture: status.machine?.architecture ?? null,
    supervisorVersion: status.device?.supervisorVersion ?? status.supervisor?.version ?? null,
    supervisorState: status.supervisor?.state ?? null,
    release: status.apps?.release ?? status.device?.commit ?? null,
    updateOutcome: status.update?.outcome ?? null,
    problem: status.problems[0] ?? null,
  }
}

/** Nothing of a name that a device gives itself may be unfit for a name here. */
export function nameFor(status: DeviceStatus, nodeId: string): string {
  const hostname = status.hostname?.trim().slice(0, 128) ?? ''
  return hostname === '' ? nodeId : hostname
}
