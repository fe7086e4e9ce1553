import fc from 'fast-check'
import { expect, it } from 'vitest'
import { createRecords } from './records.ts'

const width = 3

it('keeps what each record was last told, however many come and go', () => {
  const moves = fc.array(
    fc.oneof(
      fc.record({ kind: fc.constant('take' as const) }),
      fc.record({ kind: fc.constant('give' as const), who: fc.nat() }),
      fc.record({ kind: fc.constant('write' as const), who: fc.nat(), field: fc.nat(width - 1), value: fc.double() }),
    ),
    { maxLength: 200 },
  )
  fc.assert(
    fc.property(moves, (list) => {
      const records = createRecords({ width, atFirst: 2 })
      const held: { place: number; numbers: number[] }[] = []
      for (const move of list) {
        if (move.kind === 'take') {
          held.push({ place: records.take(), numbers: Array.from({ length: width }, () => 0) })
          continue
        }
        const at = held.length === 0 ? 0 : move.who % held.length
        const one = held[at]
        if (one === undefined) continue
        if (move.kind === 'give') {
          records.give(one.place)
          held.splice(at, 1)
        } else {
          records.write(one.place, move.field, move.value)
          one.numbers[move.field] = move.value
        }
      }
      for (const { place, numbers } of held) {
        expect(numbers.map((_, field) => records.read(place, field))).toEqual(numbers)
      }
      expect(new Set(held.map(({ place }) => place)).size).toBe(held.length)
    }),
  )
})
