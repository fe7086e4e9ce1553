import { BlobError } from '@freehold/blobs'
import { FreeholdError } from '@freehold/contracts'
import { UpstreamError } from './client/index.ts'

/** A failure of a registry elsewhere, or of keeping what it gave, with a code of the error table; others as they are. */
export function toFreeholdError(error: unknown): unknown {
  if (error instanceof BlobError) {
    if (error.code === 'storage-full' || error.code === 'storage-unwritable') {
      return new FreeholdError(error.code, error.message, { cause: error })
    }
    if (error.code !== 'digest-mismatch') return error
    const message = 'The registry gives other bytes than their digest says. Nothing of them was kept.'
    return new FreeholdError('upstream-failed', message, { cause: error })
  }
  if (!(error instanceof UpstreamError)) return error
  if (error.reason === 'not-found') return new FreeholdError('not-found', error.message, { cause: error })
  if (error.reason === 'too-many-requests') {
    const { retryAfterSeconds } = error
    return new FreeholdError('too-many-requests', error.message, {
      cause: error,
      ...(retryAfterSeconds === undefined ? {} : { retryAfterSeconds }),
    })
  }
  return new FreeholdError('upstream-failed', error.message, { cause: error })
}
