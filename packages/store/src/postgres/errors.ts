import { FreeholdError } from '@freehold/contracts'

/** Runs a call into PostgreSQL and gives its failures a code of the error table. */
export async function guarded<T>(call: () => Promise<T>): Promise<T> {
  try {
    return await call()
  } catch (error) {
    throw translate(error)
  }
}

/** SQLSTATE codes: https://www.postgresql.org/docs/15/errcodes-appendix.html */
export function translate(error: unknown): unknown {
  if (error instanceof FreeholdError) return error
  const code = codeOf(error)
  if (code === '53100') {
    return new FreeholdError(
      'storage-full',
      'The disk of PostgreSQL has no room; nothing was written. Free space there.',
      {
        cause: error,
      },
    )
  }
  if (code === '25006' || code === '42501') {
    return new FreeholdError(
      'storage-unwritable',
      'PostgreSQL does not let this user write; nothing was written. Use the primary server, and a user that owns the tables.',
      { cause: error },
    )
  }
  if (code === '28P01' || code === '28000' || code === '3D000') {
    return new FreeholdError(
      'unavailable',
      'PostgreSQL refuses the connection. Check user, password and database name of its address.',
      { cause: error },
    )
  }
  if (isConnectionLoss(error, code)) {
    return new FreeholdError('unavailable', 'PostgreSQL does not answer. Check that it runs and can be reached.', {
      cause: error,
      retryAfterSeconds: 1,
    })
  }
  return error
}

/** The answer when the connection went while a commit was under way: only a look at the data can tell. */
export function commitUnknown(error: unknown): FreeholdError {
  return new FreeholdError(
    'unavailable',
    'The connection to PostgreSQL was lost during the commit, so the change may or may not be stored. Read it again before repeating it.',
    { cause: error, retryAfterSeconds: 1 },
  )
}

export function isConnectionLoss(error: unknown, code: string = codeOf(error)): boolean {
  // Class 08: connection; 57P0x: shut down; 53300: too many connections; 25P03, 55P03: waited too long.
  if (/^(08|57P0)|^(53300|25P03|55P03)$/.test(code)) return true
  if (/^(ECONN|EPIPE|ETIMEDOUT|EHOST|ENET|ENOENT|ENOTFOUND|EAI_)/.test(code)) return true
  // Where the connection just ends, pg has words but no code for it.
  return (
    error instanceof Error &&
    code === '' &&
    /connection|Client was closed|not queryable|timeout|after calling end/i.test(error.message)
  )
}

function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : ''
}
