import { closeSync, fsyncSync, mkdirSync, openSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { FreeholdError } from '@freehold/contracts'
import { primaryCode, translate } from './errors.ts'

const busy = 5

/**
 * Takes the data file for this process alone. The lock is an open exclusive transaction on a small database beside it:
 * the operating system drops it with the process, however that ends. The pid file is only for the error's sentence.
 * Throws `conflict` when another process has it, `storage-unwritable` where nothing can be written.
 */
export function lockFile(file: string): { release(): void } {
  const directory = dirname(file)
  let lock: DatabaseSync | undefined
  try {
    makePrivateFiles(directory, [file, `${file}.lock`])
    lock = new DatabaseSync(`${file}.lock`, { timeout: 0 })
    lock.exec('PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE')
    writeFileSync(`${file}.pid`, `${process.pid}\n`, { mode: 0o600 })
  } catch (error) {
    lock?.close()
    if (primaryCode(error) === busy) throw alreadyOpen(file)
    throw translate(directory, error)
  }
  const held = lock
  return { release: () => held.close() }
}

/** Files for the owner alone, and their names on disk too: a power cut must not take the directory's entries. */
function makePrivateFiles(directory: string, files: readonly string[]): void {
  mkdirSync(directory, { recursive: true, mode: 0o700 })
  for (const file of files) closeSync(openSync(file, 'a', 0o600))
  for (const path of [directory, dirname(directory)]) {
    const handle = openSync(path, 'r')
    try {
      fsyncSync(handle)
    } finally {
      closeSync(handle)
    }
  }
}

function alreadyOpen(file: string): FreeholdError {
  const pid = readPid(file)
  const who = pid === undefined ? 'another process' : `another process (pid ${pid})`
  return new FreeholdError(
    'conflict',
    `The data directory ${dirname(file)} is in use by ${who}. Stop it first, or choose another data directory.`,
  )
}

function readPid(file: string): string | undefined {
  try {
    return readFileSync(`${file}.pid`, 'utf8').match(/^\d+/)?.[0]
  } catch {
    return undefined
  }
}
