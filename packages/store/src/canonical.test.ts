import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { canonicalJson } from './canonical.ts'

describe('canonical JSON', () => {
  it('means what JSON.stringify means', () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        expect(JSON.parse(canonicalJson(value))).toEqual(JSON.parse(JSON.stringify(value)))
      }),
    )
  })

  it('is the same text for the same value, whatever the order of keys', () => {
    fc.assert(
      fc.property(fc.dictionary(fc.string(), fc.jsonValue()), fc.infiniteStream(fc.nat()), (object, random) => {
        const shuffled = Object.entries(object)
          .map((entry) => ({ entry, rank: random.next().value }))
          .sort((a, b) => a.rank - b.rank)
          .map(({ entry }) => entry)
        expect(canonicalJson(Object.fromEntries(shuffled))).toBe(canonicalJson(object))
      }),
    )
  })

  it('survives being read and written again', () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        const text = canonicalJson(value)
        expect(canonicalJson(JSON.parse(text))).toBe(text)
      }),
    )
  })

  it('treats what JSON cannot hold as JSON.stringify does', () => {
    const odd = {
      b: undefined,
      a: [undefined, Number.NaN, () => 1],
      d: new Date(0),
      c: new String('x'),
      e: { f: undefined },
    }
    expect(canonicalJson(odd)).toBe('{"a":[null,null,null],"c":"x","d":"1970-01-01T00:00:00.000Z","e":{}}')
    expect(() => canonicalJson({ big: 1n })).toThrow(TypeError)
    expect(canonicalJson(undefined)).toBe('null')
  })
})
