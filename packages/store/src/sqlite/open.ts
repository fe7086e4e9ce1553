import { dirname, join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { FreeholdError } from '@freehold/contracts'
import { createStore } from '../create-store.ts'
import type { CommonOptions } from '../engine.ts'
import type { Store } from '../store.ts'
import { guarded } from './errors.ts'
import { lockFile } from './lock.ts'
import { createSqliteReader } from './reader.ts'
import { migrate, readMeta, reindex } from './schema.ts'
import { createSqliteSession } from './session.ts'

export type SqliteOptions = CommonOptions & ({ directory: string } | { file: string })

/**
 * Opens (and makes, if need be) the store in a directory, as `freehold.sqlite` there, or in the given file.
 *
 * One process at a time: a second one gets `conflict`. A store of a newer schema is `conflict` too; a directory that
 * cannot be written is `storage-unwritable`, a full disk `storage-full`. Writes go over one connection, reads over
 * another, so a read never sees what is not committed.
 */
export async function openSqliteStore(options: SqliteOptions): Promise<Store> {
  const file = 'file' in options ? options.file : join(options.directory, 'freehold.sqlite')
  const directory = dirname(file)
  const lock = lockFile(file)
  let writing: DatabaseSync | undefined
  let reading: DatabaseSync | undefined
  try {
    const { writer, reader, cursorKey } = guarded(directory, () => {
      writing = openForWriting(file)
      migrate(writing, directory)
      reindex(writing, options.kinds)
      reading = new DatabaseSync(file, { readOnly: true, timeout: 5000 })
      reading.exec('PRAGMA cache_size = -8000')
      return { writer: writing, reader: reading, cursorKey: readMeta(writing, 'cursor-key') ?? '' }
    })
    const engine = {
      name: 'sqlite' as const,
      cursorKey,
      reader: createSqliteReader(reader, directory),
      session: createSqliteSession(writer, directory),
      watch() {},
      close() {
        reader.close()
        writer.close()
        lock.release()
      },
    }
    return createStore(engine, options)
  } catch (error) {
    reading?.close()
    writing?.close()
    lock.release()
    throw error
  }
}

/**
 * Larger caches were seen to save nothing: the system has the pages too. `temp_store` keeps the journals of savepoints in
 * memory; the larger checkpoint interval keeps it off most commits.
 */
function openForWriting(file: string): DatabaseSync {
  const database = new DatabaseSync(file, { timeout: 5000 })
  const mode = database.prepare('PRAGMA journal_mode = WAL').get()?.journal_mode
  if (mode !== 'wal') {
    database.close()
    throw new FreeholdError(
      'storage-unwritable',
      `The file system of ${file} cannot hold a write-ahead log (shared memory is missing there). Use a local disk.`,
    )
  }
  database.exec('PRAGMA synchronous = FULL')
  database.exec('PRAGMA temp_store = MEMORY')
  database.exec('PRAGMA cache_size = -8000')
  database.exec('PRAGMA wal_autocheckpoint = 4000')
  return database
}
