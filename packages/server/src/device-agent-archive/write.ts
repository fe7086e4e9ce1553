import { createHash } from 'node:crypto'
import { open } from 'node:fs/promises'
import { pipeline } from 'node:stream/promises'
import { createGzip } from 'node:zlib'
import { type ArchiveEntry, tarOf } from './tar.ts'

/**
 * Writes the archive, sorted by path, and syncs it. The same entries give the same bytes: Node's gzip writes no date
 * and no name.
 */
export async function writeArchive(
  path: string,
  entries: readonly ArchiveEntry[],
  signal: AbortSignal,
): Promise<{ sha256: string; sizeBytes: number }> {
  const sorted = entries.toSorted((one, other) => (one.path < other.path ? -1 : 1))
  const hash = createHash('sha256')
  let sizeBytes = 0
  await using file = await open(path, 'wx', 0o600)
  await pipeline(
    tarOf(sorted),
    createGzip(),
    async (packed: AsyncIterable<Buffer>) => {
      for await (const chunk of packed) {
        hash.update(chunk)
        sizeBytes += chunk.length
        await file.appendFile(chunk)
      }
    },
    { signal },
  )
  await file.sync()
  return { sha256: hash.digest('hex'), sizeBytes }
}
