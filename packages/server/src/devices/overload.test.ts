import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { createOverload, type Overload, watchLag } from './overload.ts'

beforeEach(() => void vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] }))
afterEach(() => void vi.useRealTimers())

let nowMs = 0
const make = (inFlightAtMost: number) =>
  createOverload({ random: () => 0.5, inFlightAtMost, lag: watchLag(() => nowMs) })
const enter = (overload: Overload, count: number) => {
  for (let index = 0; index < count; index += 1) overload.enter()
}
/** The timer that is due after 100 ms fires so late. */
const fire = (lateMs: number) => {
  nowMs += 100 + lateMs
  vi.advanceTimersByTime(100)
}

test('a process that falls a second behind sends a crowd of devices away for a moment, and nobody where they are few', () => {
  const few = make(1000)
  const crowd = make(1000)
  enter(few, 31)
  enter(crowd, 32)
  fire(1_000)
  crowd.refuse()
  fire(1_001)
  few.refuse()
  expect(() => crowd.refuse()).toThrow(expect.objectContaining({ code: 'unavailable', retryAfterSeconds: 6 }))
  nowMs += 1_001
  crowd.refuse()
})

test('more than it can take at once are sent away, however fast it is', () => {
  const overload = make(5)
  enter(overload, 4)
  overload.refuse()
  overload.enter()
  expect(() => overload.refuse()).toThrow('Too many devices speak at once; try again later.')
  overload.leave()
  overload.refuse()
})
