import type { Dirent } from 'node:fs'
import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { BlobEntry, StrangeEntry } from '../blobs.ts'
import { parseDigest } from '../digest.ts'
import { systemCode } from '../errors.ts'
import type { Layout } from './layout.ts'

type OnStrange = (strange: StrangeEntry) => void

/** Walks the blobs directory in order of digest; never more than the names of one shard are in memory. */
export async function* listBlobs(
  layout: Layout,
  { after, onStrange }: { after: string; onStrange: OnStrange },
): AsyncGenerator<BlobEntry> {
  for (const algorithm of await directoriesOf(layout.blobsDirectory, onStrange)) {
    for (const shard of await directoriesOf(join(layout.blobsDirectory, algorithm), onStrange)) {
      // The last that a shard may hold.
      if (`${algorithm}:${shard}g` <= after) continue
      const directory = join(layout.blobsDirectory, algorithm, shard)
      for (const { name } of await entriesOf(directory, onStrange)) {
        const digest = parseDigest(`${algorithm}:${name}`)
        if (digest === undefined || digest.hex.slice(0, 2) !== shard) {
          onStrange({ name: join(algorithm, shard, name), reason: 'its name is no digest' })
          continue
        }
        if (`${algorithm}:${name}` <= after) continue
        const entry = await entryOf(join(directory, name), `${algorithm}:${name}`, onStrange)
        if (entry !== undefined) yield entry
      }
    }
  }
}

async function directoriesOf(directory: string, onStrange: OnStrange): Promise<string[]> {
  const names: string[] = []
  for (const entry of await entriesOf(directory, onStrange)) {
    if (entry.isDirectory()) names.push(entry.name)
    else onStrange({ name: entry.name, reason: 'it is no directory' })
  }
  return names
}

/** In order of name. A directory that cannot be read is strange, and the others are gone through all the same. */
async function entriesOf(directory: string, onStrange: OnStrange): Promise<Dirent[]> {
  try {
    const entries = await readdir(directory, { withFileTypes: true })
    return entries.sort((one, other) => (one.name < other.name ? -1 : 1))
  } catch (error) {
    const code = systemCode(error)
    if (code === undefined) throw error
    onStrange({ name: directory, reason: code })
    return []
  }
}

async function entryOf(path: string, digest: string, onStrange: OnStrange): Promise<BlobEntry | undefined> {
  try {
    const found = await stat(path)
    if (found.isFile()) return { digest, sizeBytes: found.size, modifiedAtMs: found.mtimeMs }
    onStrange({ name: digest, reason: 'it is no file' })
  } catch (error) {
    const code = systemCode(error)
    if (code === undefined) throw error
    if (code !== 'ENOENT') onStrange({ name: digest, reason: code })
  }
  return undefined
}
