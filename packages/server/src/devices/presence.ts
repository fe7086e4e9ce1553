import { type Device, deviceCredentialKind, deviceKind, FreeholdError } from '@freehold/contracts'
import type { Reads } from '@freehold/store'
import { hashOf } from './credentials.ts'
import { type DesiredKeeper, type Known, nothingKnown } from './desired.ts'
import { updateFailureKey } from './failures.ts'
import { emptyTally, finestSpanMs, type Tally } from './history.ts'
import type { Boots } from './kind.ts'
import { createRooms, type Room } from './rooms.ts'

/** Reports in memory together; beyond that they go into the facts at once. */
const mostReportBytes = 200_000_000

/** A device that was heard since the start, or since it was last forgotten. */
export interface Live {
  readonly id: string
  readonly nodeId: string
  /** State as it is written in the store. */
  storedState: Device['status']['state']
  hasClone: boolean
  /** What it shall be, as far as the answer to its heartbeat needs to know. */
  desired: Known
  /** The failed update that its status tells of; null: none. */
  updateFailure: string | null
  /** What it last said of its releases; undefined: not heard yet. */
  progress: { app: string | null; host: string | null } | undefined
  /** Counter of the last assignment it was sent. */
  counter: number
  intervalMs: number
  lastAtMs: number
  sequence: number
  boots: Boots | undefined
  /** The body of its last heartbeat, as it came; nothing where it is in the facts already. */
  readonly report: Room
  /** What came in the present span of the history, and which span that is. */
  tally: Tally
  span: number
  /** Earlier spans that are not written down yet. */
  closed: { tally: Tally; atMs: number }[]
  /** When a new token was last offered; that costs a write. */
  offeredAtMs: number
}

/** A token that was looked up, and whose it is. */
export interface Admission {
  readonly live: Live
  readonly credentialId: string
  readonly expiresAtMs: number
  used: boolean
}

/**
 * Who is there, in memory: filled by heartbeats alone, so that a start costs nothing and devices that are gone take no
 * room. A token is looked up in the store once; after that it is one lookup in a table by its hash.
 */
export function createPresence(options: { now: () => number; desired: Pick<DesiredKeeper, 'compute'> }) {
  const rooms = createRooms({ mostBytes: mostReportBytes })
  const byToken = new Map<string, Admission>()
  const tokensOf = new Map<string, string[]>()
  const byDevice = new Map<string, Live>()

  /** What is remembered of a token; undefined: the store must be asked. */
  const known = (token: string): Admission | undefined => byToken.get(hashOf(token))

  /** Throws `unauthenticated` and `token-expired` (register again) and `forbidden` (revoked). */
  async function admit(reads: Reads, { token, nodeId }: { token: string; nodeId: string }): Promise<Admission> {
    const key = hashOf(token)
    const credential = await reads.find(deviceCredentialKind, 'token', key)
    if (credential === undefined) {
      throw new FreeholdError('unauthenticated', 'This node token is not known here, or no longer. Register again.')
    }
    const { deviceId, expiresAt, used } = credential.data
    const device = await reads.get(deviceKind, deviceId)
    if (device === undefined) throw new FreeholdError('unauthenticated', 'There is no such device any more.')
    if (device.data.access === 'revoked') throw new FreeholdError('forbidden', 'This device was revoked.')
    if (device.data.access === 'waiting') throw new FreeholdError('unauthenticated', 'This device is not approved yet.')
    const expiresAtMs = expiresAt === null ? Number.POSITIVE_INFINITY : Date.parse(expiresAt)
    if (expiresAtMs <= options.now()) throw new FreeholdError('token-expired', 'This node token has expired.')
    if (device.data.nodeId !== nodeId) {
      throw new FreeholdError('forbidden', 'This node token belongs to another device.')
    }
    const live = byDevice.get(deviceId) ?? createLive(device, options.now())
    refresh(live, device)
    const admission = {
      live,
      credentialId: credential.id,
      expiresAtMs,
      used,
    }
    byDevice.set(deviceId, live)
    byToken.set(key, admission)
    const keys = tokensOf.get(deviceId) ?? []
    if (!keys.includes(key)) tokensOf.set(deviceId, [...keys, key])
    // Only now: who is distrusted meanwhile must be found here.
    live.desired = await options.desired.compute(device)
    return admission
  }

  /** Whatever was looked up of it is looked up again with its next heartbeat; what was heard stays. */
  function distrust(deviceId: string): void {
    for (const key of tokensOf.get(deviceId) ?? []) byToken.delete(key)
    tokensOf.delete(deviceId)
  }

  return {
    known,
    admit,
    distrust,
    get: (deviceId: string) => byDevice.get(deviceId),
    /** Keeps the body of its last heartbeat; false where there is no room for it. */
    keepReport: (live: Live, body: Buffer): boolean => byDevice.get(live.id) === live && rooms.keep(live.report, body),
    /** The body of its last heartbeat; null where it is not held in memory. */
    reportOf: (live: Live): string | null => rooms.textOf(live.report),
    forget(deviceId: string): void {
      distrust(deviceId)
      const live = byDevice.get(deviceId)
      if (live !== undefined) rooms.release(live.report)
      byDevice.delete(deviceId)
    },
    all: () => byDevice.values(),
    size: () => byDevice.size,
  }
}
export type Presence = ReturnType<typeof createPresence>

function createLive(device: Device, now: number): Live {
  return {
    id: device.id,
    nodeId: device.data.nodeId,
    storedState: device.status.state,
    hasClone: false,
    desired: nothingKnown(),
    updateFailure: null,
    progress: undefined,
    counter: 0,
    intervalMs: device.status.intervalMs ?? 60_000,
    lastAtMs: now,
    sequence: -1,
    boots: undefined,
    report: { place: -1, steps: 0, bytes: 0 },
    tally: emptyTally(),
    span: Math.floor(now / finestSpanMs),
    closed: [],
    offeredAtMs: 0,
  }
}

function refresh(live: Live, device: Device): void {
  live.storedState = device.status.state
  live.hasClone = device.status.clone !== null
  live.updateFailure = updateFailureKey(device.status.updateFailure)
}
