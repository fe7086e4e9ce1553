import {
  FreeholdError,
  type Role,
  sessionKind,
  type TokenResource,
  tokenKind,
  type UserResource,
  userKind,
} from '@freehold/contracts'
import type { Transaction } from '@freehold/store'

const power: Record<Role, number> = { cluster: 0, api: 1, user: 1, admin: 2 }

/** A token never may more than the user it acts for may now. */
export function roleOfToken(token: Pick<TokenResource, 'data'>, user: Pick<UserResource, 'data'>): Role {
  return power[token.data.role] <= power[user.data.role] ? token.data.role : user.data.role
}

/** True where the first role may do all that the second may. */
export function covers(role: Role, other: Role): boolean {
  return power[role] >= power[other]
}

/** True for somebody who can sign in and do everything. */
function isActiveAdmin(data: UserResource['data']): boolean {
  return data.type === 'human' && data.role === 'admin' && !data.disabled
}

/** Refuses to leave the installation without anybody who may administer it. `after`: undefined for a delete. */
export async function keepAnAdmin(
  transaction: Transaction,
  before: UserResource,
  after: UserResource['data'] | undefined,
): Promise<void> {
  if (!isActiveAdmin(before.data) || (after !== undefined && isActiveAdmin(after))) return
  const admins = await transaction.all(userKind, { where: { role: 'admin' } })
  if (admins.some((admin) => admin.id !== before.id && isActiveAdmin(admin.data))) return
  throw new FreeholdError('conflict', `${before.data.name} is the last active administrator; make another one first.`)
}

/** Ends the sessions of a user, all but one. */
export async function endSessions(transaction: Transaction, userId: string, except?: string): Promise<void> {
  for (const session of await transaction.all(sessionKind, { where: { userId } })) {
    if (session.id !== except) await transaction.delete(sessionKind, session.id)
  }
}

export async function deleteTokens(transaction: Transaction, userId: string): Promise<void> {
  for (const token of await transaction.all(tokenKind, { where: { userId } })) {
    await transaction.delete(tokenKind, token.id)
  }
}
