import type { Dirent } from 'node:fs'
import { opendir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { BlobEntry, StrangeEntry } from '../blobs.ts'
import { parseDigest } from '../digest.ts'
import { systemCode } from '../errors.ts'
import type { Layout } from './layout.ts'

type OnStrange = (strange: StrangeEntry) => void

/** Walks the blobs directory; never more than one buffer of names a level is in memory. */
export async function* listBlobs(layout: Layout, onStrange: OnStrange): AsyncGenerator<BlobEntry> {
  for await (const algorithm of directoriesOf(layout.blobsDirectory, onStrange)) {
    for await (const shard of directoriesOf(join(layout.blobsDirectory, algorithm), onStrange)) {
      const directory = join(layout.blobsDirectory, algorithm, shard)
      for await (const { name } of entriesOf(directory, onStrange)) {
        const digest = parseDigest(`${algorithm}:${name}`)
        if (digest === undefined || digest.hex.slice(0, 2) !== shard) {
          onStrange({ name: join(algorithm, shard, name), reason: 'its name is no digest' })
          continue
        }
        const entry = await entryOf(join(directory, name), `${algorithm}:${name}`, onStrange)
        if (entry !== undefined) yield entry
      }
    }
  }
}

async function* directoriesOf(directory: string, onStrange: OnStrange): AsyncGenerator<string> {
  for await (const entry of entriesOf(directory, onStrange)) {
    if (entry.isDirectory()) yield entry.name
    else onStrange({ name: entry.name, reason: 'it is no directory' })
  }
}

/** A directory that cannot be read is strange, and the others are gone through all the same. */
async function* entriesOf(directory: string, onStrange: OnStrange): AsyncGenerator<Dirent> {
  try {
    for await (const entry of await opendir(directory)) yield entry
  } catch (error) {
    const code = systemCode(error)
    if (code === undefined) throw error
    onStrange({ name: directory, reason: code })
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
