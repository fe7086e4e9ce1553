import type { IncomingMessage } from 'node:http'
import { FreeholdError, type Identity, sessionKind, userKind } from '@freehold/contracts'
import type { Store } from '@freehold/store'
import type { Authenticated } from '../http/api.ts'
import type { Caller, Client } from '../http/handler.ts'
import type { PullingDevice } from '../registry/index.ts'
import { readSessionCookie, sessionCookie } from './cookie.ts'
import { prefixOf } from './credential.ts'
import { actorOf, callerOf, type Found, identityOf, type Lookup } from './lookup.ts'
import type { Passwords } from './password.ts'
import { prolonged } from './sessions.ts'
import type { Throttle } from './throttle.ts'

/** Somebody whose credentials were right. `mayPull` narrows what may be pulled beyond the role; absent: it does not. */
export interface IdentityCaller extends Caller {
  identity: Identity
  mayPull?: (repository: string) => boolean | Promise<boolean>
  /** Of a device: narrows further, to single manifests. */
  device?: PullingDevice
}

/** Checks the pull credentials of a cluster; null where they are wrong. Given by whoever makes them. */
export type ClusterCredentials = (username: string, password: string) => Promise<IdentityCaller | null>

/**
 * Checks the node token of a device; null where it is wrong. Many devices share an address, so guesses are slowed down by
 * whoever keeps devices and gives this, apart from those of people: it throws `too-many-requests`.
 */
export type DeviceCredentials = (username: string, nodeToken: string, client: Client) => Promise<IdentityCaller | null>

export interface AuthenticateOptions {
  store: Store
  lookup: Lookup
  passwords: Passwords
  throttle: Throttle
  now: () => number
  /** Cookies are sent by HTTPS only. */
  secure: boolean
}

/** What the store says where it can read but not write at the moment. */
const cannotWrite: ReadonlySet<string> = new Set(['storage-full', 'storage-unwritable', 'unavailable'])

/** Builds the ways to prove who one is: bearer value or cookie for the API, user name and password for the rest. */
export function createAuthenticate(options: AuthenticateOptions) {
  const { store, lookup, passwords, throttle, now } = options
  let clusterCredentials: ClusterCredentials | undefined
  let deviceCredentials: DeviceCredentials | undefined

  /** A bearer value counts before a cookie. Throws `unauthenticated` and `token-expired`. */
  async function authenticate(request: Pick<IncomingMessage, 'headers'>): Promise<Authenticated> {
    const { authorization, cookie } = request.headers
    if (authorization !== undefined) {
      const [, bearer] = /^Bearer +([^\s]{1,200})$/i.exec(authorization) ?? []
      if (bearer === undefined)
        throw new FreeholdError('unauthenticated', 'The Authorization header is not `Bearer <token>`.')
      return { caller: callerOf(await find(bearer)), byCookie: false }
    }
    const value = readSessionCookie(cookie)
    if (value === undefined) throw new FreeholdError('unauthenticated')
    const found = await find(value)
    if (found.type !== 'session')
      throw new FreeholdError('unauthenticated', 'A token belongs into the Authorization header.')
    const setCookie = await prolong(found, value)
    return { caller: callerOf(found), byCookie: true, ...(setCookie === undefined ? {} : { setCookie }) }
  }

  function find(value: string): Promise<Found> {
    const prefix = prefixOf(value)
    if (prefix === undefined) throw new FreeholdError('unauthenticated', 'This is no session and no token of Freehold.')
    return lookup.find(prefix, value)
  }

  async function prolong(found: Extract<Found, { type: 'session' }>, value: string): Promise<string | undefined> {
    const expiresAt = prolonged(found.session, now())
    if (expiresAt === null) return undefined
    try {
      await store.transaction(actorOf(found.user), async (transaction) => {
        const session = await transaction.get(sessionKind, found.session.id)
        if (session === undefined) throw new FreeholdError('token-expired')
        await transaction.update(sessionKind, session.id, { data: { ...session.data, expiresAt } })
      })
    } catch (error) {
      // The session is still good until its old end, and reading must work without writing; the next request tries again.
      if (error instanceof FreeholdError && cannotWrite.has(error.code)) return undefined
      throw error
    }
    lookup.invalidate()
    return sessionCookie(value, {
      maxAgeSeconds: Math.floor((Date.parse(expiresAt) - now()) / 1000),
      secure: options.secure,
    })
  }

  /** Checks a user's password. Throws `wrong-credentials`, `too-many-requests`, `unavailable`. */
  async function checkPassword(username: string, password: string, client: Client) {
    const attempt = throttle.begin({ account: username, address: client.address })
    const user = await store.find(userKind, 'name', username.toLowerCase())
    const usable = user !== undefined && user.data.type === 'human' && !user.data.disabled
    const matches = await passwords.verify(password, usable ? user.data.passwordHash : undefined)
    if (!usable || !matches) throw new FreeholdError('wrong-credentials')
    attempt.succeeded()
    return user
  }

  /**
   * User name and password of HTTP Basic, as registry clients send them: a user's password, a machine token as the
   * password (whatever the user name), `cluster-<id>` with that cluster's pull password, or `device` or `d_<nodeId>` with
   * the device's node token.
   * Throws `wrong-credentials`, `too-many-requests`, `unavailable`.
   */
  async function authenticateBasic(username: string, password: string, client: Client): Promise<IdentityCaller> {
    if (deviceCredentials !== undefined && isOfDevice(username, password)) {
      const caller = await deviceCredentials(username, password, client)
      if (caller === null) throw new FreeholdError('wrong-credentials')
      return caller
    }
    if (username.length > 64 || password.length > 256) throw new FreeholdError('wrong-credentials')
    if (prefixOf(password) === 'fht_') return byToken(password, client)
    if (/^cluster-/.test(username) && clusterCredentials !== undefined) {
      const attempt = throttle.begin({ account: username, address: client.address })
      const caller = await clusterCredentials(username, password)
      if (caller === null) throw new FreeholdError('wrong-credentials')
      attempt.succeeded()
      return caller
    }
    const user = await checkPassword(username, password, client)
    return { identity: identityOf(user, null), actor: actorOf(user) }
  }

  /** The registry's clients know `wrong-credentials` only; a token that expired is one. */
  async function byToken(value: string, client: Client): Promise<IdentityCaller> {
    const attempt = throttle.begin({ account: undefined, address: client.address })
    try {
      const caller = callerOf(await lookup.find('fht_', value))
      attempt.succeeded()
      return caller
    } catch (cause) {
      if (cause instanceof FreeholdError && cause.code === 'token-expired') {
        throw new FreeholdError('wrong-credentials', 'This token has expired or was revoked.', { cause })
      }
      throw cause
    }
  }

  /** A session or token as a bearer value where clients guess, so it is slowed down. Throws like `authenticate`. */
  async function authenticateBearer(value: string, client: Client): Promise<IdentityCaller> {
    const attempt = throttle.begin({ account: undefined, address: client.address })
    const caller = callerOf(await find(value))
    attempt.succeeded()
    return caller
  }

  return {
    authenticate,
    authenticateBasic,
    authenticateBearer,
    checkPassword,
    /** Lets `cluster-<id>` in; without it such names are looked up as users. */
    setClusterCredentials(check: ClusterCredentials): void {
      clusterCredentials = check
    },
    /** Lets devices in; without it they are looked up as users. */
    setDeviceCredentials(check: DeviceCredentials): void {
      deviceCredentials = check
    },
  }
}
export type Authentication = ReturnType<typeof createAuthenticate>

/** Node tokens begin so; anything else behind such a user name is a person's password. */
function isOfDevice(username: string, password: string): boolean {
  return /^(device|d_)/.test(username) && username.length <= 130 && /^fhn_[A-Za-z0-9_-]{43}$/.test(password)
}
