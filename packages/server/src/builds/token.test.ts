import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pino } from 'pino'
import { afterEach, expect, test } from 'vitest'
import { createLocalBuildWorker } from '../local-build-worker/index.ts'
import { type PlayedWorker, startPlayedWorker } from './worker.testing.ts'
import { type BuildsWorld, createBuildsWorld } from './world.testing.ts'

/** The token of a worker: found out as early as the worker can tell. */
let world: BuildsWorld
const workers: PlayedWorker[] = []
const right = 'the-token-of-the-worker'

afterEach(async () => {
  await world.close()
  await Promise.all(workers.splice(0).map((worker) => worker.close()))
})

async function startWorker(options: Parameters<typeof startPlayedWorker>[0] = {}): Promise<PlayedWorker> {
  const worker = await startPlayedWorker({ token: right, ...options })
  workers.push(worker)
  return worker
}

test.each([
  ['a wrong one', { token: 'wrong-token-1' }, 'It does not accept the token that is configured for it: '],
  ['none', {}, 'It asks for a token, and none is configured for it: '],
])('with %s a worker is shown as what it is without a job, and gets none', async (_, given, message) => {
  world = await createBuildsWorld()
  const worker = await startWorker()
  await world.workers([{ url: worker.url, id: 'one', ...given }])
  expect(await world.listWorkers()).toMatchObject([
    {
      state: 'token-refused',
      message: `${message}set the one that it was started with (COREBUILD_TOKEN) in corebuildWorkersJson.`,
    },
    { state: 'off' },
  ])
  world.start()
  const { id } = await world.create()
  await expect.poll(async () => (await world.read(id)).status.message).toContain(`one: ${message.toLowerCase().trim()}`)
  expect((await world.read(id)).status).toMatchObject({ state: 'waiting', attempt: 0 })
  expect(worker.jobs).toEqual([])
  await world.workers([{ url: worker.url, id: 'one', token: right }])
  expect(await world.listWorkers()).toMatchObject([{ state: 'idle', message: 'Ready.' }, {}])
  await world.until(id, 'succeeded')
})

test('a worker of old refuses with a job; that is remembered until the settings change, and others are chosen', async () => {
  world = await createBuildsWorld()
  const old = await startWorker({ isOld: true })
  await world.workers([{ url: old.url, id: 'old', token: 'wrong-token-1' }])
  world.start()
  expect(await world.listWorkers()).toMatchObject([{ id: 'old', state: 'idle' }, {}])
  const { id } = await world.create()
  const refused = {
    id: 'old',
    state: 'token-refused',
    message: expect.stringMatching(
      /in corebuildWorkersJson; where the worker was mended .* save the setting once more\.$/,
    ),
  }
  await expect.poll(() => world.listWorkers()).toMatchObject([refused, {}])
  expect((await world.read(id)).status).toMatchObject({ state: 'waiting', attempt: 0 })
  // Longer than any worker is left alone for another reason.
  world.pass(3_600_000)
  expect(await world.listWorkers()).toMatchObject([refused, {}])

  const other = await startWorker()
  await world.workers([
    { url: old.url, id: 'old', token: 'wrong-token-1' },
    { url: other.url, id: 'other', token: right },
  ])
  expect((await world.until(id, 'succeeded')).status.workerId).toBe('other')
  await world.workers([{ url: old.url, id: 'old', token: right }])
  expect(await world.listWorkers()).toMatchObject([{ id: 'old', state: 'idle' }, {}])
  const next = await world.create()
  expect((await world.until(next.id, 'succeeded')).status.workerId).toBe('old')
})

test('what a proxy says in the place of a worker does not count as the word of the worker', async () => {
  world = await createBuildsWorld()
  const worker = await startWorker({ deletesAnswered: 403 })
  await world.workers([{ url: worker.url, id: 'one', token: right }])
  expect(await world.listWorkers()).toMatchObject([{ state: 'idle' }, {}])
})

test('the real worker says so too', async () => {
  world = await createBuildsWorld()
  const directory = await mkdtemp(join(tmpdir(), 'freehold-token-'))
  const real = createLocalBuildWorker({
    entry: join(import.meta.dirname, '../../../build-worker/src/main.ts'),
    directory,
    log: pino({ level: 'silent' }),
    passOn: () => {},
  })
  try {
    const { url, token, release } = await real.acquire()
    await world.workers([
      { url, id: 'right', token },
      { url: `${url}/`.replace('127.0.0.1', 'localhost'), id: 'wrong', token: 'wrong-token-1' },
    ])
    expect(await world.listWorkers()).toMatchObject([
      { id: 'right', state: 'idle' },
      { id: 'wrong', state: 'token-refused' },
      {},
    ])
    release()
  } finally {
    await real.stop()
    await rm(directory, { recursive: true, force: true })
  }
})
