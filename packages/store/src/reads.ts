import { encodeCursor } from './cursor.ts'
import type { Lookups } from './engine.ts'
import { cursorValue, maxPage, type Query, queryOf, scopeOf, unpagedQueryOf } from './query.ts'
import { keyText, resourceOf } from './row.ts'
import type { AnyKind, ListOptions, Page, Stored } from './store.ts'

/** Answers `list` from an engine's page; one row more than asked for tells whether there is a next page. */
export async function listPage<K extends AnyKind>(
  lookups: Lookups,
  cursorKey: string,
  kind: K,
  options: ListOptions,
): Promise<Page<K>> {
  const query = queryOf(kind, options, cursorKey)
  const limit = query.limit ?? maxPage
  const { rows, version } = await lookups.page({ ...query, limit: limit + 1 })
  const items = rows.slice(0, limit).map((row) => resourceOf(row) as Stored<K>)
  const last = items.at(-1)
  const more = rows.length > limit && last !== undefined
  return {
    items,
    nextCursor: more ? encodeCursor(cursorKey, scopeOf(kind, options), cursorValue(last, options)) : null,
    version,
  }
}

export async function listAll<K extends AnyKind>(
  lookups: Lookups,
  kind: K,
  options: Omit<ListOptions, 'limit' | 'cursor' | 'order'>,
): Promise<Stored<K>[]> {
  const { rows } = await lookups.page(unpagedQueryOf(kind, options))
  return rows.map((row) => resourceOf(row) as Stored<K>)
}

/** The query for the one resource that holds a unique key; a key the kind does not declare is a `TypeError`. */
export function uniqueQuery(kind: AnyKind, unique: string, key: string): Query {
  checkUnique(kind, unique)
  const filters: Query['filters'] = [{ table: 'unique_key', name: unique, key: keyText(key) }]
  return { kind: kind.name, filters, search: undefined, order: 'created', after: '', limit: 1 }
}

export function checkUnique(kind: AnyKind, unique: string): void {
  if (!Object.hasOwn(kind.unique, unique)) {
    throw new TypeError(`The kind ${kind.name} declares no unique key named ${unique}.`)
  }
}
