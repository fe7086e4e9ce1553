import { type ErrorCode, type ErrorDetail, errorTable, FreeholdError } from '@freehold/contracts'

/** A failure of a request: what the server said of it, or that it could not be asked. */
export class ApiError extends FreeholdError {
  /** What to do about it, for people. */
  readonly action: string
  /** The server's log has it; null where no server of ours answered. */
  readonly requestId: string | null

  constructor(
    code: ErrorCode,
    message: string,
    options: {
      action?: string | undefined
      requestId?: string | null | undefined
      details?: ErrorDetail[]
      retryAfterSeconds?: number
      cause?: unknown
    } = {},
  ) {
    super(code, message, options)
    this.name = 'ApiError'
    this.action = options.action ?? errorTable[code].action
    this.requestId = options.requestId ?? null
  }
}

/** True for what an aborted signal throws. */
export function isAbort(error: unknown): boolean {
  return error instanceof Error && error.name === 'AbortError'
}

/** Reads the error an answer carries; whatever is not ours (a proxy's page) is judged by its status alone. */
export function errorOf(
  answer: { status: number; requestId: string | null; retryAfter: string | null },
  text: string,
  url: string,
): ApiError {
  const retryAfter = Number(answer.retryAfter ?? Number.NaN)
  const retry = Number.isFinite(retryAfter) && retryAfter > 0 ? { retryAfterSeconds: retryAfter } : {}
  const ours = errorFromBody(parse(text), { requestId: answer.requestId, ...retry })
  if (ours !== null) return ours
  return new ApiError(
    codeOf(answer.status),
    `${new URL(url).origin} answered with status ${answer.status}, but not as a Freehold server does.`,
    { action: 'Check that the address is the one of Freehold and what stands in front of it.', ...retry },
  )
}

/** The error in `{"error": {…}}`; null if that is not what it is. */
export function errorFromBody(
  body: unknown,
  known: { requestId?: string | null; retryAfterSeconds?: number } = {},
): ApiError | null {
  if (!isRecord(body) || !isRecord(body.error)) return null
  const { code, message, action, details, requestId } = body.error
  if (typeof code !== 'string' || typeof message !== 'string') return null
  return new ApiError(code in errorTable ? (code as ErrorCode) : 'internal', message, {
    action: typeof action === 'string' ? action : undefined,
    requestId: typeof requestId === 'string' ? requestId : known.requestId,
    details: Array.isArray(details) ? details.filter(isDetail) : [],
    ...(known.retryAfterSeconds === undefined ? {} : { retryAfterSeconds: known.retryAfterSeconds }),
  })
}

/** The failure to reach a server at all. */
export function unreachable(url: string, cause: unknown): ApiError {
  const reason = reasonOf(cause)
  return new ApiError('unavailable', `${new URL(url).origin} cannot be reached${reason === '' ? '' : `: ${reason}`}.`, {
    action: 'Check the address and the network, and that the control plane runs.',
    cause,
  })
}

const reasons: Record<string, string> = {
  ECONNREFUSED: 'nothing listens there',
  ECONNRESET: 'the connection was cut',
  UND_ERR_SOCKET: 'the connection was cut',
  ENOTFOUND: 'there is no host of that name',
  EAI_AGAIN: 'the name could not be looked up',
  ETIMEDOUT: 'no answer in time',
  UND_ERR_CONNECT_TIMEOUT: 'no answer in time',
  EHOSTUNREACH: 'there is no way to that host',
  DEPTH_ZERO_SELF_SIGNED_CERT: 'its certificate is not trusted',
  SELF_SIGNED_CERT_IN_CHAIN: 'its certificate is not trusted',
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: 'its certificate is not trusted',
  CERT_HAS_EXPIRED: 'its certificate has expired',
}

function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return ''
  const code = (error as { code?: unknown }).code
  if (typeof code === 'string' && code in reasons) return reasons[code] ?? ''
  return reasonOf(error.cause)
}

function codeOf(status: number): ErrorCode {
  if (status === 401) return 'unauthenticated'
  if (status === 403) return 'forbidden'
  if (status === 404) return 'not-found'
  if (status === 413) return 'body-too-large'
  if (status === 429) return 'too-many-requests'
  if (status === 504) return 'timeout'
  return status >= 500 ? 'unavailable' : 'internal'
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function isDetail(value: unknown): value is ErrorDetail {
  return isRecord(value) && typeof value.path === 'string' && typeof value.message === 'string'
}
