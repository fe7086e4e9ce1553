import { deviceCredentialKind, deviceKind, FreeholdError } from '@freehold/contracts'
import type { Reads } from '@freehold/store'
import { hashOf } from './credentials.ts'
import type { DesiredKeeper } from './desired.ts'
import { createLives, type Live, type Said } from './live.ts'
import { createRooms } from './rooms.ts'

/** Reports in memory together; beyond that they go into the facts at once. */
const mostReportBytes = 200_000_000

/** Words that are shared between devices; beyond that new ones are no longer shared with old ones. */
const mostSaid = 1_000
const noTokens: readonly string[] = []

/** A token that was looked up, and whose it is. */
export interface Admission {
  readonly live: Live
  /** Of a token that was never used: its credential, which the first use must mark. */
  readonly unusedId: string | null
  readonly expiresAtMs: number
}

/**
 * Who is there, in memory: filled by heartbeats alone, so that a start costs nothing and devices that are gone take no
 * room. A token is looked up in the store once; after that it is one lookup in a table by its hash.
 */
export function createPresence(options: { now: () => number; desired: Pick<DesiredKeeper, 'compute'> }) {
  const rooms = createRooms({ mostBytes: mostReportBytes })
  const createLive = createLives()
  const byToken = new Map<string, Admission>()
  const byDevice = new Map<string, Live>()

  const said = new Map<string, Said>()

  /** The same words in the object that others have who say the same, which in a rollout are very many. */
  function shared(words: Said): Said {
    const key = `${words.app}\n${words.host}`
    const known = said.get(key)
    if (known !== undefined) return known
    if (said.size >= mostSaid) said.clear()
    said.set(key, words)
    return words
  }

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
    live.refresh(device)
    const admission = {
      live,
      unusedId: used ? null : credential.id,
      expiresAtMs,
    }
    byDevice.set(deviceId, live)
    byToken.set(key, admission)
    if (!live.tokens.includes(key)) live.tokens = [...live.tokens, key]
    // Only now: who is distrusted meanwhile must be found here.
    live.know(await options.desired.compute(device))
    return admission
  }

  /** Whatever was looked up of it is looked up again with its next heartbeat; what was heard stays. */
  function distrust(deviceId: string): void {
    const live = byDevice.get(deviceId)
    if (live === undefined) return
    for (const key of live.tokens) byToken.delete(key)
    live.tokens = noTokens
  }

  return {
    known,
    admit,
    distrust,
    get: (deviceId: string) => byDevice.get(deviceId),
    /** Keeps the body of its last heartbeat; false where there is no room for it. */
    keepReport: (live: Live, body: Buffer): boolean => byDevice.get(live.id) === live && rooms.keep(live, body),
    /** The body of its last heartbeat; null where it is not held in memory. */
    reportOf: (live: Live): string | null => rooms.textOf(live),
    forget(deviceId: string): void {
      distrust(deviceId)
      const live = byDevice.get(deviceId)
      if (live === undefined) return
      byDevice.delete(deviceId)
      rooms.release(live)
      live.leave()
    },
    shared,
    all: () => byDevice.values(),
    size: () => byDevice.size,
  }
}
export type Presence = ReturnType<typeof createPresence>
