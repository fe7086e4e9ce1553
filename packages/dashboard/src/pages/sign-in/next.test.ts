import { expect, test } from 'vitest'
import { safeNext } from './next.ts'

test.each([
  ['/services?state=failed', '/services?state=failed'],
  [undefined, '/'],
  ['', '/'],
  ['https://elsewhere.example', '/'],
  ['//elsewhere.example', '/'],
  ['/\\elsewhere.example', '/'],
  ['javascript:alert(1)', '/'],
  ['/sign-in?next=/sign-in', '/'],
])('after the sign-in %s leads to %s', (next, path) => {
  expect(safeNext(next)).toBe(path)
})
