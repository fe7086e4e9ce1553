import { FreeholdError, sessionKind, type UserResource, userKind } from '@freehold/contracts'
import type { Store } from '@freehold/store'
import type { Handlers, Input } from '../http/handler.ts'
import { getResource } from '../http/resources.ts'
import type { Authentication } from './authenticate.ts'
import { sessionCookie } from './cookie.ts'
import { identityOf } from './lookup.ts'
import type { Passwords } from './password.ts'
import { endSessions } from './rules.ts'
import { sessionIdleMs, startSession } from './sessions.ts'
import type { Setup } from './setup.ts'
import type { Throttle } from './throttle.ts'

/** Signing in and out, and what people do about themselves. */
export function createAuth(options: {
  store: Store
  setup: Setup
  authentication: Authentication
  passwords: Passwords
  throttle: Throttle
  now: () => number
  secure: boolean
  changed: () => void
}): Handlers<'auth'> {
  const { store, setup, authentication, passwords, throttle, now, secure, changed } = options

  async function signIn(user: UserResource, input: Pick<Input<never>, 'client' | 'setHeader'>) {
    const { value, session } = await startSession(store, { user, client: input.client, now: now() })
    input.setHeader('set-cookie', sessionCookie(value, { maxAgeSeconds: sessionIdleMs / 1000, secure }))
    return { identity: identityOf(user, session), token: value }
  }

  return {
    setupState: async () => ({ needed: await setup.needed() }),

    async setup({ body, client, setHeader }) {
      const attempt = throttle.begin({ account: undefined, address: client.address })
      if (!(await setup.needed())) {
        throw new FreeholdError('conflict', 'There is an administrator already; the setup link has been used. Sign in.')
      }
      if (!setup.accepts(body.token)) {
        throw new FreeholdError(
          'wrong-credentials',
          'This is not the setup token that the server printed at its start.',
        )
      }
      attempt.succeeded()
      const passwordHash = await passwords.hash(body.password)
      const user = await setup.makeFirstAdmin({ username: body.username, passwordHash })
      return signIn(user, { client, setHeader })
    },

    async login({ body, client, setHeader }) {
      const user = await authentication.checkPassword(body.username, body.password, client)
      return signIn(user, { client, setHeader })
    },

    async logout({ caller, setHeader }) {
      const { sessionId } = caller
      if (sessionId === undefined) {
        throw new FreeholdError('conflict', 'A token is not a session; an administrator deletes it under tokens.')
      }
      await store.transaction(caller.actor, async (transaction) => {
        if ((await transaction.get(sessionKind, sessionId)) !== undefined)
          await transaction.delete(sessionKind, sessionId)
      })
      changed()
      setHeader('set-cookie', sessionCookie('', { maxAgeSeconds: 0, secure }))
    },

    async identity({ caller }) {
      if (caller.identity === null) throw new FreeholdError('unauthenticated')
      return caller.identity
    },

    async changePassword({ body, caller, client }) {
      const { identity, sessionId } = caller
      if (identity === null) throw new FreeholdError('unauthenticated')
      if (sessionId === undefined)
        throw new FreeholdError('conflict', 'Only a person who is signed in has a password to change.')
      const before = await getResource(store, userKind, identity.userId)
      await authentication.checkPassword(before.data.name, body.current, client)
      const passwordHash = await passwords.hash(body.next)
      await store.transaction(caller.actor, async (transaction) => {
        const user = await getResource(transaction, userKind, identity.userId)
        if (user.data.passwordHash !== before.data.passwordHash) {
          throw new FreeholdError('conflict', 'The password was just changed by someone else; try again.')
        }
        await transaction.update(userKind, user.id, { data: { ...user.data, passwordHash } })
        await endSessions(transaction, user.id, sessionId)
      })
      changed()
    },
  }
}
