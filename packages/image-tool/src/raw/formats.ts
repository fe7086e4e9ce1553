import { open } from 'node:fs/promises'
import { join } from 'node:path'
import { pipeline, type Readable } from 'node:stream'
import { createGunzip, createZstdDecompress } from 'node:zlib'
import { FreeholdError } from '@freehold/contracts'
import yauzl from 'yauzl'
import type { LocalBase } from '../base/cache.ts'
import type { BuildContext } from '../context.ts'
import { readFileStream } from '../output.ts'
import { streamTool } from '../tools/run.ts'

/** How the bytes of a disk image are packed, told by their first bytes and not by a name. */
export type Packing = 'raw' | 'gz' | 'xz' | 'zst' | 'zip'

const magic: readonly { packing: Packing; bytes: readonly number[] }[] = [
  { packing: 'gz', bytes: [0x1f, 0x8b] },
  { packing: 'xz', bytes: [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00] },
  { packing: 'zst', bytes: [0x28, 0xb5, 0x2f, 0xfd] },
  { packing: 'zip', bytes: [0x50, 0x4b, 0x03, 0x04] },
]

/** Memory that a base may take to be unpacked; the most that `xz -9` makes takes a quarter of it. */
const unpackBytes = 256 * 1024 * 1024

export async function packingOf(path: string): Promise<Packing> {
  const file = await open(path, 'r')
  try {
    const head = Buffer.alloc(8)
    await file.read(head, 0, head.length, 0)
    return magic.find(({ bytes }) => bytes.every((byte, index) => head[index] === byte))?.packing ?? 'raw'
  } finally {
    await file.close()
  }
}

/**
 * The bytes of the disk image from the first to the last. Throws `invalid-input` where they cannot be unpacked: cut
 * off, damaged, or a zip archive that holds anything but one image.
 */
export async function* unpacked(base: LocalBase, packing: Packing, context: BuildContext): AsyncGenerator<Buffer> {
  const path = join(context.workspace, base.name)
  const { signal } = context
  try {
    if (packing === 'raw') yield* readFileStream(path, { signal })
    else if (packing === 'gz') yield* through(readFileStream(path, { signal }), createGunzip())
    else if (packing === 'zst') yield* through(readFileStream(path, { signal }), createZstdDecompress())
    else if (packing === 'zip') yield* zipEntry(path, signal)
    else {
      const args = ['-dc', `--memlimit-decompress=${unpackBytes}`, '--', base.name]
      yield* streamTool({ program: 'xz', args, channel: 'stdout' }, context.tools)
    }
  } catch (error) {
    signal.throwIfAborted()
    if (error instanceof FreeholdError && error.code !== 'conflict') throw error
    const detail = error instanceof Error ? error.message : String(error)
    throw new FreeholdError('invalid-input', `The base image cannot be unpacked, it is damaged or cut off: ${detail}`, {
      cause: error,
    })
  }
}

async function* through(
  input: AsyncIterable<Buffer>,
  unpacker: NodeJS.ReadWriteStream & Readable,
): AsyncGenerator<Buffer> {
  // What goes wrong on either side destroys the unpacker with it, and so is thrown to whoever reads.
  yield* pipeline(input, unpacker, () => undefined)
}

async function* zipEntry(path: string, signal: AbortSignal): AsyncGenerator<Buffer> {
  const zip = await yauzl.openPromise(path, { autoClose: false, strictFileNames: false })
  try {
    const images = []
    for await (const entry of zip.eachEntry()) {
      if (entry.fileName.endsWith('/') || entry.uncompressedSize === 0) continue
      images.push(entry)
      if (images.length > 1) break
    }
    const [image] = images
    if (image === undefined || images.length > 1) throw new Error('a zip archive must hold exactly one file')
    const stream = await zip.openReadStreamPromise(image)
    signal.addEventListener('abort', () => stream.destroy(), { once: true })
    yield* stream
  } finally {
    zip.close()
  }
}
