import type { ChangeEntry, Resource } from '@freehold/contracts'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { patchList, patchOne } from './patch.ts'

function resource(id: string, version: number, data: object = {}): Resource {
  return { kind: 'service', id, data, status: {}, generation: 1, version, labels: {}, createdAt: '', updatedAt: '' }
}

function change(
  operation: ChangeEntry['operation'],
  after: Resource | null,
  id = after?.id ?? '',
  version = after?.version ?? 0,
): ChangeEntry {
  const actor = { type: 'user', id: 'u', name: 'admin' } as const
  return { version, operation, kind: 'service', id, actor, at: '', after, hash: '' }
}

function list(...items: Resource[]) {
  const half = Math.ceil(items.length / 2)
  const pages = [items.slice(0, half), items.slice(half)].map((part) => ({ items: part, nextCursor: null, version: 1 }))
  return { pages, pageParams: [undefined, 'next'] }
}
const shown = (patched: { list: ReturnType<typeof list> | { pages: { items: Resource[] }[] } }) =>
  patched.list.pages.flatMap(({ items }) => items)

test('a newer version takes the place of the one shown, on whatever page', () => {
  const before = list(resource('a', 1), resource('b', 2), resource('c', 3))
  const after = resource('c', 9, { name: 'new' })
  const patched = patchList(before, change('update', after), {})
  expect(shown(patched)).toEqual([resource('a', 1), resource('b', 2), after])
  expect(patched.stale).toBe(false)
  expect(patched.list.pages[0]).toBe(before.pages[0])
})

test('an older change than what is shown does nothing', () => {
  const before = list(resource('a', 5))
  expect(patchList(before, change('status', resource('a', 4)), {})).toEqual({ list: before, stale: false })
  expect(patchOne(resource('a', 5), change('status', resource('a', 4)))).toEqual(resource('a', 5))
})

test('a deleted one goes, and is null where it was shown alone', () => {
  const patched = patchList(list(resource('a', 1), resource('b', 2)), change('delete', null, 'a', 9), {
    state: 'failed',
  })
  expect(shown(patched)).toEqual([resource('b', 2)])
  expect(patchOne(resource('a', 1), change('delete', null, 'a', 9))).toBe(null)
})

test('a new one asks for the list again, but not a list of another cluster', () => {
  const created = change('create', resource('n', 9, { clusterId: 'north' }))
  expect(patchList(list(), created, {}).stale).toBe(true)
  expect(patchList(list(), created, { clusterId: 'north', limit: 500 }).stale).toBe(true)
  expect(patchList(list(), created, { clusterId: 'south' }).stale).toBe(false)
})

test('where a change may move it in or out of a filter, the list is read again', () => {
  const before = list(resource('a', 1))
  expect(patchList(before, change('status', resource('a', 2)), { state: 'failed' }).stale).toBe(true)
  expect(patchList(before, change('status', resource('b', 2)), { state: 'failed' }).stale).toBe(true)
  expect(patchList(before, change('status', resource('b', 2)), {}).stale).toBe(false)
})

test('a change that does not say what the resource is now asks again and shows nothing made up', () => {
  const before = list(resource('a', 1))
  const odd = { ...change('update', null, 'a', 5), after: { surprising: true } }
  expect(patchList(before, odd, {})).toEqual({ list: before, stale: true })
  expect(patchOne(resource('a', 1), odd)).toEqual(resource('a', 1))
})

test('whatever order changes come in, the newest version is what is shown', () => {
  const versions = fc.uniqueArray(fc.integer({ min: 2, max: 1000 }), { minLength: 1, maxLength: 20 })
  fc.assert(
    fc.property(versions, (order) => {
      let before = list(resource('a', 1)) as Parameters<typeof patchList>[0]
      for (const version of order) before = patchList(before, change('update', resource('a', version)), {}).list
      expect(shown({ list: before })).toEqual([resource('a', Math.max(...order))])
    }),
  )
})
