/**
 * The blob store: bytes named by their digest, and the uploads on their way to become such.
 * Who may read a blob, and which repository it belongs to, is not known here: the registry keeps that.
 */
export * from './blobs.ts'
export * from './digest.ts'
export * from './errors.ts'
export { createFileBlobs, type FileBlobsOptions } from './files/files.ts'
