import {
  FreeholdError,
  type Identity,
  type SessionResource,
  sessionKind,
  type TokenResource,
  tokenKind,
  type UserResource,
  userKind,
} from '@freehold/contracts'
import type { Actor, Store } from '@freehold/store'
import type { Caller } from '../http/handler.ts'
import { type CredentialPrefix, hashOf } from './credential.ts'
import { roleOfToken } from './rules.ts'

const maxCached = 10_000
/** How often the last use of one credential is noted. */
const useNotedEveryMs = 60_000

export type Found =
  | { type: 'session'; user: UserResource; session: SessionResource }
  | { type: 'token'; user: UserResource; token: TokenResource }

interface Cached {
  found: Found
  useNotedAt: number
}

/**
 * Finds who a session or token value belongs to. What was found is remembered until something about users, sessions
 * or tokens changes (`invalidate`); a look-up that began before such a change is not remembered.
 */
export function createLookup(options: { store: Store; now: () => number }) {
  const { store, now } = options
  const cache = new Map<string, Cached>()
  let epoch = 0

  async function load(prefix: CredentialPrefix, hash: string): Promise<Found | undefined> {
    if (prefix === 'fhs_') {
      const session = await store.find(sessionKind, 'hash', hash)
      const user = session && (await store.get(userKind, session.data.userId))
      return session && user && { type: 'session', user, session }
    }
    const token = await store.find(tokenKind, 'hash', hash)
    const user = token && (await store.get(userKind, token.data.userId))
    return token && user && { type: 'token', user, token }
  }

  async function entryOf(prefix: CredentialPrefix, hash: string): Promise<Cached | undefined> {
    const cached = cache.get(hash)
    if (cached !== undefined) return cached
    const startedIn = epoch
    const found = await load(prefix, hash)
    if (found === undefined) return undefined
    const entry = { found, useNotedAt: Number.NEGATIVE_INFINITY }
    if (startedIn === epoch) {
      const [oldest] = cache.keys()
      if (cache.size >= maxCached && oldest !== undefined) cache.delete(oldest)
      cache.set(hash, entry)
    }
    return entry
  }

  return {
    /** Throws `token-expired` for a value that is unknown, expired, revoked, or of a user who is disabled. */
    async find(prefix: CredentialPrefix, value: string): Promise<Found> {
      const entry = await entryOf(prefix, hashOf(value))
      if (entry === undefined) throw new FreeholdError('token-expired')
      const { found } = entry
      const resource = found.type === 'session' ? found.session : found.token
      if (Date.parse(resource.data.expiresAt) <= now() || found.user.data.disabled) {
        throw new FreeholdError('token-expired')
      }
      if (now() - entry.useNotedAt >= useNotedEveryMs) {
        entry.useNotedAt = now()
        const kind = found.type === 'session' ? sessionKind : tokenKind
        store.facts.set(kind, resource.id, 'lastUsedAt', new Date(now()).toISOString())
      }
      return found
    },
    invalidate(): void {
      epoch += 1
      cache.clear()
    },
  }
}
export type Lookup = ReturnType<typeof createLookup>

/** What a found credential makes of a request. */
export function callerOf(found: Found): Caller & { identity: Identity } {
  if (found.type === 'session') {
    return {
      identity: identityOf(found.user, found.session),
      actor: actorOf(found.user),
      sessionId: found.session.id,
    }
  }
  const { token, user } = found
  return {
    identity: {
      subject: 'token',
      userId: user.id,
      name: token.data.name,
      role: roleOfToken(token, user),
      expiresAt: token.data.expiresAt,
    },
    actor: { type: 'token', id: token.id, name: `${token.data.name} of ${user.data.name}` },
  }
}

export function identityOf(user: UserResource, session: SessionResource | null): Identity {
  return {
    subject: 'user',
    userId: user.id,
    name: user.data.name,
    role: user.data.role,
    expiresAt: session?.data.expiresAt ?? null,
  }
}

export function actorOf(user: UserResource): Actor {
  return { type: 'user', id: user.id, name: user.data.name }
}
