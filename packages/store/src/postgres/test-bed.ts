import pg from 'pg'
import type { RunningPostgres } from '../../../../tools/postgres.ts'
import type { Store } from '../store.ts'
import { kinds, type TestBed } from '../suite/test-bed.ts'
import { openPostgresStore } from './open.ts'

/** A store in a database of its own on a running server; `open` may be called more than once: those are replicas. */
export async function makePostgresBed(server: RunningPostgres): Promise<TestBed & { url: string }> {
  const name = `test_${process.pid}_${Math.random().toString(36).slice(2)}`
  await queryOnce(server.url, `CREATE DATABASE ${name}`)
  const url = server.url.replace(/\/postgres$/, `/${name}`)
  const opened: Store[] = []
  return {
    url,
    target: ['postgres', url],
    async open(options = {}) {
      const store = await openPostgresStore({ url, kinds, ...options })
      opened.push(store)
      return store
    },
    sql: async (text) => void (await queryOnce(url, text)),
    rows: (query) => queryOnce(url, query),
    async remove() {
      await Promise.all(opened.map((store) => store.close()))
      await queryOnce(server.url, `DROP DATABASE ${name} WITH (FORCE)`)
    },
  }
}

async function queryOnce(url: string, text: string): Promise<object[]> {
  const client = new pg.Client({ connectionString: url })
  // What goes wrong is told by the query too; without a listener it would end the process.
  client.on('error', () => undefined)
  await client.connect()
  try {
    return (await client.query<object>(text)).rows
  } finally {
    await client.end()
  }
}
