import { randomBytes } from 'node:crypto'
import { Readable } from 'node:stream'
import { afterEach, expect, test } from 'vitest'
import { createCollection } from '../registry/garbage.testing.ts'
import { type PlayedWorker, sha256Of, startPlayedWorker } from './worker.testing.ts'
import { type BuildsWorld, createBuildsWorld } from './world.testing.ts'

/** Images and the garbage collection of the blobs, which grants no time here: what no row names goes with its second pass. */
let world: BuildsWorld
let worker: PlayedWorker
let collection: ReturnType<typeof createCollection>
afterEach(async () => {
  await world.close()
  await worker.close()
})

async function begin(): Promise<void> {
  world = await createBuildsWorld({
    guard: (parts) => {
      collection = createCollection(parts)
      return collection.guard
    },
  })
  worker = await startPlayedWorker()
  await world.workers([worker.url])
  world.start()
}

async function collectTwice(): Promise<number> {
  const passes = [await collection.collect(), await collection.collect()]
  expect(passes.map(({ failures }) => failures)).toEqual([0, 0])
  return passes.reduce((sum, { removedBlobs }) => sum + removedBlobs, 0)
}

test('an image that has arrived survives it until the worker has told its result, and after that', async () => {
  await begin()
  const bytes = randomBytes(50_000)
  worker.plays(async (job) => {
    const made = await job.upload(bytes)
    expect(await collectTwice()).toBe(0)
    job.succeed(made)
    // While it is verified and named.
    await collectTwice()
  })
  const { id } = await world.create()
  const { status } = await world.until(id, 'succeeded')
  expect(status.attempt).toBe(1)
  await collectTwice()
  const { url } = await world.download(id)
  expect(sha256Of(Buffer.from(await (await fetch(url)).arrayBuffer()))).toBe(sha256Of(bytes))
})

test('an image whose old bytes are condemned already survives it too', async () => {
  await begin()
  const bytes = randomBytes(50_000)
  const digest = `sha256:${sha256Of(bytes)}`
  const before = await world.blobs.createUpload()
  await world.blobs.appendUpload(before, 0, Readable.from([bytes]))
  await world.blobs.finishUpload(before, digest)
  expect(await collection.collect()).toMatchObject({ condemned: 1, removedBlobs: 0 })
  worker.plays(async (job) => {
    const made = await job.upload(bytes)
    expect(await collectTwice()).toBe(0)
    job.succeed(made)
  })
  const { id } = await world.create()
  expect((await world.until(id, 'succeeded')).status.attempt).toBe(1)
  await collectTwice()
  expect(await world.blobs.stat(digest)).toMatchObject({ sizeBytes: bytes.length })
})

test('an image that came to nothing is gone at once, and holds nothing up', async () => {
  await begin()
  worker.plays(async (job) => {
    await job.upload(randomBytes(500))
    job.fail('It is no image.', 'invalid-input')
  })
  const { id } = await world.create()
  await expect.poll(async () => (await world.read(id)).status.state).toBe('failed')
  await world.log(id, true)
  await expect.poll(() => Array.fromAsync(world.blobs.list())).toEqual([])
})
