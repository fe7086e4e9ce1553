/**
 * Who somebody is: people with passwords and sessions, machine tokens, and the way the first administrator comes to
 * be. What they may do is decided by the contract's access table at the door, not here.
 */
import { FreeholdError } from '@freehold/contracts'
import type { Store } from '@freehold/store'
import type { AllHandlers } from '../http/handler.ts'
import type { ServerSecret } from '../secrets/index.ts'
import { createAuth } from './auth.ts'
import { type Authentication, createAuthenticate } from './authenticate.ts'
import { createLookup } from './lookup.ts'
import { createPasswords } from './password.ts'
import { createSetup, type Setup } from './setup.ts'
import { createThrottle } from './throttle.ts'
import { createTokens } from './tokens.ts'
import { createUsers } from './users.ts'

export type { IdentityCaller } from './authenticate.ts'
export { makeCredential } from './credential.ts'
export { createThrottle } from './throttle.ts'

export interface IdentityNoun
  extends Pick<
    Authentication,
    'authenticate' | 'authenticateBasic' | 'authenticateBearer' | 'setClusterCredentials' | 'setDeviceCredentials'
  > {
  handlers: Pick<AllHandlers, 'auth' | 'users' | 'tokens'>
  setup: Pick<Setup, 'needed' | 'link'>
  /** Makes the administrator of the environment, if there is none. Resolves to whether it did. */
  bootstrap(account: { username: string; password: string }): Promise<boolean>
  /** Forgets what is remembered about users, sessions and tokens: something about them changed. */
  invalidate(): void
  /** Calls back after `invalidate` and after changes made here. Returns the unsubscribe. */
  onRightsChange(listener: () => void): () => void
}

/** `secure`: browsers reach us by HTTPS, so cookies are sent by HTTPS only. */
export function createIdentityNoun(options: {
  store: Store
  secret: ServerSecret
  secure: boolean
  now?: () => number
}): IdentityNoun {
  const { store, secret, secure, now = Date.now } = options
  const passwords = createPasswords()
  const throttle = createThrottle({ now })
  const lookup = createLookup({ store, now })
  const setup = createSetup({ store, secret })
  const authentication = createAuthenticate({ store, lookup, passwords, throttle, now, secure })
  const listeners = new Set<() => void>()
  const changed = () => {
    lookup.invalidate()
    for (const listener of listeners) listener()
  }
  return {
    handlers: {
      auth: createAuth({ store, setup, authentication, passwords, throttle, now, secure, changed }),
      users: createUsers({ store, passwords, changed }),
      tokens: createTokens({ store, now, changed }),
    },
    authenticate: authentication.authenticate,
    authenticateBasic: authentication.authenticateBasic,
    authenticateBearer: authentication.authenticateBearer,
    setClusterCredentials: authentication.setClusterCredentials,
    setDeviceCredentials: authentication.setDeviceCredentials,
    setup,
    invalidate: changed,
    onRightsChange(listener) {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },

    async bootstrap({ username, password }) {
      if (!(await setup.needed())) return false
      const passwordHash = await passwords.hash(password)
      try {
        await setup.makeFirstAdmin({ username, passwordHash })
        return true
      } catch (error) {
        // Another replica was faster.
        if (error instanceof FreeholdError && error.code === 'conflict') return false
        throw error
      }
    },
  }
}
