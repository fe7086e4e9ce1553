import { type UpdateMetadata, type UpdateRole, updateMetadataKind } from '@freehold/contracts'
import type { Reads, Transaction } from '@freehold/store'
import type { Signed, SignedBy } from './metadata.ts'

/** Metadata of a role as it is stored. */
export interface Stored<Role extends UpdateRole> extends Signed<Role> {
  text: string
}
/** What is in force; a role without metadata has none yet. */
export type Current = { [Role in UpdateRole]: Stored<Role> | undefined }
/** After first use. */
export type InForce = { [Role in UpdateRole]: Stored<Role> }

/** Versions that stay, so that a device in the middle of reading them gets to the end. Roots stay for ever. */
const keptVersions = { targets: 5, snapshot: 5, timestamp: 1 } as const

export async function readCurrent(reads: Reads): Promise<Current> {
  return {
    root: await newestOf(reads, 'root'),
    targets: await newestOf(reads, 'targets'),
    snapshot: await newestOf(reads, 'snapshot'),
    timestamp: await newestOf(reads, 'timestamp'),
  }
}

/** Rows never change, so that the one that changed last has the highest version. */
export async function newestOf<Role extends UpdateRole>(reads: Reads, role: Role): Promise<Stored<Role> | undefined> {
  const { items } = await reads.list(updateMetadataKind, { where: { role }, order: 'changed', limit: 1 })
  return items[0] && parse<Role>(items[0])
}

/** Makes metadata the one in force. */
export async function putMetadata<Role extends UpdateRole>(
  transaction: Transaction,
  { signed, signatures }: Signed<Role>,
): Promise<Stored<Role>> {
  const role = signed._type as Role
  const text = JSON.stringify({ signed, signatures })
  await transaction.create(updateMetadataKind, {
    data: { role, version: signed.version, expiresAt: signed.expires, text },
  })
  await dropOld(transaction, role)
  return { signed: signed as SignedBy[Role], signatures, text }
}

async function dropOld(transaction: Transaction, role: UpdateRole): Promise<void> {
  if (role === 'root') return
  const kept = keptVersions[role]
  const { items } = await transaction.list(updateMetadataKind, { where: { role }, order: 'changed', limit: kept + 10 })
  for (const { id } of items.slice(kept)) await transaction.delete(updateMetadataKind, id)
}

function parse<Role extends UpdateRole>({ data: { text } }: UpdateMetadata): Stored<Role> {
  const { signed, signatures } = JSON.parse(text) as Signed<Role>
  return { signed, signatures, text }
}
