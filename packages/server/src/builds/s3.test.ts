import { randomBytes } from 'node:crypto'
import { Readable } from 'node:stream'
import { afterEach, expect, test } from 'vitest'
import type { S3ForWorkers } from './index.ts'
import { type PlayedWorker, sha256Of, startPlayedWorker } from './worker.testing.ts'
import { type BuildsWorld, createBuildsWorld } from './world.testing.ts'

/** A bucket that is played in memory; the one of a real store is tested with the blobs. */
function createPlayedBucket() {
  const objects = new Map<string, { bytes: Buffer; modifiedAtMs: number }>()
  const s3: S3ForWorkers = {
    descriptor: () => ({ endpoint: 's3', accessKey: 'key', accessSecret: secret, bucketName: 'bucket', useSsl: false }),
    objects: {
      bucketName: 'bucket',
      async stat(key) {
        const found = objects.get(key)
        return found === undefined ? undefined : { sizeBytes: found.bytes.length }
      },
      async hash(key) {
        const bytes = objects.get(key)?.bytes ?? Buffer.alloc(0)
        return { sizeBytes: bytes.length, sha256: sha256Of(bytes) }
      },
      open: async (key, range) =>
        Readable.from([objects.get(key)?.bytes.subarray(range?.start, (range?.end ?? -2) + 1)]),
      async remove(key) {
        objects.delete(key)
      },
      async *list(prefix) {
        for (const [key, { modifiedAtMs }] of objects) if (key.startsWith(prefix)) yield { key, modifiedAtMs }
      },
      async sweep() {},
    },
  }
  const put = (key: string, bytes: Buffer, modifiedAtMs = Date.now()) => objects.set(key, { bytes, modifiedAtMs })
  return { s3, objects, put }
}

const secret = 'the-secret-key-of-the-bucket'
let world: BuildsWorld
let worker: PlayedWorker
async function begin(bucket: ReturnType<typeof createPlayedBucket>): Promise<void> {
  world = await createBuildsWorld({ s3: bucket.s3 })
  worker = await startPlayedWorker()
  await world.workers([worker.url])
  world.start()
}
afterEach(async () => {
  await world.close()
  await worker.close()
})

test('an image goes to the bucket under the key it was told, is verified, served and removed there', async () => {
  const bucket = createPlayedBucket()
  await begin(bucket)
  const bytes = randomBytes(1000)
  worker.plays((job) => {
    job.say({ log: JSON.stringify(job.job) })
    bucket.put(job.job.artifactKey ?? '', bytes)
    job.succeed({ size: bytes.length, sha256: sha256Of(bytes) })
  })
  const { id } = await world.create()
  const { status } = await world.until(id, 'succeeded')
  expect(worker.jobs[0]?.job.upload).toBeUndefined()
  const key = `corebuild/baseos/${id}/baseos-amd64-${id.slice(-8)}.iso`
  expect(status.artifact?.location).toEqual({ store: 's3', bucketName: 'bucket', key })
  const { url } = await world.download(id)
  const part = await fetch(url, { headers: { range: 'bytes=100-199' } })
  expect(Buffer.from(await part.arrayBuffer()).equals(bytes.subarray(100, 200))).toBe(true)
  expect(await world.everythingSaid()).not.toContain(secret)
  await world.remove(id)
  expect(bucket.objects.size).toBe(0)
})

test('bytes in the bucket that are not what the worker says are no image, and go', async () => {
  const bucket = createPlayedBucket()
  await begin(bucket)
  const keys: string[] = []
  worker.plays((job) => {
    keys.push(job.job.artifactKey ?? '')
    bucket.put(job.job.artifactKey ?? '', randomBytes(1000))
    job.succeed({ size: 1000, sha256: 'e'.repeat(64) })
  })
  const { id } = await world.create()
  await expect.poll(async () => (await world.read(id)).status.state, { timeout: 15_000 }).toBe('failed')
  expect((await world.read(id)).status.message).toContain('another sha256')
  expect(new Set(keys).size).toBe(3)
  await expect.poll(() => bucket.objects.size).toBe(0)
})

test('an image in a bucket that is not configured now is not taken for gone', async () => {
  const bucket = createPlayedBucket()
  await begin(bucket)
  const bytes = randomBytes(1000)
  worker.plays((job) => {
    bucket.put(job.job.artifactKey ?? '', bytes)
    job.succeed({ size: bytes.length, sha256: sha256Of(bytes) })
  })
  const { id } = await world.create()
  const { status } = await world.until(id, 'succeeded')
  bucket.s3.objects.bucketName = 'another'
  await expect(world.download(id)).rejects.toThrow('in the bucket "bucket", which is not the configured one')
  expect((await world.read(id)).status.artifact).toEqual(status.artifact)
  bucket.s3.objects.bucketName = 'bucket'
  expect((await fetch((await world.download(id)).url)).status).toBe(200)
})

test('what a worker left in the bucket after it was given up goes with the clean-up, once it is old', async () => {
  const bucket = createPlayedBucket()
  const dayAgo = Date.now() - 25 * 3_600_000
  bucket.put('corebuild/baseos/nobody/a.iso', randomBytes(5), dayAgo)
  bucket.put('corebuild/baseos/nobody/b.iso', randomBytes(5))
  bucket.put('registry/blobs/x', randomBytes(5), dayAgo)
  await begin(bucket)
  await expect.poll(() => [...bucket.objects.keys()]).toEqual(['corebuild/baseos/nobody/b.iso', 'registry/blobs/x'])
})
