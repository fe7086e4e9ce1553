import { type FileHandle, open } from 'node:fs/promises'
import { join } from 'node:path'
import { pipeline } from 'node:stream'
import { constants, createZstdCompress } from 'node:zlib'
import type { BalenaRawConfig } from '../config/schema.ts'
import type { BuildContext } from '../context.ts'
import { streamTool } from '../tools/run.ts'
import { truncated } from './reader.ts'
import type { FoundPartition } from './scan.ts'

/**
 * The disk image with the copies of partitions in their places. It must reach as far as its partitions do. Chunks of
 * `image` are changed in place.
 */
export async function* composed(
  image: AsyncIterable<Buffer>,
  partitions: readonly FoundPartition[],
  context: BuildContext,
): AsyncGenerator<Buffer> {
  const edits = await Promise.all(
    partitions.flatMap(({ copy, startBytes, sizeBytes }) =>
      copy === undefined ? [] : [openEdit(join(context.workspace, copy), { startBytes, sizeBytes })],
    ),
  )
  try {
    let position = 0
    for await (const chunk of image) {
      for (const edit of edits) await overlay(chunk, position, edit)
      position += chunk.length
      yield chunk
    }
    if (partitions.some(({ startBytes, sizeBytes }) => startBytes + sizeBytes > position)) throw truncated()
  } finally {
    await Promise.all(edits.map(({ file }) => file.close()))
  }
}

interface Edit {
  file: FileHandle
  startBytes: number
  sizeBytes: number
}

async function openEdit(path: string, range: { startBytes: number; sizeBytes: number }): Promise<Edit> {
  return { file: await open(path, 'r'), ...range }
}

async function overlay(chunk: Buffer, position: number, { file, startBytes, sizeBytes }: Edit): Promise<void> {
  const from = Math.max(position, startBytes)
  const to = Math.min(position + chunk.length, startBytes + sizeBytes)
  for (let at = from; at < to; ) {
    const { bytesRead } = await file.read(chunk, at - position, to - at, at - startBytes)
    if (bytesRead === 0) throw truncated()
    at += bytesRead
  }
}

/**
 * Compresses an image while it is made. xz always cuts it into the same blocks and never asks how many cores there are,
 * so that the bytes are the same on every machine.
 */
export async function* compressed(
  image: AsyncIterable<Buffer>,
  { compression, compressionLevel }: Pick<BalenaRawConfig, 'compression' | 'compressionLevel'>,
  context: BuildContext,
): AsyncGenerator<Buffer> {
  if (compression === 'none') yield* image
  else if (compression === 'zst') {
    const zstd = createZstdCompress({
      params: { [constants.ZSTD_c_compressionLevel]: 3, [constants.ZSTD_c_checksumFlag]: 1 },
    })
    yield* pipeline(image, zstd, () => undefined)
  } else {
    const args = ['-z', '-c', `-${compressionLevel}`, '-T2', '--block-size=8MiB', '--no-adjust', '--check=crc64']
    yield* streamTool({ program: 'xz', args, channel: 'stdout', input: image }, context.tools)
  }
}
