import pg from 'pg'
import { createStore } from '../create-store.ts'
import type { CommonOptions, Engine } from '../engine.ts'
import type { Store } from '../store.ts'
import { connectionConfig } from './connection.ts'
import { guarded } from './errors.ts'
import { createListener } from './listener.ts'
import { createPostgresReader } from './reader.ts'
import { migrate } from './schema.ts'
import { createPostgresSession } from './session.ts'

export type PostgresOptions = CommonOptions & {
  /** `postgres://user:password@host:port/database`. */
  url: string
  /** Connections for reads; default 8. Two more are used for writing and for hearing of changes. */
  readConnections?: number
  /** Milliseconds between looks for changes whose notification was lost; default 5000. */
  pollMs?: number
}

/**
 * Opens the store in a PostgreSQL database (15 or newer) and makes its tables if need be. Any number of processes may
 * have it open at once. Throws `unavailable` when the server does not answer, `conflict` for a newer schema.
 */
export async function openPostgresStore(options: PostgresOptions): Promise<Store> {
  const { url } = options
  const log = options.log ?? { warn() {} }
  const { cursorKey } = await guarded(() => prepare(options))
  const pool = new pg.Pool({ ...connectionConfig(url), max: options.readConnections ?? 8 })
  pool.on('error', (error) => log.warn({ err: error }, 'an idle connection to PostgreSQL was lost'))
  const reader = createPostgresReader(pool)
  const session = createPostgresSession(url)
  let listener: ReturnType<typeof createListener> | undefined
  const engine: Engine = {
    name: 'postgres',
    cursorKey,
    reader,
    session,
    watch(wake) {
      const version = async () => (await reader.clock()).head.version
      listener = createListener({ url, pollMs: options.pollMs ?? 5000, version, wake, log })
    },
    async close() {
      await listener?.close()
      await session.close()
      await pool.end()
    },
  }
  return createStore(engine, options)
}

async function prepare({ url, kinds }: PostgresOptions): Promise<{ cursorKey: string }> {
  const client = new pg.Client(connectionConfig(url))
  client.on('error', () => undefined)
  await client.connect()
  try {
    return await migrate(client, kinds)
  } finally {
    await client.end()
  }
}
