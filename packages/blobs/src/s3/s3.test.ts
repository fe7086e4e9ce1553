import { randomBytes } from 'node:crypto'
import { Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import { afterAll, describe, expect, it, onTestFinished } from 'vitest'
import { type RunningObjectStore, startObjectStore } from '../../../../tools/object-store.ts'
import { blobStoreSuite } from '../suite.ts'
import type { S3BlobsOptions } from './index.ts'
import { openPlace, type Place, partBytes, sha256 } from './place.testing.ts'

const running = await startObjectStore()
if ('skipped' in running) console.warn(`Blobs in S3 were not tested: ${running.skipped}`)

describe.skipIf('skipped' in running)('on a Ceph object gateway', () => {
  const ceph = running as RunningObjectStore
  afterAll(() => ceph.stop())

  async function open(options: Partial<S3BlobsOptions> = {}): Promise<Place> {
    const place = await openPlace(ceph, options)
    onTestFinished(() => place.close())
    return place
  }

  blobStoreSuite('s3', async () => {
    const { store, reopen, close } = await openPlace(ceph)
    return { store, reopen: () => reopen(), remove: async () => close() }
  })

  for (const sizeBytes of [partBytes - 1, partBytes, partBytes + 1, 3 * partBytes, 3 * partBytes + 7]) {
    it(`stores ${sizeBytes} bytes whole, in parts of equal size, and nothing beside the blob`, async () => {
      const { store, keys, multiparts } = await open()
      const content = randomBytes(sizeBytes)
      const digest = sha256(content)
      await store.put(digest, chunked(content))
      expect(content.equals(await buffer(await store.open(digest)))).toBe(true)
      expect(await keys()).toHaveLength(1)
      expect(await multiparts()).toEqual([])
    })

    it(`takes ${sizeBytes} bytes in chunks of odd sizes, by another process each, and finds them right`, async () => {
      const place = await open()
      const content = randomBytes(sizeBytes)
      const digest = sha256(content)
      const id = await place.store.createUpload()
      const cuts = [0, 3, 2_000_000, partBytes - 5, partBytes + 3, 2 * partBytes + 1, sizeBytes]
        .map((at) => Math.min(at, sizeBytes))
        .toSorted((a, b) => a - b)
      for (const [index, start] of cuts.slice(0, -1).entries()) {
        const store = await place.reopen()
        expect(await store.uploadStatus(id)).toEqual({ sizeBytes: start })
        await store.appendUpload(id, start, chunked(content.subarray(start, cuts[index + 1])))
      }
      expect(await (await place.reopen()).finishUpload(id, digest)).toEqual({ sizeBytes })
      expect(content.equals(await buffer(await place.store.open(digest)))).toBe(true)
      expect(await place.keys()).toEqual([expect.stringMatching(/^blobs\/sha256\//)])
      expect(await place.multiparts()).toEqual([])
    })
  }

  it('sends only parts of equal size but for the last, however the bytes come', async () => {
    const { store, s3, options, multiparts } = await open()
    const id = await store.createUpload()
    for (const [offset, sizeBytes] of [
      [0, 7_000_000],
      [7_000_000, 1],
      [7_000_001, 9_000_000],
    ] as const) {
      await store.appendUpload(id, offset, chunked(randomBytes(sizeBytes)))
    }
    const [multipart] = await multiparts()
    const { Parts } = await s3.listParts({
      Bucket: options.bucket,
      Key: `${options.prefix}${multipart?.key}`,
      UploadId: multipart?.id ?? '',
    })
    expect(Parts?.map((part) => part.Size)).toEqual([partBytes, partBytes, partBytes])
  })

  it('copies a blob that is larger than one request may copy in ranges', async () => {
    const { store } = await open({ largestCopyBytes: partBytes })
    const content = randomBytes(2 * partBytes + 100)
    const id = await store.createUpload()
    await store.appendUpload(id, 0, chunked(content))
    await store.finishUpload(id, sha256(content))
    expect(content.equals(await buffer(await store.open(sha256(content))))).toBe(true)
  })

  it('goes on after a crash between two parts, without the part that has a gap before it', async () => {
    const place = await open()
    const content = randomBytes(3 * partBytes)
    const id = await place.store.createUpload()
    await place.store.appendUpload(id, 0, chunked(content.subarray(0, partBytes + 10)))
    const [multipart] = await place.multiparts()
    // The third part arrived, the second did not, and what they are is lost with the process.
    await place.s3.uploadPart({
      Bucket: place.options.bucket,
      Key: `${place.options.prefix}${multipart?.key}`,
      UploadId: multipart?.id ?? '',
      PartNumber: 3,
      Body: randomBytes(partBytes),
    })
    const store = await place.reopen()
    expect(await store.uploadStatus(id)).toEqual({ sizeBytes: partBytes + 10 })
    await store.appendUpload(id, partBytes + 10, chunked(content.subarray(partBytes + 10)))
    await store.finishUpload(id, sha256(content))
    expect(content.equals(await buffer(await store.open(sha256(content))))).toBe(true)
  })

  it('never finishes bytes that another writer changed under the hash that is remembered', async () => {
    const place = await open()
    const other = await place.reopen()
    const content = randomBytes(100)
    const id = await place.store.createUpload()
    await place.store.appendUpload(id, 0, chunked(content))
    await other.appendUpload(id, 100, chunked(Buffer.from('more')))
    await expect(place.store.finishUpload(id, sha256(content))).rejects.toMatchObject({ code: 'digest-mismatch' })
    expect(await place.store.stat(sha256(content))).toBeUndefined()
    expect(await place.keys()).toEqual([])
  })

  it('finishes an upload whose finishing was interrupted after its parts were joined', async () => {
    const place = await open()
    const content = randomBytes(2 * partBytes + 1)
    const id = await place.store.createUpload()
    await place.store.appendUpload(id, 0, chunked(content.subarray(0, 2 * partBytes)))
    await place.store.appendUpload(id, 2 * partBytes, chunked(content.subarray(2 * partBytes)))
    const [multipart] = await place.multiparts()
    const object = { Bucket: place.options.bucket, Key: `${place.options.prefix}${multipart?.key}` }
    const ofUpload = { ...object, UploadId: multipart?.id ?? '' }
    await place.s3.uploadPart({ ...ofUpload, PartNumber: 3, Body: content.subarray(2 * partBytes) })
    const { Parts } = await place.s3.listParts(ofUpload)
    await place.s3.completeMultipartUpload({
      ...ofUpload,
      MultipartUpload: { Parts: (Parts ?? []).map(({ PartNumber, ETag }) => ({ PartNumber, ETag })) },
    })
    const store = await place.reopen()
    expect(await store.uploadStatus(id)).toEqual({ sizeBytes: content.length })
    await store.finishUpload(id, sha256(content))
    expect(content.equals(await buffer(await store.open(sha256(content))))).toBe(true)
    expect(await place.keys()).toHaveLength(1)
  })

  it('sweeps multipart uploads that a process left behind when it died, and those of running pushes not', async () => {
    const place = await open()
    const Bucket = place.options.bucket
    const orphan = `${place.options.prefix}blobs/sha256/aa/${'a'.repeat(64)}`
    const { UploadId } = await place.s3.createMultipartUpload({ Bucket, Key: orphan })
    await place.s3.uploadPart({ Bucket, Key: orphan, UploadId, PartNumber: 1, Body: Buffer.from('left behind') })
    await place.s3.createMultipartUpload({ Bucket, Key: `${place.options.prefix}uploads/${crypto.randomUUID()}/data` })
    const content = randomBytes(3 * partBytes)
    const halfway = Promise.withResolvers<void>()
    const go = Promise.withResolvers<void>()
    async function* pushed() {
      yield content.subarray(0, 2 * partBytes)
      halfway.resolve()
      await go.promise
      yield content.subarray(2 * partBytes)
    }
    const pushing = place.store.put(sha256(content), Readable.from(pushed(), { highWaterMark: 1 }))
    await halfway.promise
    await expect.poll(async () => (await place.multiparts()).length).toBe(3)
    expect(await place.store.sweepUploads({ idleMs: 3_600_000 })).toEqual({ removed: 0, sizeBytes: 0 })
    expect(await place.store.sweepUploads({ idleMs: -60_000 })).toEqual({ removed: 2, sizeBytes: 11 })
    go.resolve()
    await pushing
    expect(content.equals(await buffer(await place.store.open(sha256(content))))).toBe(true)
    expect(await place.multiparts()).toEqual([])
  })

  it('clears away what is left of an upload whose removal was interrupted', async () => {
    const place = await open()
    const key = `uploads/${crypto.randomUUID()}/tail-0`
    await place.s3.putObject({ Bucket: place.options.bucket, Key: `${place.options.prefix}${key}`, Body: 'x' })
    await place.store.sweepUploads({ idleMs: 3_600_000 })
    expect(await place.keys()).toEqual([key])
    await place.store.sweepUploads({ idleMs: -60_000 })
    expect(await place.keys()).toEqual([])
  })

  it('lists more blobs than one page holds, and tells of what is none', async () => {
    const place = await open()
    const Bucket = place.options.bucket
    const put = (key: string) => place.s3.putObject({ Bucket, Key: `${place.options.prefix}${key}`, Body: 'x' })
    const names = Array.from({ length: 1005 }, (_, index) => index.toString(16).padStart(64, '0'))
    const left = [...names]
    const worker = async () => {
      for (let hex = left.pop(); hex !== undefined; hex = left.pop())
        await put(`blobs/sha256/${hex.slice(0, 2)}/${hex}`)
    }
    await Promise.all(Array.from({ length: 16 }, worker))
    await put('blobs/note.txt')
    await put(`blobs/sha256/11/${'0'.repeat(64)}`)
    const strange: string[] = []
    const digests: string[] = []
    for await (const { digest } of place.store.list({ onStrange: ({ name }) => strange.push(name) }))
      digests.push(digest)
    expect(digests).toEqual(names.map((hex) => `sha256:${hex}`))
    expect(strange).toHaveLength(2)
  })

  it('gives addresses that carry their own permission, for ranges too, where downloads are redirected', async () => {
    const { store, reopen } = await open({ downloads: 'redirect' })
    const digest = sha256(Buffer.from('0123456789'))
    await store.put(digest, Readable.from([Buffer.from('0123456789')]))
    const address = (await store.locate?.(digest)) ?? ''
    expect(await (await fetch(address)).text()).toBe('0123456789')
    const range = await fetch(address, { headers: { range: 'bytes=3-5' } })
    expect([range.status, await range.text()]).toEqual([206, '345'])
    expect((await fetch(address, { method: 'DELETE' })).status).toBe(403)
    const forged = address.replace(/(?<=Signature=)./, (first) => (first === '0' ? '1' : '0'))
    expect((await fetch(forged)).status).toBe(403)
    await expect(store.locate?.('../owner')).rejects.toMatchObject({ code: 'digest-invalid' })
    expect((await reopen({ downloads: 'proxy' })).locate).toBeUndefined()
  })

  it('holds no more memory for many transfers at once than for its parts', async () => {
    const { store } = await open({ partsInMemory: 4 })
    const chunk = randomBytes(1024 * 1024)
    const content = Buffer.concat(Array.from({ length: 12 }, () => chunk))
    const digest = sha256(content)
    const before = process.memoryUsage().arrayBuffers
    let most = 0
    async function* chunks() {
      for (let count = 0; count < 12; count += 1) {
        most = Math.max(most, process.memoryUsage().arrayBuffers - before)
        yield chunk
      }
    }
    await Promise.all(
      Array.from({ length: 12 }, () => store.put(digest, Readable.from(chunks(), { highWaterMark: 1 }))),
    )
    expect(await store.stat(digest)).toEqual({ sizeBytes: content.length })
    // Four parts, what the transfers without one hold, and as much again that nobody has collected yet.
    expect(most).toBeLessThan(2 * (4 * partBytes + 12 * 1024 * 1024))
  })
})

function chunked(content: Buffer): Readable {
  const step = 64 * 1024
  const count = Math.ceil(content.length / step)
  return Readable.from(Array.from({ length: count }, (_, index) => content.subarray(index * step, (index + 1) * step)))
}
