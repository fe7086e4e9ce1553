import fc from 'fast-check'
import { expect, test } from 'vitest'
import { changedFields, mergeDiff } from './diff.ts'

/** RFC 7396 §2, written down a second time to hold the other against. */
function merge(target: unknown, patch: unknown): unknown {
  if (typeof patch !== 'object' || patch === null || Array.isArray(patch)) return patch
  const base = typeof target === 'object' && target !== null && !Array.isArray(target) ? target : {}
  const result: Record<string, unknown> = { ...base }
  for (const [name, value] of Object.entries(patch)) {
    if (value === null) delete result[name]
    else result[name] = merge(result[name], value)
  }
  return result
}

test('nothing is sent where nothing differs, and only what differs where something does', () => {
  const before = { name: 'web', ports: { web: 80, published: [] }, environment: { A: '1', B: '2' } }
  expect(mergeDiff(before, structuredClone(before))).toBeUndefined()
  expect(mergeDiff(before, { ...before, environment: { A: '1', C: '3' } })).toEqual({
    environment: { B: null, C: '3' },
  })
  expect(mergeDiff(before, { ...before, ports: { published: [] } })).toEqual({ ports: { web: null } })
  expect(mergeDiff(before, { ...before, extra: undefined })).toBeUndefined()
})

test('applying the difference gives what was wanted', () => {
  const leaf = fc.oneof(fc.string(), fc.integer(), fc.boolean(), fc.array(fc.integer()))
  const names = fc.constantFrom('a', 'b', 'c', 'd')
  const flat = fc.dictionary(names, leaf)
  const nested = fc.dictionary(names, fc.oneof(leaf, fc.dictionary(names, leaf, { minKeys: 1 })))
  fc.assert(
    fc.property(fc.oneof(flat, nested), fc.oneof(flat, nested), (before, after) => {
      const patch = mergeDiff(before, after)
      expect(JSON.parse(JSON.stringify(patch === undefined ? before : merge(before, patch)))).toEqual(
        JSON.parse(JSON.stringify(after)),
      )
    }),
  )
})

test('changed fields are named by their path', () => {
  const before = { data: { name: 'web', scaleFactor: 1, environment: { A: '1' } } }
  const after = { data: { name: 'web', scaleFactor: 2, environment: {} } }
  expect(changedFields(before, after)).toEqual([
    { path: 'data.scaleFactor', from: 1, to: 2 },
    { path: 'data.environment.A', from: '1', to: undefined },
  ])
})
