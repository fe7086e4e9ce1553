import { randomBytes } from 'node:crypto'
import type pg from 'pg'
import { genesis } from '../chain.ts'
import { rowSelection } from '../query.ts'
import { cannotReindex, keyFingerprint, schemaTooNew } from '../reindex.ts'
import { type Key, keysOf, type Row, resourceOf } from '../row.ts'
import type { AnyKind } from '../store.ts'

/** Each step brings a store from the schema of its position to the next. Steps are never changed, only added. */
const steps: ((client: pg.ClientBase) => Promise<void>)[] = [createTables]

/** Any number that other programs in the same database are unlikely to lock. */
const advisoryLock = 7_303_014_021
const reindexRows = 1000

/**
 * Brings the tables to the newest schema and the keys to the kinds' present definition, in one transaction under an
 * advisory lock, so that replicas may start at once. Throws `conflict` when the schema is newer than this code.
 */
export async function migrate(client: pg.ClientBase, kinds: readonly AnyKind[]): Promise<{ cursorKey: string }> {
  await client.query('BEGIN')
  try {
    await client.query('SELECT pg_advisory_xact_lock($1)', [advisoryLock])
    await client.query(
      'CREATE TABLE IF NOT EXISTS meta (key TEXT COLLATE "C" PRIMARY KEY, value TEXT COLLATE "C" NOT NULL)',
    )
    const found = Number((await readMeta(client, 'schema')) ?? 0)
    if (found > steps.length) throw schemaTooNew('PostgreSQL', found, steps.length)
    for (const step of steps.slice(found)) await step(client)
    await writeMeta(client, 'schema', String(steps.length))
    for (const kind of kinds) await reindex(client, kind)
    const cursorKey = (await readMeta(client, 'cursor-key')) ?? ''
    await client.query('COMMIT')
    return { cursorKey }
  } catch (error) {
    await client.query('ROLLBACK').catch(() => undefined)
    throw error
  }
}

async function createTables(client: pg.ClientBase): Promise<void> {
  const text = 'TEXT COLLATE "C"'
  await client.query(`
    CREATE TABLE clock (
      one INTEGER PRIMARY KEY CHECK (one = 1),
      version BIGINT NOT NULL, hash ${text} NOT NULL, pruned_version BIGINT NOT NULL, pruned_hash ${text} NOT NULL
    ) WITH (fillfactor = 10);
    CREATE TABLE resource (
      kind ${text} NOT NULL, id ${text} NOT NULL, version BIGINT NOT NULL, generation BIGINT NOT NULL,
      name ${text} NOT NULL, created_at ${text} NOT NULL, updated_at ${text} NOT NULL, labels ${text} NOT NULL,
      status ${text} NOT NULL, data ${text} NOT NULL, PRIMARY KEY (kind, id)
    ) WITH (fillfactor = 70);
    CREATE TABLE unique_key (
      kind ${text} NOT NULL, name ${text} NOT NULL, key ${text} NOT NULL, id ${text} NOT NULL,
      PRIMARY KEY (kind, name, key)
    );
    CREATE TABLE entry (
      kind ${text} NOT NULL, name ${text} NOT NULL, key ${text} NOT NULL, id ${text} NOT NULL,
      PRIMARY KEY (kind, name, key, id)
    );
    CREATE TABLE change (
      version BIGINT PRIMARY KEY, operation ${text} NOT NULL, kind ${text} NOT NULL, id ${text} NOT NULL,
      actor ${text} NOT NULL, at ${text} NOT NULL, before ${text}, after ${text}, hash ${text} NOT NULL
    );
    CREATE INDEX change_kind ON change (kind, version);
    CREATE INDEX change_id ON change (id, version);
    CREATE TABLE fact (
      kind ${text} NOT NULL, id ${text} NOT NULL, name ${text} NOT NULL, value ${text} NOT NULL,
      PRIMARY KEY (kind, id, name)
    );
  `)
  await client.query('INSERT INTO clock VALUES (1, $1, $2, $1, $2)', [genesis.version, genesis.hash])
  await writeMeta(client, 'cursor-key', randomBytes(32).toString('base64url'))
}

/** Computes the keys of all resources of a kind anew when the way they are computed has changed; writers wait. */
async function reindex(client: pg.ClientBase, kind: AnyKind): Promise<void> {
  const fingerprint = keyFingerprint(kind)
  if ((await readMeta(client, `keys:${kind.name}`)) === fingerprint) return
  await client.query('SELECT version FROM clock FOR UPDATE')
  await client.query('DELETE FROM unique_key WHERE kind = $1', [kind.name])
  await client.query('DELETE FROM entry WHERE kind = $1', [kind.name])
  for (let after = ''; ; ) {
    const { rows } = await client.query<Row>(
      `SELECT ${rowSelection} FROM resource WHERE kind = $1 AND id > $2 ORDER BY id LIMIT ${reindexRows}`,
      [kind.name, after],
    )
    for (const row of rows) await addKeys(client, kind, row)
    const last = rows.at(-1)
    if (!last) break
    after = last.id
  }
  await writeMeta(client, `keys:${kind.name}`, fingerprint)
}

async function addKeys(client: pg.ClientBase, kind: AnyKind, row: Row): Promise<void> {
  const keys = keysOf(kind, resourceOf(row))
  const insert = (table: string, { name, key }: Key) =>
    client.query(`INSERT INTO ${table} VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING`, [kind.name, name, key, row.id])
  for (const key of keys.entries) await insert('entry', key)
  for (const key of keys.unique) {
    if ((await insert('unique_key', key)).rowCount !== 0) continue
    const held = 'SELECT id FROM unique_key WHERE kind = $1 AND name = $2 AND key = $3'
    const holder = await client.query<{ id: string }>(held, [kind.name, key.name, key.key])
    throw cannotReindex(kind, key.name, [holder.rows[0]?.id ?? '', row.id])
  }
}

async function readMeta(client: pg.ClientBase, key: string): Promise<string | undefined> {
  const { rows } = await client.query<{ value: string }>('SELECT value FROM meta WHERE key = $1', [key])
  return rows[0]?.value
}

async function writeMeta(client: pg.ClientBase, key: string, value: string): Promise<void> {
  await client.query('INSERT INTO meta VALUES ($1, $2) ON CONFLICT (key) DO UPDATE SET value = excluded.value', [
    key,
    value,
  ])
}
