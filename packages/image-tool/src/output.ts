import { createHash, randomUUID } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { mkdir, open, rename, rm } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { FreeholdError } from '@freehold/contracts'

/** What is known of an image before its first byte. */
export interface ImageHead {
  filename: string
  contentType: string
  /** The size it will have at most, about; null where nothing can be said. */
  estimateBytes: number | null
}

/**
 * Takes the bytes of an image while they are made: a file, an upload. Where `bytes` throws, the image failed and
 * nothing of it may stay. It resolves when everything is kept.
 */
export type ImageSink = (bytes: AsyncIterable<Buffer>, head: ImageHead) => Promise<void>

const writeBufferBytes = 1024 * 1024

/** Writes the image to a file. The file is there, whole and on disk, or not at all. */
export function fileSink(path: string): ImageSink {
  return async (bytes) => {
    await mkdir(dirname(path), { recursive: true })
    const partial = join(dirname(path), `.${basename(path)}.${randomUUID()}.partial`)
    try {
      await writeFileFrom(partial, bytes)
      await rename(partial, path)
      const folder = await open(dirname(path), 'r')
      await folder.sync().finally(() => folder.close())
    } catch (error) {
      await rm(partial, { force: true })
      throw storageErrorOf(error, path)
    }
  }
}

/**
 * Writes all bytes to a new file and waits until they are on disk. While one chunk is written the next is made, so that
 * reading, hashing and writing take their time together.
 */
async function writeFileFrom(path: string, bytes: AsyncIterable<Buffer>): Promise<void> {
  const file = await open(path, 'wx', 0o644)
  let writing = Promise.resolve()
  try {
    for await (const chunk of gathered(bytes)) {
      await writing
      writing = writeAll(file, chunk)
      // Asked for in the next turn; until then nobody listens.
      writing.catch(() => undefined)
    }
    await writing
    await file.sync()
  } finally {
    await writing.catch(() => undefined)
    await file.close()
  }
}

export async function writeAll(
  file: { write(chunk: Buffer): Promise<{ bytesWritten: number }> },
  chunk: Buffer,
): Promise<void> {
  let rest = chunk
  while (rest.length > 0) {
    const { bytesWritten } = await file.write(rest)
    rest = rest.subarray(bytesWritten)
  }
}

/** Joins small chunks into ones of about 1 MiB: fewer calls of the system. */
async function* gathered(bytes: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  let chunks: Buffer[] = []
  let sizeBytes = 0
  for await (const chunk of bytes) {
    if (chunks.length === 0 && chunk.length >= writeBufferBytes) {
      yield chunk
      continue
    }
    chunks.push(chunk)
    sizeBytes += chunk.length
    if (sizeBytes < writeBufferBytes) continue
    yield Buffer.concat(chunks)
    chunks = []
    sizeBytes = 0
  }
  if (sizeBytes > 0) yield Buffer.concat(chunks)
}

/** `storage-full` and `storage-unwritable` for what the file system says; everything else as it is. */
export function storageErrorOf(error: unknown, usualPath: string): unknown {
  if (!(error instanceof Error) || error instanceof FreeholdError) return error
  const { code, path = usualPath } = error as NodeJS.ErrnoException
  if (code === 'ENOSPC' || code === 'EDQUOT') {
    return new FreeholdError('storage-full', `The disk of ${path} is full; nothing was kept.`, { cause: error })
  }
  if (
    code === 'EACCES' ||
    code === 'EROFS' ||
    code === 'EPERM' ||
    code === 'ENOTDIR' ||
    code === 'EISDIR' ||
    code === 'EEXIST'
  ) {
    return new FreeholdError('storage-unwritable', `${path} cannot be written (${code}).`, { cause: error })
  }
  return error
}

/** Hashes and counts what passes through. */
export interface Meter {
  readonly sizeBytes: number
  /** Hexadecimal, of all that passed; asked for once. */
  sha256(): string
  of(bytes: AsyncIterable<Buffer>): AsyncGenerator<Buffer>
}

export function createMeter(passed: (sizeBytes: number) => void = () => undefined): Meter {
  const hash = createHash('sha256')
  let sizeBytes = 0
  return {
    get sizeBytes() {
      return sizeBytes
    },
    sha256: () => hash.digest('hex'),
    async *of(bytes) {
      for await (const chunk of bytes) {
        hash.update(chunk)
        sizeBytes += chunk.length
        passed(sizeBytes)
        yield chunk
      }
    },
  }
}

/** Reads a file, or a part of it, in large chunks. */
export function readFileStream(
  path: string,
  options: { start?: number; end?: number; signal?: AbortSignal } = {},
): AsyncIterable<Buffer> {
  return createReadStream(path, { highWaterMark: writeBufferBytes, ...options })
}
