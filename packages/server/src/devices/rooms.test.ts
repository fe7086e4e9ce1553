import fc from 'fast-check'
import { expect, it } from 'vitest'
import { createRooms, type Room } from './rooms.ts'

const empty = (): Room => ({ place: -1, bytes: 0 })

it('gives back what was put in last, whatever others do, and never holds more than it may', () => {
  const moves = fc.array(fc.record({ who: fc.nat(9), length: fc.option(fc.nat(20_000), { freq: 5 }) }), {
    maxLength: 200,
  })
  fc.assert(
    fc.property(moves, (list) => {
      const rooms = createRooms({ mostBytes: 100_000 })
      const all = Array.from({ length: 10 }, empty)
      const expected = all.map((): string | null => null)
      for (const [turn, { who, length }] of list.entries()) {
        const room = all[who] ?? empty()
        const text = String.fromCharCode(97 + (turn % 26)).repeat(length ?? 0)
        if (length === null) rooms.release(room)
        expected[who] = length !== null && rooms.keep(room, Buffer.from(text)) ? text : null
        expect(rooms.heldBytes()).toBeLessThanOrEqual(100_000)
      }
      expect(all.map(rooms.textOf)).toEqual(expected)
      for (const room of all) rooms.release(room)
      expect(rooms.heldBytes()).toBe(0)
    }),
    { numRuns: 50 },
  )
})

it('takes no more from the system where reports grow and shrink', () => {
  const rooms = createRooms({ mostBytes: 10_000_000 })
  const all = Array.from({ length: 2_000 }, empty)
  for (const length of [3_000, 900, 1_700, 2_400, 100, 3_000]) {
    for (const room of all) expect(rooms.keep(room, Buffer.alloc(length))).toBe(true)
  }
  expect(rooms.heldBytes()).toBe(2_000 * 3_072)
  expect(rooms.roomBytes()).toBeLessThan(2_000 * 3_072 + 1_100_000)
})
