import { statfsSync } from 'node:fs'
import { FreeholdError } from '@freehold/contracts'

// Primary result codes, https://sqlite.org/rescode.html
const readOnly = 8
const ioError = 10
const full = 13
const cannotOpen = 14
const corrupt = 11
const notADatabase = 26

/** Runs a call into SQLite and gives its failures a code of the error table. */
export function guarded<T>(directory: string, call: () => T): T {
  try {
    return call()
  } catch (error) {
    throw translate(directory, error)
  }
}

export function translate(directory: string, error: unknown): unknown {
  if (hasCode(error, 'ERR_INVALID_STATE'))
    return new FreeholdError('unavailable', 'The store is closed.', { cause: error })
  const code = primaryCode(error)
  if (code === full || hasCode(error, 'ENOSPC', 'EDQUOT') || (code === ioError && isFull(directory))) {
    return new FreeholdError(
      'storage-full',
      `The disk of ${directory} has no room; nothing was written. Free space, then try again.`,
      { cause: error },
    )
  }
  if (
    code === readOnly ||
    code === ioError ||
    code === cannotOpen ||
    hasCode(error, 'EACCES', 'EROFS', 'EPERM', 'ENOTDIR')
  ) {
    return new FreeholdError(
      'storage-unwritable',
      `The data directory ${directory} cannot be written; nothing was written. Check its owner, its mode, its mount options and the health of the disk.`,
      { cause: error },
    )
  }
  if (code === corrupt || code === notADatabase) {
    return new FreeholdError('internal', `The database in ${directory} is damaged. Restore it from a backup.`, {
      cause: error,
    })
  }
  return error
}

/** The primary SQLite result code of an error, without the extended part. */
export function primaryCode(error: unknown): number | undefined {
  if (!(error instanceof Error) || !('errcode' in error) || typeof error.errcode !== 'number') return undefined
  return error.errcode & 0xff
}

function hasCode(error: unknown, ...codes: string[]): boolean {
  return error instanceof Error && 'code' in error && codes.includes(String(error.code))
}

/** Some writes to a full disk come back as plain I/O errors. */
function isFull(directory: string): boolean {
  try {
    return statfsSync(directory).bavail === 0
  } catch {
    return false
  }
}
