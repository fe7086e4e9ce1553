import { createFakeClock, createRandom } from '@freehold/reconcile'
import { expect, test } from 'vitest'
import { createNudge } from './nudge.ts'

test('many wishes are one, soon; the next is at least so far apart, and after the end none comes', async () => {
  const clock = createFakeClock()
  const times: number[] = []
  const act = () => void times.push(clock.now())
  const nudge = createNudge({ clock, random: createRandom(1), monotonicMs: () => clock.now(), apartMs: 5_000, act })
  for (let second = 0; second < 60; second += 1) {
    nudge.wish()
    nudge.wish()
    await clock.advance(1_000)
  }
  expect(times[0]).toBeLessThanOrEqual(2_500)
  const gaps = times.slice(1).map((atMs, index) => atMs - (times[index] ?? 0))
  expect(Math.min(...gaps)).toBeGreaterThanOrEqual(5_000)
  expect(new Set(gaps).size).toBeGreaterThan(1)
  const { length } = times
  nudge.wish()
  nudge.stop()
  await clock.advance(60_000)
  expect(times).toHaveLength(length)
})
