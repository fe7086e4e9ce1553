import { memberStates } from '@freehold/contracts'
import { expect, test } from 'vitest'
import { barOrder, leastOf, mostOf } from './member-states.ts'

test('a bar shows every state once', () => {
  expect(barOrder.toSorted()).toEqual(memberStates.toSorted())
})

test('thresholds are whole devices: at least so many succeed, at most so many fail', () => {
  expect(leastOf(90, 10)).toBe(9)
  expect(leastOf(90, 11)).toBe(10)
  expect(leastOf(90, 0)).toBe(0)
  expect(leastOf(55, 100)).toBe(55)
  expect(mostOf(5, 100)).toBe(5)
  expect(mostOf(5, 10)).toBe(0)
  expect(mostOf(3.3, 1000)).toBe(33)
})
