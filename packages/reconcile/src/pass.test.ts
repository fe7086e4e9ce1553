import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { createFakeClock } from './clock.ts'
import { createDriver } from './driver.ts'
import { type Executors, observePlanExecute, type WaitStep } from './pass.ts'
import { createRandom } from './random.ts'

type Step = { kind: 'add'; item: number } | { kind: 'drop'; item: number } | WaitStep

function planSet(desired: Set<number>, observed: Set<number>): Step[] {
  const drops = [...observed].filter((item) => !desired.has(item)).map((item): Step => ({ kind: 'drop', item }))
  const adds = [...desired].filter((item) => !observed.has(item)).map((item): Step => ({ kind: 'add', item }))
  return [...drops, ...adds]
}

function executorsOn(world: Set<number>, fails: () => boolean): Executors<Step> {
  const failing = () => {
    if (fails()) throw new Error('this step fails')
  }
  return {
    add: async ({ item }) => {
      failing()
      world.add(item)
    },
    drop: async ({ item }) => {
      failing()
      world.delete(item)
    },
  }
}

const signal = new AbortController().signal
const sets = fc.uniqueArray(fc.nat(12)).map((items) => new Set(items))

test('a driver with passes converges although steps fail', async () => {
  await fc.assert(
    fc.asyncProperty(sets, sets, fc.integer(), async (desired, world, seed) => {
      const clock = createFakeClock()
      const random = createRandom(seed)
      const driver = createDriver({
        clock,
        random,
        periodMs: 30_000,
        backoff: { minMs: 100, maxMs: 1_000 },
        run: async (signal) => {
          const pass = await observePlanExecute({
            observe: async () => new Set(world),
            plan: (observed) => planSet(desired, observed),
            execute: executorsOn(world, () => random.next() < 0.5),
            clock,
            signal,
            maxRounds: 3,
          })
          if (pass.failures.length > 0) throw new Error('some steps failed')
          return undefined
        },
      })
      driver.start()
      await clock.advance(60_000)
      await driver.stop()
      expect(world).toEqual(desired)
    }),
    { numRuns: 50 },
  )
})

test('when all is as desired nothing is executed', async () => {
  const world = new Set([1, 2])
  const pass = await observePlanExecute<Set<number>, Step>({
    observe: async () => world,
    plan: (observed) => planSet(new Set([1, 2]), observed),
    execute: executorsOn(world, () => true),
    clock: createFakeClock(),
    signal,
    maxRounds: 3,
  })
  expect(pass).toMatchObject({ steps: [], executed: [], failures: [] })
})

test('a failing step does not keep the others from being tried, and what is left is reported', async () => {
  const world = new Set<number>()
  const pass = await observePlanExecute<Set<number>, Step>({
    observe: async () => new Set(world),
    plan: (observed) => planSet(new Set([1, 2, 3]), observed),
    execute: {
      add: async ({ item }) => {
        if (item === 1) throw new Error('no')
        world.add(item)
      },
      drop: async () => undefined,
    },
    clock: createFakeClock(),
    signal,
    maxRounds: 3,
  })
  expect(world).toEqual(new Set([2, 3]))
  expect(pass.steps).toEqual([{ kind: 'add', item: 1 }])
  expect(pass.failures.map(({ step }) => step)).toEqual([{ kind: 'add', item: 1 }])
})

test('a plan that only waits ends the pass, and a plan that never ends is cut after its rounds', async () => {
  let planned = 0
  const run = (step: Step) => {
    planned = 0
    return observePlanExecute<null, Step>({
      observe: async () => null,
      plan: () => {
        planned += 1
        return [step]
      },
      execute: { add: async () => undefined, drop: async () => undefined },
      clock: createFakeClock(),
      signal,
      maxRounds: 4,
    })
  }
  expect((await run({ kind: 'wait', reason: 'the node is starting' })).executed).toEqual([])
  expect(planned).toBe(1)
  expect((await run({ kind: 'add', item: 1 })).executed.length).toBe(4)
})
