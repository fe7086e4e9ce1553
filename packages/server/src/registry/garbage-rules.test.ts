import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { batchesOf, grouped, isRipe, withoutNeeded } from './garbage-rules.ts'

const digest = fc.constantFrom('a', 'b', 'c', 'd', 'e')
const manifest = fc.array(digest).map((blobs) => ({ data: { blobs: blobs.map((one) => ({ digest: one })) } }))

describe('the rules of garbage collection', () => {
  it('let nothing go before its grace time is over, and everything then', () => {
    fc.assert(
      fc.property(fc.nat(), fc.nat(), fc.nat(), (sinceMs, graceMs, laterMs) => {
        expect(isRipe(sinceMs, { nowMs: sinceMs + graceMs + laterMs, graceMs })).toBe(true)
        expect(isRipe(sinceMs + laterMs + 1, { nowMs: sinceMs + graceMs, graceMs: graceMs + laterMs })).toBe(false)
      }),
    )
    expect(isRipe(Number.NaN, { nowMs: 1, graceMs: 0 })).toBe(false)
  })

  it('leave exactly what no manifest needs, however the manifests come in pages', () => {
    fc.assert(
      fc.property(fc.array(digest), fc.array(manifest), fc.integer({ min: 1, max: 4 }), (digests, manifests, size) => {
        const left = new Set(digests)
        for (const page of batchesOf(manifests, size)) withoutNeeded(left, page)
        const needed = (one: string) => manifests.some(({ data }) => data.blobs.some((blob) => blob.digest === one))
        expect([...left]).toEqual([...new Set(digests)].filter((one) => !needed(one)))
      }),
    )
  })

  it('group and cut without losing or doubling anything', () => {
    fc.assert(
      fc.property(fc.array(fc.nat()), fc.integer({ min: 1, max: 7 }), (values, size) => {
        const groups = grouped(values, (value) => String(value % 3))
        expect([...groups.values()].flat().toSorted()).toEqual(values.toSorted())
        for (const [key, group] of groups) for (const value of group) expect(String(value % 3)).toBe(key)
        const batches = [...batchesOf(values, size)]
        expect(batches.flat()).toEqual(values)
        for (const batch of batches) expect(batch.length).toBeLessThanOrEqual(size)
      }),
    )
  })
})
