import { join } from 'node:path'
import type { Digest } from '../digest.ts'
import type { UploadId } from '../upload-id.ts'

/**
 * How blobs lie on a disk, all below one directory and on one file system, because finishing is a rename:
 *
 *   blobs/<algorithm>/<first two hex characters>/<hex>    a finished blob, complete and verified
 *   uploads/<uuid>                                        an upload: its size is its offset, its mtime its last sign of life
 *
 * Nothing else is stored: no state files, no index. Paths are made here and nowhere else, from parsed values only.
 */
export interface Layout {
  blobsDirectory: string
  uploadsDirectory: string
  algorithmDirectory(digest: Digest): string
  shardDirectory(digest: Digest): string
  blob(digest: Digest): string
  upload(id: UploadId): string
}

export function layoutOf(directory: string): Layout {
  const blobsDirectory = join(directory, 'blobs')
  const uploadsDirectory = join(directory, 'uploads')
  const algorithmDirectory = (digest: Digest) => join(blobsDirectory, digest.algorithm)
  const shardDirectory = (digest: Digest) => join(algorithmDirectory(digest), digest.hex.slice(0, 2))
  return {
    blobsDirectory,
    uploadsDirectory,
    algorithmDirectory,
    shardDirectory,
    blob: (digest) => join(shardDirectory(digest), digest.hex),
    upload: (id) => join(uploadsDirectory, id),
  }
}
