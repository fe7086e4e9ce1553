import { createHash, type Hash, randomUUID } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { type FileHandle, mkdir, open, readdir, rename, rm, stat, unlink } from 'node:fs/promises'
import { dirname } from 'node:path'
import type { Readable, Writable } from 'node:stream'
import type { BlobEntry, BlobStat, BlobStore, ByteRange, ByteSource, SourceOptions, StrangeEntry } from '../blobs.ts'
import { type Digest, type DigestAlgorithm, requireDigest, requireSameDigest } from '../digest.ts'
import { BlobError, fromSystemError, systemCode, uploadUnknown } from '../errors.ts'
import { Turns } from '../turns.ts'
import { parseUploadId, requireUploadId, type UploadId } from '../upload-id.ts'
import { type Layout, layoutOf } from './layout.ts'
import { listBlobs } from './list.ts'
import { send } from './send.ts'
import { receive } from './sink.ts'

export interface FileBlobsOptions {
  /** Made if it is missing; must be one file system. */
  directory: string
}

/** Read ahead of a reader, per transfer. */
const readBufferBytes = 512 * 1024
/** Hashes kept between two chunks of an upload; one that was dropped is made again from the file. */
const rememberedHashes = 1000

interface Progress {
  algorithm: DigestAlgorithm
  hash: Hash
  offset: number
}

/**
 * Blobs in files. Durable order: bytes, fsync of the file, rename, fsync of its directory. So a blob's name is never
 * on disk before its content, and a crash leaves an upload file at most, which can be continued or is swept.
 */
export async function createFileBlobs({ directory }: FileBlobsOptions): Promise<BlobStore> {
  const layout = layoutOf(directory)
  try {
    await makeDirectory(layout.blobsDirectory)
    await makeDirectory(layout.uploadsDirectory)
  } catch (error) {
    throw fromSystemError(error)
  }
  return new FileBlobs(layout)
}

class FileBlobs implements BlobStore {
  readonly #layout: Layout
  readonly #turns = new Turns()
  /** Directories whose own names are on the disk, or being brought there: at most 256 for an algorithm. */
  readonly #shards = new Map<string, Promise<void>>()
  /** In order of last use. */
  readonly #progress = new Map<UploadId, Progress>()

  constructor(layout: Layout) {
    this.#layout = layout
  }

  async stat(digest: string): Promise<BlobStat | undefined> {
    const path = this.#layout.blob(requireDigest(digest))
    const found = await ifExists(stat(path))
    return found === undefined ? undefined : { sizeBytes: found.size }
  }

  async open(digest: string, range?: ByteRange): Promise<Readable> {
    const { file } = await this.#openBlob(digest, range)
    return createReadStream('', { fd: file, highWaterMark: readBufferBytes, ...range })
  }

  async send(digest: string, target: Writable, range?: ByteRange): Promise<void> {
    const { file, sizeBytes } = await this.#openBlob(digest, range)
    try {
      await send(file, range ?? { start: 0, end: sizeBytes - 1 }, target)
    } finally {
      await file.close()
    }
  }

  async #openBlob(digest: string, range: ByteRange | undefined): Promise<{ file: FileHandle; sizeBytes: number }> {
    const path = this.#layout.blob(requireDigest(digest))
    const file = await ifExists(open(path, 'r'))
    if (file === undefined) throw new BlobError('blob-unknown', `There is no blob ${digest}.`)
    try {
      const { size } = await file.stat()
      if (range !== undefined) requireRange(range, size)
      return { file, sizeBytes: size }
    } catch (error) {
      await file.close()
      throw error
    }
  }

  async put(digest: string, source: ByteSource, options: SourceOptions = {}): Promise<BlobStat> {
    const parsed = requireDigest(digest)
    const id = await this.createUpload({ algorithm: parsed.algorithm })
    try {
      await this.appendUpload(id, 0, source, options)
      return await this.finishUpload(id, digest)
    } catch (error) {
      await rm(this.#layout.upload(id as UploadId), { force: true })
      this.#progress.delete(id as UploadId)
      throw error
    }
  }

  async delete(digest: string): Promise<boolean> {
    const path = this.#layout.blob(requireDigest(digest))
    return translate(async () => {
      const found = await ifExists(unlink(path).then(() => true))
      if (found === undefined) return false
      await syncDirectory(dirname(path))
      return true
    })
  }

  list(options: { after?: string; onStrange?: (strange: StrangeEntry) => void } = {}): AsyncIterable<BlobEntry> {
    return listBlobs(this.#layout, { after: options.after ?? '', onStrange: options.onStrange ?? (() => {}) })
  }

  async createUpload(options: { algorithm?: DigestAlgorithm } = {}): Promise<string> {
    const id = randomUUID() as string as UploadId
    await translate(async () => {
      const file = await open(this.#layout.upload(id), 'wx', 0o600)
      await file.close()
    })
    const algorithm = options.algorithm ?? 'sha256'
    this.#remember(id, { algorithm, hash: createHash(algorithm), offset: 0 })
    return id
  }

  async uploadStatus(id: string): Promise<BlobStat> {
    const found = await ifExists(stat(this.#layout.upload(requireUploadId(id))))
    if (found === undefined) throw uploadUnknown(id)
    return { sizeBytes: found.size }
  }

  async appendUpload(id: string, offset: number, source: ByteSource, options: SourceOptions = {}): Promise<BlobStat> {
    return this.#turns.take(id, async (uploadId) => {
      const file = await this.#openUpload(uploadId)
      try {
        const { size } = await file.stat()
        if (offset !== size) {
          throw new BlobError('offset-mismatch', `The upload holds ${size} bytes; the next chunk must start there.`)
        }
        const { hash, algorithm } = await this.#takeProgress(uploadId, file, size)
        const end = await receive(source, { ...options, file, offset, hash })
        this.#remember(uploadId, { algorithm, hash, offset: end })
        return { sizeBytes: end }
      } catch (error) {
        const translated = fromSystemError(error)
        if (translated instanceof BlobError && translated.code === 'storage-full') {
          await rm(this.#layout.upload(uploadId), { force: true })
        }
        throw translated
      } finally {
        await file.close()
      }
    })
  }

  async finishUpload(id: string, digest: string): Promise<BlobStat> {
    const parsed = requireDigest(digest)
    return this.#turns.take(id, async (uploadId) => {
      const file = await this.#openUpload(uploadId)
      try {
        const { size } = await file.stat()
        const { hash } = await this.#takeProgress(uploadId, file, size, parsed.algorithm)
        const actual = hash.digest('hex')
        if (actual !== parsed.hex) await rm(this.#layout.upload(uploadId), { force: true })
        requireSameDigest(parsed, actual)
        await file.datasync()
        await this.#moveIntoPlace(uploadId, parsed)
        return { sizeBytes: size }
      } catch (error) {
        throw fromSystemError(error)
      } finally {
        await file.close()
      }
    })
  }

  async cancelUpload(id: string): Promise<void> {
    await this.#turns.take(id, async (uploadId) => {
      this.#progress.delete(uploadId)
      const found = await translate(() => ifExists(unlink(this.#layout.upload(uploadId)).then(() => true)))
      if (found === undefined) throw uploadUnknown(id)
    })
  }

  async sweepUploads({ idleMs }: { idleMs: number }): Promise<{ removed: number; sizeBytes: number }> {
    const swept = { removed: 0, sizeBytes: 0 }
    for (const name of await readdir(this.#layout.uploadsDirectory)) {
      const id = parseUploadId(name)
      if (id === undefined || this.#turns.isBusy(id)) continue
      const removedBytes = await this.#turns.take(id, () => this.#removeIfIdle(id, idleMs))
      if (removedBytes === undefined) continue
      swept.removed += 1
      swept.sizeBytes += removedBytes
    }
    return swept
  }

  async #removeIfIdle(id: UploadId, idleMs: number): Promise<number | undefined> {
    const found = await ifExists(stat(this.#layout.upload(id)))
    if (found === undefined || Date.now() - found.mtimeMs < idleMs) return undefined
    await translate(() => rm(this.#layout.upload(id), { force: true }))
    this.#progress.delete(id)
    return found.size
  }

  async #openUpload(id: UploadId): Promise<FileHandle> {
    const file = await translate(() => ifExists(open(this.#layout.upload(id), 'r+')))
    if (file === undefined) throw uploadUnknown(id)
    return file
  }

  /**
   * The hash over the first `size` bytes. It leaves the memory while it is used: whoever fails between updating it
   * and remembering it again has it made anew from the file, which is what counts.
   */
  async #takeProgress(
    id: UploadId,
    file: FileHandle,
    size: number,
    algorithm?: DigestAlgorithm,
  ): Promise<Pick<Progress, 'hash' | 'algorithm'>> {
    const known = this.#progress.get(id)
    this.#progress.delete(id)
    if (known !== undefined && known.offset === size && (algorithm ?? known.algorithm) === known.algorithm) return known
    const wanted = algorithm ?? known?.algorithm ?? 'sha256'
    const hash = createHash(wanted)
    await hashFile(file, size, hash)
    return { algorithm: wanted, hash }
  }

  #remember(id: UploadId, progress: Progress): void {
    this.#progress.delete(id)
    this.#progress.set(id, progress)
    if (this.#progress.size <= rememberedHashes) return
    const oldest = this.#progress.keys().next()
    if (oldest.done !== true) this.#progress.delete(oldest.value)
  }

  async #moveIntoPlace(id: UploadId, digest: Digest): Promise<void> {
    const shard = this.#layout.shardDirectory(digest)
    const move = () => rename(this.#layout.upload(id), this.#layout.blob(digest)).then(() => true)
    await this.#ready(shard)
    if ((await ifExists(move())) === undefined) {
      this.#shards.delete(shard)
      await this.#ready(shard)
      await move()
    }
    await syncDirectory(shard)
  }

  /** A directory that is there may have been made a moment ago, by whom has not synced it yet: so each is synced once. */
  #ready(shard: string): Promise<void> {
    const known = this.#shards.get(shard)
    if (known !== undefined) return known
    const made = makeDirectory(shard).then(() => syncDirectory(this.#layout.blobsDirectory))
    this.#shards.set(shard, made)
    made.catch(() => this.#shards.delete(shard))
    return made
  }
}

/** Hashes the first `size` bytes of an open file with one bounded buffer. */
async function hashFile(file: FileHandle, size: number, hash: Hash): Promise<void> {
  const buffer = Buffer.allocUnsafe(Math.min(readBufferBytes, Math.max(size, 1)))
  let at = 0
  while (at < size) {
    const { bytesRead } = await file.read(buffer, 0, Math.min(buffer.length, size - at), at)
    if (bytesRead === 0) throw new Error('An upload became shorter while it was read.')
    hash.update(buffer.subarray(0, bytesRead))
    at += bytesRead
  }
}

/** Makes a directory where it is missing; its name, and those of all that were made for it, are on the disk then. */
async function makeDirectory(path: string): Promise<void> {
  const first = await mkdir(path, { recursive: true })
  let at = path
  do {
    at = dirname(at)
    await syncDirectory(at)
  } while (first !== undefined && at.startsWith(first))
}

async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, 'r')
  try {
    await directory.sync()
  } finally {
    await directory.close()
  }
}

/** Undefined where the file is not there. */
async function ifExists<T>(work: Promise<T>): Promise<T | undefined> {
  try {
    return await work
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return undefined
    throw error
  }
}

async function translate<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    throw fromSystemError(error)
  }
}

function requireRange({ start, end }: ByteRange, sizeBytes: number): void {
  if (Number.isSafeInteger(start) && Number.isSafeInteger(end) && start >= 0 && start <= end && end < sizeBytes) return
  throw new BlobError('range-invalid', `The range ${start}-${end} is not within the ${sizeBytes} bytes of the blob.`)
}
