import type { Hash } from 'node:crypto'
import type { FileHandle } from 'node:fs/promises'
import { finished, type Readable, Writable } from 'node:stream'
import type { SourceOptions } from '../blobs.ts'
import { release } from './release.ts'

/** What may wait in memory for the disk, per transfer. */
const bufferBytes = 256 * 1024

/**
 * Writes `source` into the file from `offset` on, hashing on the way, and answers the offset after it.
 * While one write is under way the next chunks gather and go out together, at most `bufferBytes` of them.
 * When writing fails the source is left alone, so that whoever sent it can still be answered.
 */
export async function receive(
  source: Readable,
  target: { file: FileHandle; offset: number; hash: Hash } & SourceOptions,
): Promise<number> {
  let { offset } = target
  const write = async (chunks: Buffer[]) => {
    const writing = writeAll(target.file, chunks, offset)
    // Another thread writes; this one has the time to hash. Of a write that fails the hash is not used.
    for (const chunk of chunks) target.hash.update(chunk)
    await writing
    for (const chunk of chunks) offset += chunk.length
    if (target.disposable === true) for (const chunk of chunks) release(chunk)
  }
  const sink = new Writable({
    highWaterMark: bufferBytes,
    decodeStrings: true,
    write(chunk: Buffer, _encoding, done) {
      write([chunk]).then(() => done(), done)
    },
    writev(entries, done) {
      write(entries.map((entry) => entry.chunk as Buffer)).then(() => done(), done)
    },
  })
  await new Promise<void>((resolve, reject) => {
    finished(source, { writable: false }, (error) => {
      if (!error) return
      sink.destroy()
      reject(error)
    })
    sink.once('finish', resolve)
    sink.once('error', (error) => {
      source.unpipe(sink)
      reject(error)
    })
    source.pipe(sink)
  })
  return offset
}

/** The kernel may take less than it was given; the rest is offered again. */
async function writeAll(file: FileHandle, chunks: Buffer[], position: number): Promise<void> {
  let rest = chunks
  let at = position
  while (rest.length > 0) {
    const { bytesWritten } = await file.writev(rest, at)
    at += bytesWritten
    rest = after(rest, bytesWritten)
  }
}

/** The chunks without their first `count` bytes. */
export function after(chunks: Buffer[], count: number): Buffer[] {
  let left = count
  for (const [index, chunk] of chunks.entries()) {
    if (left < chunk.length) return [chunk.subarray(left), ...chunks.slice(index + 1)]
    left -= chunk.length
  }
  return []
}
