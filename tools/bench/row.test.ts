import { expect, test } from 'vitest'
import { isMet, median, percentile, type Row } from './row.ts'
import { formatRows } from './table.ts'

const row: Row = { measure: 'push to serving', unit: 'ms', ours: 1300, peer: { name: 'docker', value: 1000 } }

test('a target is met by our figure or by the ratio to the peer, whichever it is set for', () => {
  expect(isMet({ ...row, target: { of: 'ours', atMost: 1500 } })).toBe(true)
  expect(isMet({ ...row, target: { of: 'ratio', atMost: 1.2 } })).toBe(false)
  expect(isMet({ ...row, target: { of: 'ours', atLeast: 1300 } })).toBe(true)
  expect(isMet(row)).toBe(null)
  expect(isMet({ ...row, ours: null, target: { of: 'ours', atMost: 1500 } })).toBe(null)
})

test('percentiles are values that were measured, and the median of two lies between them', () => {
  expect(percentile([5, 1, 4, 2, 3], 0.5)).toBe(3)
  expect(percentile([5, 1, 4, 2, 3], 0.99)).toBe(5)
  expect(percentile([], 0.5)).toBeNaN()
  expect(median([4, 1])).toBe(2.5)
  expect(median([9, 1, 5])).toBe(5)
})

test('the table says figure, peer, ratio, target and whether it is met', () => {
  const [, line] = formatRows([{ ...row, target: { of: 'ratio', atMost: 1.2 } }]).split('\n')
  expect(line?.split(/ {2,}/)).toEqual([
    'push to serving',
    '1,300 ms',
    '1,000 ms docker',
    '1.30',
    '≤ 1.2 × peer',
    'NOT MET',
  ])
})

test('what could not be measured says why', () => {
  const text = formatRows([{ measure: 'memory', unit: 'MB', ours: null, note: 'needs root' }])
  expect(text).toContain('not measured')
  expect(text).toContain('- memory: needs root')
})
