import { pipeline } from 'node:stream/promises'
import { FreeholdError } from '@freehold/contracts'
import { type Pack, pack } from 'tar-stream'
import { readFileStream } from '../output.ts'

/** A file or a link, owned by root. `path` is relative, without a leading slash. */
export type TarEntry =
  | { path: string; mode: number; bytes: Buffer }
  | { path: string; mode: number; source: string; sizeBytes: number }
  | { path: string; target: string }

/**
 * A tar archive (POSIX.1-2017, ustar and pax) of these entries in this order, each with the same date. It has no
 * entries for folders, so that unpacking changes none that is there.
 */
export async function* tarOf(entries: readonly TarEntry[], epochSeconds: number): AsyncGenerator<Buffer> {
  const archive = pack()
  const filled = fill(archive, entries, new Date(epochSeconds * 1000))
  // Whoever reads the archive is told, and what was thrown is thrown again below.
  filled.catch((error: Error) => archive.destroy(error))
  for await (const chunk of archive) yield chunk as Buffer
  await filled
}

async function fill(archive: Pack, entries: readonly TarEntry[], mtime: Date): Promise<void> {
  for (const entry of entries) {
    const head = { name: entry.path, mtime, uname: 'root', gname: 'root' }
    if ('target' in entry) archive.entry({ ...head, type: 'symlink', linkname: entry.target, mode: 0o777 })
    else if ('bytes' in entry) archive.entry({ ...head, mode: entry.mode }, entry.bytes)
    else await pipeline(exactly(entry), archive.entry({ ...head, mode: entry.mode, size: entry.sizeBytes }))
  }
  archive.finalize()
}

async function* exactly({ source, sizeBytes }: { source: string; sizeBytes: number }): AsyncGenerator<Buffer> {
  let readBytes = 0
  for await (const chunk of readFileStream(source)) {
    readBytes += chunk.length
    if (readBytes > sizeBytes) break
    yield chunk
  }
  if (readBytes !== sizeBytes) throw new FreeholdError('conflict', `${source} was changed while the image was built.`)
}
