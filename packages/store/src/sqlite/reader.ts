import type { DatabaseSync, SQLInputValue, SQLOutputValue, StatementSync } from 'node:sqlite'
import type { Head, LogEntry } from '../chain.ts'
import type { FactWrite, Lookups, Reader } from '../engine.ts'
import { countRows, type Dialect, rowSelection, selectByKey, selectRows } from '../query.ts'
import type { Row } from '../row.ts'
import { guarded } from './errors.ts'

const dialect: Dialect = { parameter: (position) => `?${position}`, position: 'instr' }

type Value = Record<string, SQLOutputValue>

/** Keeps the prepared statements of a connection; the number of different texts is small and fixed. */
export interface Statements {
  one(sql: string, ...values: SQLInputValue[]): Value | undefined
  all(sql: string, ...values: SQLInputValue[]): Value[]
  run(sql: string, ...values: SQLInputValue[]): void
}

export function createStatements(database: DatabaseSync): Statements {
  const prepared = new Map<string, StatementSync>()
  function statement(sql: string): StatementSync {
    const known = prepared.get(sql)
    if (known) return known
    const made = database.prepare(sql)
    prepared.set(sql, made)
    return made
  }
  return {
    one: (sql, ...values) => statement(sql).get(...values),
    all: (sql, ...values) => statement(sql).all(...values),
    run: (sql, ...values) => {
      statement(sql).run(...values)
    },
  }
}

export function createLookups(statements: Statements): Lookups & { head(): Head } {
  const head = (): Head => headOf(statements.one('SELECT version, hash FROM clock'))
  return {
    head,
    get: (kind, id) =>
      statements.one(`SELECT ${rowSelection} FROM resource WHERE kind = ? AND id = ?`, kind, id) as Row | undefined,
    page(query) {
      const { sql, parameters } = selectRows(query, dialect)
      return { rows: statements.all(sql, ...parameters) as unknown as Row[], version: head().version }
    },
    count(query) {
      const { sql, parameters } = countRows(query, dialect)
      return Number(statements.one(sql, ...parameters)?.count)
    },
  }
}

/**
 * Reads over a connection of their own. Every method runs within one turn of the event loop, in which this process,
 * the only writer, cannot commit: so even two statements see one snapshot.
 */
export function createSqliteReader(database: DatabaseSync, directory: string): Reader {
  const statements = createStatements(database)
  const lookups = createLookups(statements)
  const guard = <T>(call: () => T): T => guarded(directory, call)
  return {
    get: (kind, id) => guard(() => lookups.get(kind, id)),
    page: (query) => guard(() => lookups.page(query)),
    count: (query) => guard(() => lookups.count(query)),
    byKey: (query) =>
      guard(() => {
        const { sql, parameters } = selectByKey(query, dialect)
        return statements.all(sql, ...parameters) as unknown as Row[]
      }),
    clock: () =>
      guard(() => ({
        head: lookups.head(),
        pruned: headOf(statements.one('SELECT pruned_version AS version, pruned_hash AS hash FROM clock')),
      })),
    changes: (since, limit, kinds) =>
      guard(() => {
        // The plus keeps SQLite on the order of versions, where it can stop at the limit.
        const condition = kinds === undefined ? '' : ' AND +kind IN (SELECT value FROM json_each(?3))'
        const sql = `SELECT * FROM change WHERE version > ?1${condition} ORDER BY version LIMIT ?2`
        return entries(statements.all(sql, since, limit, ...(kinds === undefined ? [] : [JSON.stringify(kinds)])))
      }),
    audit: ({ kind, id, before, limit }) =>
      guard(() => {
        const conditions = ['version < ?1']
        const values: SQLInputValue[] = [before, limit]
        // One index is enough: an id is of one kind nearly always.
        if (id !== undefined) conditions.push(`id = ?${values.push(id)}`)
        if (kind !== undefined) conditions.push(`${id === undefined ? '' : '+'}kind = ?${values.push(kind)}`)
        const where = conditions.join(' AND ')
        return entries(statements.all(`SELECT * FROM change WHERE ${where} ORDER BY version DESC LIMIT ?2`, ...values))
      }),
    facts: (kind, ids, names) =>
      guard(() => {
        // One id is asked for far more often than any other number, and found several times faster without a list.
        const isOne = ids.length === 1
        const ofIds = isOne ? 'id = ?2' : 'id IN (SELECT value FROM json_each(?2))'
        const ofNames = names === undefined ? '' : ' AND name IN (SELECT value FROM json_each(?3))'
        return statements.all(
          `SELECT id, name, value FROM fact WHERE kind = ?1 AND ${ofIds}${ofNames}`,
          kind,
          isOne ? (ids[0] ?? '') : JSON.stringify(ids),
          ...(names === undefined ? [] : [JSON.stringify(names)]),
        ) as unknown as Omit<FactWrite, 'kind'>[]
      }),
  }
}

function entries(rows: Value[]): LogEntry[] {
  return rows as unknown as LogEntry[]
}

function headOf(row: Value | undefined): Head {
  return { version: Number(row?.version), hash: String(row?.hash) }
}
