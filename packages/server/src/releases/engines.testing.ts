/** Both engines of the store, each empty, for stories that must hold on either. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { kinds } from '@freehold/contracts'
import { openSqliteStore, type Store } from '@freehold/store'
import { openPostgresStore } from '@freehold/store/postgres'
import { startPostgres } from '../../../../tools/postgres.ts'

export async function openEngines(what: string): Promise<{
  /** Name, and how to open the store. */
  engines: [string, () => Promise<Store>][]
  close(): Promise<void>
}> {
  const directory = await mkdtemp(join(tmpdir(), 'freehold-releases-'))
  const all = Object.values(kinds)
  const sqlite = () => openSqliteStore({ directory, kinds: all })
  const postgres = await startPostgres()
  const isSkipped = 'skipped' in postgres
  if (isSkipped) console.warn(`${what} on PostgreSQL were not tested: ${postgres.skipped}`)
  return {
    engines: [
      ['SQLite', sqlite],
      ...(isSkipped
        ? []
        : [
            ['PostgreSQL', () => openPostgresStore({ url: postgres.url, kinds: all })] as [
              string,
              () => Promise<Store>,
            ],
          ]),
    ],
    async close() {
      if (!isSkipped) await postgres.stop()
      await rm(directory, { recursive: true, force: true })
    },
  }
}
