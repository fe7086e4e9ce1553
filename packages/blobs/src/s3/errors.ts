import { BlobError } from '../errors.ts'

const fullNames = new Set([
  'QuotaExceeded',
  'InsufficientStorage',
  'XMinioStorageFull',
  'XMinioAdminBucketQuotaExceeded',
  'StorageQuotaExceeded',
])
const absentNames = new Set(['NotFound', 'NoSuchKey'])
const reasonLimit = 300

/**
 * What is kept of an answer of the SDK. The whole of it is never passed on: a store may answer a wrong signature with
 * the access key and the text that was signed.
 */
export class S3Failure extends Error {
  /** The store's code, such as `NoSuchBucket`, or the system's, such as `ECONNREFUSED`. */
  readonly code: string
  /** HTTP status, where there was an answer. */
  readonly status: number | undefined
  readonly attempts: number | undefined

  constructor(code: string, options: { reason: string; status?: number | undefined; attempts?: number | undefined }) {
    super(`${code}: ${options.reason}`.slice(0, reasonLimit))
    this.name = 'S3Failure'
    this.code = code
    this.status = options.status
    this.attempts = options.attempts
  }
}

export function toS3Failure(error: unknown): S3Failure {
  if (error instanceof S3Failure) return error
  if (!(error instanceof Error)) return new S3Failure('Unknown', { reason: String(error) })
  const metadata = '$metadata' in error ? (error.$metadata as { httpStatusCode?: number; attempts?: number }) : {}
  const systemCode = 'code' in error && typeof error.code === 'string' ? error.code : undefined
  const code = systemCode ?? error.name
  return new S3Failure(code, { reason: error.message, status: metadata.httpStatusCode, attempts: metadata.attempts })
}

/** True where the store answered that there is no such object. */
export function isAbsent(error: unknown): boolean {
  return error instanceof S3Failure && absentNames.has(error.code)
}

/** True where the store knows no such multipart upload: it was completed or aborted. */
export function isGoneMultipart(error: unknown): boolean {
  return error instanceof S3Failure && error.code === 'NoSuchUpload'
}

/** True where the store will say the same again: credentials, rights, the bucket. */
export function isRefusal({ code, status }: S3Failure): boolean {
  return status === 401 || status === 403 || status === 301 || code === 'NoSuchBucket' || code === 'InvalidAccessKeyId'
}

/** A failure of the store as the `BlobError` it is to whoever uses blobs; anything else unchanged. */
export function toBlobError(error: unknown): unknown {
  if (!(error instanceof S3Failure)) return error
  if (error.status === 507 || fullNames.has(error.code)) {
    return new BlobError('storage-full', 'The S3 store of the blobs is full, or its quota is used up.', {
      cause: error,
    })
  }
  const message = isRefusal(error)
    ? `The S3 store of the blobs refuses this control plane (${error.code}); its operator finds more in the log.`
    : 'The S3 store of the blobs does not answer as it should; try again later.'
  return new BlobError('storage-unavailable', message, { cause: error })
}
