import { FreeholdError, type UserResource, userKind } from '@freehold/contracts'
import type { Store } from '@freehold/store'
import type { Handlers } from '../http/handler.ts'
import { getResource, listResources, present } from '../http/resources.ts'
import type { Passwords } from './password.ts'
import { deleteTokens, endSessions, keepAnAdmin } from './rules.ts'

/** People: made, changed and deleted by administrators. What they may do no more ends with the change. */
export function createUsers(options: { store: Store; passwords: Passwords; changed: () => void }): Handlers<'users'> {
  const { store, passwords, changed } = options
  return {
    list: ({ query }) => listResources(store, userKind, query),
    get: async ({ params }) => present(userKind, await getResource(store, userKind, params.id)),

    async create({ body, caller }) {
      const { name, role, password } = body.data
      const passwordHash = await passwords.hash(password)
      const user = await store.transaction(caller.actor, (transaction) =>
        transaction.create(userKind, { data: { type: 'human', name, role, passwordHash, disabled: false } }),
      )
      return present(userKind, user)
    },

    async update({ params, body, caller }) {
      const { password, ...patch } = body.data ?? {}
      const passwordHash = password === undefined ? undefined : await passwords.hash(password)
      const user = await store.transaction(caller.actor, async (transaction) => {
        const before = await getResource(transaction, userKind, params.id)
        const data = changedData(before, { ...patch, ...(passwordHash === undefined ? {} : { passwordHash }) })
        await keepAnAdmin(transaction, before, data)
        const after = await transaction.update(userKind, params.id, {
          data,
          ...(body.labels === undefined ? {} : { labels: body.labels }),
          ...(body.version === undefined ? {} : { expectedVersion: body.version }),
        })
        if (passwordHash !== undefined || data.disabled) await endSessions(transaction, params.id)
        return after
      })
      changed()
      return present(userKind, user)
    },

    async delete({ params, query, caller }) {
      await store.transaction(caller.actor, async (transaction) => {
        const user = await getResource(transaction, userKind, params.id)
        await keepAnAdmin(transaction, user, undefined)
        await endSessions(transaction, user.id)
        await deleteTokens(transaction, user.id)
        await transaction.delete(
          userKind,
          user.id,
          query.version === undefined ? {} : { expectedVersion: query.version },
        )
      })
      changed()
    },
  }
}

function changedData(
  before: UserResource,
  patch: { role?: 'admin' | 'user' | undefined; disabled?: boolean | undefined; passwordHash?: string },
): UserResource['data'] {
  if (before.data.type === 'machine' && (patch.passwordHash !== undefined || patch.role !== undefined)) {
    throw new FreeholdError('conflict', `${before.data.name} is a machine: it has no password, and its role is fixed.`)
  }
  return {
    ...before.data,
    ...(patch.role === undefined ? {} : { role: patch.role }),
    ...(patch.disabled === undefined ? {} : { disabled: patch.disabled }),
    ...(patch.passwordHash === undefined ? {} : { passwordHash: patch.passwordHash }),
  }
}
