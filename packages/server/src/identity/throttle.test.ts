import { FreeholdError } from '@freehold/contracts'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { createThrottle } from './throttle.ts'

function throttleAt(start = 0) {
  let now = start
  const throttle = createThrottle({ now: () => now })
  return {
    ...throttle,
    pass: (ms: number) => {
      now += ms
    },
    /** Seconds to wait, or null where the attempt was let in (and failed). */
    fail(account: string | undefined, address: string): number | null {
      try {
        throttle.begin({ account, address })
        return null
      } catch (error) {
        if (error instanceof FreeholdError && error.code === 'too-many-requests') return error.retryAfterSeconds ?? -1
        throw error
      }
    },
  }
}

test('a few mistakes are free, then the waits double', () => {
  const throttle = throttleAt()
  for (let attempt = 0; attempt < 5; attempt += 1) expect(throttle.fail('anna', '192.0.2.1')).toBeNull()
  const waits: number[] = []
  for (let attempt = 0; attempt < 5; attempt += 1) {
    const wait = throttle.fail('anna', '192.0.2.1') ?? 0
    waits.push(wait)
    throttle.pass(wait * 1000)
    expect(throttle.fail('anna', '192.0.2.1')).toBeNull()
  }
  expect(waits).toEqual([1, 2, 4, 8, 16])
})

test('many at once gain nothing: an attempt counts before its outcome is known', () => {
  const throttle = throttleAt()
  const letIn = Array.from({ length: 100 }, () => throttle.fail('anna', '192.0.2.1')).filter((wait) => wait === null)
  expect(letIn).toHaveLength(5)
})

test('success clears the account at that address', () => {
  const throttle = throttleAt()
  for (let attempt = 0; attempt < 4; attempt += 1) throttle.fail('anna', '192.0.2.1')
  throttle.begin({ account: 'anna', address: '192.0.2.1' }).succeeded()
  for (let attempt = 0; attempt < 5; attempt += 1) expect(throttle.fail('anna', '192.0.2.1')).toBeNull()
})

test('one address is slowed down however many accounts it tries', () => {
  const throttle = throttleAt()
  const letIn = Array.from({ length: 200 }, (_, number) => throttle.fail(`user${number}`, '192.0.2.1'))
  expect(letIn.filter((wait) => wait === null)).toHaveLength(20)
})

test('one account is slowed down however many addresses try it', () => {
  const throttle = throttleAt()
  const letIn = Array.from({ length: 200 }, (_, number) => throttle.fail('anna', `192.0.2.${number}`))
  expect(letIn.filter((wait) => wait === null)).toHaveLength(50)
})

test('nobody locks an administrator out: where she has signed in before, she still can', () => {
  const throttle = throttleAt()
  throttle.begin({ account: 'anna', address: '198.51.100.7' }).succeeded()
  for (let round = 0; round < 500; round += 1) throttle.fail('anna', `192.0.2.${round % 250}`)
  expect(throttle.fail('anna', '192.0.2.251')).toBeGreaterThan(0)
  expect(throttle.fail('ANNA', '198.51.100.7')).toBeNull()
})

test('the wait for an account attacked from everywhere stays short', () => {
  const throttle = throttleAt()
  let longest = 0
  for (let round = 0; round < 300; round += 1) {
    const wait = throttle.fail('anna', `10.${round % 200}.${round % 7}.1`) ?? 0
    longest = Math.max(longest, wait)
    throttle.pass(wait * 1000)
  }
  expect(longest).toBeGreaterThan(0)
  expect(longest).toBeLessThanOrEqual(30)
})

test('all of one IPv6 network is one address', () => {
  const throttle = throttleAt()
  const letIn = Array.from({ length: 100 }, (_, number) =>
    throttle.fail(`u${number}`, `2001:db8:1:2::${number.toString(16)}`),
  )
  expect(letIn.filter((wait) => wait === null)).toHaveLength(20)
  expect(throttle.fail('x', '2001:db8:1:3::1')).toBeNull()
})

test('a quiet hour forgets', () => {
  const throttle = throttleAt()
  for (let attempt = 0; attempt < 20; attempt += 1) throttle.fail('anna', '192.0.2.1')
  throttle.pass(61 * 60_000)
  expect(throttle.fail('anna', '192.0.2.1')).toBeNull()
})

test('memory is bounded, whatever is tried', () => {
  const throttle = throttleAt()
  for (let number = 0; number < 20_000; number += 1)
    throttle.fail(`user${number}`, `10.${number >> 16}.${(number >> 8) & 255}.${number & 255}`)
  expect(throttle.size()).toBeLessThanOrEqual(10_000)
})

test('no pattern of attempts is ever told to wait longer than a quarter of an hour', () => {
  const step = fc.record({
    account: fc.integer({ min: 0, max: 3 }),
    address: fc.integer({ min: 0, max: 3 }),
    ms: fc.nat(2_000_000),
  })
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
      const throttle = throttleAt()
      for (const { account, address, ms } of steps) {
        expect(throttle.fail(`user${account}`, `192.0.2.${address}`) ?? 0).toBeLessThanOrEqual(15 * 60)
        throttle.pass(ms)
      }
    }),
    { numRuns: 50 },
  )
})
