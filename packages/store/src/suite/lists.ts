import { describe, expect, it } from 'vitest'
import type { ListOptions, Page, Store } from '../store.ts'
import { alice, bedFor, createService, type MakeTestBed, note, service, storeFor, user } from './test-bed.ts'

async function fill(store: Store, count: number): Promise<string[]> {
  const created = await store.transaction(alice, (t) =>
    Promise.all(
      Array.from({ length: count }, (_, index) =>
        t.create(service, {
          data: { name: `web-${index}`, cluster: index % 2 === 0 ? 'even' : 'odd' },
          labels: index % 3 === 0 ? { third: 'yes' } : {},
        }),
      ),
    ),
  )
  return created.map(({ id }) => id)
}

async function walk(store: Store, options: ListOptions): Promise<string[]> {
  const ids: string[] = []
  let cursor: string | null = null
  do {
    const page: Page<typeof service> = await store.list(service, { ...options, ...(cursor !== null && { cursor }) })
    ids.push(...page.items.map(({ id }) => id))
    cursor = page.nextCursor
  } while (cursor !== null)
  return ids
}

export function describeLists(make: MakeTestBed): void {
  describe('a list', () => {
    it('walks every resource once, in order of creation, whatever the page size', async () => {
      const store = await storeFor(make)
      const ids = await fill(store, 23)
      expect([...ids].sort()).toEqual(ids)
      for (const limit of [1, 2, 7, 22, 23, 24, 500]) expect(await walk(store, { limit })).toEqual(ids)
      expect((await store.all(service)).map(({ id }) => id)).toEqual(ids)
      expect(await store.count(service)).toBe(23)
    })

    it('tells what changed last first where that is asked for, filtered or not, whatever the page size', async () => {
      const store = await storeFor(make)
      const ids = await fill(store, 12)
      const moved = [ids[3], ids[8], ids[3]].filter((id) => id !== undefined)
      for (const [index, id] of moved.entries()) {
        await store.transaction(alice, (t) => t.setStatus(service, id, { phase: `p${index}` }))
      }
      const rest = ids.filter((id) => !moved.includes(id)).reverse()
      const expected = [ids[3], ids[8], ...rest]
      for (const limit of [1, 5, 11, 12, 500]) expect(await walk(store, { order: 'changed', limit })).toEqual(expected)
      const even = expected.filter((id) => id !== undefined && ids.indexOf(id) % 2 === 0)
      expect(await walk(store, { order: 'changed', where: { cluster: 'even' }, limit: 2 })).toEqual(even)
      expect(await walk(store, { order: 'changed', where: { cluster: 'even' }, search: 'web-1' })).toEqual([ids[10]])
      const { nextCursor } = await store.list(service, { order: 'changed', limit: 2 })
      await expect(store.list(service, { cursor: nextCursor ?? '' })).rejects.toMatchObject({ code: 'invalid-cursor' })
      const inside = await store.transaction(alice, async (t) => {
        await t.setStatus(service, ids[0] ?? '', { phase: 'inside' })
        return t.list(service, { order: 'changed', limit: 2 })
      })
      expect(inside.items.map(({ id }) => id)).toEqual([ids[0], ids[3]])
    })

    it('filters by index, unique key, label and text, alone and together', async () => {
      const store = await storeFor(make)
      const ids = await fill(store, 30)
      const expected = (keep: (index: number) => boolean) => ids.filter((_, index) => keep(index))
      const label = { key: 'third', value: 'yes' }
      const even = { cluster: 'even' }
      expect(await walk(store, { where: even, limit: 4 })).toEqual(expected((i) => i % 2 === 0))
      expect(await walk(store, { label, limit: 4 })).toEqual(expected((i) => i % 3 === 0))
      expect(await walk(store, { where: even, label, limit: 2 })).toEqual(expected((i) => i % 6 === 0))
      expect(await walk(store, { search: 'WEB-2', limit: 3 })).toEqual(expected((i) => i === 2 || i >= 20))
      expect(await walk(store, { where: even, label, search: '2' })).toEqual(expected((i) => i === 12 || i === 24))
      expect(await walk(store, { where: { name: 'web-5' } })).toEqual(expected((i) => i === 5))
      expect(await walk(store, { where: { name: 'web-5', cluster: 'even' } })).toEqual([])
      expect(await store.count(service, { where: even, label, search: '2' })).toBe(2)
      expect((await store.all(service, { where: even, label })).length).toBe(5)
    })

    it('follows changes of data, status and labels', async () => {
      const store = await storeFor(make)
      const { id } = await createService(store, { name: 'web', cluster: 'a' })
      await store.transaction(alice, async (t) => {
        await t.update(service, id, { data: { name: 'web', cluster: 'b' }, labels: { x: '1' } })
        await t.setStatus(service, id, { phase: 'up' })
      })
      expect(await store.count(service, { where: { cluster: 'a' } })).toBe(0)
      expect(await store.count(service, { where: { cluster: 'b', phase: 'up' } })).toBe(1)
      expect(await store.count(service, { label: { key: 'x', value: '1' } })).toBe(1)
      await store.transaction(alice, (t) => t.update(service, id, { data: { name: 'web' }, labels: {} }))
      expect(await store.count(service, { where: { cluster: 'b' } })).toBe(0)
      expect(await store.count(service, { label: { key: 'x', value: '1' } })).toBe(0)
    })

    it('searches the id where there is no name, and takes no character as special', async () => {
      const store = await storeFor(make)
      const { id } = await store.transaction(alice, (t) => t.create(note, { data: 5 }))
      expect(await store.count(note, { search: id.slice(3, 12).toUpperCase() })).toBe(1)
      await createService(store, { name: '100%_Ünder' })
      await createService(store, { name: '1000' })
      expect((await store.all(service, { search: '0%_üN' })).map(({ data }) => data.name)).toEqual(['100%_Ünder'])
    })

    it('refuses a cursor that was changed, invented, or given out for another list', async () => {
      const store = await storeFor(make)
      await fill(store, 5)
      const cursor = (await store.list(service, { limit: 2 })).nextCursor ?? ''
      const changed = cursor.slice(0, -2) + (cursor.endsWith('AA') ? 'BB' : 'AA')
      const refused = { code: 'invalid-cursor' }
      for (const bad of [changed, 'nonsense', '', '=', `${cursor}=`]) {
        await expect(store.list(service, { cursor: bad })).rejects.toMatchObject(refused)
      }
      await expect(store.list(service, { cursor, where: { cluster: 'even' } })).rejects.toMatchObject(refused)
      await expect(store.list(service, { cursor, search: 'w' })).rejects.toMatchObject(refused)
      await expect(store.list(user, { cursor })).rejects.toMatchObject(refused)
      expect((await store.list(service, { cursor, limit: 9 })).items).toHaveLength(3)
    })

    it('walks a unique key in order of its bytes, from anywhere, and reads no more than it answers', async () => {
      const store = await storeFor(make)
      const names = ['b:2', 'a:z', 'a:', 'a', 'b:10', 'a:\u{1f600}', 'a:é', 'a;', 'b', 'a:Z', 'c:x']
      await store.transaction(alice, async (t) => {
        for (const name of names) await t.create(service, { data: { name } })
      })
      const walked = async (options: { prefix?: string; after?: string }, limit = 500) =>
        (await store.listByKey(service, 'name', { ...options, limit })).map(({ data }) => data.name)
      const sorted = names.toSorted((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)))
      expect(await walked({})).toEqual(sorted)
      expect(await walked({ prefix: 'a:' })).toEqual(sorted.filter((name) => name.startsWith('a:')))
      expect(await walked({ prefix: 'b:', after: '1' })).toEqual(['b:10', 'b:2'])
      expect(await walked({ prefix: 'b:', after: '10' })).toEqual(['b:2'])
      expect(await walked({ after: 'b' }, 2)).toEqual(['b:10', 'b:2'])
      const inSteps: string[] = []
      for (let page = await walked({}, 3); page.length > 0; page = await walked({ after: page.at(-1) ?? '' }, 3)) {
        inSteps.push(...page)
      }
      expect(inSteps).toEqual(sorted)
      await expect(store.listByKey(service, 'cluster', { limit: 1 })).rejects.toThrow(TypeError)
      for (const limit of [0, 501]) await expect(store.listByKey(service, 'name', { limit })).rejects.toThrow(TypeError)
    })

    it('takes a cursor from before a restart', async () => {
      const bed = await bedFor(make)
      const first = await bed.open()
      const ids = await fill(first, 5)
      const cursor = (await first.list(service, { limit: 2 })).nextCursor ?? ''
      await first.close()
      const second = await bed.open()
      expect((await second.list(service, { cursor })).items.map(({ id }) => id)).toEqual(ids.slice(2))
    })

    it('tells the version it was read at, on an empty page too', async () => {
      const store = await storeFor(make)
      expect(await store.list(service)).toEqual({ items: [], nextCursor: null, version: 0 })
      await fill(store, 3)
      expect((await store.list(service, { limit: 1 })).version).toBe(3)
      expect((await store.list(service, { where: { cluster: 'none' } })).version).toBe(3)
    })

    it('is a programming error with an unknown index or an impossible limit', async () => {
      const store = await storeFor(make)
      await expect(store.list(service, { where: { image: 'x' } })).rejects.toThrow(TypeError)
      await expect(store.count(service, { where: { toString: 'x' } })).rejects.toThrow(TypeError)
      for (const limit of [0, 501, 1.5, Number.NaN])
        await expect(store.list(service, { limit })).rejects.toThrow(TypeError)
    })

    it('uses an index that was added after the data', async () => {
      const bed = await bedFor(make)
      const before = await bed.open({ kinds: [{ ...service, indexes: {}, unique: {} }] })
      await before.transaction(alice, async (t) => {
        for (const name of ['a', 'b', 'b'])
          await t.create({ ...service, indexes: {}, unique: {} }, { data: { name, cluster: 'x' } })
      })
      await before.close()
      await expect(bed.open({ kinds: [service] })).rejects.toMatchObject({ code: 'conflict' })
      const withIndex = { ...service, unique: {} }
      const after = await bed.open({ kinds: [withIndex] })
      expect(await after.count(withIndex, { where: { cluster: 'x', phase: 'new' } })).toBe(3)
    })
  })
}
