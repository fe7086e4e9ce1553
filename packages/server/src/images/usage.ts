import { blobLinkKind, imageKind, manifestKind, type RepositoryUsage, repositoryUsageKind } from '@freehold/contracts'
import { pagesOf, type Reads, type Store, type Transaction } from '@freehold/store'

/** Something a repository holds against its quota: a link to a blob, or a manifest. */
export interface Held {
  repository: string
  digest: string
  sizeBytes: number
}

/** A quota that would be passed; `repository` null: that of all together. */
export interface QuotaPassed {
  repository: string | null
  usedBytes: number
  quotaBytes: number
  /** What was to be added. */
  addedBytes: number
}

/** What a repository holds (null: all together, each digest once); undefined where it never held anything. */
export const findUsage = (reads: Reads, repository: string | null): Promise<RepositoryUsage | undefined> =>
  reads.find(repositoryUsageKind, 'reference', repository ?? '')

/** True where a repository links the digest or has it as a manifest. */
export async function isHeld(reads: Reads, digest: string): Promise<boolean> {
  const where = { digest }
  if ((await reads.list(blobLinkKind, { where, limit: 1 })).items.length > 0) return true
  return (await reads.list(manifestKind, { where, limit: 1 })).items.length > 0
}

/**
 * Counts what is about to be added, in the transaction that adds it and before that. Where a quota would be passed it
 * says so and counts nothing. `quotaBytes` is that of all together; null: none.
 */
export async function countIn(
  transaction: Transaction,
  held: Held,
  { quotaBytes }: { quotaBytes: number | null },
): Promise<QuotaPassed | undefined> {
  const { repository, digest, sizeBytes } = held
  const isNew = !(await isHeld(transaction, digest))
  const own = await usageOf(transaction, repository)
  const all = await usageOf(transaction, null)
  const addedBytes = isNew ? sizeBytes : 0
  const passed =
    whenPassed(own, { quotaBytes: own.data.quotaBytes, addedBytes: sizeBytes }) ??
    whenPassed(all, { quotaBytes, addedBytes })
  if (passed !== undefined) return passed
  await setUsed(transaction, own, own.status.usedBytes + sizeBytes)
  if (isNew) await setUsed(transaction, all, all.status.usedBytes + addedBytes)
  return undefined
}

/** Counts out what was just removed, in the same transaction. */
export async function countOut(transaction: Transaction, { repository, digest, sizeBytes }: Held): Promise<void> {
  const own = await usageOf(transaction, repository)
  await setUsed(transaction, own, own.status.usedBytes - sizeBytes)
  if (await isHeld(transaction, digest)) return
  const all = await usageOf(transaction, null)
  await setUsed(transaction, all, all.status.usedBytes - sizeBytes)
}

/** Counts out a repository that was just removed as a whole. `sizes`: its digests. */
export async function countOutRepository(
  transaction: Transaction,
  repository: string,
  sizes: ReadonlyMap<string, number>,
): Promise<void> {
  const own = await findUsage(transaction, repository)
  if (own !== undefined) await transaction.delete(repositoryUsageKind, own.id)
  let goneBytes = 0
  for (const [digest, sizeBytes] of sizes) if (!(await isHeld(transaction, digest))) goneBytes += sizeBytes
  if (goneBytes === 0) return
  const all = await usageOf(transaction, null)
  await setUsed(transaction, all, all.status.usedBytes - goneBytes)
}

/** Shows what the repository holds in its image's status. */
export async function showUsage(transaction: Transaction, repository: string): Promise<void> {
  const image = await transaction.find(imageKind, 'name', repository)
  if (image?.data.location.internal !== true) return
  const usage = await findUsage(transaction, repository)
  const usedBytes = usage?.status.usedBytes ?? 0
  if (image.status.usedBytes === usedBytes) return
  await transaction.setStatus(imageKind, image.id, { ...image.status, usedBytes })
}

/** Repeats the image's quota where pushes look for it. */
export async function setQuota(transaction: Transaction, repository: string, quotaBytes: number | null): Promise<void> {
  const known = await findUsage(transaction, repository)
  if (known === undefined && quotaBytes === null) return
  const usage = known ?? (await usageOf(transaction, repository))
  await transaction.update(repositoryUsageKind, usage.id, { data: { repository, quotaBytes } })
}

/**
 * Counts a store from before usage was kept; of any other nothing is read. Nothing else may write meanwhile: at the
 * start, before requests are taken. Answers whether it counted.
 */
export async function countStore(store: Store): Promise<boolean> {
  if ((await findUsage(store, null)) !== undefined) return false
  const usedBytes = new Map<string, number>()
  const digests = new Map<string, number>()
  for (const kind of [blobLinkKind, manifestKind] as const) {
    for await (const page of pagesOf(store, kind)) {
      for (const { data } of page) {
        usedBytes.set(data.repository, (usedBytes.get(data.repository) ?? 0) + data.size)
        digests.set(data.digest, data.size)
      }
    }
  }
  if (digests.size === 0) return false
  const actor = { type: 'system', id: 'registry-usage', name: 'registry usage' } as const
  for (const [repository, bytes] of usedBytes) {
    await store.transaction(actor, async (transaction) => {
      await setUsed(transaction, await usageOf(transaction, repository), bytes)
      await showUsage(transaction, repository)
    })
  }
  const allBytes = [...digests.values()].reduce((sum, size) => sum + size, 0)
  await store.transaction(actor, async (transaction) => {
    await setUsed(transaction, await usageOf(transaction, null), allBytes)
  })
  return true
}

async function usageOf(transaction: Transaction, repository: string | null): Promise<RepositoryUsage> {
  const known = await findUsage(transaction, repository)
  return known ?? transaction.create(repositoryUsageKind, { data: { repository, quotaBytes: null } })
}

function whenPassed(
  usage: RepositoryUsage,
  { quotaBytes, addedBytes }: { quotaBytes: number | null; addedBytes: number },
): QuotaPassed | undefined {
  const { usedBytes } = usage.status
  if (quotaBytes === null || addedBytes === 0 || usedBytes + addedBytes <= quotaBytes) return undefined
  return { repository: usage.data.repository, usedBytes, quotaBytes, addedBytes }
}

async function setUsed(transaction: Transaction, usage: RepositoryUsage, usedBytes: number): Promise<void> {
  await transaction.setStatus(repositoryUsageKind, usage.id, { usedBytes })
}
