import { type ErrorCode, type ErrorDetail, errorTable, FreeholdError } from '@freehold/contracts'

/** What every failed API request answers. */
interface ErrorBody {
  error: { code: ErrorCode; message: string; action: string; details: ErrorDetail[]; requestId: string }
}

export interface MappedError {
  status: number
  headers: Record<string, string>
  body: ErrorBody
  /** True where the fault is ours: the log needs the cause, the client must not see it. */
  unexpected: boolean
}

/** The one place where a failure becomes a status and a body. Nothing of an unknown error leaves the process. */
export function mapError(error: unknown, requestId: string): MappedError {
  const known = error instanceof FreeholdError
  const code = known ? error.code : 'internal'
  const { status, meaning, action } = errorTable[code]
  const headers: Record<string, string> = {}
  if (known && error.retryAfterSeconds !== undefined) {
    headers['retry-after'] = String(Math.max(1, Math.ceil(error.retryAfterSeconds)))
  }
  if (status === 401) headers['www-authenticate'] = 'Bearer realm="freehold"'
  return {
    status,
    headers,
    body: {
      error: {
        code,
        message: known && code !== 'internal' ? error.message : meaning,
        action,
        details: known ? error.details : [],
        requestId,
      },
    },
    unexpected: code === 'internal',
  }
}
