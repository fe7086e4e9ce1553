/**
 * Runs in a mount namespace of its own: mounts a tiny file system, fills it through the store, and prints what
 * happened as JSON. Argument: an empty directory.
 */
import { execFileSync } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { readdir } from 'node:fs/promises'
import { Readable } from 'node:stream'
import { BlobError } from '../errors.ts'
import { createFileBlobs } from './files.ts'

const directory = process.argv[2] ?? ''
execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=4m', 'tmpfs', directory])
const store = await createFileBlobs({ directory })
const small = randomBytes(1024 * 1024)
const smallDigest = digestOf(small)
await store.put(smallDigest, Readable.from([small]))

const large = randomBytes(8 * 1024 * 1024)
const source = chunksOf(large)
const put = await codeOf(store.put(digestOf(large), source))
const sourceDestroyed = source.destroyed
const filesAfterPut = await fileCount()
const id = await store.createUpload()
const append = await codeOf(store.appendUpload(id, 0, chunksOf(large)))
const filesAfterAppend = await fileCount()
const status = await codeOf(store.uploadStatus(id))
const other = randomBytes(1024 * 1024)
await store.put(digestOf(other), Readable.from([other]))
const kept = (await store.stat(smallDigest))?.sizeBytes === small.length
console.log(JSON.stringify({ put, filesAfterPut, append, filesAfterAppend, status, kept, sourceDestroyed }))

function chunksOf(content: Buffer): Readable {
  const size = 64 * 1024
  const count = Math.ceil(content.length / size)
  return Readable.from(Array.from({ length: count }, (_, index) => content.subarray(index * size, (index + 1) * size)))
}

function digestOf(content: Buffer): string {
  return `sha256:${createHash('sha256').update(content).digest('hex')}`
}

async function codeOf(work: Promise<unknown>): Promise<string> {
  try {
    await work
    return 'done'
  } catch (error) {
    return error instanceof BlobError ? error.code : String(error)
  }
}

async function fileCount(): Promise<number> {
  return (await readdir(directory, { recursive: true, withFileTypes: true })).filter((entry) => entry.isFile()).length
}
