import { randomBytes } from 'node:crypto'
import type { DatabaseSync } from 'node:sqlite'
import { genesis } from '../chain.ts'
import { rowSelection } from '../query.ts'
import { cannotReindex, keyFingerprint, schemaTooNew } from '../reindex.ts'
import { keysOf, type Row, resourceOf } from '../row.ts'
import type { AnyKind } from '../store.ts'

/** Each step brings a store from the schema of its position to the next. Steps are never changed, only added. */
const steps: ((database: DatabaseSync) => void)[] = [createTables]

/** Brings the tables to the newest schema; throws `conflict` when they are newer than this code. */
export function migrate(database: DatabaseSync, where: string): void {
  database.exec('BEGIN IMMEDIATE')
  try {
    database.exec('CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID')
    const found = Number(readMeta(database, 'schema') ?? 0)
    if (found > steps.length) throw schemaTooNew(where, found, steps.length)
    for (const step of steps.slice(found)) step(database)
    if (found < steps.length) writeMeta(database, 'schema', String(steps.length))
    database.exec('COMMIT')
  } catch (error) {
    if (database.isTransaction) database.exec('ROLLBACK')
    throw error
  }
}

/** `name` stands early in the row, so that a search need not walk past large data. */
function createTables(database: DatabaseSync): void {
  database.exec(`
    CREATE TABLE clock (
      one INTEGER PRIMARY KEY CHECK (one = 1),
      version INTEGER NOT NULL, hash TEXT NOT NULL,
      pruned_version INTEGER NOT NULL, pruned_hash TEXT NOT NULL
    ) STRICT;
    CREATE TABLE resource (
      kind TEXT NOT NULL, id TEXT NOT NULL, version INTEGER NOT NULL, generation INTEGER NOT NULL, name TEXT NOT NULL,
      created_at TEXT NOT NULL, updated_at TEXT NOT NULL, labels TEXT NOT NULL, status TEXT NOT NULL, data TEXT NOT NULL
    ) STRICT;
    CREATE UNIQUE INDEX resource_id ON resource (kind, id);
    CREATE TABLE unique_key (
      kind TEXT NOT NULL, name TEXT NOT NULL, key TEXT NOT NULL, id TEXT NOT NULL, PRIMARY KEY (kind, name, key)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE entry (
      kind TEXT NOT NULL, name TEXT NOT NULL, key TEXT NOT NULL, id TEXT NOT NULL, PRIMARY KEY (kind, name, key, id)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE change (
      version INTEGER PRIMARY KEY, operation TEXT NOT NULL, kind TEXT NOT NULL, id TEXT NOT NULL, actor TEXT NOT NULL,
      at TEXT NOT NULL, before TEXT, after TEXT, hash TEXT NOT NULL
    ) STRICT;
    CREATE INDEX change_kind ON change (kind);
    CREATE INDEX change_id ON change (id);
    CREATE TABLE fact (
      kind TEXT NOT NULL, id TEXT NOT NULL, name TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY (kind, id, name)
    ) STRICT, WITHOUT ROWID;
  `)
  database.prepare('INSERT INTO clock VALUES (1, ?, ?, ?, ?)').run(0, genesis.hash, 0, genesis.hash)
  writeMeta(database, 'cursor-key', randomBytes(32).toString('base64url'))
}

/** Computes the keys of all resources of a kind anew when the way they are computed has changed. */
export function reindex(database: DatabaseSync, kinds: readonly AnyKind[]): void {
  for (const kind of kinds) {
    const fingerprint = keyFingerprint(kind)
    if (readMeta(database, `keys:${kind.name}`) === fingerprint) continue
    database.exec('BEGIN IMMEDIATE')
    try {
      reindexKind(database, kind)
      writeMeta(database, `keys:${kind.name}`, fingerprint)
      database.exec('COMMIT')
    } catch (error) {
      if (database.isTransaction) database.exec('ROLLBACK')
      throw error
    }
  }
}

function reindexKind(database: DatabaseSync, kind: AnyKind): void {
  database.prepare('DELETE FROM unique_key WHERE kind = ?').run(kind.name)
  database.prepare('DELETE FROM entry WHERE kind = ?').run(kind.name)
  const addEntry = database.prepare('INSERT OR IGNORE INTO entry VALUES (?, ?, ?, ?)')
  const addUnique = database.prepare('INSERT OR IGNORE INTO unique_key VALUES (?, ?, ?, ?)')
  const holder = database.prepare('SELECT id FROM unique_key WHERE kind = ? AND name = ? AND key = ?')
  for (const row of database.prepare(`SELECT ${rowSelection} FROM resource WHERE kind = ?`).iterate(kind.name)) {
    const resource = resourceOf(row as unknown as Row)
    const keys = keysOf(kind, resource)
    for (const { name, key } of keys.entries) addEntry.run(kind.name, name, key, resource.id)
    for (const { name, key } of keys.unique) {
      if (addUnique.run(kind.name, name, key, resource.id).changes !== 0) continue
      throw cannotReindex(kind, name, [String(holder.get(kind.name, name, key)?.id), resource.id])
    }
  }
}

export function readMeta(database: DatabaseSync, key: string): string | undefined {
  const value = database.prepare('SELECT value FROM meta WHERE key = ?').get(key)?.value
  return typeof value === 'string' ? value : undefined
}

function writeMeta(database: DatabaseSync, key: string, value: string): void {
  database
    .prepare('INSERT INTO meta VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value')
    .run(key, value)
}
