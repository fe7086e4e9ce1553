import { createHash, randomBytes, randomUUID } from 'node:crypto'
import { PassThrough, Readable, Writable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import { setImmediate as turn } from 'node:timers/promises'
import { describe, expect, it, onTestFinished } from 'vitest'
import type { BlobStore } from './blobs.ts'
import type { DigestAlgorithm } from './digest.ts'

/** One store on an empty place, and the same place opened anew as after a restart of the process. */
export interface BlobStorePlace {
  store: BlobStore
  reopen(): Promise<BlobStore>
  remove(): Promise<void>
}

/** What every blob store must do; each implementation's test runs it. */
export function blobStoreSuite(name: string, createPlace: () => Promise<BlobStorePlace>): void {
  const place = async () => {
    const created = await createPlace()
    onTestFinished(() => created.remove())
    return created
  }
  describe(`${name}: whole blobs`, () => wholeBlobs(place))
  describe(`${name}: uploads`, () => uploads(place))
  describe(`${name}: input it must refuse`, () => refusals(place))
}

type Place = () => Promise<BlobStorePlace>

function wholeBlobs(place: Place): void {
  for (const algorithm of ['sha256', 'sha512'] as const) {
    it(`gives back what was put under a ${algorithm} digest`, async () => {
      const { store } = await place()
      const content = randomBytes(3_000_001)
      const digest = digestOf(content, algorithm)
      expect(await store.put(digest, Readable.from([content.subarray(0, 7), content.subarray(7)]))).toEqual({
        sizeBytes: content.length,
      })
      expect(await store.stat(digest)).toEqual({ sizeBytes: content.length })
      expect(content.equals(await buffer(await store.open(digest)))).toBe(true)
    })
  }

  it('stores the empty blob', async () => {
    const { store } = await place()
    const digest = digestOf(Buffer.alloc(0))
    await store.put(digest, Readable.from([]))
    expect(await store.stat(digest)).toEqual({ sizeBytes: 0 })
    expect((await buffer(await store.open(digest))).length).toBe(0)
  })

  it('lists every blob with its size and time, in order and from anywhere, and no upload', async () => {
    const { store } = await place()
    expect(await listed(store)).toEqual([])
    const small = digestOf(Buffer.from('small'), 'sha512')
    await store.put(small, Readable.from([Buffer.from('small')]))
    const digests = [small, ...(await Promise.all(['one', 'two', 'three'].map((text) => putText(store, text))))]
    const id = await store.createUpload()
    await append(store, id, 0, 'an upload')
    const entries = await listed(store)
    expect(entries.map((entry) => entry.digest)).toEqual(digests.toSorted())
    for (const [index, { digest }] of entries.entries()) {
      expect(await listed(store, digest)).toEqual(entries.slice(index + 1))
    }
    expect(entries.find((entry) => entry.digest === small)?.sizeBytes).toBe(5)
    for (const { modifiedAtMs } of entries) expect(Math.abs(Date.now() - modifiedAtMs)).toBeLessThan(600_000)
    for await (const { digest } of store.list()) expect(await store.delete(digest)).toBe(true)
    expect(await listed(store)).toEqual([])
  })

  it('reads ranges, both ends included', async () => {
    const { store } = await place()
    const digest = await putText(store, '0123456789')
    expect((await buffer(await store.open(digest, { start: 0, end: 0 }))).toString()).toBe('0')
    expect((await buffer(await store.open(digest, { start: 3, end: 5 }))).toString()).toBe('345')
    expect((await buffer(await store.open(digest, { start: 9, end: 9 }))).toString()).toBe('9')
  })

  it('sends a blob, or a range of it, into a target at the pace of the target', async () => {
    const { store } = await place()
    const content = randomBytes(3_000_001)
    const digest = digestOf(content)
    await store.put(digest, Readable.from([content]))
    for (const range of [undefined, { start: 1, end: 2_000_000 }, { start: 3_000_000, end: 3_000_000 }]) {
      const taken: Buffer[] = []
      const target = new Writable({
        highWaterMark: 1000,
        write(chunk: Buffer, _encoding, done) {
          // As a socket does: the bytes are copied away, later than the call, before the callback.
          setImmediate(() => {
            taken.push(Buffer.from(chunk))
            done()
          })
        },
      })
      await store.send(digest, target, range)
      expect(target.writableEnded).toBe(false)
      const expected = range === undefined ? content : content.subarray(range.start, range.end + 1)
      expect(expected.equals(Buffer.concat(taken))).toBe(true)
    }
    const empty = await putText(store, '')
    await store.send(empty, new PassThrough())
  })

  it('stops sending when the target closes, fails or was closed before', async () => {
    const { store } = await place()
    const digest = digestOf(Buffer.alloc(3_000_000))
    await store.put(digest, Readable.from([Buffer.alloc(3_000_000)]))
    const stuck = new PassThrough({ highWaterMark: 1000 })
    const sending = store.send(digest, stuck)
    await turn()
    stuck.destroy()
    await expect(sending).rejects.toThrow()
    await expect(store.send(digest, stuck)).rejects.toThrow()
    const failure = new Error('the target failed')
    const failing = new Writable({ write: (_chunk, _encoding, done) => done(failure) })
    failing.on('error', () => {})
    await expect(store.send(digest, failing)).rejects.toThrow()
    await expect(store.send(digestOf(Buffer.from('none')), new PassThrough())).rejects.toMatchObject({
      code: 'blob-unknown',
    })
    await expect(store.send(digest, new PassThrough(), { start: 0, end: 3_000_000 })).rejects.toMatchObject({
      code: 'range-invalid',
    })
  })

  it('refuses ranges that are not within the blob', async () => {
    const { store } = await place()
    const digest = await putText(store, '0123456789')
    for (const range of [
      { start: 0, end: 10 },
      { start: 5, end: 4 },
      { start: -1, end: 4 },
      { start: 0.5, end: 4 },
    ]) {
      await expect(store.open(digest, range)).rejects.toMatchObject({ code: 'range-invalid' })
    }
  })

  it('keeps nothing of content with another digest', async () => {
    const { store } = await place()
    const digest = digestOf(Buffer.from('expected'))
    await expect(store.put(digest, Readable.from([Buffer.from('other')]))).rejects.toMatchObject({
      code: 'digest-mismatch',
    })
    expect(await store.stat(digest)).toBeUndefined()
    expect(await store.sweepUploads({ idleMs: -1 })).toEqual({ removed: 0, sizeBytes: 0 })
  })

  it('keeps nothing of content whose source fails, and passes the failure on', async () => {
    const { store } = await place()
    const failure = new Error('the client went away')
    const digest = digestOf(Buffer.from('abc'))
    await expect(store.put(digest, failingAfter(Buffer.from('ab'), failure))).rejects.toBe(failure)
    expect(await store.stat(digest)).toBeUndefined()
    expect(await store.sweepUploads({ idleMs: -1 })).toEqual({ removed: 0, sizeBytes: 0 })
  })

  it('lets many writers put the same digest at once', async () => {
    const { store } = await place()
    const content = randomBytes(500_000)
    const digest = digestOf(content)
    await Promise.all(Array.from({ length: 8 }, () => store.put(digest, Readable.from([content]))))
    expect(content.equals(await buffer(await store.open(digest)))).toBe(true)
  })

  it('deletes a blob once, while a reader of it goes on to the end', async () => {
    const { store } = await place()
    const content = randomBytes(2_000_000)
    const digest = digestOf(content)
    await store.put(digest, Readable.from([content]))
    const reader = await store.open(digest)
    expect(await store.delete(digest)).toBe(true)
    expect(await store.delete(digest)).toBe(false)
    expect(content.equals(await buffer(reader))).toBe(true)
    expect(await store.stat(digest)).toBeUndefined()
    await expect(store.open(digest)).rejects.toMatchObject({ code: 'blob-unknown' })
  })

  it('still has a blob after a restart', async () => {
    const { store, reopen } = await place()
    const digest = await putText(store, 'kept')
    expect((await buffer(await (await reopen()).open(digest))).toString()).toBe('kept')
  })
}

function uploads(place: Place): void {
  it('joins chunks in order and says how far it is', async () => {
    const { store } = await place()
    const id = await store.createUpload()
    expect(await store.uploadStatus(id)).toEqual({ sizeBytes: 0 })
    expect(await append(store, id, 0, 'Hello')).toEqual({ sizeBytes: 5 })
    expect(await append(store, id, 5, ' world')).toEqual({ sizeBytes: 11 })
    expect(await store.uploadStatus(id)).toEqual({ sizeBytes: 11 })
    const digest = digestOf(Buffer.from('Hello world'))
    expect(await store.finishUpload(id, digest)).toEqual({ sizeBytes: 11 })
    expect((await buffer(await store.open(digest))).toString()).toBe('Hello world')
    await expect(store.uploadStatus(id)).rejects.toMatchObject({ code: 'upload-unknown' })
  })

  it('finishes with another algorithm than it began with', async () => {
    const { store } = await place()
    const id = await store.createUpload({ algorithm: 'sha256' })
    await append(store, id, 0, 'text')
    const digest = digestOf(Buffer.from('text'), 'sha512')
    await store.finishUpload(id, digest)
    expect(await store.stat(digest)).toEqual({ sizeBytes: 4 })
  })

  it('refuses a chunk at any other offset and keeps what it has', async () => {
    const { store } = await place()
    const id = await store.createUpload()
    await append(store, id, 0, '01234')
    for (const offset of [0, 4, 6]) {
      await expect(append(store, id, offset, 'x')).rejects.toMatchObject({ code: 'offset-mismatch' })
    }
    await append(store, id, 5, '56789')
    await store.finishUpload(id, digestOf(Buffer.from('0123456789')))
  })

  it('goes on after a restart', async () => {
    const { store, reopen } = await place()
    const id = await store.createUpload()
    await append(store, id, 0, 'first ')
    const reopened = await reopen()
    expect(await reopened.uploadStatus(id)).toEqual({ sizeBytes: 6 })
    await append(reopened, id, 6, 'second')
    const digest = digestOf(Buffer.from('first second'))
    await reopened.finishUpload(id, digest)
    expect((await buffer(await reopened.open(digest))).toString()).toBe('first second')
  })

  it('finishes after a restart without another chunk', async () => {
    const { store, reopen } = await place()
    const id = await store.createUpload()
    await append(store, id, 0, 'whole')
    const digest = digestOf(Buffer.from('whole'))
    expect(await (await reopen()).finishUpload(id, digest)).toEqual({ sizeBytes: 5 })
  })

  it('keeps the bytes before a failure of the source, and goes on from there', async () => {
    const { store } = await place()
    const id = await store.createUpload()
    const failure = new Error('the client went away')
    await append(store, id, 0, 'begin')
    await expect(store.appendUpload(id, 5, failingAfter(Buffer.from('-more'), failure))).rejects.toBe(failure)
    const { sizeBytes } = await store.uploadStatus(id)
    expect(sizeBytes).toBeGreaterThanOrEqual(5)
    const content = Buffer.from('begin-more-and-the-end')
    await append(store, id, sizeBytes, content.subarray(sizeBytes).toString())
    await store.finishUpload(id, digestOf(content))
    expect(content.equals(await buffer(await store.open(digestOf(content))))).toBe(true)
  })

  it('removes an upload whose content has another digest', async () => {
    const { store } = await place()
    const id = await store.createUpload()
    await append(store, id, 0, 'other')
    const wrong = digestOf(Buffer.from('expected'))
    await expect(store.finishUpload(id, wrong)).rejects.toMatchObject({ code: 'digest-mismatch' })
    await expect(store.uploadStatus(id)).rejects.toMatchObject({ code: 'upload-unknown' })
    expect(await store.stat(wrong)).toBeUndefined()
  })

  it('takes one writer at a time', async () => {
    const { store } = await place()
    const id = await store.createUpload()
    const slow = new PassThrough()
    const running = store.appendUpload(id, 0, slow)
    await expect(append(store, id, 0, 'x')).rejects.toMatchObject({ code: 'upload-busy' })
    await expect(store.finishUpload(id, digestOf(Buffer.from('x')))).rejects.toMatchObject({ code: 'upload-busy' })
    await expect(store.cancelUpload(id)).rejects.toMatchObject({ code: 'upload-busy' })
    expect(await store.sweepUploads({ idleMs: -1 })).toEqual({ removed: 0, sizeBytes: 0 })
    slow.end('slow')
    expect(await running).toEqual({ sizeBytes: 4 })
  })

  it('refuses a chunk without destroying its source, so that the sender can be answered', async () => {
    const { store } = await place()
    const id = await store.createUpload()
    const source = Readable.from([Buffer.from('x')])
    await expect(store.appendUpload(id, 5, source)).rejects.toMatchObject({ code: 'offset-mismatch' })
    expect(source.destroyed).toBe(false)
  })

  it('forgets a cancelled upload', async () => {
    const { store } = await place()
    const id = await store.createUpload()
    await append(store, id, 0, 'x')
    await store.cancelUpload(id)
    await expect(store.cancelUpload(id)).rejects.toMatchObject({ code: 'upload-unknown' })
    await expect(append(store, id, 1, 'x')).rejects.toMatchObject({ code: 'upload-unknown' })
  })

  it('sweeps idle uploads and no blobs', async () => {
    const { store } = await place()
    const digest = await putText(store, 'blob')
    const id = await store.createUpload()
    await append(store, id, 0, '12345')
    expect(await store.sweepUploads({ idleMs: 3_600_000 })).toEqual({ removed: 0, sizeBytes: 0 })
    expect(await store.sweepUploads({ idleMs: -1 })).toEqual({ removed: 1, sizeBytes: 5 })
    await expect(store.uploadStatus(id)).rejects.toMatchObject({ code: 'upload-unknown' })
    expect(await store.stat(digest)).toEqual({ sizeBytes: 4 })
  })

  it('takes no more from a source than the storage keeps up with', async () => {
    const { store } = await place()
    const id = await store.createUpload()
    const chunk = randomBytes(64 * 1024)
    let taken = 0
    async function* chunks() {
      for (let count = 0; count < 512; count += 1) {
        taken += chunk.length
        yield chunk
        if (count % 64 === 0) await turn()
      }
    }
    const before = process.memoryUsage().arrayBuffers
    const appended = await store.appendUpload(id, 0, Readable.from(chunks(), { highWaterMark: 1 }))
    expect(appended.sizeBytes).toBe(taken)
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(16 * 1024 * 1024)
  })
}

function refusals(place: Place): void {
  const hex = 'a'.repeat(64)
  const digests = [
    '',
    'sha256:',
    `sha256:${'a'.repeat(63)}`,
    `sha256:${'A'.repeat(64)}`,
    `sha512:${hex}`,
    `md5:${'a'.repeat(32)}`,
    `sha256:${hex}\n`,
    `sha256:../../../${'a'.repeat(55)}`,
    `../sha256:${hex}`,
    `sha256/${hex}`,
    `sha256:${hex}/..`,
    '__proto__',
  ]
  it('refuses whatever is not a whole digest', async () => {
    const { store } = await place()
    const id = await store.createUpload()
    for (const digest of digests) {
      const refused = { code: 'digest-invalid' }
      await expect(store.stat(digest), digest).rejects.toMatchObject(refused)
      await expect(store.open(digest), digest).rejects.toMatchObject(refused)
      await expect(store.delete(digest), digest).rejects.toMatchObject(refused)
      await expect(store.put(digest, Readable.from([])), digest).rejects.toMatchObject(refused)
      await expect(store.finishUpload(id, digest), digest).rejects.toMatchObject(refused)
    }
    expect(await store.uploadStatus(id)).toEqual({ sizeBytes: 0 })
  })

  it('knows no upload by any other name than the one it gave', async () => {
    const { store } = await place()
    const digest = await putText(store, 'x')
    const id = await store.createUpload()
    for (const other of ['', '.', '..', `../blobs/${digest}`, `${id}/../${id}`, id.toUpperCase() + id, randomUUID()]) {
      const refused = { code: 'upload-unknown' }
      await expect(store.uploadStatus(other), other).rejects.toMatchObject(refused)
      await expect(append(store, other, 0, 'x'), other).rejects.toMatchObject(refused)
      await expect(store.finishUpload(other, digest), other).rejects.toMatchObject(refused)
      await expect(store.cancelUpload(other), other).rejects.toMatchObject(refused)
    }
  })

  it('knows no blob that was never put', async () => {
    const { store } = await place()
    expect(await store.stat(`sha256:${hex}`)).toBeUndefined()
    expect(await store.delete(`sha256:${hex}`)).toBe(false)
    await expect(store.open(`sha256:${hex}`)).rejects.toMatchObject({ code: 'blob-unknown' })
  })
}

const listed = (store: BlobStore, after = '') => Array.fromAsync(store.list({ after }))

function digestOf(content: Buffer, algorithm: DigestAlgorithm = 'sha256'): string {
  return `${algorithm}:${createHash(algorithm).update(content).digest('hex')}`
}

async function putText(store: BlobStore, text: string): Promise<string> {
  const digest = digestOf(Buffer.from(text))
  await store.put(digest, Readable.from([Buffer.from(text)]))
  return digest
}

function append(store: BlobStore, id: string, offset: number, text: string) {
  return store.appendUpload(id, offset, Readable.from([Buffer.from(text)]))
}

function failingAfter(content: Buffer, failure: Error): Readable {
  async function* parts() {
    yield content
    await turn()
    throw failure
  }
  return Readable.from(parts())
}
