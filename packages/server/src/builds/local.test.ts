import { randomBytes } from 'node:crypto'
import { FreeholdError } from '@freehold/contracts'
import { afterEach, expect, test } from 'vitest'
import { type PlayedWorker, startPlayedWorker } from './worker.testing.ts'
import { type BuildsWorld, createBuildsWorld } from './world.testing.ts'

/** The worker of this machine, played from the contract; the process itself has its own tests. */
let world: BuildsWorld
let worker: PlayedWorker
afterEach(async () => {
  await world.close()
  await worker.close()
})

async function begin(options: { capabilities?: object; fails?: boolean } = {}) {
  const leases = { taken: 0, open: 0 }
  const token = 'token-of-this-machine'
  worker = await startPlayedWorker({ token, ...options })
  world = await createBuildsWorld({
    localWorker: {
      async acquire() {
        if (options.fails === true) throw new FreeholdError('unavailable', 'The build worker does not start.')
        leases.taken += 1
        leases.open += 1
        const release = () => {
          leases.open -= 1
        }
        return { url: worker.url, token, release }
      },
    },
  })
  return leases
}

test('is taken when there is a build to do, reaches us on this machine, and is let go of afterwards', async () => {
  const leases = await begin()
  world.start()
  expect(await world.listWorkers()).toMatchObject([{ id: 'local', url: null, state: 'idle' }])
  const { id } = await world.create()
  const build = await world.until(id, 'succeeded')
  expect(build.status.workerId).toBe('local')
  const job = worker.jobs[0]?.job
  expect(job?.cloudlyUrl).toBe(world.url)
  for (const address of [job?.upload?.url, job?.agent?.url]) expect(address).toMatch(/^http:\/\/localhost:/)
  await expect.poll(() => leases).toEqual({ taken: 1, open: 0 })
  expect(await world.everythingSaid()).not.toContain('token-of-this-machine')
})

test('is left alone while a worker elsewhere can do it', async () => {
  const leases = await begin()
  const elsewhere = await startPlayedWorker()
  elsewhere.plays(async (job) => job.succeed(await job.upload(randomBytes(5))))
  await world.workers([elsewhere.url])
  world.start()
  const { id } = await world.create()
  await world.until(id, 'succeeded')
  expect(leases.taken).toBe(0)
  await elsewhere.close()
})

test.each([
  [
    'lacks a program',
    { capabilities: { supportedImageKinds: [], problems: ['xorriso is not installed.'] } },
    'xorriso is not installed',
  ],
  ['does not start', { fails: true }, 'does not start'],
])('that %s lets the build wait and says so', async (_, options, message) => {
  const leases = await begin(options)
  world.start()
  const { id } = await world.create()
  await expect.poll(async () => (await world.read(id)).status.message).toContain(message)
  expect((await world.read(id)).status).toMatchObject({ state: 'waiting', attempt: 0 })
  expect(leases.open).toBe(0)
})
