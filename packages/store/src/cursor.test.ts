import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { decodeCursor, encodeCursor } from './cursor.ts'

describe('a cursor', () => {
  it('gives back the id it was made of, for its own list only', () => {
    fc.assert(
      fc.property(fc.uuid(), fc.string(), fc.string(), (id, scope, other) => {
        const cursor = encodeCursor('key', scope, id)
        expect(decodeCursor('key', scope, cursor)).toBe(id)
        expect(cursor.length).toBeLessThan(512)
        if (other !== scope) expect(() => decodeCursor('key', other, cursor)).toThrow(/does not belong/)
        expect(() => decodeCursor('other key', scope, cursor)).toThrow(/does not belong/)
      }),
    )
  })

  it('is refused with any one character changed, and when made up', () => {
    const cursor = encodeCursor('key', 'scope', '01900000-0000-7000-8000-000000000000')
    for (let place = 0; place < cursor.length; place++) {
      const changed = cursor.slice(0, place) + (cursor[place] === 'A' ? 'B' : 'A') + cursor.slice(place + 1)
      expect(() => decodeCursor('key', 'scope', changed)).toThrow(/does not belong/)
    }
    fc.assert(
      fc.property(fc.string(), (text) => {
        expect(() => decodeCursor('key', 'scope', text)).toThrow(/does not belong/)
      }),
    )
  })
})
