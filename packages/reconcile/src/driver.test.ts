import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { createFakeClock } from './clock.ts'
import { backoffMs, createDriver } from './driver.ts'
import { createRandom } from './random.ts'

const backoff = { minMs: 100, maxMs: 5_000 }

/** A driver whose runs take and fail as the script says, and a record of what happened. */
function setUp(script: { takesMs: number; fails: boolean }[], periodMs = 60_000) {
  const clock = createFakeClock()
  const starts: number[] = []
  const state = { running: 0, mostRunning: 0, input: 0, seen: 0, failuresSeen: [] as number[] }
  const driver = createDriver({
    clock,
    random: createRandom(1),
    periodMs,
    backoff,
    onFailure: ({ retryInMs }) => state.failuresSeen.push(retryInMs),
    run: async (signal) => {
      const { takesMs, fails } = script[starts.length] ?? { takesMs: 1, fails: false }
      starts.push(clock.now())
      state.running += 1
      state.mostRunning = Math.max(state.mostRunning, state.running)
      const input = state.input
      await clock.sleep(takesMs, signal)
      state.running -= 1
      if (fails) throw new Error('as the script says')
      state.seen = input
      return undefined
    },
  })
  return { clock, driver, starts, state }
}

const scripts = fc.array(fc.record({ takesMs: fc.nat(500), fails: fc.boolean() }), { maxLength: 12 })
const wakeUps = fc.array(fc.record({ waitMs: fc.nat(800), forgetFailures: fc.boolean() }), { maxLength: 30 })

test('only one run is under way at any time, and no wake-up is lost', async () => {
  await fc.assert(
    fc.asyncProperty(scripts, wakeUps, async (script, wakes) => {
      const { clock, driver, state } = setUp(script)
      driver.start()
      for (const { waitMs, forgetFailures } of wakes) {
        await clock.advance(waitMs)
        state.input += 1
        driver.wake({ forgetFailures })
      }
      await clock.advance(12 * (500 + backoff.maxMs) + 1_000)
      expect(state.seen).toBe(state.input)
      expect(state.mostRunning).toBe(1)
      await driver.stop()
      expect(clock.pending()).toBe(0)
    }),
    { numRuns: 100 },
  )
})

test('wake-ups during a run collapse into one more run', async () => {
  const { clock, driver, starts } = setUp([{ takesMs: 100, fails: false }])
  driver.start()
  for (let count = 0; count < 50; count++) driver.wake()
  await clock.advance(1_000)
  expect(starts).toEqual([0, 100])
  await driver.stop()
})

test('without wake-ups it runs every period', async () => {
  const { clock, driver, starts } = setUp([], 1_000)
  driver.start()
  await clock.advance(3_500)
  expect(starts.length).toBe(4)
  await driver.stop()
})

test('wake-ups do not shorten a backoff, news that asks to forget failures does', async () => {
  const { clock, driver, starts } = setUp([
    { takesMs: 0, fails: true },
    { takesMs: 0, fails: true },
  ])
  driver.start()
  await clock.advance(0)
  driver.wake()
  await clock.advance(10)
  expect(starts).toEqual([0])
  driver.wake({ forgetFailures: true })
  await clock.advance(0)
  expect(starts).toEqual([0, 10])
  await driver.stop()
})

test('the wait after failures grows, stays bounded, and ends with the first success', () => {
  fc.assert(
    fc.property(fc.integer(), fc.integer({ min: 1, max: 10_000 }), (seed, failures) => {
      const waitMs = backoffMs(backoff, failures, createRandom(seed))
      const fullMs = Math.min(backoff.maxMs, backoff.minMs * 2 ** (failures - 1))
      expect(waitMs).toBeGreaterThanOrEqual(fullMs / 2)
      expect(waitMs).toBeLessThanOrEqual(fullMs)
    }),
  )
})

test('failures are counted in a row and the period returns after a success', async () => {
  const { clock, driver, starts, state } = setUp(
    [true, true, true, false].map((fails) => ({ takesMs: 0, fails })),
    60_000,
  )
  driver.start()
  await clock.advance(59_000)
  expect(starts.length).toBe(4)
  expect(state.failuresSeen.length).toBe(3)
  expect(driver.failures()).toBe(0)
  await driver.stop()
})

test('stop aborts the run under way, waits for it, and nothing runs afterwards', async () => {
  await fc.assert(
    fc.asyncProperty(fc.nat(300), fc.boolean(), async (stopAfterMs, fails) => {
      const { clock, driver, starts, state } = setUp(
        Array.from({ length: 9 }, () => ({ takesMs: 50, fails })),
        80,
      )
      driver.start()
      await clock.advance(stopAfterMs)
      await driver.stop()
      expect(state.running).toBe(0)
      const before = starts.length
      driver.wake({ forgetFailures: true })
      driver.start()
      await clock.advance(10_000)
      expect(starts.length).toBe(before)
      expect(clock.pending()).toBe(0)
    }),
    { numRuns: 60 },
  )
})

test('a run that takes too long is told to end by its signal, and counts as failed when it does', async () => {
  const clock = createFakeClock()
  const failures: unknown[] = []
  const driver = createDriver({
    clock,
    random: createRandom(1),
    periodMs: 60_000,
    timeLimitMs: 2_000,
    backoff,
    onFailure: ({ error }) => failures.push(error),
    run: async (signal) => {
      await clock.sleep(1e9, signal)
      signal.throwIfAborted()
      return undefined
    },
  })
  driver.start()
  await clock.advance(2_000)
  expect(String(failures[0])).toContain('longer than 2000 ms')
  await driver.stop()
})

test('a run may ask to be repeated sooner than the period', async () => {
  const clock = createFakeClock()
  let runs = 0
  const driver = createDriver({
    clock,
    random: createRandom(1),
    periodMs: 60_000,
    backoff,
    run: async () => ({ againInMs: runs++ === 0 ? 250 : 1e9 }),
  })
  driver.start()
  await clock.advance(50_000)
  expect(runs).toBe(2)
  await clock.advance(20_000)
  expect(runs).toBe(3)
  await driver.stop()
})
