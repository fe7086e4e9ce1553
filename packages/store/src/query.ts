import { canonicalJson } from './canonical.ts'
import { decodeCursor } from './cursor.ts'
import { type Key, keyText, labelEntry, searchText } from './row.ts'
import type { AnyKind, KeyListOptions, ListOptions } from './store.ts'

/** A list request in the engine's terms. */
export interface Query {
  kind: string
  filters: (Key & { table: 'entry' | 'unique_key' })[]
  search: string | undefined
  /** By id, the smallest first, or by version, the greatest first. */
  order: 'created' | 'changed'
  /** The id, or the version, that the page before ended with; empty for the first page. */
  after: string
  /** Undefined for all. */
  limit: number | undefined
}

/** Resources of a kind in order of their unique key `name`, within the bounds. */
export interface KeyQuery {
  kind: string
  name: string
  /** The lowest key; it is answered only where `includesFrom` says so. */
  from: string
  includesFrom: boolean
  /** Keys are lower than this. */
  below: string
  limit: number
}

/** What differs in the SQL of the two engines. */
export interface Dialect {
  /** The place of the n-th parameter, counted from 1. */
  parameter(position: number): string
  /** The function that answers where in its first argument the second stands, 0 for nowhere. */
  position: string
}

export const maxPage = 500
const defaultPage = 100

/** Turns list options into a query. An index the kind does not declare, or a limit out of 1 to 500, is a `TypeError`. */
export function queryOf(kind: AnyKind, options: ListOptions, cursorKey: string): Query {
  const limit = checkLimit(options.limit ?? defaultPage)
  const after = options.cursor === undefined ? '' : decodeCursor(cursorKey, scopeOf(kind, options), options.cursor)
  return { ...unpagedQueryOf(kind, options), order: options.order ?? 'created', after, limit }
}

/** The limit itself; a `TypeError` where it is not 1 to 500. */
export function checkLimit(limit: number): number {
  if (Number.isInteger(limit) && limit >= 1 && limit <= maxPage) return limit
  throw new TypeError(`A page has 1 to ${maxPage} rows, not ${limit}.`)
}

export function unpagedQueryOf(kind: AnyKind, options: Omit<ListOptions, 'limit' | 'cursor' | 'order'>): Query {
  const filters: Query['filters'] = Object.entries(options.where ?? {}).map(([name, key]) =>
    whereFilter(kind, name, key),
  )
  if (options.label) {
    filters.push({ table: 'entry', name: labelEntry(options.label.key), key: keyText(options.label.value) })
  }
  const search = options.search === undefined || options.search === '' ? undefined : searchText(options.search)
  return { kind: kind.name, filters, search, order: 'created', after: '', limit: undefined }
}

/** What a cursor is bound to. */
export function scopeOf(kind: AnyKind, options: ListOptions): string {
  const scope = [kind.name, options.where ?? {}, options.label ?? null, options.search ?? '']
  return canonicalJson(options.order === 'changed' ? [...scope, 'changed'] : scope)
}

/** What the cursor after this row holds. */
export function cursorValue(row: { id: string; version: number }, options: ListOptions): string {
  return options.order === 'changed' ? String(row.version) : row.id
}

function whereFilter(kind: AnyKind, name: string, key: string): Query['filters'][number] {
  if (Object.hasOwn(kind.unique, name)) return { table: 'unique_key', name, key: keyText(key) }
  if (Object.hasOwn(kind.indexes, name)) return { table: 'entry', name: `index:${name}`, key: keyText(key) }
  throw new TypeError(`The kind ${kind.name} declares no index and no unique key named ${name}.`)
}

const rowColumns = [
  'kind',
  'id',
  'version',
  'generation',
  'name',
  'created_at AS "createdAt"',
  'updated_at AS "updatedAt"',
  'labels',
  'status',
  'data',
]
export const rowSelection = rowColumns.join(', ')

interface Statement {
  sql: string
  parameters: (string | number)[]
}

/** The columns a page is in order of, of a selection under this name. */
export const orderOf = ({ order }: Pick<Query, 'order'>, name: string) =>
  order === 'changed' ? `${name}.version DESC` : `${name}.id`

/** The statement that answers a query, rows in its order, and its parameters. */
export function selectRows(query: Query, dialect: Dialect): Statement {
  return query.order === 'changed' ? selectLastChanged(query, dialect) : selectInOrderOfId(query, dialect)
}

function selectInOrderOfId(query: Query, dialect: Dialect): Statement {
  const { condition, driver, parameters } = conditions(query, dialect)
  const selection = rowColumns.map((column) => `r.${column}`).join(', ')
  let sql = `SELECT ${selection} FROM ${driver}${condition} ORDER BY ${query.filters.length > 0 ? 'f' : 'r'}.id`
  if (query.limit !== undefined) {
    parameters.push(query.limit)
    sql += ` LIMIT ${dialect.parameter(parameters.length)}`
  }
  return { sql, parameters }
}

/** Greater than any text that could follow in UTF-8. */
const beyond = '\u{10ffff}'

/** Turns the options of `listByKey` into a query. Throws as `queryOf` does. */
export function keyQueryOf(
  kind: AnyKind,
  unique: string,
  { prefix = '', after = '', limit }: KeyListOptions,
): KeyQuery {
  return {
    kind: kind.name,
    name: unique,
    from: prefix + after,
    includesFrom: after === '',
    below: prefix + beyond,
    limit: checkLimit(limit),
  }
}

/** The statement that walks a unique key, and its parameters. */
export function selectByKey(query: KeyQuery, dialect: Dialect): { sql: string; parameters: (string | number)[] } {
  const place = (position: number) => dialect.parameter(position)
  const selection = rowColumns.map((column) => `r.${column}`).join(', ')
  const sql =
    `SELECT ${selection} FROM unique_key u CROSS JOIN resource r WHERE u.kind = ${place(1)} AND u.name = ${place(2)}` +
    ` AND u.key ${query.includesFrom ? '>=' : '>'} ${place(3)} AND u.key < ${place(4)}` +
    ` AND r.kind = u.kind AND r.id = u.id ORDER BY u.key LIMIT ${place(5)}`
  return { sql, parameters: [query.kind, query.name, query.from, query.below, query.limit] }
}

/** Every row that fits is looked at, but only its version, which stands early in it; data is read of the page alone. */
function selectLastChanged(query: Query, dialect: Dialect): Statement {
  const { condition, driver, parameters } = conditions(query, dialect)
  const place = (value: string | number): string => dialect.parameter(parameters.push(value))
  const selection = rowColumns.map((column) => `r.${column}`).join(', ')
  const before = query.after === '' ? '' : ` AND r.version < ${place(Number(query.after))}`
  const limit = query.limit === undefined ? '' : ` LIMIT ${place(query.limit)}`
  const page = `SELECT r.id, r.version FROM ${driver}${condition}${before} ORDER BY r.version DESC${limit}`
  const sql =
    `SELECT ${selection} FROM (${page}) page CROSS JOIN resource r` +
    ` WHERE r.kind = ${place(query.kind)} AND r.id = page.id ORDER BY page.version DESC`
  return { sql, parameters }
}

/** As `selectRows`, but only how many there are, as `count`. */
export function countRows(query: Query, dialect: Dialect): Statement {
  const [filter, ...others] = query.filters
  if (filter !== undefined && others.length === 0 && query.search === undefined) {
    const [kind, name, key] = [1, 2, 3].map((position) => dialect.parameter(position))
    const sql = `SELECT count(*) AS count FROM ${filter.table} f WHERE f.kind = ${kind} AND f.name = ${name} AND f.key = ${key}`
    return { sql, parameters: [query.kind, filter.name, filter.key] }
  }
  const { condition, driver, parameters } = conditions(query, dialect)
  return { sql: `SELECT count(*) AS count FROM ${driver}${condition}`, parameters }
}

/** The first filter drives the search (its key is ordered by id); every other condition is tested on what it finds. */
function conditions(query: Query, dialect: Dialect) {
  const parameters: (string | number)[] = []
  const place = (value: string): string => dialect.parameter(parameters.push(value))
  const byId = query.order === 'created'
  const [first, ...others] = query.filters
  let driver = 'resource r'
  let condition: string
  if (first === undefined) {
    condition = ` WHERE r.kind = ${place(query.kind)}`
    if (byId) condition += ` AND r.id > ${place(query.after)}`
  } else {
    driver = `${first.table} f CROSS JOIN resource r`
    condition =
      ` WHERE f.kind = ${place(query.kind)} AND f.name = ${place(first.name)} AND f.key = ${place(first.key)}` +
      ' AND r.kind = f.kind AND r.id = f.id'
    if (byId) condition += ` AND f.id > ${place(query.after)}`
  }
  for (const filter of others) {
    condition +=
      ` AND EXISTS (SELECT 1 FROM ${filter.table} o WHERE o.kind = r.kind AND o.name = ${place(filter.name)}` +
      ` AND o.key = ${place(filter.key)} AND o.id = r.id)`
  }
  if (query.search !== undefined) condition += ` AND ${dialect.position}(r.name, ${place(query.search)}) > 0`
  return { condition, driver, parameters }
}
