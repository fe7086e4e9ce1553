import { type Condemned, condemnedKind } from '@freehold/contracts'
import type { Reads, Transaction } from '@freehold/store'

/** A repository's link to a blob, or the blob's bytes where `repository` is null. */
export interface Target {
  repository: string | null
  digest: string
}

export const findCondemned = (reads: Reads, { repository, digest }: Target): Promise<Condemned | undefined> =>
  reads.find(condemnedKind, 'reference', `${repository ?? ''}@${digest}`)

/** Takes back what was condemned; whoever begins to need a link or bytes does so in the transaction that needs them. */
export async function pardon(transaction: Transaction, target: Target): Promise<void> {
  const condemned = await findCondemned(transaction, target)
  if (condemned !== undefined) await transaction.delete(condemnedKind, condemned.id)
}

/** `pardon` for many links of one repository; where none is condemned, which is usual, one read says so. */
export async function pardonLinks(
  transaction: Transaction,
  repository: string,
  digests: readonly string[],
): Promise<void> {
  const { items } = await transaction.list(condemnedKind, { where: { repository }, limit: 1 })
  if (items.length === 0) return
  for (const digest of new Set(digests)) await pardon(transaction, { repository, digest })
}
