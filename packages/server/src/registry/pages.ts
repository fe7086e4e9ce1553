import type { AnyKind, Reads, Stored } from '@freehold/store'

const pageSize = 500

/** Every resource that matches, a page at a time: whoever reads very many leaves the others their turn in between. */
export async function* pagesOf<K extends AnyKind>(
  reads: Reads,
  kind: K,
  where: Record<string, string> = {},
): AsyncGenerator<Stored<K>[]> {
  let cursor: string | null = null
  do {
    const page: { items: Stored<K>[]; nextCursor: string | null } = await reads.list(kind, {
      where,
      limit: pageSize,
      ...(cursor === null ? {} : { cursor }),
    })
    yield page.items
    cursor = page.nextCursor
  } while (cursor !== null)
}
