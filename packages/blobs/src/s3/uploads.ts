import { createHash, type Hash, randomUUID } from 'node:crypto'
import type { BlobStat, ByteSource } from '../blobs.ts'
import { type Digest, type DigestAlgorithm, requireSameDigest } from '../digest.ts'
import { BlobError, uploadUnknown } from '../errors.ts'
import { Turns } from '../turns.ts'
import { requireUploadId, type UploadId } from '../upload-id.ts'
import type { PartBuffers } from './buffers.ts'
import type { Connection } from './connection.ts'
import { copyObject } from './copy.ts'
import { toBlobError } from './errors.ts'
import type { Keys } from './layout.ts'
import { beginMultipart, completeMultipart, copyPart, partLimit, sendPart } from './multipart.ts'
import { feed, PartCutter } from './parts.ts'
import { readObject } from './read.ts'
import { findSession, removeSession, type Session } from './session.ts'

/** Hashes kept between two chunks of an upload; for one that was dropped the bytes are read again at the end. */
const rememberedHashes = 1000

interface Progress {
  algorithm: DigestAlgorithm
  hash: Hash
  /** What the bucket held when the hash was right; whatever differs makes it worthless. */
  state: string
}

/**
 * Uploads whose digest is known only at the end. Everything about them is in the bucket, so a restarted process, or
 * another one, goes on with them; only the hash is in memory, and is made anew from the bytes where it is lost.
 */
export class Uploads {
  readonly #connection: Connection
  readonly #keys: Keys
  readonly #buffers: PartBuffers
  readonly #largestCopyBytes: number
  readonly #turns = new Turns()
  /** In order of last use. */
  readonly #progress = new Map<UploadId, Progress>()

  constructor(options: { connection: Connection; keys: Keys; buffers: PartBuffers; largestCopyBytes: number }) {
    this.#connection = options.connection
    this.#keys = options.keys
    this.#buffers = options.buffers
    this.#largestCopyBytes = options.largestCopyBytes
  }

  isBusy(id: UploadId): boolean {
    return this.#turns.isBusy(id)
  }

  async create(algorithm: DigestAlgorithm): Promise<string> {
    const id = randomUUID() as string as UploadId
    await this.#connection.put(this.#keys.upload(id).begun(algorithm), Buffer.alloc(0))
    this.#remember(id, { algorithm, hash: createHash(algorithm), state: stateOf({ parts: [], tail: undefined }) })
    return id
  }

  async status(id: string): Promise<BlobStat> {
    const { sizeBytes } = await this.#require(requireUploadId(id))
    return { sizeBytes }
  }

  async append(id: string, offset: number, source: ByteSource): Promise<BlobStat> {
    return this.#turns.take(id, async (uploadId) => {
      const session = await this.#require(uploadId)
      if (offset !== session.sizeBytes || session.data !== undefined) {
        throw new BlobError(
          'offset-mismatch',
          `The upload holds ${session.sizeBytes} bytes; the next chunk must start there.`,
        )
      }
      try {
        return await this.#receive(session, source)
      } catch (error) {
        const translated = toBlobError(error)
        if (translated instanceof BlobError && ['storage-full', 'blob-too-large'].includes(translated.code)) {
          await this.#drop(uploadId)
        }
        throw translated
      }
    })
  }

  async #receive(session: Session, source: ByteSource): Promise<BlobStat> {
    const { algorithm, hash } = this.#takeProgress(session)
    const writer = new SessionWriter({ session, connection: this.#connection, buffers: this.#buffers })
    try {
      await writer.begin()
      const { sizeBytes: addedBytes, failure } = await feed(source, { cutter: writer.cutter, hash })
      const state = await writer.end(addedBytes)
      if (hash !== undefined) this.#remember(session.id, { algorithm, hash, state })
      if (failure !== undefined) throw failure.error
      return { sizeBytes: session.sizeBytes + addedBytes }
    } finally {
      await writer.cutter.release()
    }
  }

  async finish(id: string, digest: Digest): Promise<BlobStat> {
    return this.#turns.take(id, async (uploadId) => {
      const session = await this.#require(uploadId)
      const { algorithm, hash } = this.#takeProgress(session)
      const known = hash !== undefined && algorithm === digest.algorithm ? hash.digest('hex') : undefined
      if (known !== undefined) await this.#requireSame(session, { digest, actual: known })
      const whole = await this.#joined(session)
      if (known === undefined) {
        const actual = await this.#hashOf(whole, digest.algorithm)
        await this.#requireSame({ ...session, objects: [...session.objects, whole.key] }, { digest, actual })
      }
      await copyObject(this.#connection, {
        from: whole,
        to: this.#keys.blob(digest),
        largestCopyBytes: this.#largestCopyBytes,
      })
      // The blob is there. What cannot be cleared away now is taken by the sweep.
      const remains = { ...session, multipart: undefined, objects: [...new Set([...session.objects, whole.key])] }
      await removeSession(this.#connection, remains).catch(() => {})
      return { sizeBytes: whole.sizeBytes }
    })
  }

  async cancel(id: string): Promise<void> {
    await this.#turns.take(id, async (uploadId) => {
      const session = await this.#require(uploadId)
      this.#progress.delete(uploadId)
      await removeSession(this.#connection, session)
    })
  }

  /** Removes an upload nobody has added to for `idleMs`; answers what it held. */
  async removeIfIdle(id: UploadId, idleMs: number): Promise<number | undefined> {
    return this.#turns.take(id, async () => {
      const session = await this.#find(id)
      if (session === undefined) return this.#removeRemains(id)
      if (Date.now() - session.modifiedAtMs < idleMs) return undefined
      this.#progress.delete(id)
      await removeSession(this.#connection, session)
      return session.sizeBytes
    })
  }

  /** True where the upload is there and this is where its parts are. */
  async owns(id: UploadId, multipartId: string): Promise<boolean> {
    const session = await this.#find(id)
    return session?.multipart?.id === multipartId
  }

  /** Objects of an upload that is none any more. */
  async #removeRemains(id: UploadId): Promise<undefined> {
    for await (const { key } of this.#connection.list(this.#keys.upload(id).folder)) await this.#connection.remove(key)
  }

  /** Everything of the upload as one object. */
  async #joined(session: Session): Promise<{ key: string; etag: string; sizeBytes: number }> {
    const { keys, multipart, parts, tail, data, sizeBytes } = session
    if (data !== undefined) return data
    if (parts.length === 0) {
      if (tail !== undefined) return tail
      const key = keys.tail(0)
      return { key, sizeBytes: 0, ...(await this.#connection.put(key, Buffer.alloc(0))) }
    }
    if (multipart === undefined) throw new Error('Parts belong to a multipart upload.')
    const etags = parts.map((part) => part.etag)
    if (tail !== undefined) {
      etags.push(
        await copyPart(this.#connection, multipart, { number: parts.length + 1, from: tail.key, etag: tail.etag }),
      )
    }
    await completeMultipart(this.#connection, multipart, etags)
    const found = await this.#connection.head(keys.data)
    if (found === undefined || found.sizeBytes !== sizeBytes) throw uploadUnknown(session.id)
    return { key: keys.data, etag: found.etag, sizeBytes }
  }

  async #hashOf(whole: { key: string }, algorithm: DigestAlgorithm): Promise<string> {
    const hash = createHash(algorithm)
    for await (const chunk of await readObject(this.#connection, whole.key)) hash.update(chunk as Buffer)
    return hash.digest('hex')
  }

  async #requireSame(session: Session, { digest, actual }: { digest: Digest; actual: string }): Promise<void> {
    if (actual !== digest.hex) await removeSession(this.#connection, session)
    requireSameDigest(digest, actual)
  }

  /** Gives room back after a failure; where even that fails, the sweep does it later. */
  async #drop(id: UploadId): Promise<void> {
    const session = await this.#find(id).catch(() => undefined)
    if (session !== undefined) await removeSession(this.#connection, session).catch(() => {})
  }

  async #require(id: UploadId): Promise<Session> {
    const session = await this.#find(id)
    if (session === undefined) throw uploadUnknown(id)
    return session
  }

  #find(id: UploadId): Promise<Session | undefined> {
    return findSession(this.#connection, { keys: this.#keys, id, partBytes: this.#buffers.partBytes })
  }

  /** The hash over all the bytes there are, where this process has it. It leaves the memory while it is used. */
  #takeProgress(session: Session): { algorithm: DigestAlgorithm; hash: Hash | undefined } {
    const known = this.#progress.get(session.id)
    this.#progress.delete(session.id)
    if (known?.state === stateOf(session)) return known
    if (session.sizeBytes > 0) return { algorithm: session.algorithm, hash: undefined }
    return { algorithm: session.algorithm, hash: createHash(session.algorithm) }
  }

  #remember(id: UploadId, progress: Progress): void {
    this.#progress.set(id, progress)
    if (this.#progress.size <= rememberedHashes) return
    const oldest = this.#progress.keys().next()
    if (oldest.done !== true) this.#progress.delete(oldest.value)
  }
}

/** Adds bytes to one session: full parts to its multipart upload, which is begun with the first, the rest as its tail. */
class SessionWriter {
  readonly cutter: PartCutter
  readonly #session: Session
  readonly #connection: Connection
  readonly #etags = new Map<number, string>()
  #beginning: Promise<NonNullable<Session['multipart']>> | undefined

  constructor(options: { session: Session; connection: Connection; buffers: PartBuffers }) {
    const { session, connection, buffers } = options
    this.#session = session
    this.#connection = connection
    for (const part of session.parts) this.#etags.set(part.number, part.etag)
    if (session.multipart !== undefined) this.#beginning = Promise.resolve(session.multipart)
    this.cutter = new PartCutter({
      buffers,
      firstNumber: session.parts.length + 1,
      send: async (number, body, signal) => {
        if (number >= partLimit) throw tooLarge(buffers.partBytes)
        this.#beginning ??= this.#beginMultipart()
        const etag = await sendPart(connection, await this.#beginning, { number, body, signal })
        this.#etags.set(number, etag)
      },
    })
  }

  /**
   * The bytes of the tail are the beginning of the next part. A stray part is overwritten by one that is not full,
   * because it cannot be deleted alone.
   */
  async begin(): Promise<void> {
    const { tail, multipart, strayParts } = this.#session
    for (const number of strayParts) {
      if (multipart !== undefined) await sendPart(this.#connection, multipart, { number, body: Buffer.alloc(1) })
    }
    if (tail === undefined) return
    for await (const chunk of await readObject(this.#connection, tail.key)) await this.cutter.add(chunk as Buffer)
  }

  /** Stores what is left, and answers the state the session is in then. */
  async end(addedBytes: number): Promise<string> {
    const { keys, tail, parts } = this.#session
    const rest = await this.cutter.finish()
    if (addedBytes === 0) return stateOf({ parts, tail })
    const key = keys.tail(this.cutter.number - 1)
    const { etag } = await this.#connection.put(key, rest)
    if (tail !== undefined && tail.key !== key) await this.#connection.remove(tail.key)
    const sent = Array.from({ length: this.cutter.number - 1 }, (_, index) => ({
      etag: this.#etags.get(index + 1) ?? '',
    }))
    return stateOf({ parts: sent, tail: { etag, sizeBytes: rest.length } })
  }

  async #beginMultipart(): Promise<NonNullable<Session['multipart']>> {
    const multipart = await beginMultipart(this.#connection, this.#session.keys.data)
    await this.#connection.put(this.#session.keys.parts(multipart.id), Buffer.alloc(0))
    return multipart
  }
}

/** One text for what an upload holds; equal texts, equal bytes. */
function stateOf(session: {
  parts: readonly { etag: string }[]
  tail: { etag: string; sizeBytes: number } | undefined
}): string {
  const hash = createHash('sha256')
  for (const { etag } of session.parts) hash.update(`${etag}\n`)
  hash.update(`${session.tail?.etag ?? ''} ${session.tail?.sizeBytes ?? 0}`)
  return hash.digest('hex')
}

export function tooLarge(partBytes: number): BlobError {
  const limitBytes = partBytes * (partLimit - 1)
  return new BlobError('blob-too-large', `A blob in S3 may have at most ${limitBytes} bytes here.`)
}
