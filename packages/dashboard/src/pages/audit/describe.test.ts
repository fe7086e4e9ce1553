import { expect, test } from 'vitest'
import { nameOf } from './describe.ts'

const id = '01890a5d-ac96-774b-bcce-b302099a8057'

test('an entry is called by the name of its resource, even after its end', () => {
  expect(nameOf({ id, after: { data: { name: 'web' } }, before: null })).toBe('web')
  expect(nameOf({ id, after: null, before: { data: { name: 'web' } } })).toBe('web')
  expect(nameOf({ id, after: { data: { number: 7 } } })).toBe('7')
  expect(nameOf({ id, after: null })).toBe('…099a8057')
})
