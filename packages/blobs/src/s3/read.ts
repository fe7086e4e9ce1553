import { Readable } from 'node:stream'
import type { ByteRange } from '../blobs.ts'
import { BlobError } from '../errors.ts'
import type { Connection, OpenObject } from './connection.ts'
import { S3Failure, toBlobError, toS3Failure } from './errors.ts'

/** How often one reading is taken up again after the store cut it off or fell silent. */
const resumeLimit = 3
const readAheadBytes = 256 * 1024

/**
 * Opens an object as a stream that ends only after all its bytes: where the store breaks off, the rest is asked for, and
 * where it will not send it, the stream fails. Throws an `S3Failure`, or `range-invalid`, before the first byte.
 */
export async function readObject(
  connection: Connection,
  key: string,
  range?: ByteRange,
): Promise<Readable & { sizeBytes: number; etag: string }> {
  const found = await connection.get(key, range === undefined ? {} : { range }).catch((error: unknown) => {
    if (range !== undefined && error instanceof S3Failure && error.status === 416) throw rangeInvalid(range)
    throw error
  })
  if (range !== undefined && range.end >= found.sizeBytes) {
    found.body.destroy()
    throw rangeInvalid(range)
  }
  return new ObjectStream({ connection, key, found, range: range ?? { start: 0, end: found.sizeBytes - 1 } })
}

export function rangeInvalid({ start, end }: ByteRange): BlobError {
  return new BlobError('range-invalid', `The range ${start}-${end} is not within the blob.`)
}

class ObjectStream extends Readable {
  /** Of the whole object. */
  readonly sizeBytes: number
  readonly etag: string
  readonly #connection: Connection
  readonly #key: string
  readonly #end: number
  #body: Readable
  #chunks: AsyncIterator<Buffer>
  #at: number
  #resumes = 0

  constructor(options: { connection: Connection; key: string; found: OpenObject; range: ByteRange }) {
    super({ highWaterMark: readAheadBytes })
    const { found, range } = options
    this.sizeBytes = found.sizeBytes
    this.etag = found.etag
    this.#connection = options.connection
    this.#key = options.key
    this.#body = found.body
    this.#chunks = found.body[Symbol.asyncIterator]()
    this.#at = range.start
    this.#end = range.end
  }

  override _read(): void {
    this.#next().then(
      (chunk) => this.push(chunk),
      (error: unknown) => this.destroy(error instanceof Error ? error : new Error(String(error))),
    )
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#body.destroy()
    done(error)
  }

  /** The next bytes, or null after the last. */
  async #next(): Promise<Buffer | null> {
    while (this.#at <= this.#end) {
      try {
        const next = await this.#withinLimit(this.#chunks.next())
        if (next.done === true) throw new S3Failure('Truncated', { reason: 'The store sent too few bytes.' })
        const chunk = next.value.subarray(0, this.#end - this.#at + 1)
        this.#at += chunk.length
        return chunk
      } catch (error) {
        await this.#resume(toS3Failure(error))
      }
    }
    // Read to its end the connection can be used again; nothing depends on it any more.
    await this.#withinLimit(this.#chunks.next()).catch(() => {})
    return null
  }

  async #resume(failure: S3Failure): Promise<void> {
    this.#body.destroy()
    this.#resumes += 1
    if (this.#resumes > resumeLimit || this.destroyed) throw toBlobError(failure)
    const range = { start: this.#at, end: this.#end }
    try {
      const { body } = await this.#connection.get(this.#key, { range, etag: this.etag })
      this.#body = body
      this.#chunks = body[Symbol.asyncIterator]()
      if (this.destroyed) body.destroy()
    } catch (error) {
      throw toBlobError(error)
    }
  }

  async #withinLimit<T>(work: Promise<T>): Promise<T> {
    const late = Promise.withResolvers<never>()
    const timer = setTimeout(
      () => late.reject(new S3Failure('Stalled', { reason: 'The store fell silent in the middle of a blob.' })),
      this.#connection.limits.stallMs,
    )
    try {
      return await Promise.race([work, late.promise])
    } finally {
      clearTimeout(timer)
      work.catch(() => {})
    }
  }
}
