import fc from 'fast-check'
import { expect, test } from 'vitest'
import { createHaste } from './haste.ts'

function world() {
  let nowMs = 1_000_000
  const haste = createHaste({ now: () => nowMs })
  return {
    haste,
    pass(milliseconds: number) {
      nowMs += milliseconds
    },
  }
}

test('a device that floods gets its burst and two a second from then on', () => {
  const { haste, pass } = world()
  let taken = 0
  for (let step = 0; step < 10_000; step += 1) {
    if (haste.take('flood') === 0) taken += 1
    pass(1)
  }
  expect(taken).toBeGreaterThanOrEqual(20)
  expect(taken).toBeLessThanOrEqual(20 + 2 * 10 + 1)
  expect(haste.take('another')).toBe(0)
  pass(15_000)
  expect(haste.take('flood')).toBe(0)
})

test('who is sent away is told for how long, and welcome then', () => {
  const { haste, pass } = world()
  let waitSeconds = 0
  while (waitSeconds === 0) waitSeconds = haste.take('flood')
  expect(waitSeconds).toBe(1)
  pass(waitSeconds * 1000)
  expect(haste.take('flood')).toBe(0)
})

test('a device is never sent away at the shortest interval there is, with jitter, retries and a few starts on top', () => {
  const gaps = fc.array(fc.integer({ min: 500, max: 1_500 }), { minLength: 100, maxLength: 400 })
  fc.assert(
    fc.property(gaps, fc.integer({ min: 0, max: 15 }), (each, atOnce) => {
      const { haste, pass } = world()
      for (let count = 0; count < atOnce; count += 1) expect(haste.take('honest')).toBe(0)
      for (const gapMs of each) {
        pass(gapMs)
        expect(haste.take('honest')).toBe(0)
      }
    }),
  )
})

test('nothing is kept of a hundred thousand devices that speak once a minute', () => {
  const { haste, pass } = world()
  let most = 0
  for (let round = 0; round < 2; round += 1) {
    for (let index = 0; index < 100_000; index += 1) {
      expect(haste.take(`device-${index}`)).toBe(0)
      most = Math.max(most, haste.size())
      pass(0.6)
    }
  }
  expect(most).toBeLessThan(1_000)
  pass(500)
  haste.take('one')
  expect(haste.size()).toBe(1)
})

test('a clock that was set back sends nobody away for longer', () => {
  const { haste, pass } = world()
  for (let count = 0; count < 100; count += 1) haste.take('flood')
  pass(-3_600_000)
  expect(haste.take('flood')).toBeLessThanOrEqual(1)
  pass(2_000)
  expect(haste.take('flood')).toBe(0)
})
