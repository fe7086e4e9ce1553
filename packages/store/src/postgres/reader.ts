import type { LogEntry } from '../chain.ts'
import type { FactWrite, Reader } from '../engine.ts'
import { countRows, type Dialect, orderOf, rowSelection, selectByKey, selectRows } from '../query.ts'
import type { Row } from '../row.ts'
import { createStatementNames, type Runner } from './connection.ts'
import { guarded } from './errors.ts'

export const dialect: Dialect = { parameter: (position) => `$${position}`, position: 'strpos' }
export const selectRow = `SELECT ${rowSelection} FROM resource WHERE kind = $1 AND id = $2`

/** Reads over a pool. Each is one statement, so rows and store version are of one snapshot. */
export function createPostgresReader(runner: Runner): Reader {
  const nameOf = createStatementNames()
  async function all<T>(text: string, values: unknown[] = []): Promise<T[]> {
    return guarded(async () => (await runner.query({ name: nameOf(text), text, values })).rows as T[])
  }
  return {
    get: async (kind, id) => (await all<Row>(selectRow, [kind, id]))[0],
    async page(query) {
      const { sql, parameters } = selectRows(query, dialect)
      const text = `SELECT c.version AS "storeVersion", p.* FROM clock c LEFT JOIN LATERAL (${sql}) p ON true ORDER BY ${orderOf(query, 'p')}`
      const rows = await all<Row & { id: string | null; storeVersion: number }>(text, parameters)
      return { rows: rows.filter((row) => row.id !== null), version: rows[0]?.storeVersion ?? 0 }
    },
    async count(query) {
      const { sql, parameters } = countRows(query, dialect)
      return (await all<{ count: number }>(sql, parameters))[0]?.count ?? 0
    },
    byKey(query) {
      const { sql, parameters } = selectByKey(query, dialect)
      return all<Row>(sql, parameters)
    },
    async clock() {
      const [row] = await all<{ version: number; hash: string; pruned_version: number; pruned_hash: string }>(
        'SELECT version, hash, pruned_version, pruned_hash FROM clock',
      )
      if (!row) throw new Error('The table clock has lost its row.')
      return {
        head: { version: row.version, hash: row.hash },
        pruned: { version: row.pruned_version, hash: row.pruned_hash },
      }
    },
    changes: (since, limit, kinds) =>
      all<LogEntry>(
        `SELECT * FROM change WHERE version > $1${kinds === undefined ? '' : ' AND kind = ANY ($3)'} ORDER BY version LIMIT $2`,
        kinds === undefined ? [since, limit] : [since, limit, kinds],
      ),
    audit({ kind, id, before, limit }) {
      const conditions = ['version < $1']
      const values: unknown[] = [before, limit]
      if (id !== undefined) conditions.push(`id = $${values.push(id)}`)
      if (kind !== undefined) conditions.push(`kind = $${values.push(kind)}`)
      const where = conditions.join(' AND ')
      return all<LogEntry>(`SELECT * FROM change WHERE ${where} ORDER BY version DESC LIMIT $2`, values)
    },
    facts: (kind, ids, names) =>
      all<Omit<FactWrite, 'kind'>>(
        `SELECT id, name, value FROM fact WHERE kind = $1 AND id = ANY ($2)${names === undefined ? '' : ' AND name = ANY ($3)'}`,
        names === undefined ? [kind, ids] : [kind, ids, names],
      ),
  }
}
