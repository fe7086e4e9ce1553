/** What repositories really hold, counted from their rows, beside what was kept of it; for tests. */
import { blobLinkKind, imageKind, manifestKind, repositoryUsageKind } from '@freehold/contracts'
import type { Store } from '@freehold/store'
import { updateImage } from '../images/index.ts'

const checker = { type: 'system', id: 'checker', name: 'checker' } as const

/** By repository, '' for all together; those with nothing are left out. */
export async function usage(store: Store): Promise<{ counted: Record<string, number>; kept: Record<string, number> }> {
  return store.transaction(checker, async (transaction) => {
    const counted: Record<string, number> = {}
    const sizes = new Map<string, number>()
    for (const { data } of [...(await transaction.all(blobLinkKind)), ...(await transaction.all(manifestKind))]) {
      counted[data.repository] = (counted[data.repository] ?? 0) + data.size
      sizes.set(data.digest, data.size)
    }
    if (sizes.size > 0) counted[''] = [...sizes.values()].reduce((sum, size) => sum + size, 0)
    const rows = await transaction.all(repositoryUsageKind)
    const kept = rows.flatMap(({ data, status }) =>
      status.usedBytes === 0 ? [] : [[data.repository ?? '', status.usedBytes] as const],
    )
    return { counted, kept: Object.fromEntries(kept) }
  })
}

/** The image of a repository with these fields changed. */
export async function changeImage(store: Store, repository: string, fields: object): Promise<void> {
  await store.transaction(checker, async (transaction) => {
    const image = await transaction.find(imageKind, 'name', repository)
    if (image === undefined) throw new Error(`There is no image ${repository}.`)
    await updateImage(transaction, { id: image.id, data: { ...image.data, ...fields } })
  })
}
