/**
 * The one error table. Every failure that leaves a process carries one of these codes; the mapper at the
 * HTTP edge is the only place that turns a code into a status.
 */
export const errorTable = {
  'invalid-input': {
    status: 400,
    meaning: 'The request does not fit the schema.',
    action: 'Correct the fields named in `details` and send it again.',
  },
  'invalid-json': {
    status: 400,
    meaning: 'The body is not JSON.',
    action: 'Send valid JSON with content-type application/json.',
  },
  'invalid-cursor': {
    status: 400,
    meaning: 'The page cursor is not one this server gave out.',
    action: 'Start again from the first page.',
  },
  unauthenticated: {
    status: 401,
    meaning: 'No valid session or token came with the request.',
    action: 'Sign in (`freehold login`) or send a valid token.',
  },
  'wrong-credentials': {
    status: 401,
    meaning: 'The user name or the password is wrong.',
    action: 'Check both and try again.',
  },
  'token-expired': {
    status: 401,
    meaning: 'The session or token has expired or was revoked.',
    action: 'Sign in again or create a new token.',
  },
  forbidden: {
    status: 403,
    meaning: 'This identity may not do that.',
    action: 'Ask an administrator for a role that may.',
  },
  'not-found': {
    status: 404,
    meaning: 'There is nothing at this address or with this id.',
    action: 'Check the id; `list` shows what exists.',
  },
  'method-not-allowed': {
    status: 405,
    meaning: 'The address exists, but not with this method.',
    action: 'See the API reference for its methods.',
  },
  'already-exists': {
    status: 409,
    meaning: 'Something with this unique name exists already.',
    action: 'Choose another name, or update the existing one.',
  },
  'stale-version': {
    status: 409,
    meaning: 'The resource was changed since you read it.',
    action: 'Read it again and repeat your change on the new version.',
  },
  conflict: {
    status: 409,
    meaning: 'The present state does not allow this.',
    action: 'The message says what stands in the way.',
  },
  'feed-expired': {
    status: 410,
    meaning: 'The changes since that version are no longer kept.',
    action: 'List everything again and watch from the new version.',
  },
  'body-too-large': {
    status: 413,
    meaning: 'The body is larger than this route accepts.',
    action: 'Send less; the limit is in the message.',
  },
  'unsupported-media-type': {
    status: 415,
    meaning: 'The content type is not accepted here.',
    action: 'Send application/json.',
  },
  'too-many-requests': {
    status: 429,
    meaning: 'Too many attempts.',
    action: 'Wait for the seconds in the Retry-After header.',
  },
  internal: {
    status: 500,
    meaning: 'The server failed; the log has the request id.',
    action: 'Try again; if it stays, look for the request id in the log.',
  },
  'agent-offline': {
    status: 503,
    meaning: 'No agent of that cluster is connected.',
    action: 'Start the agent or check its network, then try again.',
  },
  'engine-unavailable': {
    status: 503,
    meaning: 'The Docker engine of the cluster does not answer.',
    action: 'Check the engine on that node; the agent retries by itself.',
  },
  'upstream-failed': {
    status: 502,
    meaning: 'A registry elsewhere does not give what was asked of it.',
    action: 'The message says which one and why; `freehold external-registries test` signs in there.',
  },
  unavailable: { status: 503, meaning: 'The server is starting or stopping.', action: 'Try again in a moment.' },
  timeout: {
    status: 504,
    meaning: 'The other side did not answer in time.',
    action: 'Try again; the message says who was asked.',
  },
  'storage-full': {
    status: 507,
    meaning: 'The disk has no room.',
    action: 'Free space or enlarge the disk; nothing was written.',
  },
  'storage-unwritable': {
    status: 507,
    meaning: 'The data directory cannot be written.',
    action: 'Check its owner and mount options; nothing was written.',
  },
} as const satisfies Record<string, { status: number; meaning: string; action: string }>

export type ErrorCode = keyof typeof errorTable

/** One fault in an input: `path` is dotted (`data.ports.0.target`), empty for the whole. */
export interface ErrorDetail {
  path: string
  message: string
}

/** A failure with a code of the error table. `message` is for people and never holds a secret. */
export class FreeholdError extends Error {
  readonly code: ErrorCode
  readonly details: ErrorDetail[]
  /** Seconds after which a retry makes sense; becomes the Retry-After header. */
  readonly retryAfterSeconds: number | undefined

  constructor(
    code: ErrorCode,
    message?: string,
    options: { cause?: unknown; details?: ErrorDetail[]; retryAfterSeconds?: number } = {},
  ) {
    super(message ?? errorTable[code].meaning, options.cause === undefined ? undefined : { cause: options.cause })
    this.name = 'FreeholdError'
    this.code = code
    this.details = options.details ?? []
    this.retryAfterSeconds = options.retryAfterSeconds
  }

  get status(): number {
    return errorTable[this.code].status
  }
}
