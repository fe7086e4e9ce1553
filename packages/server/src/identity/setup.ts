import { timingSafeEqual } from 'node:crypto'
import { FreeholdError, type UserResource, userKind } from '@freehold/contracts'
import type { Actor, Reads, Store } from '@freehold/store'
import type { ServerSecret } from '../secrets/index.ts'
import { hashOf } from './credential.ts'

const firstStart: Actor = { type: 'system', id: 'setup', name: 'first start' }

/**
 * How the first administrator comes to be: by the environment, or by a one-time link. The link's token is derived from
 * the server's secret, so every start and every replica prints the same one until it is used; what makes it
 * one-time is that it counts only while there is no administrator.
 */
export function createSetup(options: { store: Store; secret: ServerSecret }) {
  const { store, secret } = options
  const token = () => `fhsetup_${secret.deriveKey('setup-link').reveal().toString('base64url')}`

  async function needed(reads: Reads = store): Promise<boolean> {
    return (await reads.count(userKind, { where: { role: 'admin' } })) === 0
  }

  /** Throws `conflict` where there is an administrator already; two at once make one. */
  function makeFirstAdmin(account: { username: string; passwordHash: string }): Promise<UserResource> {
    return store.transaction(firstStart, async (transaction) => {
      if (!(await needed(transaction))) {
        throw new FreeholdError('conflict', 'There is an administrator already; the setup link has been used. Sign in.')
      }
      return transaction.create(userKind, {
        data: {
          type: 'human',
          name: account.username,
          role: 'admin',
          passwordHash: account.passwordHash,
          disabled: false,
        },
      })
    })
  }

  return {
    needed,
    makeFirstAdmin,
    /** The address to open in a browser. */
    link: (publicUrl: string) => `${publicUrl}/setup?token=${token()}`,
    accepts: (value: string) => timingSafeEqual(Buffer.from(hashOf(value)), Buffer.from(hashOf(token()))),
  }
}
export type Setup = ReturnType<typeof createSetup>
