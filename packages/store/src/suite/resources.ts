import { describe, expect, it } from 'vitest'
import { alice, createService, type MakeTestBed, note, service, storeFor, user } from './test-bed.ts'

export function describeResources(make: MakeTestBed): void {
  describe('a resource', () => {
    it('is read back as it was created', async () => {
      const store = await storeFor(make)
      const data = { name: 'web', cluster: 'home', replicas: 2 }
      const created = await store.transaction(alice, (transaction) =>
        transaction.create(service, { data, labels: { tier: 'front' } }),
      )
      expect(created).toMatchObject({ kind: 'service', data, status: { phase: 'new' }, generation: 1, version: 1 })
      expect(created.labels).toEqual({ tier: 'front' })
      expect(created.createdAt).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/)
      expect(created.id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
      expect(await store.get(service, created.id)).toEqual(created)
      expect(await store.find(service, 'name', 'web')).toEqual(created)
    })

    it('is not there before it exists, nor under another kind', async () => {
      const store = await storeFor(make)
      const { id } = await createService(store, { name: 'web' })
      expect(await store.get(user, id)).toBeUndefined()
      expect(await store.get(service, '01900000-0000-7000-8000-000000000000')).toBeUndefined()
      expect(await store.find(service, 'name', 'other')).toBeUndefined()
    })

    it('keeps every JSON value, however odd', async () => {
      const store = await storeFor(make)
      const data = {
        '': [null, 1.5, -0.001, 1e300],
        nul: '\0',
        half: '\ud800',
        deep: { é: '💡', __proto: [] },
        t: true,
      }
      const { id } = await store.transaction(alice, (transaction) => transaction.create(note, { data }))
      expect((await store.get(note, id))?.data).toEqual(data)
      expect((await store.changes(0))[0]?.after?.data).toEqual(data)
    })

    it('does not follow the object it was made of', async () => {
      const store = await storeFor(make)
      const data = { name: 'web' }
      const created = await createService(store, data)
      data.name = 'changed'
      expect(created.data.name).toBe('web')
      created.data.name = 'changed too'
      expect((await store.get(service, created.id))?.data.name).toBe('web')
    })

    it('grows in generation only when its data differs', async () => {
      const store = await storeFor(make)
      const { id } = await createService(store, { name: 'web', image: 'a' })
      const update = (change: { data?: { name: string; image: string }; labels?: Record<string, string> }) =>
        store.transaction(alice, (transaction) => transaction.update(service, id, change))
      expect(await update({ data: { image: 'b', name: 'web' } })).toMatchObject({ generation: 2, version: 2 })
      expect(await update({ data: { name: 'web', image: 'b' } })).toMatchObject({ generation: 2, version: 2 })
      expect(await update({ labels: { a: 'b' } })).toMatchObject({ generation: 2, version: 3 })
      const observed = await store.transaction(alice, (transaction) =>
        transaction.setStatus(service, id, { phase: 'up' }),
      )
      expect(observed).toMatchObject({ generation: 2, version: 4, status: { phase: 'up' } })
      const same = await store.transaction(alice, (transaction) => transaction.setStatus(service, id, { phase: 'up' }))
      expect(same.version).toBe(4)
      expect(await store.version()).toBe(4)
    })

    it('refuses a change on a stale version, and changes nothing', async () => {
      const store = await storeFor(make)
      const { id } = await createService(store, { name: 'web' })
      const stale = { expectedVersion: 7 }
      const changes = [
        store.transaction(alice, (t) => t.update(service, id, { data: { name: 'x' }, ...stale })),
        store.transaction(alice, (t) => t.setStatus(service, id, { phase: 'up' }, stale)),
        store.transaction(alice, (t) => t.delete(service, id, stale)),
      ]
      for (const change of changes) await expect(change).rejects.toMatchObject({ code: 'stale-version' })
      expect(await store.get(service, id)).toMatchObject({ version: 1, data: { name: 'web' } })
      await store.transaction(alice, (t) => t.delete(service, id, { expectedVersion: 1 }))
      expect(await store.get(service, id)).toBeUndefined()
    })

    it('lets one of many writers win on the same version', async () => {
      const store = await storeFor(make)
      const { id } = await createService(store, { name: 'web' })
      const results = await Promise.allSettled(
        Array.from({ length: 20 }, (_, index) =>
          store.transaction(alice, (t) =>
            t.update(service, id, { data: { name: 'web', image: `i${index}` }, expectedVersion: 1 }),
          ),
        ),
      )
      expect(results.filter(({ status }) => status === 'fulfilled')).toHaveLength(1)
    })

    it('is not-found when changed or deleted without being there', async () => {
      const store = await storeFor(make)
      const id = '01900000-0000-7000-8000-000000000000'
      const missing = { code: 'not-found' }
      await expect(store.transaction(alice, (t) => t.update(service, id, {}))).rejects.toMatchObject(missing)
      await expect(store.transaction(alice, (t) => t.setStatus(service, id, { phase: '' }))).rejects.toMatchObject(
        missing,
      )
      await expect(store.transaction(alice, (t) => t.delete(service, id))).rejects.toMatchObject(missing)
    })

    it('can be deleted and created again with the same id', async () => {
      const store = await storeFor(make)
      const { id } = await createService(store, { name: 'web', cluster: 'home' })
      const again = await store.transaction(alice, async (t) => {
        await t.delete(service, id)
        expect(await t.get(service, id)).toBeUndefined()
        return t.create(service, { id, data: { name: 'web' } })
      })
      expect(again).toMatchObject({ id, generation: 1, version: 3 })
      expect(await store.count(service, { where: { cluster: 'home' } })).toBe(0)
      const twice = store.transaction(alice, (t) => t.create(service, { id, data: { name: 'b' } }))
      await expect(twice).rejects.toMatchObject({ code: 'already-exists' })
    })

    it('is a programming error when its kind was not given at the opening', async () => {
      const store = await storeFor(make, { kinds: [service] })
      await expect(store.get(user, 'x')).rejects.toThrow(TypeError)
      const write = store.transaction(alice, (t) => t.create(note, { data: 1 }))
      await expect(write).rejects.toThrow(/without the kind note/)
    })
  })

  describe('a unique key', () => {
    it('has one holder', async () => {
      const store = await storeFor(make)
      await createService(store, { name: 'web' })
      await expect(createService(store, { name: 'web' })).rejects.toMatchObject({
        code: 'already-exists',
        message: expect.stringContaining('"web"'),
      })
      const both = store.transaction(alice, async (t) => {
        await t.create(service, { data: { name: 'twin' } })
        await t.create(service, { data: { name: 'twin' } })
      })
      await expect(both).rejects.toMatchObject({ code: 'already-exists' })
      expect(await store.count(service)).toBe(1)
    })

    it('goes to one of many who want it at once', async () => {
      const store = await storeFor(make)
      const tries = Array.from({ length: 20 }, () => createService(store, { name: 'web' }))
      const results = await Promise.allSettled(tries)
      expect(results.filter(({ status }) => status === 'fulfilled')).toHaveLength(1)
      expect(await store.count(service)).toBe(1)
    })

    it('is free again after a delete or a new name', async () => {
      const store = await storeFor(make)
      const first = await createService(store, { name: 'web' })
      await store.transaction(alice, (t) => t.delete(service, first.id))
      const second = await createService(store, { name: 'web' })
      await store.transaction(alice, (t) => t.update(service, second.id, { data: { name: 'other' } }))
      const third = await createService(store, { name: 'web' })
      expect((await store.find(service, 'name', 'web'))?.id).toBe(third.id)
      expect((await store.find(service, 'name', 'other'))?.id).toBe(second.id)
    })

    it('can be swapped within one transaction', async () => {
      const store = await storeFor(make)
      const a = await createService(store, { name: 'a' })
      const b = await createService(store, { name: 'b' })
      await store.transaction(alice, async (t) => {
        await t.update(service, a.id, { data: { name: 'b' } })
        expect((await t.find(service, 'name', 'b'))?.id).toBe(b.id)
        await t.update(service, b.id, { data: { name: 'a' } })
        expect((await t.find(service, 'name', 'b'))?.id).toBe(a.id)
      })
      expect((await store.find(service, 'name', 'a'))?.id).toBe(b.id)
      expect((await store.find(service, 'name', 'b'))?.id).toBe(a.id)
      await expect(createService(store, { name: 'a' })).rejects.toMatchObject({ code: 'already-exists' })
    })

    it('does not show a secret in its refusal', async () => {
      const store = await storeFor(make)
      const create = () =>
        store.transaction(alice, (t) => t.create(user, { data: { name: 'secret-name', passwordHash: 'x' } }))
      await create()
      await expect(create()).rejects.toThrow('Another user has this name already.')
    })

    it('may be as long and odd as it likes', async () => {
      const store = await storeFor(make)
      const names = ['x'.repeat(5000), `${'x'.repeat(5000)}y`, 'nul\0', 'nul', '\ud800', '\ud801', '#', '%_\\']
      for (const name of names) await createService(store, { name, cluster: name })
      for (const name of names) {
        expect((await store.find(service, 'name', name))?.data.name).toBe(name)
        expect(await store.count(service, { where: { cluster: name } })).toBe(1)
      }
    })

    it('is a programming error when the kind does not declare it', async () => {
      const store = await storeFor(make)
      await expect(store.find(service, 'cluster', 'x')).rejects.toThrow(TypeError)
    })
  })
}
