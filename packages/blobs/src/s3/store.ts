import { createHash } from 'node:crypto'
import type { Readable, Writable } from 'node:stream'
import type { BlobEntry, BlobStat, BlobStore, ByteRange, ByteSource, StrangeEntry } from '../blobs.ts'
import { type DigestAlgorithm, parseDigest, requireDigest, requireSameDigest } from '../digest.ts'
import { BlobError } from '../errors.ts'
import { whileOpen, written } from '../receiver.ts'
import type { PartBuffers } from './buffers.ts'
import type { Connection } from './connection.ts'
import { isAbsent, toBlobError } from './errors.ts'
import type { Keys } from './layout.ts'
import { abortMultipart, beginMultipart, completeMultipart, type Multipart, partLimit, sendPart } from './multipart.ts'
import { feed, PartCutter } from './parts.ts'
import { rangeInvalid, readObject } from './read.ts'
import { sweep } from './sweep.ts'
import { tooLarge, Uploads } from './uploads.ts'

export interface S3BlobsParts {
  connection: Connection
  keys: Keys
  buffers: PartBuffers
  /** What one request copies within the store. */
  largestCopyBytes: number
  /** How long an address of `locate` is good for; undefined where the bytes are sent from here. */
  addressSeconds: number | undefined
}

/**
 * Blobs in a bucket. A blob's key appears with all its bytes at once, by the last request of its push, after the digest
 * was found right: a put of a small one, the completion of a large one, or a copy within the store.
 */
export class S3Blobs implements BlobStore {
  readonly locate?: (digest: string) => Promise<string>
  readonly #connection: Connection
  readonly #keys: Keys
  readonly #buffers: PartBuffers
  readonly #uploads: Uploads
  /** Multipart uploads of `put` under way here. */
  readonly #running = new Set<string>()

  constructor(parts: S3BlobsParts) {
    this.#connection = parts.connection
    this.#keys = parts.keys
    this.#buffers = parts.buffers
    this.#uploads = new Uploads(parts)
    const { addressSeconds } = parts
    if (addressSeconds !== undefined) {
      this.locate = async (digest) => {
        const key = this.#keys.blob(requireDigest(digest))
        return translated(() => this.#connection.presign(key, addressSeconds))
      }
    }
  }

  async stat(digest: string): Promise<BlobStat | undefined> {
    const key = this.#keys.blob(requireDigest(digest))
    const found = await translated(() => this.#connection.head(key))
    return found === undefined ? undefined : { sizeBytes: found.sizeBytes }
  }

  async open(digest: string, range?: ByteRange): Promise<Readable> {
    const key = this.#keys.blob(requireDigest(digest))
    if (range !== undefined) requireRange(range)
    return translated(async () => {
      try {
        return await readObject(this.#connection, key, range)
      } catch (error) {
        if (isAbsent(error)) throw new BlobError('blob-unknown', `There is no blob ${digest}.`)
        throw error
      }
    })
  }

  async send(digest: string, target: Writable, range?: ByteRange): Promise<void> {
    const source = await this.open(digest, range)
    try {
      await whileOpen(target, async (gone) => {
        const chunks = source[Symbol.asyncIterator]()
        for (;;) {
          const next: IteratorResult<Buffer> = await Promise.race([chunks.next(), gone])
          if (next.done === true) return
          await Promise.race([written(target, next.value), gone])
        }
      })
    } finally {
      source.destroy()
    }
  }

  async put(digest: string, source: ByteSource): Promise<BlobStat> {
    const parsed = requireDigest(digest)
    const blob = new WholeBlob({
      key: this.#keys.blob(parsed),
      connection: this.#connection,
      buffers: this.#buffers,
      running: this.#running,
    })
    const hash = createHash(parsed.algorithm)
    return translated(async () => {
      try {
        const { sizeBytes, failure } = await feed(source, { cutter: blob.cutter, hash })
        if (failure !== undefined) throw failure.error
        requireSameDigest(parsed, hash.digest('hex'))
        await blob.complete()
        return { sizeBytes }
      } catch (error) {
        await blob.drop()
        throw error
      } finally {
        await blob.cutter.release()
      }
    })
  }

  async delete(digest: string): Promise<boolean> {
    const key = this.#keys.blob(requireDigest(digest))
    return translated(async () => {
      if ((await this.#connection.head(key)) === undefined) return false
      await this.#connection.removeForGood(key)
      return true
    })
  }

  async *list(
    options: { after?: string; onStrange?: (strange: StrangeEntry) => void } = {},
  ): AsyncGenerator<BlobEntry> {
    const { onStrange } = options
    const { blobs } = this.#keys
    const after = options.after ? this.#keys.blob(requireDigest(options.after)) : undefined
    try {
      for await (const { key, sizeBytes, modifiedAtMs } of this.#connection.list(blobs, after)) {
        const [algorithm, , hex] = key.slice(blobs.length).split('/')
        const digest = parseDigest(`${algorithm}:${hex}`)
        if (digest !== undefined && this.#keys.blob(digest) === key) {
          yield { digest: `${algorithm}:${hex}`, sizeBytes, modifiedAtMs }
        } else {
          onStrange?.({ name: key, reason: 'its key is no digest' })
        }
      }
    } catch (error) {
      throw toBlobError(error)
    }
  }

  createUpload({ algorithm = 'sha256' }: { algorithm?: DigestAlgorithm } = {}): Promise<string> {
    return translated(() => this.#uploads.create(algorithm))
  }

  uploadStatus(id: string): Promise<BlobStat> {
    return translated(() => this.#uploads.status(id))
  }

  appendUpload(id: string, offset: number, source: ByteSource): Promise<BlobStat> {
    return translated(() => this.#uploads.append(id, offset, source))
  }

  async finishUpload(id: string, digest: string): Promise<BlobStat> {
    const parsed = requireDigest(digest)
    return translated(() => this.#uploads.finish(id, parsed))
  }

  cancelUpload(id: string): Promise<void> {
    return translated(() => this.#uploads.cancel(id))
  }

  sweepUploads({ idleMs }: { idleMs: number }): Promise<{ removed: number; sizeBytes: number }> {
    const parts = { connection: this.#connection, keys: this.#keys, uploads: this.#uploads, running: this.#running }
    return translated(() => sweep({ ...parts, idleMs }))
  }
}

/** One blob whose digest is known beforehand: written to its final key, where nothing shows before `complete`. */
class WholeBlob {
  readonly cutter: PartCutter
  readonly #key: string
  readonly #connection: Connection
  readonly #running: Set<string>
  readonly #etags: string[] = []
  #beginning: Promise<Multipart> | undefined

  constructor(options: { key: string; connection: Connection; buffers: PartBuffers; running: Set<string> }) {
    this.#key = options.key
    this.#connection = options.connection
    this.#running = options.running
    this.cutter = new PartCutter({
      buffers: options.buffers,
      send: async (number, body, signal) => {
        if (number >= partLimit) throw tooLarge(options.buffers.partBytes)
        this.#beginning ??= this.#begin()
        const multipart = await this.#beginning
        this.#etags[number - 1] = await sendPart(this.#connection, multipart, { number, body, signal })
      },
    })
  }

  async complete(): Promise<void> {
    const rest = await this.cutter.finish()
    const multipart = await this.#beginning
    if (multipart === undefined) {
      await this.#connection.put(this.#key, rest)
      return
    }
    this.#etags.push(await sendPart(this.#connection, multipart, { number: this.cutter.number, body: rest }))
    await completeMultipart(this.#connection, multipart, this.#etags)
    this.#running.delete(multipart.id)
  }

  /** Takes the parts back; where the store does not even take that, the sweep finds them. */
  async drop(): Promise<void> {
    await this.cutter.release()
    const multipart = await this.#beginning?.catch(() => undefined)
    if (multipart === undefined) return
    await abortMultipart(this.#connection, multipart).catch(() => {})
    this.#running.delete(multipart.id)
  }

  async #begin(): Promise<Multipart> {
    const multipart = await beginMultipart(this.#connection, this.#key)
    this.#running.add(multipart.id)
    return multipart
  }
}

function requireRange(range: ByteRange): void {
  const { start, end } = range
  if (Number.isSafeInteger(start) && Number.isSafeInteger(end) && start >= 0 && start <= end) return
  throw rangeInvalid(range)
}

async function translated<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    throw toBlobError(error)
  }
}
