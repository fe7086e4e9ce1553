import { createHash } from 'node:crypto'
import type { Readable } from 'node:stream'
import type { ByteRange } from '../blobs.ts'
import { BlobError } from '../errors.ts'
import { Connection, type S3Address, type S3Limits } from './connection.ts'
import { isAbsent, isGoneMultipart, toBlobError } from './errors.ts'
import { abortMultipart, listMultiparts, listParts } from './multipart.ts'
import { defaultLimits } from './open.ts'
import { readObject } from './read.ts'

/**
 * Objects by their key, that others put there: no digest names them and nothing verified them. The bucket is that of the
 * blobs. Everything thrown is a `BlobError`.
 */
export interface S3Objects {
  bucketName: string
  /** Undefined where there is none. */
  stat(key: string): Promise<{ sizeBytes: number } | undefined>
  /** Reads the whole object. Throws `blob-unknown`. */
  hash(key: string, signal: AbortSignal): Promise<{ sizeBytes: number; sha256: string }>
  /** Throws `blob-unknown`, `range-invalid`. */
  open(key: string, range?: ByteRange): Promise<Readable>
  /** Where there is none, nothing happens. */
  remove(key: string): Promise<void>
  /** An address of the store that is good for five minutes and names the file; left out where bytes are proxied. */
  locate?(key: string, as: { filename: string; contentType: string }): Promise<string>
  /** In order of key. */
  list(prefix: string): AsyncIterable<{ key: string; modifiedAtMs: number }>
  /** Drops multipart uploads below the prefix that nobody has added to for so long. */
  sweep(prefix: string, idleMs: number): Promise<void>
  close(): void
}

const addressSeconds = 300

/** Opens nothing by itself: the bucket is there, as the blobs in it are. */
export function createS3Objects(
  options: S3Address & { downloads: 'redirect' | 'proxy'; limits?: Partial<S3Limits> },
): S3Objects {
  const connection = new Connection(options, { ...defaultLimits, ...options.limits })

  async function open(key: string, range?: ByteRange): Promise<Readable & { sizeBytes: number }> {
    try {
      return await readObject(connection, key, range)
    } catch (error) {
      if (isAbsent(error)) throw new BlobError('blob-unknown', `There is no object ${key} in the bucket.`)
      throw error
    }
  }

  return {
    bucketName: options.bucket,
    stat: (key) =>
      translated(async () => {
        const found = await connection.head(key)
        return found === undefined ? undefined : { sizeBytes: found.sizeBytes }
      }),
    hash: (key, signal) =>
      translated(async () => {
        const hash = createHash('sha256')
        let sizeBytes = 0
        const source = await open(key)
        const stop = () => source.destroy(new BlobError('storage-unavailable', 'The reading was stopped.'))
        signal.addEventListener('abort', stop, { once: true })
        try {
          if (signal.aborted) stop()
          for await (const chunk of source as AsyncIterable<Buffer>) {
            hash.update(chunk)
            sizeBytes += chunk.length
          }
        } finally {
          signal.removeEventListener('abort', stop)
        }
        return { sizeBytes, sha256: hash.digest('hex') }
      }),
    open: (key, range) => translated(() => open(key, range)),
    remove: (key) => translated(() => connection.remove(key)),
    ...(options.downloads === 'proxy'
      ? {}
      : {
          locate: (key: string, as: { filename: string; contentType: string }) =>
            translated(() => connection.presign(key, addressSeconds, as)),
        }),
    async *list(prefix) {
      try {
        yield* connection.list(prefix)
      } catch (error) {
        throw toBlobError(error)
      }
    },
    sweep: (prefix, idleMs) => translated(() => sweepMultiparts(connection, { prefix, idleMs })),
    close: () => connection.close(),
  }
}

async function sweepMultiparts(
  connection: Connection,
  { prefix, idleMs }: { prefix: string; idleMs: number },
): Promise<void> {
  for await (const multipart of listMultiparts(connection, prefix)) {
    if (Date.now() - multipart.begunAtMs < idleMs) continue
    try {
      const parts = await listParts(connection, multipart)
      const lastMs = Math.max(multipart.begunAtMs, ...parts.map(({ modifiedAtMs }) => modifiedAtMs))
      if (Date.now() - lastMs >= idleMs) await abortMultipart(connection, multipart)
    } catch (error) {
      if (!isGoneMultipart(error)) throw error
    }
  }
}

async function translated<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    throw toBlobError(error)
  }
}
