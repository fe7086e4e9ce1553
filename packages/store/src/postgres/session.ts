import pg from 'pg'
import type { Head } from '../chain.ts'
import type { Session } from '../engine.ts'
import { countRows, selectRows } from '../query.ts'
import type { Row } from '../row.ts'
import { applyStatement, factsStatement, writesJson } from './apply.ts'
import { connectionConfig, createStatementNames } from './connection.ts'
import { commitUnknown, guarded, isConnectionLoss, translate } from './errors.ts'
import { dialect, selectRow } from './reader.ts'

export const channel = 'freehold_change'

/** Limits that keep a hanging replica from holding up the others for ever; a commit that returns is on disk. */
const settings = `
  SET lock_timeout = '30s';
  SET idle_in_transaction_session_timeout = '60s';
  SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'`

/**
 * The write connection. The first statement of a batch locks the one row of `clock`, over all replicas: batches are
 * serial, versions have no gaps, and whoever sees version n sees everything before it. A lost connection is made anew
 * by the next batch.
 */
export function createPostgresSession(url: string): Session & { close(): Promise<void> } {
  let nameOf = createStatementNames()
  let connected: pg.Client | undefined

  async function connect(): Promise<pg.Client> {
    const client = new pg.Client(connectionConfig(url))
    const forget = () => {
      if (connected === client) connected = undefined
    }
    client.on('error', forget)
    client.on('end', forget)
    await client.connect()
    await client.query(settings)
    nameOf = createStatementNames()
    connected = client
    return client
  }

  async function drop(): Promise<void> {
    const client = connected
    connected = undefined
    await client?.end().catch(() => undefined)
  }

  /** A statement of the running batch: never on a new connection, where the batch's transaction does not exist. */
  async function query<T>(text: string, values?: unknown[]): Promise<T[]> {
    return guarded(async () => {
      if (!connected) throw new Error('connection lost')
      return (await connected.query(values ? { name: nameOf(text), text, values } : { text })).rows as T[]
    })
  }

  async function begin(): Promise<Head> {
    const client = connected ?? (await guarded(connect))
    return guarded(async () => {
      const text = 'BEGIN ISOLATION LEVEL READ COMMITTED; SELECT version, hash FROM clock FOR UPDATE'
      const results = (await client.query(text)) as unknown as { rows: Head[] }[]
      const head = results[1]?.rows[0]
      if (!head) throw new Error('The table clock has lost its row.')
      return head
    })
  }

  return {
    begin,
    get: async (kind, id) => (await query<Row>(selectRow, [kind, id]))[0],
    async page(request) {
      const { sql, parameters } = selectRows(request, dialect)
      return { rows: await query<Row>(sql, parameters), version: 0 }
    },
    async count(request) {
      const { sql, parameters } = countRows(request, dialect)
      return (await query<{ count: number }>(sql, parameters))[0]?.count ?? 0
    },
    async holder(kind, name, key) {
      const text = 'SELECT id FROM unique_key WHERE kind = $1 AND name = $2 AND key = $3'
      return (await query<{ id: string }>(text, [kind, name, key]))[0]?.id
    },
    async apply(writes) {
      await query(applyStatement, [writesJson(writes)])
    },
    savepoint: async () => void (await query('SAVEPOINT work')),
    release: async () => void (await query('RELEASE work')),
    rollbackToSavepoint: async () => void (await query('ROLLBACK TO work; RELEASE work')),
    async writeFacts(facts) {
      await query(factsStatement, [JSON.stringify(facts)])
    },
    async prune(upTo) {
      await query(
        'UPDATE clock SET pruned_version = c.version, pruned_hash = c.hash FROM change c WHERE c.version = $1',
        [upTo],
      )
      await query('DELETE FROM change WHERE version <= $1', [upTo])
    },
    async commit(head, { changed }) {
      if (changed) {
        await query('WITH told AS (SELECT pg_notify($3, $4)) UPDATE clock SET version = $1, hash = $2 FROM told', [
          head.version,
          head.hash,
          channel,
          '',
        ])
      }
      try {
        await query('COMMIT')
      } catch (error) {
        throw isConnectionLoss((error as Error).cause ?? error) ? commitUnknown(error) : translate(error)
      }
    },
    async rollback() {
      if (!connected) return
      try {
        await connected.query('ROLLBACK')
      } catch {
        await drop()
      }
    },
    close: drop,
  }
}
