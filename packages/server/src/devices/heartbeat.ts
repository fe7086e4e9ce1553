import { isAscii, isUtf8 } from 'node:buffer'
import { type DeviceDesiredState, deviceKind, FreeholdError, type ReleaseType } from '@freehold/contracts'
import type { Actor, Store } from '@freehold/store'
import { noteBoot } from './boots.ts'
import { offerToken, useToken } from './credentials.ts'
import type { DesiredKeeper } from './desired.ts'
import { createFailures } from './failures.ts'
import { createHaste } from './haste.ts'
import { intervalFor, nodeTokenLifeMs } from './kind.ts'
import { isKnown } from './known.ts'
import type { Live } from './live.ts'
import type { Admission, Presence } from './presence.ts'
import { type Heartbeat, type ReleaseProgress, type ReportedReleases, readHeartbeat } from './read-heartbeat.ts'
import type { StatusWriter } from './status-writer.ts'

/** What this process can take with room to spare; larger fleets are told to speak less often. */
const heartbeatsPerSecond = 4_000
const offerAgainMs = 10 * 60_000

export interface HeartbeatOptions {
  store: Store
  presence: Presence
  statuses: StatusWriter
  desired: Pick<DesiredKeeper, 'tell'>
  /** Told what a device says of a release, whenever it says something else than before. Must return at once. */
  onProgress?: OnProgress
  now: () => number
  heartbeatsPerSecond?: number
}
export type OnProgress = (heard: { deviceId: string; type: ReleaseType; progress: ReleaseProgress }) => void

/**
 * Answers heartbeats. Nearly all of them touch nothing but memory; the store is asked for a token that is new here, for
 * a token's first use, for a new token, and for a desired state that the device does not have.
 */
export function createHeartbeats(options: HeartbeatOptions) {
  const { store, presence, statuses, desired, now } = options
  const failures = createFailures({ statuses })
  const haste = createHaste({ now })
  const capacity = options.heartbeatsPerSecond ?? heartbeatsPerSecond

  /** The answer as JSON; a promise only where the store must be asked. `too-many-requests` for a device that floods. */
  function answer(token: string, body: Buffer): string | Promise<string> {
    const admission = presence.known(token)
    if (admission !== undefined) slowDown(admission.live)
    const heartbeat = parse(body)
    return admission === undefined
      ? presence.admit(store, { token, nodeId: heartbeat.nodeId }).then((admitted) => take(admitted, heartbeat, body))
      : take(admission, heartbeat, body)
  }

  function slowDown({ id }: Live): void {
    const retryAfterSeconds = haste.take(id)
    if (retryAfterSeconds === 0) return
    throw new FreeholdError('too-many-requests', 'This device speaks too often; it must wait.', { retryAfterSeconds })
  }

  function take(admission: Admission, heartbeat: Heartbeat, body: Buffer): string | Promise<string> {
    const { live } = admission
    const nowMs = now()
    if (admission.expiresAtMs <= nowMs) throw new FreeholdError('token-expired', 'This node token has expired.')
    if (heartbeat.nodeId !== live.nodeId) {
      throw new FreeholdError('forbidden', 'This node token belongs to another device.')
    }
    note(live, heartbeat, { body, nowMs })
    const wantsToken = mayOffer(admission, heartbeat, nowMs)
    const { generation } = live
    if (admission.unusedId === null && !wantsToken && heartbeat.generation === generation && isKnown(live, nowMs)) {
      return plainAnswer(live, { nowMs, generation })
    }
    return fullAnswer(admission, heartbeat, { nowMs, wantsToken })
  }

  function note(live: Live, heartbeat: Heartbeat, { body, nowMs }: { body: Buffer; nowMs: number }): void {
    const { boots, verdict } = noteBoot(live.boots, { ...heartbeat, nowMs })
    const isOld = verdict === 'same' && heartbeat.sequence !== null && heartbeat.sequence < live.sequence
    const isLateCopy = isOld || verdict === 'straggler'
    live.boots = boots
    live.lastAtMs = nowMs
    if (verdict === 'returned' && !live.hasClone) {
      live.hasClone = true
      statuses.markClone(live.id, nowMs)
    }
    if (isLateCopy) return
    live.sequence = heartbeat.sequence ?? -1
    live.intervalMs = heartbeat.intervalMs
    live.tally(nowMs, heartbeat.machine)
    noteReleases(live, heartbeat.releases, nowMs)
    if (!presence.keepReport(live, body)) {
      const text = body.toString('utf8')
      store.facts.set(deviceKind, live.id, 'report', reportFact(live, { atMs: nowMs, body: text }))
    }
    if (live.storedState !== 'online') {
      live.storedState = 'online'
      statuses.markOnline(live.id, nowMs)
    }
  }

  function noteReleases(live: Live, releases: ReportedReleases | null, nowMs: number): void {
    const before = live.progress
    const after = releases === null ? nothingSaid : { app: wordsOf(releases.app), host: wordsOf(releases.host) }
    if (before?.app === after.app && before.host === after.host) return
    live.progress = presence.shared(after)
    if (releases === null) return
    failures.note(live, { before, releases, nowMs })
    for (const type of ['app', 'host'] as const) {
      const progress = releases[type]
      if (progress !== null && before?.[type] !== after[type])
        options.onProgress?.({ deviceId: live.id, type, progress })
    }
  }

  function plainAnswer(live: Live, { nowMs, generation }: { nowMs: number; generation: number }): string {
    return `{"at":"${new Date(nowMs).toISOString()}"${rhythm(live)},"generation":${generation}}`
  }

  function rhythm(live: Live): string {
    const intervalMs = intervalFor({
      liveDevices: presence.size(),
      heartbeatsPerSecond: capacity,
      intervalMs: live.intervalMs,
    })
    return intervalMs === null ? '' : `,"heartbeatIntervalMs":${intervalMs}`
  }

  async function fullAnswer(
    admission: Admission,
    heartbeat: Heartbeat,
    { nowMs, wantsToken }: { nowMs: number; wantsToken: boolean },
  ): Promise<string> {
    const { live, unusedId } = admission
    const actor: Actor = { type: 'agent', id: live.id, name: live.nodeId }
    if (unusedId !== null) {
      const isGood = await store.transaction(actor, (t) => useToken(t, { deviceId: live.id, credentialId: unusedId }))
      presence.distrust(live.id)
      if (!isGood) throw new FreeholdError('unauthenticated', 'A newer node token has ended this one.')
    }
    const offer = wantsToken
      ? await store.transaction(actor, (t) => offerToken(t, { deviceId: live.id, now: nowMs }))
      : {}
    const { generation, state } = await desiredFor(live, heartbeat, nowMs)
    const more = { ...offer, ...(state === undefined ? {} : { desiredState: state }) }
    const plain = plainAnswer(live, { nowMs, generation })
    // Both are objects, and every field is in one of them.
    return Object.keys(more).length === 0 ? plain : `${plain.slice(0, -1)},${JSON.stringify(more).slice(1)}`
  }

  /** The state only where the device does not hold it. */
  async function desiredFor(
    live: Live,
    heartbeat: Heartbeat,
    nowMs: number,
  ): Promise<{ generation: number; state?: DeviceDesiredState }> {
    const { generation } = live
    if (heartbeat.generation === generation && isKnown(live, nowMs)) return { generation }
    const device = await store.get(deviceKind, live.id)
    if (device === undefined) return { generation: heartbeat.generation }
    const reported = heartbeat.releases?.counter ?? null
    return desired.tell(live, device, { held: heartbeat.generation, reported })
  }

  return { answer }
}
export type Heartbeats = ReturnType<typeof createHeartbeats>

/** As the facts keep it: the body as it came. */
export function reportFact(live: Live, { atMs, body }: { atMs: number; body: string }) {
  return { at: new Date(atMs).toISOString(), intervalMs: live.intervalMs, body }
}

const nothingSaid = { app: null, host: null }

/** What of a progress is worth telling, as one text; null for nothing said. */
function wordsOf(progress: ReleaseProgress | null): string | null {
  if (progress === null) return null
  return `${progress.releaseId} ${progress.attempt} ${progress.state} ${progress.message}`
}

/** A device that asks again and again gets a new offer only now and then. */
function mayOffer(admission: Admission, heartbeat: Heartbeat, nowMs: number): boolean {
  const endsSoon = admission.expiresAtMs - nowMs < nodeTokenLifeMs / 3
  if (!(heartbeat.rotateToken || endsSoon) || nowMs - admission.live.offeredAtMs < offerAgainMs) return false
  admission.live.offeredAtMs = nowMs
  return true
}

/** UTF-8 or nothing; texts of ASCII alone, which are nearly all, are read the fast way. */
export function textIn(bytes: Buffer): string {
  if (isAscii(bytes)) return bytes.toString('latin1')
  if (isUtf8(bytes)) return bytes.toString('utf8')
  throw new FreeholdError('invalid-json', 'The body is not valid JSON in UTF-8.')
}

function parse(body: Buffer): Heartbeat {
  const text = textIn(body)
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (cause) {
    throw new FreeholdError('invalid-json', 'The body is not valid JSON in UTF-8.', { cause })
  }
  const heartbeat = readHeartbeat(value)
  if (typeof heartbeat === 'string') throw new FreeholdError('invalid-input', heartbeat)
  return heartbeat
}
