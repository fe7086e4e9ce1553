/**
 * Blobs in a bucket of any S3-compatible store. Apart from the package's own index, because the SDK costs every process
 * that loads it its time and memory. The registry's rules are not here, nor anything else that lies in the bucket.
 */
export type { S3Address, S3Limits } from './connection.ts'
export { createS3Objects, type S3Objects } from './objects.ts'
export { openS3Blobs, type S3BlobsOptions } from './open.ts'
