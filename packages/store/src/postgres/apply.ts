import type { Writes } from '../writes.ts'

const rowColumns = 'kind, id, version, generation, name, created_at, updated_at, labels, status, data'
const keyShape = 'kind text, name text, key text, id text'

/** All writes of a batch in one statement and one parameter; its parts touch different rows, so their order is free. */
export const applyStatement = `
  WITH
  gone_facts AS (
    DELETE FROM fact USING json_to_recordset($1::json->'deleted') AS w(kind text, id text)
    WHERE fact.kind = w.kind AND fact.id = w.id
  ),
  gone_rows AS (
    DELETE FROM resource USING json_to_recordset($1::json->'goneRows') AS w(kind text, id text)
    WHERE resource.kind = w.kind AND resource.id = w.id
  ),
  rows AS (
    INSERT INTO resource (${rowColumns})
    SELECT kind, id, version, generation, name, "createdAt", "updatedAt", labels, status, data
    FROM json_to_recordset($1::json->'rows') AS w(kind text, id text, version bigint, generation bigint, name text,
      "createdAt" text, "updatedAt" text, labels text, status text, data text)
    ON CONFLICT (kind, id) DO UPDATE SET version = excluded.version, generation = excluded.generation,
      name = excluded.name, created_at = excluded.created_at, updated_at = excluded.updated_at,
      labels = excluded.labels, status = excluded.status, data = excluded.data
  ),
  freed AS (
    DELETE FROM unique_key u USING json_to_recordset($1::json->'freed') AS w(${keyShape})
    WHERE u.kind = w.kind AND u.name = w.name AND u.key = w.key
  ),
  held AS (
    INSERT INTO unique_key (kind, name, key, id)
    SELECT kind, name, key, id FROM json_to_recordset($1::json->'held') AS w(${keyShape})
    ON CONFLICT (kind, name, key) DO UPDATE SET id = excluded.id
  ),
  absent AS (
    DELETE FROM entry e USING json_to_recordset($1::json->'absent') AS w(${keyShape})
    WHERE e.kind = w.kind AND e.name = w.name AND e.key = w.key AND e.id = w.id
  ),
  present AS (
    INSERT INTO entry (kind, name, key, id)
    SELECT kind, name, key, id FROM json_to_recordset($1::json->'present') AS w(${keyShape})
    ON CONFLICT DO NOTHING
  )
  INSERT INTO change (version, operation, kind, id, actor, at, before, after, hash)
  SELECT version, operation, kind, id, actor, at, before, after, hash
  FROM json_to_recordset($1::json->'log') AS w(version bigint, operation text, kind text, id text, actor text, at text,
    before text, after text, hash text)`

/** The parameter of `applyStatement`. */
export function writesJson(writes: Writes): string {
  const rows = [...writes.rows.values()]
  const unique = [...writes.unique.values()]
  const entries = [...writes.entries.values()]
  return JSON.stringify({
    deleted: [...writes.deleted.values()],
    goneRows: rows.filter(({ row }) => row === null).map(({ kind, id }) => ({ kind, id })),
    rows: rows.flatMap(({ row }) => row ?? []),
    freed: unique.filter(({ id }) => id === null),
    held: unique.filter(({ id }) => id !== null),
    absent: entries.filter(({ present }) => !present),
    present: entries.filter(({ present }) => present),
    log: writes.log,
  })
}

/** Facts of resources that exist, from one JSON parameter. */
export const factsStatement = `
  INSERT INTO fact (kind, id, name, value)
  SELECT w.kind, w.id, w.name, w.value
  FROM json_to_recordset($1::json) AS w(kind text, id text, name text, value text)
  JOIN resource r ON r.kind = w.kind AND r.id = w.id
  ON CONFLICT (kind, id, name) DO UPDATE SET value = excluded.value`
