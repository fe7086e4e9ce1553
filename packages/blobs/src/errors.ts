/** What can go wrong with a blob. Whoever answers a client maps these to its own codes. */
export type BlobErrorCode =
  | 'digest-invalid'
  | 'digest-mismatch'
  | 'blob-unknown'
  | 'range-invalid'
  | 'upload-unknown'
  | 'upload-busy'
  | 'offset-mismatch'
  | 'storage-full'
  | 'storage-unwritable'
  | 'storage-unavailable'
  | 'blob-too-large'

/** A failure of the blob store; `message` is for people and names no path of the machine. */
export class BlobError extends Error {
  readonly code: BlobErrorCode

  constructor(code: BlobErrorCode, message: string, options: { cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.name = 'BlobError'
    this.code = code
  }
}

/** For an upload id that names none (any more). */
export function uploadUnknown(id: string): BlobError {
  return new BlobError('upload-unknown', `There is no upload ${id.slice(0, 64)}; it was finished, cancelled or swept.`)
}

const fullCodes = new Set(['ENOSPC', 'EDQUOT', 'EFBIG'])
const unwritableCodes = new Set(['EROFS', 'EACCES', 'EPERM'])

/** An error of the operating system as a `BlobError` where it has a meaning here; anything else unchanged. */
export function fromSystemError(error: unknown): unknown {
  const code = systemCode(error)
  if (code === undefined) return error
  if (fullCodes.has(code)) return new BlobError('storage-full', 'The disk of the blob store is full.', { cause: error })
  if (unwritableCodes.has(code)) {
    return new BlobError('storage-unwritable', 'The directory of the blob store cannot be written.', { cause: error })
  }
  return error
}

/** `ENOENT` and its like, or undefined for anything that is not an error of the operating system. */
export function systemCode(error: unknown): string | undefined {
  if (!(error instanceof Error) || !('syscall' in error) || !('code' in error)) return undefined
  return typeof error.code === 'string' ? error.code : undefined
}
