import { afterEach, expect, test } from 'vitest'
import type { WorkerClient } from './worker-client.ts'
import { type BuildsWorld, createBuildsWorld } from './world.testing.ts'

let world: BuildsWorld
afterEach(() => world.close())

test('a cancel that comes while an attempt begins leaves nothing running, at whatever moment', async () => {
  const running = new Set<string>()
  let onceAsked = () => {}
  const client: WorkerClient = {
    async capabilities() {
      onceAsked()
      onceAsked = () => {}
      return {
        workerId: 'played',
        supportedBuildTypes: ['baseos-image'],
        supportedArchitectures: ['amd64'],
        supportedImageKinds: ['ubuntu-iso'],
        cpuCores: 1,
        memoryGb: 1,
        workdir: '',
        maxRunningJobs: 100,
      }
    },
    admits: async () => 'unknown',
    build: (job, { signal }) =>
      new Promise((resolve) => {
        running.add(job.id)
        const end = () => {
          running.delete(job.id)
          resolve({ kind: 'lost', reason: 'was left' })
        }
        signal.addEventListener('abort', end)
        if (signal.aborted) end()
      }),
    cancel: async () => {},
  }
  world = await createBuildsWorld({ connect: () => client })
  await world.workers(['http://worker.example'])
  world.start()
  const after = async (turns: number) => {
    for (let turn = 0; turn < turns; turn++) await null
  }
  for (let turns = 0; turns <= 160; turns += 8) {
    const { promise: asked, resolve } = Promise.withResolvers<void>()
    onceAsked = resolve
    const { id } = await world.create()
    await asked
    await after(turns)
    expect((await world.cancel(id)).status.state).toBe('cancelled')
    // It ends when no attempt is there any more.
    await world.log(id, true)
    expect([...running]).toEqual([])
  }
})
