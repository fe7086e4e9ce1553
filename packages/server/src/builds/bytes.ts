import type { Readable } from 'node:stream'
import { BlobError, type BlobStore, type ByteRange } from '@freehold/blobs'
import type { S3Objects } from '@freehold/blobs/s3'
import { type CorebuildS3, damagedBlobKind, type ErrorCode, FreeholdError } from '@freehold/contracts'
import type { Store } from '@freehold/store'
import type { Artifact } from './kind.ts'

type Location = NonNullable<Artifact['location']>

/** Images that workers put into S3 themselves. */
type ObjectArtifacts = Omit<S3Objects, 'close'>

/** S3 as workers are told of it. */
export interface S3ForWorkers {
  objects: ObjectArtifacts
  descriptor: () => CorebuildS3
}

/** What keeps bytes and rows together while garbage is collected (registry, `digest-guard.ts`). */
export interface BytesGuard {
  /** Runs `work` while nobody removes the digest. */
  hold<T>(digest: string, work: () => Promise<T>): Promise<T>
  /** Removes the bytes of a digest now, unless something needs or holds them. */
  removeUnneeded(digest: string): Promise<void>
}

/** The bytes of images and base images, wherever they are. */
export function createImageBytes(options: {
  store: Store
  blobs: BlobStore
  guard: BytesGuard
  s3: S3ForWorkers | null
}) {
  const { store, blobs, guard, s3 } = options
  const objectsAt = (location: Location) =>
    location.store === 's3' && s3?.objects.bucketName === location.bucketName ? s3.objects : undefined

  return {
    guard,
    /** The bucket that bytes are in and we are not configured for, now: they may well be there. */
    elsewhere: (location: Location): string | undefined =>
      location.store === 's3' && objectsAt(location) === undefined ? location.bucketName : undefined,
    /** Undefined where they are gone: removed by somebody, damaged, or in a bucket that is not configured any more. */
    async sizeOf(location: Location): Promise<number | undefined> {
      if (location.store === 's3') return (await objectsAt(location)?.stat(location.key))?.sizeBytes
      const damaged = await store.find(damagedBlobKind, 'digest', location.digest)
      return damaged === undefined ? (await blobs.stat(location.digest))?.sizeBytes : undefined
    },
    open(location: Location, range: ByteRange): Promise<Readable> {
      if (location.store === 'blobs') return blobs.open(location.digest, range)
      const objects = objectsAt(location)
      if (objects === undefined) throw new BlobError('blob-unknown', `There is no ${location.key} here.`)
      return objects.open(location.key, range)
    },
    /** An address of the store the bytes are in; undefined where they go through here. */
    async locate(location: Location, as: { filename: string; contentType: string }): Promise<string | undefined> {
      return location.store === 's3' ? objectsAt(location)?.locate?.(location.key, as) : undefined
    },
    /** After the row that named them is changed. */
    async remove(location: Location): Promise<void> {
      if (location.store === 'blobs') await guard.removeUnneeded(location.digest)
      else await objectsAt(location)?.remove(location.key)
    },
  }
}
export type ImageBytes = ReturnType<typeof createImageBytes>

const codes: Partial<Record<BlobError['code'], ErrorCode>> = {
  'storage-full': 'storage-full',
  'storage-unwritable': 'storage-unwritable',
  'storage-unavailable': 'unavailable',
  'blob-too-large': 'body-too-large',
  'digest-mismatch': 'invalid-input',
  'blob-unknown': 'not-found',
  'upload-busy': 'conflict',
  'offset-mismatch': 'conflict',
}

/** Failures of the blob store as what clients are answered. */
export function translated(error: unknown): unknown {
  if (!(error instanceof BlobError)) return error
  const code = codes[error.code]
  return code === undefined ? error : new FreeholdError(code, error.message, { cause: error })
}
