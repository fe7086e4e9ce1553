import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { noteBoot } from './boots.ts'

describe('starts of the agent', () => {
  const minute = 60_000
  type Request = { bootId: string | null; sequence: number | null; atMs: number }
  const verdictsOf = (requests: readonly Request[]) => {
    let boots: Parameters<typeof noteBoot>[0]
    return requests.map(({ atMs, ...request }) => {
      const noted = noteBoot(boots, { ...request, nowMs: atMs })
      boots = noted.boots
      return noted.verdict
    })
  }
  const heard = (bootIds: (string | null)[]) =>
    verdictsOf(bootIds.map((bootId, index) => ({ bootId, sequence: index + 1, atMs: index * minute })))

  it('never suspect a device that restarts, however often', () => {
    fc.assert(
      fc.property(fc.uniqueArray(fc.uuid(), { maxLength: 20 }), fc.integer({ min: 1, max: 3 }), (ids, times) => {
        expect(heard(ids.flatMap((id) => Array<string>(times).fill(id)))).not.toContain('returned')
      }),
    )
  })

  it('never suspect a device of which several requests before a restart came late', () => {
    const late = [2, 3, 4, 5].map((sequence) => ({ bootId: 'a', sequence, atMs: sequence * minute }))
    const verdicts = verdictsOf([{ bootId: 'a', sequence: 1, atMs: 0 }, { bootId: 'b', sequence: 1, atMs: 1 }, ...late])
    expect(verdicts).toEqual(['new', 'new', 'straggler', 'straggler', 'new', 'same'])
  })

  it('never suspect a device whose start was first heard of when the next one spoke already', () => {
    const alive = Array.from({ length: 90 }, (_, index) => ({ bootId: 'b', sequence: index + 1, atMs: index * minute }))
    const late = { bootId: 'a', sequence: 1, atMs: 5 * minute + 1 }
    const verdicts = verdictsOf([...alive.slice(0, 6), late, ...alive.slice(6)])
    expect(verdicts).not.toContain('returned')
    // What is alive is listened to again, after a few requests that may have been late as well.
    expect(verdicts.slice(6, 12)).toEqual(['new', 'straggler', 'straggler', 'new', 'same', 'same'])
  })

  it('never suspect one device, however its requests are delayed, lost, repeated and mixed up', () => {
    const sent = fc.record({
      afterMs: fc.integer({ min: 1, max: 5 * minute }),
      restarts: fc.nat({ max: 9 }).map((chance) => chance === 0),
      delaysMs: fc.array(
        fc.oneof({ weight: 4, arbitrary: fc.nat({ max: 2_000 }) }, fc.integer({ min: 0, max: 29 * minute })),
        { maxLength: 2 },
      ),
    })
    fc.assert(
      fc.property(fc.array(sent, { maxLength: 120, size: 'max' }), (list) => {
        const requests: Request[] = []
        let [nowMs, boot, sequence] = [0, 0, 0]
        for (const { afterMs, restarts, delaysMs } of list) {
          nowMs += afterMs
          if (restarts) boot += 1
          sequence = restarts ? 1 : sequence + 1
          for (const delayMs of delaysMs) requests.push({ bootId: String(boot), sequence, atMs: nowMs + delayMs })
        }
        const arrived = requests.toSorted((one, other) => one.atMs - other.atMs)
        expect(verdictsOf(arrived)).not.toContain('returned')
      }),
      { numRuns: 1_000 },
    )
  })

  it('show two devices that take turns, once nothing can be under way any more', () => {
    const intervals = fc.record({
      first: fc.integer({ min: 1_000, max: 60 * minute }),
      second: fc.integer({ min: 1_000, max: 60 * minute }),
    })
    fc.assert(
      fc.property(intervals, ({ first, second }) => {
        const longest = Math.max(first, second)
        const endMs = 30 * minute + 6 * longest
        const times = (bootId: string, everyMs: number): Request[] =>
          Array.from({ length: Math.floor(endMs / everyMs) }, (_, sequence) => {
            return { bootId, sequence, atMs: sequence * everyMs }
          })
        const requests = [...times('a', first), ...times('b', second)].toSorted((one, other) => one.atMs - other.atMs)
        expect(verdictsOf(requests)).toContain('returned')
      }),
      { numRuns: 30 },
    )
    expect(heard([null, null, 'a', null, 'a'])).toEqual(['same', 'same', 'new', 'same', 'same'])
  })
})
