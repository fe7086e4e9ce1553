import { createHash, randomBytes } from 'node:crypto'
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import fc from 'fast-check'
import { expect, it, onTestFinished } from 'vitest'
import { parseDigest } from '../digest.ts'
import { blobStoreSuite } from '../suite.ts'
import { parseUploadId } from '../upload-id.ts'
import { createFileBlobs } from './files.ts'
import { layoutOf } from './layout.ts'
import { after } from './sink.ts'

async function temporaryDirectory(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'blobs-'))
  return directory
}

blobStoreSuite('files', async () => {
  const directory = await temporaryDirectory()
  return {
    store: await createFileBlobs({ directory }),
    reopen: () => createFileBlobs({ directory }),
    remove: () => rm(directory, { recursive: true, force: true }),
  }
})

it('leaves only the layout on the disk after uploads that failed, were cancelled and were finished', async () => {
  const directory = await temporaryDirectory()
  onTestFinished(() => rm(directory, { recursive: true, force: true }))
  const store = await createFileBlobs({ directory })
  const content = randomBytes(1000)
  const hex = createHash('sha256').update(content).digest('hex')
  await store.put(`sha256:${hex}`, Readable.from([content]))
  const cancelled = await store.createUpload()
  await store.cancelUpload(cancelled)
  await expect(store.put(`sha256:${'0'.repeat(64)}`, Readable.from([content]))).rejects.toThrow(hex)
  const files = (await readdir(directory, { recursive: true, withFileTypes: true })).filter((entry) => entry.isFile())
  expect(files.map((file) => join(file.parentPath, file.name))).toEqual([
    join(directory, 'blobs', 'sha256', hex.slice(0, 2), hex),
  ])
})

it('passes over what is no blob when it lists, and says so', async () => {
  const directory = await temporaryDirectory()
  onTestFinished(() => rm(directory, { recursive: true, force: true }))
  const store = await createFileBlobs({ directory })
  const hex = createHash('sha256').update('x').digest('hex')
  await store.put(`sha256:${hex}`, Readable.from([Buffer.from('x')]))
  const wrongShard = hex.startsWith('00') ? '11' : '00'
  await mkdir(join(directory, 'blobs', 'sha256', wrongShard, '0'.repeat(64)), { recursive: true })
  await writeFile(join(directory, 'blobs', 'sha256', wrongShard, hex), 'x')
  await writeFile(join(directory, 'blobs', 'sha256', hex.slice(0, 2), '.nfs0001'), 'x')
  await writeFile(join(directory, 'blobs', 'note.txt'), 'x')
  const strange: string[] = []
  const digests: string[] = []
  for await (const entry of store.list({ onStrange: ({ name }) => strange.push(name) })) digests.push(entry.digest)
  expect(digests).toEqual([`sha256:${hex}`])
  expect(strange).toHaveLength(4)
})

it('heals a damaged blob when it is put again', async () => {
  const directory = await temporaryDirectory()
  onTestFinished(() => rm(directory, { recursive: true, force: true }))
  const store = await createFileBlobs({ directory })
  const content = Buffer.from('the true content')
  const digest = `sha256:${createHash('sha256').update(content).digest('hex')}`
  await store.put(digest, Readable.from([content]))
  const parsed = parseDigest(digest)
  if (parsed === undefined) throw new Error('The digest does not parse.')
  await writeFile(layoutOf(directory).blob(parsed), 'rot')
  await store.put(digest, Readable.from([content]))
  expect((await buffer(await store.open(digest))).toString()).toBe('the true content')
})

it('makes paths below its directory from any text that parses, and none from any other', () => {
  const layout = layoutOf('/data')
  fc.assert(
    fc.property(fc.oneof(fc.string({ unit: 'binary' }), hostile()), (text) => {
      const digest = parseDigest(text)
      if (digest !== undefined)
        expect(layout.blob(digest)).toMatch(/^\/data\/blobs\/sha(256|512)\/[0-9a-f]{2}\/[0-9a-f]+$/)
      const id = parseUploadId(text)
      if (id !== undefined) expect(layout.upload(id)).toMatch(/^\/data\/uploads\/[0-9a-f-]{36}$/)
    }),
    { numRuns: 2000 },
  )
})

/** Texts that are nearly digests or upload ids. */
function hostile(): fc.Arbitrary<string> {
  const piece = fc.constantFrom(
    'sha256:',
    'sha512:',
    '../',
    '/',
    '\0',
    '\n',
    '-',
    'a'.repeat(64),
    '0'.repeat(8),
    '0000',
  )
  return fc.oneof(
    fc.uuid(),
    fc.array(piece, { maxLength: 8 }).map((pieces) => pieces.join('')),
  )
}

it('goes on after a partial write exactly where the kernel stopped', () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 20 })), fc.nat(), (arrays, seed) => {
      const chunks = arrays.map((array) => Buffer.from(array))
      const whole = Buffer.concat(chunks)
      const count = whole.length === 0 ? 0 : seed % (whole.length + 1)
      expect(Buffer.concat(after(chunks, count)).equals(whole.subarray(count))).toBe(true)
    }),
  )
})

it('gives back the memory of disposable chunks that are all of their buffer, and of no others', async () => {
  const directory = await temporaryDirectory()
  onTestFinished(() => rm(directory, { recursive: true, force: true }))
  const store = await createFileBlobs({ directory })
  const whole = Buffer.from(new Uint8Array(1000).buffer)
  const part = Buffer.from(new Uint8Array(1000).buffer, 10, 500)
  const id = await store.createUpload()
  await store.appendUpload(id, 0, Readable.from([whole, part]), { disposable: true })
  expect(whole).toHaveLength(0)
  expect(part).toHaveLength(500)
})

it('stores disposable chunks whole, and leaves those of any other source as they came', async () => {
  const directory = await temporaryDirectory()
  onTestFinished(() => rm(directory, { recursive: true, force: true }))
  const store = await createFileBlobs({ directory })
  const content = randomBytes(8 * 64 * 1024)
  const digest = `sha256:${createHash('sha256').update(content).digest('hex')}`
  const chunks = () =>
    Array.from({ length: 8 }, (_, index) =>
      Buffer.from(new Uint8Array(content.subarray(index << 16, (index + 1) << 16)).buffer),
    )
  const kept = chunks()
  await store.put(digest, Readable.from(kept))
  expect(Buffer.concat(kept).equals(content)).toBe(true)
  await store.delete(digest)
  await store.put(digest, Readable.from(chunks()), { disposable: true })
  expect((await buffer(await store.open(digest))).equals(content)).toBe(true)
})
