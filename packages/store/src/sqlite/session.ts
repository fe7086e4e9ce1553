import type { DatabaseSync } from 'node:sqlite'
import type { Session } from '../engine.ts'
import type { Row } from '../row.ts'
import type { Writes } from '../writes.ts'
import { guarded } from './errors.ts'
import { createLookups, createStatements, type Statements } from './reader.ts'

/** The write connection. SQLite may roll back by itself when the disk is full, so `rollback` looks first. */
export function createSqliteSession(database: DatabaseSync, directory: string): Session {
  const statements = createStatements(database)
  const lookups = createLookups(statements)
  const guard = <T>(call: () => T): T => guarded(directory, call)
  const run = (sql: string): void => guard(() => statements.run(sql))
  return {
    get: (kind, id) => guard(() => lookups.get(kind, id)),
    page: (query) => guard(() => lookups.page(query)),
    count: (query) => guard(() => lookups.count(query)),
    begin: () =>
      guard(() => {
        statements.run('BEGIN IMMEDIATE')
        return lookups.head()
      }),
    holder: (kind, name, key) =>
      guard(() => {
        const row = statements.one('SELECT id FROM unique_key WHERE kind = ? AND name = ? AND key = ?', kind, name, key)
        return row && String(row.id)
      }),
    apply: (writes) => guard(() => apply(statements, writes)),
    savepoint: () => run('SAVEPOINT work'),
    release: () => run('RELEASE work'),
    rollbackToSavepoint() {
      run('ROLLBACK TO work')
      run('RELEASE work')
    },
    writeFacts: (facts) =>
      guard(() => {
        for (const { kind, id, name, value } of facts) {
          statements.run(
            'INSERT INTO fact SELECT ?1, ?2, ?3, ?4 WHERE EXISTS (SELECT 1 FROM resource WHERE kind = ?1 AND id = ?2)' +
              ' ON CONFLICT (kind, id, name) DO UPDATE SET value = excluded.value',
            kind,
            id,
            name,
            value,
          )
        }
      }),
    prune: (upTo) =>
      guard(() => {
        statements.run(
          'UPDATE clock SET pruned_version = c.version, pruned_hash = c.hash FROM change c WHERE c.version = ?',
          upTo,
        )
        statements.run('DELETE FROM change WHERE version <= ?', upTo)
      }),
    commit: (head, { changed }) =>
      guard(() => {
        if (changed) statements.run('UPDATE clock SET version = ?, hash = ?', head.version, head.hash)
        statements.run('COMMIT')
      }),
    rollback() {
      if (database.isTransaction) guard(() => database.exec('ROLLBACK'))
    },
  }
}

const upsertRow =
  'INSERT INTO resource VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10) ON CONFLICT (kind, id) DO UPDATE SET' +
  ' version = ?3, generation = ?4, name = ?5, created_at = ?6, updated_at = ?7, labels = ?8, status = ?9, data = ?10'

/** A key has one last holder in `writes`, so the order between keys does not matter. */
function apply(statements: Statements, writes: Writes): void {
  for (const { kind, id } of writes.deleted.values()) {
    statements.run('DELETE FROM fact WHERE kind = ? AND id = ?', kind, id)
  }
  for (const { kind, id, row } of writes.rows.values()) {
    if (row) applyRow(statements, row)
    else statements.run('DELETE FROM resource WHERE kind = ? AND id = ?', kind, id)
  }
  for (const { kind, name, key, id } of writes.unique.values()) {
    if (id === null) statements.run('DELETE FROM unique_key WHERE kind = ? AND name = ? AND key = ?', kind, name, key)
    else {
      statements.run(
        'INSERT INTO unique_key VALUES (?1, ?2, ?3, ?4) ON CONFLICT (kind, name, key) DO UPDATE SET id = ?4',
        kind,
        name,
        key,
        id,
      )
    }
  }
  for (const { kind, name, key, id, present } of writes.entries.values()) {
    if (present) statements.run('INSERT OR IGNORE INTO entry VALUES (?, ?, ?, ?)', kind, name, key, id)
    else statements.run('DELETE FROM entry WHERE kind = ? AND name = ? AND key = ? AND id = ?', kind, name, key, id)
  }
  for (const entry of writes.log) {
    statements.run(
      'INSERT INTO change VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)',
      entry.version,
      entry.operation,
      entry.kind,
      entry.id,
      entry.actor,
      entry.at,
      entry.before,
      entry.after,
      entry.hash,
    )
  }
}

function applyRow(statements: Statements, row: Row): void {
  statements.run(
    upsertRow,
    row.kind,
    row.id,
    row.version,
    row.generation,
    row.name,
    row.createdAt,
    row.updatedAt,
    row.labels,
    row.status,
    row.data,
  )
}
