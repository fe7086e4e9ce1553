import type { Readable, Writable } from 'node:stream'
import type { DigestAlgorithm } from './digest.ts'

/** Bytes `start` to `end`, both included, as HTTP counts them (RFC 9110 §14.1.2). */
export interface ByteRange {
  start: number
  end: number
}

export interface BlobStat {
  sizeBytes: number
}

export interface BlobEntry extends BlobStat {
  digest: string
  /** When its bytes were last written, milliseconds since 1970. */
  modifiedAtMs: number
}

/** Something that lies among the blobs and is none, or cannot be looked at. */
export interface StrangeEntry {
  name: string
  reason: string
}

/**
 * Bytes as they come from a socket or a file; consumed once, and only as fast as they are stored. A store never
 * destroys its source: when storing fails, the rest stays unread.
 */
export type ByteSource = Readable

export interface SourceOptions {
  /**
   * The chunks are nobody else's, as those of an HTTP request are: a store may give back a chunk's memory as soon as it
   * is stored, after which the chunk is empty. Without it chunks are left as they came.
   */
  disposable?: boolean
}

/**
 * Content-addressed blobs. What every implementation promises:
 *
 * - A blob is visible under its digest only when all its bytes are stored, verified and durable.
 * - Two writers of the same digest both succeed; the later one replaces equal bytes by equal bytes, so that
 *   pushing a damaged blob again heals it.
 * - Memory per transfer is bounded and independent of the blob's size.
 * - An upload survives a restart of the process with the bytes that were acknowledged before it.
 * - Every failure that is not the source's own is a `BlobError`; an error of `source` is passed on as it is.
 * - Any method may throw `storage-unavailable` where the bytes are kept elsewhere; what was acknowledged stays.
 *
 * Digests and upload ids are parsed before they become part of any path or key.
 */
export interface BlobStore {
  /** Size of a blob, or undefined where there is none. Throws `digest-invalid`. */
  stat(digest: string): Promise<BlobStat | undefined>

  /** The blob's bytes, all or a range. Throws `blob-unknown`, `range-invalid` (beyond the blob), `digest-invalid`. */
  open(digest: string, range?: ByteRange): Promise<Readable>

  /**
   * Writes the blob's bytes, all or a range, into `target` as fast as it takes them, and resolves when it has taken
   * the last; `target` is not ended. For large transfers this is the faster way, because buffers are used again: when
   * a write's callback runs, `target` must be done with its bytes. Sockets, HTTP responses and files are; a transform
   * that keeps them for its reader is not. Throws as `open` does, before the first byte, and rejects when `target`
   * fails or closes.
   */
  send(digest: string, target: Writable, range?: ByteRange): Promise<void>

  /**
   * An address under which whoever has it may fetch the blob, ranges included, for the next few minutes; it is not
   * asked whether the blob is there. Left out where the bytes are to be had from this store only. Throws `digest-invalid`.
   */
  locate?(digest: string): Promise<string>

  /**
   * Stores a whole blob in one go. Nothing is left behind when it fails: `digest-mismatch`, `digest-invalid`,
   * `blob-too-large`, `storage-full`, `storage-unwritable`, or the error of `source`.
   */
  put(digest: string, source: ByteSource, options?: SourceOptions): Promise<BlobStat>

  /** Removes a blob; false where there was none. Streams that are open go on to their end. */
  delete(digest: string): Promise<boolean>

  /**
   * Every blob in order of digest (sha256 before sha512), from the one after `after` on, read as it is asked for; blobs
   * that come or go meanwhile may be among them or not. What is no blob is told to `onStrange` and passed over.
   */
  list(options?: { after?: string; onStrange?: (strange: StrangeEntry) => void }): AsyncIterable<BlobEntry>

  /**
   * Begins an upload and answers its id, a UUID. `algorithm` is what the digest will be made with (default sha256);
   * finishing with another one works too, but reads the bytes once more.
   */
  createUpload(options?: { algorithm?: DigestAlgorithm }): Promise<string>

  /** How many bytes an upload holds. Throws `upload-unknown`. */
  uploadStatus(id: string): Promise<BlobStat>

  /**
   * Adds bytes at `offset`, which must be what the upload holds (`offset-mismatch`). Answers the new size.
   * One append at a time (`upload-busy`). When `source` fails, the bytes before that are kept and can be continued;
   * on `storage-full` the upload is removed, so that it does not keep the disk full.
   */
  appendUpload(id: string, offset: number, source: ByteSource, options?: SourceOptions): Promise<BlobStat>

  /** Verifies the upload against `digest` and makes it a blob. On `digest-mismatch` the upload is removed. */
  finishUpload(id: string, digest: string): Promise<BlobStat>

  /** Drops an upload. Throws `upload-unknown`, `upload-busy`. */
  cancelUpload(id: string): Promise<void>

  /** Drops uploads nobody has added to for `idleMs`; running ones are left alone. Answers how many went. */
  sweepUploads(options: { idleMs: number }): Promise<{ removed: number; sizeBytes: number }>
}
