import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { createIdSource } from './uuid.ts'

describe('ids', () => {
  it('are UUIDv7 that carry their time', () => {
    const id = createIdSource(() => 0x0123456789ab)()
    expect(id).toMatch(/^01234567-89ab-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
  })

  it('only grow, however the clock steps', () => {
    fc.assert(
      fc.property(fc.array(fc.nat(1000), { minLength: 1, maxLength: 50 }), (times) => {
        let clock = 0
        const next = createIdSource(() => 1_700_000_000_000 + clock)
        const ids = times.flatMap((time) => {
          clock = time
          return Array.from({ length: 20 }, next)
        })
        expect(ids).toEqual([...new Set(ids)].sort())
      }),
    )
  })

  it('only grow when a millisecond gives more of them than its counter can tell apart', () => {
    const next = createIdSource(() => 1_700_000_000_000)
    const ids = Array.from({ length: 10_000 }, next)
    expect(ids).toEqual([...new Set(ids)].sort())
  })
})
