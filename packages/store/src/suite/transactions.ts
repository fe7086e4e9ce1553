import { describe, expect, it } from 'vitest'
import type { Transaction } from '../store.ts'
import { alice, bedFor, createService, type MakeTestBed, service, storeFor, until } from './test-bed.ts'

class Refused extends Error {}

export function describeTransactions(make: MakeTestBed): void {
  describe('a transaction', () => {
    it('passes on what its callback answers or throws, and leaves nothing of one that threw', async () => {
      const store = await storeFor(make)
      const { id } = await createService(store, { name: 'web', cluster: 'a' })
      expect(await store.transaction(alice, async () => 'answer')).toBe('answer')
      const failing = store.transaction(alice, async (t) => {
        await t.create(service, { data: { name: 'new' } })
        await t.update(service, id, { data: { name: 'renamed', cluster: 'b' } })
        expect(await t.count(service, { where: { cluster: 'b' } })).toBe(1)
        await t.delete(service, id)
        throw new Refused('no')
      })
      await expect(failing).rejects.toBeInstanceOf(Refused)
      expect(await store.version()).toBe(1)
      expect(await store.find(service, 'name', 'new')).toBeUndefined()
      expect(await store.all(service, { where: { cluster: 'a' } })).toMatchObject([{ id, data: { name: 'web' } }])
      expect(await store.changes(1)).toEqual([])
      expect((await createService(store, { name: 'new' })).version).toBe(2)
    })

    it('sees its own writes in every kind of read', async () => {
      const store = await storeFor(make)
      await createService(store, { name: 'old', cluster: 'a' })
      await store.transaction(alice, async (t) => {
        const { id } = await t.create(service, { data: { name: 'new', cluster: 'a' }, labels: { x: '1' } })
        expect(await t.get(service, id)).toMatchObject({ data: { name: 'new' } })
        expect((await t.find(service, 'name', 'new'))?.id).toBe(id)
        expect(await t.count(service, { where: { cluster: 'a' } })).toBe(2)
        await t.update(service, id, { data: { name: 'newer', cluster: 'b' } })
        expect(await t.find(service, 'name', 'new')).toBeUndefined()
        expect((await t.list(service, { label: { key: 'x', value: '1' } })).items).toMatchObject([
          { id, generation: 2 },
        ])
        expect((await t.list(service)).version).toBe(3)
        expect(await t.version()).toBe(3)
        expect((await t.all(service, { search: 'newer' })).map((found) => found.id)).toEqual([id])
      })
    })

    it('hides its writes from outside until it is committed', async () => {
      const store = await storeFor(make)
      const { id } = await createService(store, { name: 'web', image: 'committed' })
      let step = (): void => {}
      const held = new Promise<void>((resolve) => {
        step = resolve
      })
      let written = false
      const writing = store.transaction(alice, async (t) => {
        await t.update(service, id, { data: { name: 'web', image: 'uncommitted' } })
        await t.count(service)
        written = true
        await held
        throw new Refused('no')
      })
      const refused = expect(writing).rejects.toBeInstanceOf(Refused)
      await until(() => written)
      expect((await store.get(service, id))?.data.image).toBe('committed')
      expect(await store.version()).toBe(1)
      expect(await store.changes(1)).toEqual([])
      step()
      await refused
      expect((await store.get(service, id))?.data.image).toBe('committed')
    })

    it('is never seen from outside with a value that was rolled back', async () => {
      const store = await storeFor(make)
      const { id } = await createService(store, { name: 'web', image: 'good', cluster: 'good' })
      let writing = true
      const seen = new Set<string | undefined>()
      const reader = async () => {
        while (writing) {
          seen.add((await store.get(service, id))?.data.image)
          for (const { data } of (await store.list(service)).items) seen.add(data.image)
          for (const { data } of await store.all(service, { where: { cluster: 'bad' } })) seen.add(data.cluster)
          await new Promise((resolve) => setImmediate(resolve))
        }
      }
      const readers = [reader(), reader()]
      for (let round = 0; round < 20; round++) {
        await Promise.allSettled(
          Array.from({ length: 8 }, (_, index) =>
            store.transaction(alice, async (t) => {
              const word = index % 2 === 0 ? 'good' : 'bad'
              await t.update(service, id, {
                data: { name: 'web', image: word, cluster: word, replicas: round + index },
              })
              if (index % 3 === 0) await t.count(service)
              if (word === 'bad') throw new Refused('rolled back')
            }),
          ),
        )
      }
      writing = false
      await Promise.all(readers)
      expect([...seen]).toEqual(['good'])
    })

    it('runs alone: counting up by many writers loses nothing', async () => {
      const store = await storeFor(make)
      const { id } = await createService(store, { name: 'web' })
      const add = () =>
        store.transaction(alice, async (t) => {
          const replicas = (await t.get(service, id))?.data.replicas ?? 0
          await t.update(service, id, { data: { name: 'web', replicas: replicas + 1 } })
        })
      await Promise.all(Array.from({ length: 100 }, add))
      expect(await store.get(service, id)).toMatchObject({ data: { replicas: 100 }, generation: 101 })
    })

    it('fails by itself when those it shares a commit with succeed', async () => {
      const store = await storeFor(make)
      const results = await Promise.allSettled(
        Array.from({ length: 60 }, (_, index) =>
          store.transaction(alice, async (t) => {
            await t.create(service, { data: { name: `web-${index}` } })
            if (index % 4 === 1) await t.count(service)
            if (index % 2 === 1) throw new Refused('odd')
          }),
        ),
      )
      expect(results.map(({ status }) => status === 'fulfilled')).toEqual(results.map((_, index) => index % 2 === 0))
      expect(await store.count(service)).toBe(30)
      expect((await store.changes(0)).map(({ version }) => version)).toEqual(
        Array.from({ length: 30 }, (_, i) => i + 1),
      )
    })

    it('can go on after a refusal it caught', async () => {
      const store = await storeFor(make)
      await store.transaction(alice, async (t) => {
        await expect(t.delete(service, '01900000-0000-7000-8000-000000000000')).rejects.toThrow()
        await t.create(service, { data: { name: 'web' } })
      })
      expect(await store.count(service)).toBe(1)
    })

    it('keeps the order of operations its callback did not await', async () => {
      const store = await storeFor(make)
      const { id } = await createService(store, { name: 'web' })
      await store.transaction(alice, async (t) => {
        for (const image of ['a', 'b', 'c']) void t.update(service, id, { data: { name: 'web', image } })
      })
      expect(await store.get(service, id)).toMatchObject({ data: { image: 'c' }, generation: 4 })
    })

    it('is aborted when it waits for something else too long, and the store goes on', async () => {
      const store = await storeFor(make, { transactionTimeoutMs: 300 })
      const hanging = store.transaction(alice, async (t) => {
        await t.create(service, { data: { name: 'inside' } })
        return store.transaction(alice, (inner) => inner.create(service, { data: { name: 'nested' } }))
      })
      await expect(hanging).rejects.toMatchObject({ code: 'timeout', message: expect.stringContaining('300 ms') })
      await createService(store, { name: 'after' })
      await until(async () => (await store.count(service)) === 2)
      expect(await store.find(service, 'name', 'inside')).toBeUndefined()
    })

    it('cannot be used after its end', async () => {
      const store = await storeFor(make)
      const { kept } = await store.transaction(alice, async (t): Promise<{ kept: Transaction }> => ({ kept: t }))
      await expect(kept.create(service, { data: { name: 'late' } })).rejects.toMatchObject({ code: 'conflict' })
      expect(await store.count(service)).toBe(0)
    })

    it('is finished by close, and refused after it', async () => {
      const bed = await bedFor(make)
      const store = await bed.open()
      const accepted = Array.from({ length: 50 }, (_, index) => createService(store, { name: `web-${index}` }))
      await store.close()
      await Promise.all(accepted)
      await expect(createService(store, { name: 'late' })).rejects.toMatchObject({ code: 'unavailable' })
      await expect(store.list(service)).rejects.toMatchObject({ code: 'unavailable' })
      expect(await (await bed.open()).count(service)).toBe(50)
    })
  })
}
