import { hash } from 'node:crypto'
import type { AssignedRelease, Device, DeviceStatus, DeviceSummary } from '@freehold/contracts'

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

/** What tells one failed update from another, whatever words the device has for it; null: there is none. */
export function updateFailureKey(
  failure: Pick<NonNullable<Device['status']['updateFailure']>, 'releaseId' | 'state'> | null,
) {
  return failure === null ? null : `${failure.releaseId} ${failure.state}`
}

export type DeviceAction = Device['data']['actions'][number]

/** A signed assignment holds so long. */
export const assignmentLifeMs = 7 * 86_400_000
/** It is made anew so often, so that it is renewed in time by every device that is heard now and then. */
const renewalMs = 3 * 86_400_000

/** What a device shall be. */
export interface DesiredContent {
  name: string
  labels: Record<string, string>
  /** Null: nothing is assigned to it and nothing asked of it, so there is nothing to sign. */
  assigned: { app: AssignedRelease | null; host: AssignedRelease | null; actions: DeviceAction[] } | null
  generation: number
  /** When this changes although nobody changes anything: an action expires, an assignment is renewed. */
  changesAtMs: number
}

/**
 * What a device shall be, as far as there is something to say. Its generation is made of its content, so that it needs
 * no counting and is the same wherever it is computed: equal states have equal generations. What is assigned is renewed
 * every three days, each device at a moment of its own.
 */
export function desiredContentOf(
  device: Pick<Device, 'id' | 'data' | 'labels'>,
  { app, host, now }: { app: AssignedRelease | null; host: AssignedRelease | null; now: number },
): DesiredContent {
  const content = { name: device.data.name, labels: sorted(device.labels) }
  const actions = openActions(device.data.actions, now)
  const hasNothing = app === null && host === null && actions.length === 0
  if (hasNothing) {
    return { ...content, assigned: null, generation: generationOf(content), changesAtMs: Number.POSITIVE_INFINITY }
  }
  const assigned = { app, host, actions }
  const shiftMs = shareOf(device.id) * renewalMs
  const epoch = Math.floor((now + shiftMs) / renewalMs)
  const ends = [(epoch + 1) * renewalMs - shiftMs, ...actions.map(({ expiresAt }) => Date.parse(expiresAt))]
  const generation = generationOf({ ...content, ...assigned, epoch })
  return { ...content, assigned, generation, changesAtMs: Math.min(...ends) }
}

/** 48 bits of its hash, and 1: below what JSON numbers hold exactly, and never 0. */
function generationOf(content: object): number {
  return 1 + Number.parseInt(hash('sha256', JSON.stringify(content), 'hex').slice(0, 12), 16)
}

/** Those that may still be begun. */
export function openActions(actions: readonly DeviceAction[], now: number): DeviceAction[] {
  return actions.filter(({ expiresAt }) => Date.parse(expiresAt) > now)
}

/** From the random end of an id: from 0 up to 1, the same for ever. */
export function shareOf(id: string): number {
  return Number.parseInt(id.slice(-6), 16) / 0x1000000
}

/** The counter of the next assignment: above every one before, also where our clock or our memory went back. */
export function nextCounter(options: { now: number; last: number; reported: number | null }): number {
  return Math.max(options.now, options.last + 1, (options.reported ?? 0) + 1)
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
    release: status.releases?.app?.running ?? status.apps?.release ?? status.device?.commit ?? null,
    updateOutcome: status.update?.outcome ?? null,
    problem: status.problems[0] ?? null,
  }
}

/** Nothing of a name that a device gives itself may be unfit for a name here. */
export function nameFor(status: DeviceStatus, nodeId: string): string {
  const hostname = status.hostname?.trim().slice(0, 128) ?? ''
  return hostname === '' ? nodeId : hostname
}
