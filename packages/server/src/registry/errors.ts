import { BlobError, type BlobErrorCode } from '@freehold/blobs'
import { FreeholdError } from '@freehold/contracts'

/**
 * The registry's error table. `code` is what the client gets: one of the fourteen of OCI Distribution 1.1, "Error
 * Codes" (its id stands in `source`), because a 4xx body in JSON may carry no other. Statuses of 5xx are free in that
 * respect. Statuses follow the table "Endpoints" (end-1 to end-14) and the sections named.
 */
const registryErrors = {
  'blob-unknown': { code: 'BLOB_UNKNOWN', status: 404, source: 'code-1, end-2' },
  'upload-invalid': { code: 'BLOB_UPLOAD_INVALID', status: 400, source: 'code-2' },
  'upload-busy': { code: 'BLOB_UPLOAD_INVALID', status: 409, source: 'code-2; RFC 9110 §15.5.10' },
  'upload-out-of-order': { code: 'BLOB_UPLOAD_INVALID', status: 416, source: 'code-2, "Pushing a blob in chunks"' },
  'upload-unknown': { code: 'BLOB_UPLOAD_UNKNOWN', status: 404, source: 'code-3, end-5, end-6, end-13, end-14' },
  'digest-invalid': { code: 'DIGEST_INVALID', status: 400, source: 'code-4, "Pushing blobs"' },
  'manifest-blob-unknown': { code: 'MANIFEST_BLOB_UNKNOWN', status: 404, source: 'code-5, "Push"' },
  'manifest-invalid': { code: 'MANIFEST_INVALID', status: 400, source: 'code-6' },
  'manifest-too-large': { code: 'SIZE_INVALID', status: 413, source: 'code-10, "Pushing Manifests", end-7' },
  'manifest-damaged': { code: 'MANIFEST_UNKNOWN', status: 500, source: 'code-7' },
  'manifest-unknown': { code: 'MANIFEST_UNKNOWN', status: 404, source: 'code-7, end-3, end-9' },
  'too-many-tags': { code: 'UNSUPPORTED', status: 414, source: 'code-13, "Pushing Manifests"' },
  'name-invalid': { code: 'NAME_INVALID', status: 400, source: 'code-8, "Pulling manifests"' },
  'name-unknown': { code: 'NAME_UNKNOWN', status: 404, source: 'code-9, end-8a' },
  'name-taken': { code: 'DENIED', status: 409, source: 'code-12; RFC 9110 §15.5.10' },
  'size-invalid': { code: 'SIZE_INVALID', status: 400, source: 'code-10' },
  'range-unsatisfiable': { code: 'SIZE_INVALID', status: 416, source: 'code-10, "Pulling blobs"; RFC 9110 §15.5.17' },
  'page-invalid': { code: 'UNSUPPORTED', status: 400, source: 'code-13, "Listing Tags"' },
  unauthorized: { code: 'UNAUTHORIZED', status: 401, source: 'code-11; RFC 6750 §3' },
  denied: { code: 'DENIED', status: 403, source: 'code-12' },
  'quota-exceeded': { code: 'DENIED', status: 403, source: 'code-12' },
  unsupported: { code: 'UNSUPPORTED', status: 404, source: 'code-13' },
  'method-not-allowed': { code: 'UNSUPPORTED', status: 405, source: 'code-13; RFC 9110 §15.5.6' },
  'still-referenced': { code: 'UNSUPPORTED', status: 405, source: 'code-13, "Deleting Blobs", "Deleting Manifests"' },
  'still-served': { code: 'DENIED', status: 405, source: 'code-12, "Deleting Manifests"' },
  'too-many-requests': { code: 'TOOMANYREQUESTS', status: 429, source: 'code-14; RFC 6585 §4' },
  'storage-full': { code: 'UNAVAILABLE', status: 507, source: 'RFC 4918 §11.5' },
  'storage-unwritable': { code: 'UNAVAILABLE', status: 507, source: 'RFC 4918 §11.5' },
  unavailable: { code: 'UNAVAILABLE', status: 503, source: 'RFC 9110 §15.6.4' },
  internal: { code: 'UNKNOWN', status: 500, source: 'RFC 9110 §15.6.1' },
} as const satisfies Record<string, { code: string; status: number; source: string }>

type RegistryErrorName = keyof typeof registryErrors

/** A refusal with a name of the table. `message` is for people; `headers` go out with the answer. */
export class RegistryError extends Error {
  readonly reason: RegistryErrorName
  readonly detail: unknown
  readonly headers: Record<string, string>

  constructor(
    reason: RegistryErrorName,
    message: string,
    options: { detail?: unknown; headers?: Record<string, string>; cause?: unknown } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.name = 'RegistryError'
    this.reason = reason
    this.detail = options.detail
    this.headers = options.headers ?? {}
  }

  get status(): number {
    return registryErrors[this.reason].status
  }

  /** The body of OCI Distribution 1.1, "Error Codes". */
  get body(): { errors: { code: string; message: string; detail?: unknown }[] } {
    const { code } = registryErrors[this.reason]
    return { errors: [{ code, message: this.message, ...(this.detail === undefined ? {} : { detail: this.detail }) }] }
  }
}

const blobErrors: Record<BlobErrorCode, RegistryErrorName> = {
  'digest-invalid': 'digest-invalid',
  'digest-mismatch': 'digest-invalid',
  'blob-unknown': 'blob-unknown',
  'range-invalid': 'range-unsatisfiable',
  'upload-unknown': 'upload-unknown',
  'upload-busy': 'upload-busy',
  'offset-mismatch': 'upload-out-of-order',
  'storage-full': 'storage-full',
  'storage-unwritable': 'storage-unwritable',
}

/** Anything thrown while serving a request as a refusal of the table; what has no place in it becomes `internal`. */
export function toRegistryError(error: unknown): RegistryError {
  if (error instanceof RegistryError) return error
  if (error instanceof BlobError) return new RegistryError(blobErrors[error.code], error.message, { cause: error })
  if (error instanceof FreeholdError) return fromFreeholdError(error)
  return new RegistryError('internal', 'The registry failed; its log says why.', { cause: error })
}

function fromFreeholdError(error: FreeholdError): RegistryError {
  const reason = freeholdReason(error.code)
  const headers: Record<string, string> =
    error.retryAfterSeconds === undefined ? {} : { 'retry-after': String(error.retryAfterSeconds) }
  const message = reason === 'internal' ? 'The registry failed; its log says why.' : error.message
  return new RegistryError(reason, message, { headers, cause: error })
}

function freeholdReason(code: FreeholdError['code']): RegistryErrorName {
  switch (code) {
    case 'too-many-requests':
    case 'storage-full':
    case 'storage-unwritable':
    case 'unavailable':
      return code
    case 'unauthenticated':
    case 'wrong-credentials':
    case 'token-expired':
      return 'unauthorized'
    case 'forbidden':
      return 'denied'
    case 'conflict':
      return 'name-taken'
    case 'timeout':
      return 'unavailable'
    default:
      return 'internal'
  }
}
