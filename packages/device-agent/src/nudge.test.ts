import { createFakeClock, createRandom, type FakeClock } from '@freehold/reconcile'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { createNudge, type Nudge, type Urgency } from './nudge.ts'

function setUp(seed = 1): { clock: FakeClock; times: number[]; nudge: Nudge } {
  const clock = createFakeClock()
  const times: number[] = []
  const monotonicMs = () => clock.now()
  const act = () => {
    times.push(clock.now())
    nudge.noteReport()
  }
  const nudge = createNudge({ clock, random: createRandom(seed), monotonicMs, act })
  return { clock, times, nudge }
}

test('many wishes are one, soon; the next is at least so far apart, and after the end none comes', async () => {
  const { clock, times, nudge } = setUp()
  for (let second = 0; second < 60; second += 1) {
    nudge.wish('now')
    nudge.wish('now')
    await clock.advance(1_000)
  }
  expect(times[0]).toBeLessThanOrEqual(2_500)
  const gaps = times.slice(1).map((atMs, index) => atMs - (times[index] ?? 0))
  expect(Math.min(...gaps)).toBeGreaterThanOrEqual(5_000)
  expect(new Set(gaps).size).toBeGreaterThan(1)
  const { length } = times
  nudge.wish('now')
  nudge.stop()
  await clock.advance(60_000)
  expect(times).toHaveLength(length)
})

test('steps of a quick update are told with what follows them: three reports, not five', async () => {
  const { clock, times, nudge } = setUp()
  const way: [Urgency, number][] = [
    ['soon', 10],
    ['now', 8_000],
    ['soon', 4_000],
    ['soon', 60_000],
    ['now', 10_000],
  ]
  for (const [urgency, untilNextMs] of way) {
    nudge.wish(urgency)
    await clock.advance(untilNextMs)
  }
  expect(times).toHaveLength(3)
  const [begun = 0, between = 0, ended = 0] = times
  expect(begun).toBeLessThanOrEqual(2_510)
  expect(between).toBeLessThanOrEqual(8_010 + 20_000)
  expect(ended - 72_010).toBeLessThanOrEqual(2_500)
})

test('a heartbeat that goes out anyway fulfils a wish, and one after it is a wish of its own', async () => {
  const { clock, times, nudge } = setUp()
  nudge.wish('soon')
  await clock.advance(10_000)
  nudge.noteReport()
  await clock.advance(60_000)
  expect(times).toEqual([])
  nudge.noteReport()
  nudge.wish('now')
  await clock.advance(4_999)
  expect(times).toEqual([])
  await clock.advance(2_501)
  expect(times).toHaveLength(1)
})

test('whatever is wished when, all of it is told in its time, and reports are never closer than five seconds', async () => {
  const wishes = fc.array(
    fc.record({ urgency: fc.constantFrom<Urgency>('now', 'soon'), afterMs: fc.integer({ min: 0, max: 30_000 }) }),
    { minLength: 1, maxLength: 20 },
  )
  await fc.assert(
    fc.asyncProperty(wishes, fc.integer({ min: 1, max: 1e6 }), async (list, seed) => {
      const { clock, times, nudge } = setUp(seed)
      const made: { atMs: number; latestMs: number }[] = []
      for (const { urgency, afterMs } of list) {
        await clock.advance(afterMs)
        nudge.wish(urgency)
        made.push({ atMs: clock.now(), latestMs: clock.now() + (urgency === 'now' ? 7_500 : 20_000) })
      }
      await clock.advance(30_000)
      for (const { atMs, latestMs } of made) expect(times.some((at) => at >= atMs && at <= latestMs)).toBe(true)
      const gaps = times.slice(1).map((atMs, index) => atMs - (times[index] ?? 0))
      for (const gap of gaps) expect(gap).toBeGreaterThanOrEqual(5_000)
    }),
    { numRuns: 30 },
  )
})
