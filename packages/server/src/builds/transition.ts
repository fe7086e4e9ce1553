import { type Build, buildKind } from '@freehold/contracts'
import type { Actor, Store, Transaction } from '@freehold/store'
import { revokeUnused } from '../devices/index.ts'
import { type BuildStatus, isOpen } from './kind.ts'

const buildsActor: Actor = { type: 'system', id: 'builds', name: 'builds' }

/**
 * Moves a build by a rule; undefined where the rule says no, or the build is gone. With the end of a build, in the same
 * transaction, what is sealed goes, and the token of one that did not succeed lets nobody in any more.
 */
export function moveBuild(
  store: Store,
  options: { id: string; actor?: Actor; rule: (status: BuildStatus) => BuildStatus | undefined },
): Promise<Build | undefined> {
  const { id, actor = buildsActor, rule } = options
  return store.transaction(actor, (transaction) => moveIn(transaction, id, rule))
}

export async function moveIn(
  transaction: Transaction,
  id: string,
  rule: (status: BuildStatus) => BuildStatus | undefined,
): Promise<Build | undefined> {
  const build = await transaction.get(buildKind, id)
  const status = build === undefined ? undefined : rule(build.status)
  if (build === undefined || status === undefined) return undefined
  if (isOpen(build.status) && !isOpen(status)) {
    await transaction.update(buildKind, id, { data: { ...build.data, sealed: null } })
    if (status.state !== 'succeeded') await revokeUnused(transaction, build.data.joinTokenId)
  }
  return transaction.setStatus(buildKind, id, status)
}
