/** Why a registry elsewhere did not give what was asked for. */
export type UpstreamReason =
  | 'unreachable'
  | 'tls'
  | 'timeout'
  | 'unauthorized'
  | 'denied'
  | 'not-found'
  | 'too-many-requests'
  | 'broken'
  | 'not-a-registry'
  | 'digest-mismatch'
  | 'too-large'
  | 'refused-address'

/** A failure of a registry elsewhere; `message` is a sentence that names its host and holds no secret. */
export class UpstreamError extends Error {
  readonly reason: UpstreamReason
  /** What it asked us to wait, in seconds. */
  readonly retryAfterSeconds: number | undefined

  constructor(
    reason: UpstreamReason,
    message: string,
    options: { cause?: unknown; retryAfterSeconds?: number | undefined } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.name = 'UpstreamError'
    this.reason = reason
    this.retryAfterSeconds = options.retryAfterSeconds
  }
}

const refusedCodes = ['ECONNREFUSED', 'ECONNRESET', 'EHOSTUNREACH', 'ENETUNREACH', 'EPIPE']
const unknownNameCodes = ['ENOTFOUND', 'EAI_AGAIN', 'ENODATA']

/** An error of a socket as an `UpstreamError`: unreachable, unknown name, or what is wrong with its certificate. */
export function fromSocketError(error: unknown, host: string): UpstreamError {
  if (error instanceof UpstreamError) return error
  const code = codeOf(error)
  if (unknownNameCodes.includes(code)) {
    return new UpstreamError('unreachable', `The name ${host} cannot be resolved.`, { cause: error })
  }
  if (refusedCodes.includes(code)) {
    return new UpstreamError('unreachable', `${host} cannot be reached (${code}).`, { cause: error })
  }
  if (code === 'ETIMEDOUT') {
    return new UpstreamError('timeout', `${host} did not answer in time.`, { cause: error })
  }
  if (/CERT|SELF_SIGNED|UNABLE_TO|TLS|SSL|EPROTO/.test(code)) {
    return new UpstreamError('tls', `TLS with ${host} fails: ${tlsSentence(code)}`, { cause: error })
  }
  const detail = code === '' ? '' : ` (${code})`
  return new UpstreamError('unreachable', `The connection to ${host} failed${detail}.`, { cause: error })
}

function codeOf(error: unknown): string {
  if (error instanceof AggregateError) return codeOf(error.errors[0])
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : ''
}

function tlsSentence(code: string): string {
  if (code === 'CERT_HAS_EXPIRED') return 'its certificate has expired.'
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID') return 'its certificate is for another name.'
  if (/SELF_SIGNED|UNABLE_TO/.test(code)) {
    return 'its certificate is signed by nobody this machine trusts (NODE_EXTRA_CA_CERTS adds an authority).'
  }
  if (code === 'ERR_SSL_WRONG_VERSION_NUMBER' || code === 'EPROTO' || code === 'ERR_SSL_PACKET_LENGTH_TOO_LONG') {
    return 'it does not speak TLS there; http:// may be what it speaks.'
  }
  return `${code}.`
}
