import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import type { Store } from '../store.ts'
import { kinds, type TestBed } from '../suite/test-bed.ts'
import { openSqliteStore } from './open.ts'

/** A store in a temporary directory. */
export async function makeSqliteBed(): Promise<TestBed & { directory: string }> {
  const directory = mkdtempSync(join(tmpdir(), 'freehold-store-'))
  const opened: Store[] = []
  function withDatabase<T>(work: (database: DatabaseSync) => T): T {
    const database = new DatabaseSync(join(directory, 'freehold.sqlite'), { timeout: 5000 })
    try {
      return work(database)
    } finally {
      database.close()
    }
  }
  return {
    directory,
    target: ['sqlite', directory],
    async open(options = {}) {
      const store = await openSqliteStore({ directory, kinds, ...options })
      opened.push(store)
      return store
    },
    sql: async (text) => withDatabase((database) => database.exec(text)),
    rows: async (query) =>
      withDatabase((database) =>
        database
          .prepare(query)
          .all()
          .map((row) => ({ ...row })),
      ),
    async remove() {
      for (const store of opened) await store.close()
      rmSync(directory, { recursive: true, force: true })
    },
  }
}
