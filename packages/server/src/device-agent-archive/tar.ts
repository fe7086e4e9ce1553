import type { FileHandle } from 'node:fs/promises'
import { open } from 'node:fs/promises'
import { FreeholdError } from '@freehold/contracts'

/** A file or a link, owned by root. `path` is relative, without a leading slash. */
export type ArchiveEntry =
  | { path: string; mode: number; bytes: Buffer }
  | { path: string; mode: number; source: string; sizeBytes: number }
  | { path: string; target: string }

const blockBytes = 512
/** 2000-01-01: a date that no tar warns of. */
const epochSeconds = 946_684_800

/**
 * A tar archive (POSIX.1-1988 ustar) of these entries in this order, each with the same date. It has no entries for
 * folders. Memory does not grow with the files.
 */
export async function* tarOf(entries: readonly ArchiveEntry[]): AsyncGenerator<Buffer> {
  for (const entry of entries) {
    const sizeBytes = 'target' in entry ? 0 : 'bytes' in entry ? entry.bytes.length : entry.sizeBytes
    yield headerOf(entry, sizeBytes)
    if ('bytes' in entry) yield entry.bytes
    else if ('source' in entry) yield* exactly(entry.source, sizeBytes)
    yield Buffer.alloc((blockBytes - (sizeBytes % blockBytes)) % blockBytes)
  }
  yield Buffer.alloc(2 * blockBytes)
}

async function* exactly(path: string, sizeBytes: number): AsyncGenerator<Buffer> {
  const file: FileHandle = await open(path)
  try {
    let readBytes = 0
    for await (const chunk of file.createReadStream({ autoClose: false, highWaterMark: 256 * 1024 })) {
      readBytes += chunk.length
      yield chunk
    }
    if (readBytes === sizeBytes) return
    throw new FreeholdError('conflict', `${path} was changed while it was packed. Try again.`)
  } finally {
    await file.close()
  }
}

function headerOf(entry: ArchiveEntry, sizeBytes: number): Buffer {
  const header = Buffer.alloc(blockBytes)
  const { name, prefix } = splitName(entry.path)
  header.write(name, 0)
  header.write(octal('target' in entry ? 0o777 : entry.mode, 8), 100)
  header.write(octal(0, 8), 108)
  header.write(octal(0, 8), 116)
  header.write(octal(sizeBytes, 12), 124)
  header.write(octal(epochSeconds, 12), 136)
  header.write(' '.repeat(8), 148)
  header.write('target' in entry ? '2' : '0', 156)
  if ('target' in entry) header.write(entry.target, 157)
  header.write('ustar\0', 257)
  header.write('00', 263)
  header.write('root', 265)
  header.write('root', 297)
  header.write(prefix, 345)
  const sum = header.reduce((total, byte) => total + byte, 0)
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148)
  return header
}

function splitName(path: string): { name: string; prefix: string } {
  if (Buffer.byteLength(path) <= 100) return { name: path, prefix: '' }
  const at = path.indexOf('/', path.length - 101)
  if (at < 0 || at > 155) throw new FreeholdError('conflict', `The path ${path} is too long for an archive.`)
  return { name: path.slice(at + 1), prefix: path.slice(0, at) }
}

function octal(value: number, width: number): string {
  return value.toString(8).padStart(width - 1, '0')
}
