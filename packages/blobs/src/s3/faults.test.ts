import { randomBytes } from 'node:crypto'
import { PassThrough, Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import { inspect } from 'node:util'
import { afterAll, describe, expect, it, onTestFinished } from 'vitest'
import { type FaultProxy, startFaultProxy } from '../../../../tools/fault-proxy.ts'
import { type RunningObjectStore, startObjectStore } from '../../../../tools/object-store.ts'
import { openS3Blobs, type S3BlobsOptions } from './index.ts'
import { openPlace, type Place, partBytes, sha256, shortLimits } from './place.testing.ts'

const running = await startObjectStore()
if ('skipped' in running) console.warn(`Faults of S3 were not tested: ${running.skipped}`)
const unavailable = { code: 'storage-unavailable' }

describe.skipIf('skipped' in running)('an S3 store', () => {
  const ceph = running as RunningObjectStore
  afterAll(() => ceph.stop())

  async function open(given: Partial<S3BlobsOptions> = {}): Promise<Place & { proxy: FaultProxy }> {
    const proxy = await startFaultProxy({ port: ceph.port })
    onTestFinished(() => proxy.close())
    const place = await openPlace(ceph, { endpoint: proxy.url, ...given })
    onTestFinished(() => place.close())
    return { ...place, proxy }
  }

  for (const kind of ['reset', 'silent', 'busy'] as const) {
    it(`that is away (${kind}) fails every operation with one error, in limited time, and works once it is back`, async () => {
      const { store, proxy, keys, multiparts } = await open(kind === 'silent' ? { limits: shortLimits } : {})
      const small = Buffer.from('kept')
      await store.put(sha256(small), Readable.from([small]))
      const id = await store.createUpload()
      await store.appendUpload(id, 0, Readable.from([small]))
      proxy.fail({ kind })
      const large = randomBytes(2 * partBytes)
      const refused = [
        store.stat(sha256(small)),
        store.open(sha256(small)),
        store.send(sha256(small), new PassThrough()),
        store.put(sha256(small), Readable.from([small])),
        store.put(sha256(large), Readable.from([large])),
        store.delete(sha256(small)),
        store.list()[Symbol.asyncIterator]().next(),
        store.createUpload(),
        store.uploadStatus(id),
        store.appendUpload(id, 4, Readable.from([small])),
        store.sweepUploads({ idleMs: 0 }),
      ]
      const results = await Promise.allSettled(refused)
      for (const result of results) expect(result).toMatchObject({ status: 'rejected', reason: unavailable })
      expect(proxy.hits()).toBeGreaterThan(0)
      proxy.heal()
      expect(await store.uploadStatus(id)).toEqual({ sizeBytes: 4 })
      await store.appendUpload(id, 4, Readable.from([small]))
      await store.finishUpload(id, sha256(Buffer.from('keptkept')))
      expect((await buffer(await store.open(sha256(small)))).toString()).toBe('kept')
      expect(await keys()).toHaveLength(2)
      expect(await multiparts()).toEqual([])
    })
  }

  it('that hiccups once is asked again, and nobody notices', async () => {
    const { store, proxy } = await open()
    const content = randomBytes(2 * partBytes + 5)
    proxy.fail({ kind: 'busy', times: 1 })
    await store.put(sha256(content), Readable.from([content]))
    proxy.fail({ kind: 'reset', times: 1 })
    expect(await store.stat(sha256(content))).toEqual({ sizeBytes: content.length })
    proxy.fail({ kind: 'cut-request', afterBytes: 3_000_000, times: 1 })
    await store.put(sha256(content), Readable.from([content]))
    expect(proxy.hits()).toBe(1)
    expect(content.equals(await buffer(await store.open(sha256(content))))).toBe(true)
  })

  it('that cuts a blob off while it is read is asked for the rest', async () => {
    const { store, proxy } = await open({ limits: { stallMs: shortLimits.stallMs } })
    const content = randomBytes(3_000_000)
    await store.put(sha256(content), Readable.from([content]))
    for (const kind of ['cut-answer', 'stall-answer'] as const) {
      proxy.fail({ kind, afterBytes: 1_000_000, times: 1 })
      expect(content.equals(await buffer(await store.open(sha256(content))))).toBe(true)
      proxy.fail({ kind, afterBytes: 500_000, times: 2 })
      const range = { start: 5, end: 2_500_000 }
      expect(content.subarray(5, 2_500_001).equals(await buffer(await store.open(sha256(content), range)))).toBe(true)
      expect(proxy.hits()).toBe(2)
    }
  })

  it('that cuts every blob off makes reading fail, and never end early', async () => {
    const { store, proxy } = await open({ limits: { stallMs: shortLimits.stallMs } })
    const content = randomBytes(3_000_000)
    await store.put(sha256(content), Readable.from([content]))
    for (const kind of ['cut-answer', 'stall-answer'] as const) {
      proxy.fail({ kind, afterBytes: 100_000 })
      await expect(buffer(await store.open(sha256(content)))).rejects.toMatchObject(unavailable)
      const target = new PassThrough()
      target.resume()
      await expect(store.send(sha256(content), target)).rejects.toMatchObject(unavailable)
    }
  })

  it('that goes away in the middle of an upload keeps what was acknowledged, and the upload goes on', async () => {
    const { store, proxy, keys, multiparts } = await open()
    const content = randomBytes(4 * partBytes)
    const id = await store.createUpload()
    const acknowledged = partBytes + 100
    await store.appendUpload(id, 0, Readable.from([content.subarray(0, acknowledged)]))
    async function* rest() {
      yield content.subarray(acknowledged, 2 * partBytes + 1)
      proxy.fail({ kind: 'reset' })
      yield content.subarray(2 * partBytes + 1)
    }
    await expect(store.appendUpload(id, acknowledged, Readable.from(rest()))).rejects.toMatchObject(unavailable)
    proxy.heal()
    const { sizeBytes } = await store.uploadStatus(id)
    expect(sizeBytes).toBeGreaterThanOrEqual(acknowledged)
    await store.appendUpload(id, sizeBytes, Readable.from([content.subarray(sizeBytes)]))
    await store.finishUpload(id, sha256(content))
    expect(content.equals(await buffer(await store.open(sha256(content))))).toBe(true)
    expect(await keys()).toHaveLength(1)
    expect(await multiparts()).toEqual([])
  })

  it('that goes away while an upload is finished lets it be finished later', async () => {
    const { store, proxy, keys } = await open()
    const content = randomBytes(2 * partBytes)
    for (const afterBytes of [1_000, 3_000, 5_000]) {
      const id = await store.createUpload()
      await store.appendUpload(id, 0, Readable.from([content]))
      proxy.fail({ kind: 'cut-request', afterBytes })
      const first = await store.finishUpload(id, sha256(content)).catch((error: unknown) => error)
      proxy.heal()
      const done = 'sizeBytes' in (first as object) ? first : await store.finishUpload(id, sha256(content))
      expect(done).toEqual({ sizeBytes: content.length })
      expect(content.equals(await buffer(await store.open(sha256(content))))).toBe(true)
      await store.sweepUploads({ idleMs: -60_000 })
      expect(await keys()).toHaveLength(1)
    }
  })

  it('that fails a push leaves nothing once a sweep could run, and no memory is held', async () => {
    const { store, proxy, keys, multiparts } = await open({ partsInMemory: 2 })
    const content = randomBytes(3 * partBytes)
    for (let round = 0; round < 3; round += 1) {
      async function* half() {
        yield content.subarray(0, 2 * partBytes + 1)
        proxy.fail({ kind: 'reset' })
        yield content.subarray(2 * partBytes + 1)
      }
      await expect(store.put(sha256(content), Readable.from(half()))).rejects.toMatchObject(unavailable)
      proxy.heal()
    }
    await store.sweepUploads({ idleMs: -60_000 })
    expect(await keys()).toEqual([])
    expect(await multiparts()).toEqual([])
    // With a buffer lost in each round nobody would get one any more.
    await Promise.all([
      store.put(sha256(content), Readable.from([content])),
      store.put(sha256(content), Readable.from([content])),
    ])
  })

  it('with slow pushers on all its memory says so to the next one, and serves small blobs all the same', async () => {
    const { store } = await open({ partsInMemory: 2, limits: { transferMs: shortLimits.transferMs } })
    const stuck = [new PassThrough(), new PassThrough()]
    const pushing = stuck.map((source) => store.put(sha256(Buffer.alloc(2_000_000)), source))
    for (const source of stuck) source.write(Buffer.alloc(1_000_000))
    const content = randomBytes(2_000_000)
    await expect.poll(() => stuck.every((source) => source.readableLength === 0)).toBe(true)
    await expect(store.put(sha256(content), Readable.from([content]))).rejects.toMatchObject(unavailable)
    await store.put(sha256(Buffer.from('small')), Readable.from([Buffer.from('small')]))
    for (const source of stuck) source.end(Buffer.alloc(1_000_000))
    await Promise.all(pushing)
    await store.put(sha256(content), Readable.from([content]))
  })

  it('whose quota is used up is full, and the upload gives its room back', async () => {
    const { keys, multiparts, store } = await open({ bucket: 'full' })
    await ceph.administer('quota', 'set', '--quota-scope=bucket', '--bucket=full', '--max-objects=4')
    await ceph.administer('quota', 'enable', '--quota-scope=bucket', '--bucket=full')
    const content = randomBytes(partBytes + 1)
    const failed: unknown[] = []
    await expect
      .poll(async () => {
        const id = await store.createUpload().catch((error: unknown) => failed.push(error))
        return typeof id === 'string'
          ? store.appendUpload(id, 0, Readable.from([content])).then(
              () => 'done',
              (error: { code: string }) => error.code,
            )
          : 'storage-full'
      })
      .toBe('storage-full')
    for (const error of failed) expect(error).toMatchObject({ code: 'storage-full' })
    await store.sweepUploads({ idleMs: -60_000 })
    expect(await keys()).toEqual([])
    expect(await multiparts()).toEqual([])
  })

  it('that takes the credentials away while it runs refuses, and tells nothing of them', async () => {
    const given = { accessKey: 'SHORTLIVED', secretKey: 'a-secret-nobody-may-see' }
    const user = ['--access-key', given.accessKey, '--secret-key', given.secretKey]
    await ceph.administer('user', 'create', '--uid', 'brief', '--display-name', 'brief', ...user)
    const { store } = await open({ bucket: 'brief', accessKey: given.accessKey, secretKey: () => given.secretKey })
    await ceph.administer('user', 'suspend', '--uid', 'brief')
    const failure = await store.createUpload().catch((error: unknown) => error)
    expect(failure).toMatchObject(unavailable)
    expect(inspect(failure, { depth: 10, showHidden: true })).not.toMatch(/SHORTLIVED|a-secret/)
  })

  describe('that cannot be used is said at the start, with what to do:', () => {
    const base = (): S3BlobsOptions => ({
      endpoint: ceph.endpoint,
      region: 'us-east-1',
      bucket: 'start',
      accessKey: ceph.accessKey,
      secretKey: () => ceph.secretKey,
      owner: 'first',
      downloads: 'proxy',
    })
    const opened = async (options: Partial<S3BlobsOptions>) => {
      const { close } = await openS3Blobs({ ...base(), ...options })
      close()
    }
    const sentenceOf = (options: Partial<S3BlobsOptions>) =>
      opened(options).then(
        () => 'it opened',
        (error: Error) => {
          expect(inspect(error, { depth: 10, showHidden: true })).not.toMatch(/the-wrong-secret|labsecret/)
          return error.message
        },
      )

    it('the endpoint is away', async () => {
      expect(await sentenceOf({ endpoint: 'http://127.0.0.1:1' })).toMatch(
        /cannot be reached.*ECONNREFUSED.*S3_ENDPOINT/,
      )
    })

    it('the endpoint is something else', async () => {
      const proxy = await startFaultProxy({ port: 1 })
      onTestFinished(() => proxy.close())
      proxy.fail({ kind: 'silent' })
      expect(await sentenceOf({ endpoint: proxy.url, limits: shortLimits })).toMatch(/cannot be reached.*S3_PORT/)
    })

    it('the secret key is wrong', async () => {
      expect(await sentenceOf({ secretKey: () => 'the-wrong-secret' })).toMatch(/S3_SECRETKEY/)
    })

    it('the access key is wrong', async () => {
      expect(await sentenceOf({ accessKey: 'NOBODYS' })).toMatch(/S3_ACCESSKEY/)
    })

    it('the bucket is missing and may not be made', async () => {
      await ceph.administer(
        ...['user', 'create', '--uid', 'poor', '--display-name', 'poor', '--max-buckets=-1'],
        ...['--access-key', 'POOR', '--secret-key', 'poorpoor'],
      )
      expect(await sentenceOf({ bucket: 'not-there', accessKey: 'POOR', secretKey: () => 'poorpoor' })).toMatch(
        /no bucket "not-there".*S3_BUCKET/,
      )
      expect(await sentenceOf({ accessKey: 'POOR', secretKey: () => 'poorpoor', bucket: 'blobs' })).toMatch(
        /refuses the bucket "blobs"|no bucket "blobs"/,
      )
    })

    it('the store knows no such region', async () => {
      expect(await sentenceOf({ bucket: 'elsewhere', region: 'eu-central-1' })).toMatch(/Correct S3_REGION/)
    })

    it('the bucket belongs to another installation', async () => {
      await opened({ bucket: 'owned' })
      await opened({ bucket: 'owned' })
      expect(await sentenceOf({ bucket: 'owned', owner: 'second' })).toMatch(
        /another Freehold installation.*registry\/owner/,
      )
    })
  })
})
