import { expect, test } from 'vitest'
import { bytes, duration, memory, plural, relativeTime, shortDigest } from './format.ts'
import { toneOf } from './tones.ts'

const now = Date.parse('2026-01-10T12:00:00Z')

test.each([
  ['2026-01-10T11:59:55Z', 'now'],
  ['2026-01-10T12:00:04Z', 'now'],
  ['2026-01-10T11:59:30Z', '30 sec ago'],
  ['2026-01-10T11:58:01Z', '1 min ago'],
  ['2026-01-10T09:00:00Z', '3 hr ago'],
  ['2026-01-08T11:00:00Z', '2 days ago'],
  ['2026-01-10T13:00:00Z', 'in 1 hr'],
  ['2024-01-01T00:00:00Z', '2 yr ago'],
  ['nonsense', '–'],
])('%s is %s', (at, words) => {
  expect(relativeTime(at, now)).toBe(words)
})

test.each([
  [0, '0 B'],
  [999, '999 B'],
  [1_024, '1.0 KiB'],
  [24_536_678, '23.4 MiB'],
  [1_073_700_000, '1.0 GiB'],
  [5e18, '4441 PiB'],
])('%d bytes are %s', (size, words) => {
  expect(bytes(size)).toBe(words)
})

test.each([
  [850, '850 ms'],
  [-5, '0 ms'],
  [12_000, '12 s'],
  [200_000, '3 min 20 s'],
  [3_600_000, '1 h'],
  [7_500_000, '2 h 5 min'],
])('%d ms last %s', (milliseconds, words) => {
  expect(duration(milliseconds)).toBe(words)
})

test('memory, digests and counts are short', () => {
  expect(memory(512 * 2 ** 20)).toBe('512 MiB')
  expect(memory(33_000_000_000)).toBe('30.7 GiB')
  expect(shortDigest(`sha256:${'ab'.repeat(32)}`)).toBe('sha256:abababababab')
  expect(shortDigest('latest')).toBe('latest')
  expect([plural(1, 'core'), plural(1200, 'core')]).toEqual(['1 core', '1,200 cores'])
})

test('a state nobody knows is unknown, and never looks good', () => {
  expect(toneOf('running')).toBe('good')
  expect(toneOf('waiting-for-image')).toBe('waiting')
  expect(toneOf('a-state-of-tomorrow')).toBe('unknown')
})
