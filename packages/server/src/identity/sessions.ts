import { type SessionResource, sessionKind, type UserResource } from '@freehold/contracts'
import type { Store } from '@freehold/store'
import type { Client } from '../http/handler.ts'
import { makeCredential } from './credential.ts'
import { actorOf } from './lookup.ts'

const dayMs = 86_400_000
/** A session ends after this long without use … */
export const sessionIdleMs = 7 * dayMs
/** … and after this long in any case. */
const sessionLifeMs = 30 * dayMs
const maxSessionsPerUser = 50

/** Starts a session: the value goes to the client, its hash to the store. The oldest ends when a user has too many. */
export async function startSession(
  store: Store,
  options: { user: UserResource; client: Client; now: number },
): Promise<{ value: string; session: SessionResource }> {
  const { user, client, now } = options
  const { value, hash } = makeCredential('fhs_')
  const session = await store.transaction(actorOf(user), async (transaction) => {
    const sessions = await transaction.all(sessionKind, { where: { userId: user.id } })
    for (const old of sessions.slice(0, Math.max(0, sessions.length - maxSessionsPerUser + 1))) {
      await transaction.delete(sessionKind, old.id)
    }
    return transaction.create(sessionKind, {
      data: {
        userId: user.id,
        expiresAt: new Date(now + sessionIdleMs).toISOString(),
        hash,
        client: `${client.address} ${client.userAgent}`.slice(0, 200),
      },
    })
  })
  return { value, session }
}

/** When a used session should end from now on; null while it is not worth a write (less than a day is gained). */
export function prolonged(session: Pick<SessionResource, 'data' | 'createdAt'>, now: number): string | null {
  const end = Math.min(now + sessionIdleMs, Date.parse(session.createdAt) + sessionLifeMs)
  return end - Date.parse(session.data.expiresAt) >= dayMs ? new Date(end).toISOString() : null
}
