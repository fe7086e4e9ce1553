import type { AnyKind, ListOptions, Page, Reads, Stored } from './store.ts'

const pageSize = 500

/**
 * Every resource that matches, a page (of 500, or `limit`) at a time: whoever reads very many holds one page in memory
 * and leaves the others their turn in between. Stop asking, and nothing more is read.
 */
export async function* pagesOf<K extends AnyKind>(
  reads: Pick<Reads, 'list'>,
  kind: K,
  options: Omit<ListOptions, 'cursor'> = {},
): AsyncGenerator<Stored<K>[]> {
  let cursor: string | null = null
  do {
    const page: Page<K> = await reads.list(kind, {
      limit: pageSize,
      ...options,
      ...(cursor === null ? {} : { cursor }),
    })
    yield page.items
    cursor = page.nextCursor
  } while (cursor !== null)
}
