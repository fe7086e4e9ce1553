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

test('keys are in order of their UTF-8 bytes', () => {
  const unit = fc.constantFrom(
    'a',
    'é',
    '\ud7ff',
    '\ue000',
    '\uffff',
    '\u{10000}',
    '\u{10001}',
    '\u{1f600}',
    '\u{10ffff}',
  )
  fc.assert(
    fc.property(fc.uniqueArray(fc.string({ unit, maxLength: 4 }), { maxLength: 8 }), (keys) => {
      const text = canonicalSignedJson(Object.fromEntries(keys.map((each) => [each, 0])))
      const sorted = keys.toSorted((one, other) => Buffer.compare(Buffer.from(one), Buffer.from(other)))
      expect(text).toBe(`{${sorted.map((each) => `"${each}":0`).join(',')}}`)
    }),
    { numRuns: 2000 },
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
