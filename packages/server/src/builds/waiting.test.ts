import { randomBytes } from 'node:crypto'
import { BlobError } from '@freehold/blobs'
import { buildKind, FreeholdError } from '@freehold/contracts'
import { afterEach, expect, test } from 'vitest'
import { pauseMsAfter } from './kind.ts'
import { type PlayedWorker, startPlayedWorker } from './worker.testing.ts'
import { actor, type BuildsWorld, createBuildsWorld } from './world.testing.ts'

let world: BuildsWorld
const workers: PlayedWorker[] = []
afterEach(async () => {
  await world.close()
  await Promise.all(workers.splice(0).map((worker) => worker.close()))
})

async function startWorker(): Promise<PlayedWorker> {
  const worker = await startPlayedWorker({ capabilities: { supportedArchitectures: ['amd64'] } })
  workers.push(worker)
  return worker
}

/** The dispatcher looks at all that wait, the newest last: here one that nobody makes. */
async function look(): Promise<void> {
  const { id } = await world.create({ architecture: 'arm64' })
  await expect.poll(async () => (await world.read(id)).status.message).not.toBe('Waits for a build worker.')
}

test('builds that no worker makes hold up none behind them, however many they are', async () => {
  world = await createBuildsWorld()
  const worker = await startWorker()
  const first = await world.create({ architecture: 'arm64' })
  await world.store.transaction(actor, async (transaction) => {
    for (let count = 0; count < 600; count++) await transaction.create(buildKind, { data: first.data })
  })
  const behind = await world.create()
  await world.workers([worker.url])
  world.start()
  await world.until(behind.id, 'succeeded')
  expect((await world.read(first.id)).status).toMatchObject({
    state: 'waiting',
    message: expect.stringContaining('it makes nothing for arm64'),
  })
}, 60_000)

test('a worker without room is left alone for longer each time, while another one does it', async () => {
  world = await createBuildsWorld()
  const full = await startWorker()
  full.plays((job) => job.fail('The disk of /tmp is full; nothing was kept.', 'storage-full'))
  await world.workers([{ url: full.url, id: 'full' }])
  world.start()
  const { id } = await world.create()
  for (const attempt of [1, 2]) {
    await expect
      .poll(async () => (await world.read(id)).status)
      .toMatchObject({ state: 'waiting', attempt, message: expect.stringContaining('full: it had no room') })
    world.pass(pauseMsAfter(attempt) - 40_000)
    expect(await world.listWorkers()).toMatchObject([
      { state: 'busy', message: expect.stringMatching(/^It had no room for its last job/) },
      {},
    ])
    expect(full.jobs).toHaveLength(attempt)
    if (attempt === 1) {
      world.pass(40_000)
      await look()
    }
  }
  const other = await startWorker()
  await world.workers([{ url: other.url, id: 'other' }])
  expect((await world.until(id, 'succeeded')).status).toMatchObject({ attempt: 3, workerId: 'other' })
})

test('where the control plane has no room, the build waits and says what to do, and goes on when there is some', async () => {
  world = await createBuildsWorld()
  const worker = await startWorker()
  let isFull = true
  const { blobs } = world
  const append = blobs.appendUpload.bind(blobs)
  blobs.appendUpload = async (...input) => {
    if (isFull) throw new BlobError('storage-full', 'The disk of the blobs is full.')
    return append(...input)
  }
  worker.plays(async (job) => {
    const made = await job.upload(randomBytes(900)).catch(() => undefined)
    if (made === undefined) job.fail('The control plane does not take the image: it answered 507.', 'upstream-failed')
    else job.succeed(made)
  })
  await world.workers([{ url: worker.url, id: 'one' }])
  world.start()
  const { id } = await world.create()
  await expect
    .poll(async () => (await world.read(id)).status)
    .toMatchObject({
      state: 'waiting',
      attempt: 1,
      message: expect.stringMatching(/The control plane had no room for the image: free some\..* again in a minute\.$/),
    })
  expect(await world.listWorkers()).toMatchObject([{ state: 'idle' }, {}])
  await look()
  await look()
  expect(worker.jobs).toHaveLength(1)
  isFull = false
  world.pass(pauseMsAfter(1))
  await look()
  expect((await world.until(id, 'succeeded')).status.attempt).toBe(2)
})

test('a disk of the control plane that is full before the worker has the job is not said to be that of the worker', async () => {
  let isFull = true
  world = await createBuildsWorld({
    async packAgent() {
      if (isFull) throw new FreeholdError('storage-full', 'The disk of the data directory is full: free 500 MB.')
    },
  })
  const worker = await startWorker()
  await world.workers([{ url: worker.url, id: 'one' }])
  world.start()
  const { id } = await world.create()
  await expect
    .poll(async () => (await world.read(id)).status)
    .toMatchObject({
      state: 'waiting',
      attempt: 1,
      message: expect.stringMatching(/: The disk of the data directory is full: free 500 MB\..* again in a minute\.$/),
    })
  expect(await world.listWorkers()).toMatchObject([{ state: 'idle', message: 'Ready.' }, {}])
  await look()
  expect((await world.read(id)).status.attempt).toBe(1)
  isFull = false
  world.pass(pauseMsAfter(1))
  await look()
  expect((await world.until(id, 'succeeded')).status.attempt).toBe(2)
})
