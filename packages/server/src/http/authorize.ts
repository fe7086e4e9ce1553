import { type Access, FreeholdError, mayDo } from '@freehold/contracts'
import type { Caller } from './handler.ts'

/**
 * The one door for access: (subject, action, resource), denied unless the contract's table allows it.
 * Throws `unauthenticated` for nobody and `forbidden` for somebody who may not.
 */
export function authorize(caller: Caller, access: Access, resource: { noun: string; id?: string | undefined }): void {
  if (access === 'public') return
  const { identity } = caller
  if (identity === null) throw new FreeholdError('unauthenticated')
  if (mayDo(identity.role, access)) return
  const target = resource.id === undefined ? resource.noun : `${resource.noun}/${resource.id}`
  throw new FreeholdError('forbidden', `The role ${identity.role} may not do ${access} on ${target}.`)
}
