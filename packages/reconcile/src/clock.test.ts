import { expect, test } from 'vitest'
import { createFakeClock, systemClock } from './clock.ts'
import { createRandom } from './random.ts'

test('virtual time fires timers in order of their time, also those set by others', async () => {
  const clock = createFakeClock({ startMs: 1_000 })
  const fired: string[] = []
  clock.after(20, () => fired.push(`b${clock.now()}`))
  clock.after(10, () => {
    fired.push(`a${clock.now()}`)
    clock.after(5, () => fired.push(`c${clock.now()}`))
  })
  clock.after(15, () => fired.push('never'))()
  await clock.advance(100)
  expect(fired).toEqual(['a1010', 'c1015', 'b1020'])
  expect(clock.now()).toBe(1_100)
})

test('sleeping ends early when the signal aborts', async () => {
  const abort = new AbortController()
  const slept = systemClock.sleep(1e8, abort.signal)
  abort.abort()
  await slept
  await systemClock.sleep(1e8, abort.signal)
})

test('runUntil says whether the condition came true in time', async () => {
  const clock = createFakeClock()
  let done = false
  clock.after(500, () => {
    done = true
  })
  expect(await clock.runUntil(() => done, 400)).toBe(false)
  expect(await clock.runUntil(() => done, 400)).toBe(true)
})

test('a seed gives the same sequence again, and another seed another', () => {
  const draw = (seed: number) => {
    const random = createRandom(seed)
    return Array.from({ length: 20 }, () => random.below(1000))
  }
  expect(draw(7)).toEqual(draw(7))
  expect(draw(7)).not.toEqual(draw(8))
})
