import { canonicalize } from '@tufjs/canonical-json'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { canonicalSignedJson } from './canonical-json.ts'

/** Keys that UTF-16 units and code points order alike: there the other implementation differs from securesystemslib. */
const key = fc.string({ unit: fc.integer({ min: 0, max: 0xd7ff }).map((code) => String.fromCharCode(code)) })
const value = fc.letrec((tie) => ({
  any: fc.oneof(
    { maxDepth: 4 },
    fc.string({ unit: 'binary' }).filter((text) => text.isWellFormed()),
    fc.maxSafeInteger(),
    fc.boolean(),
    fc.constant(null),
    fc.array(tie('any'), { maxLength: 5 }),
    fc.dictionary(key, tie('any'), { maxKeys: 5 }),
  ),
})).any

test('canonical JSON is what another implementation writes', () => {
  fc.assert(
    fc.property(value, (any) => {
      expect(canonicalSignedJson(any)).toBe(canonicalize(any))
    }),
    { numRuns: 2000 },
  )
})

test('the order of keys as written does not matter', () => {
  fc.assert(
    fc.property(fc.dictionary(fc.string(), fc.integer()), (fields) => {
      const turned = Object.fromEntries(Object.entries(fields).toReversed())
      expect(canonicalSignedJson(turned)).toBe(canonicalSignedJson(fields))
    }),
  )
})

test('only quotes and backslashes are escaped, and keys are in order of code points', () => {
  expect(canonicalSignedJson({ b: 'a"\\\n\u{1}é', a: [true, null, -0, 12] })).toBe(
    '{"a":[true,null,0,12],"b":"a\\"\\\\\n\u{1}é"}',
  )
  expect(canonicalSignedJson({ '\u{1f600}': 1, '\uffff': 2, '': 3, ab: 4, a: 5 })).toBe(
    '{"":3,"a":5,"ab":4,"\uffff":2,"\u{1f600}":1}',
  )
})

test.each([[0.5], [Number.NaN], [2 ** 53], [undefined], [{ a: undefined }], ['\ud800'], [1n], [() => 1], [Array(1)]])(
  'what has no canonical form is refused (%#)',
  (any) => {
    expect(() => canonicalSignedJson(any)).toThrow(TypeError)
  },
)
