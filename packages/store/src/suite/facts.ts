import { describe, expect, it } from 'vitest'
import { alice, bedFor, createService, type MakeTestBed, service, storeFor, until } from './test-bed.ts'

export function describeFacts(make: MakeTestBed): void {
  describe('facts', () => {
    it('are seen at once, newest value only, before and after they are written', async () => {
      const store = await storeFor(make, { factFlushMs: 3_600_000 })
      const { id } = await createService(store, { name: 'web' })
      store.facts.set(service, id, 'lastSeen', 1)
      store.facts.set(service, id, 'lastSeen', 2)
      store.facts.set(service, id, 'load', { one: 0.5 })
      expect(await store.facts.get(service, id)).toEqual({ lastSeen: 2, load: { one: 0.5 } })
      await store.facts.flush()
      store.facts.set(service, id, 'lastSeen', 3)
      expect(await store.facts.get(service, id)).toEqual({ lastSeen: 3, load: { one: 0.5 } })
      expect(await store.facts.getMany(service, [id, 'unknown'])).toEqual(
        new Map([
          [id, { lastSeen: 3, load: { one: 0.5 } }],
          ['unknown', {}],
        ]),
      )
      expect(await store.version()).toBe(1)
    })

    it('are asked for by their names too, where others are large', async () => {
      const store = await storeFor(make, { factFlushMs: 3_600_000 })
      const one = await createService(store, { name: 'one' })
      const other = await createService(store, { name: 'other' })
      for (const { id } of [one, other]) {
        for (const name of ['load', 'seen', 'report']) store.facts.set(service, id, name, `${name} of before`)
      }
      await store.facts.flush()
      store.facts.set(service, one.id, 'load', 'load')
      store.facts.set(service, one.id, 'report', 'report')
      const names = ['load', 'seen', 'unknown']
      const expected: Record<string, unknown> = { load: 'load', seen: 'seen of before' }
      expect(await store.facts.get(service, one.id, names)).toEqual(expected)
      expect(await store.facts.getMany(service, [one.id, other.id, 'nobody'], names)).toEqual(
        new Map([
          [one.id, expected],
          [other.id, { load: 'load of before', seen: 'seen of before' }],
          ['nobody', {}],
        ]),
      )
      expect(await store.facts.get(service, one.id, [])).toEqual({})
    })

    it('are on disk after close', async () => {
      const bed = await bedFor(make)
      const store = await bed.open({ factFlushMs: 3_600_000 })
      const { id } = await createService(store, { name: 'web' })
      store.facts.set(service, id, 'lastSeen', 'now')
      await store.close()
      const again = await bed.open()
      expect(await again.facts.get(service, id)).toEqual({ lastSeen: 'now' })
      expect(await again.verifyAudit()).toEqual({ checked: 1, firstBroken: null })
    })

    it('are written by themselves within the period', async () => {
      const bed = await bedFor(make)
      const store = await bed.open({ factFlushMs: 20 })
      const { id } = await createService(store, { name: 'web' })
      store.facts.set(service, id, 'lastSeen', 1)
      await until(async () => (await bed.rows('SELECT value FROM fact')).length === 1)
      expect(await bed.rows('SELECT value FROM fact')).toEqual([{ value: '1' }])
    })

    it('go with their resource', async () => {
      const store = await storeFor(make)
      const { id } = await createService(store, { name: 'web' })
      store.facts.set(service, id, 'written', 1)
      await store.facts.flush()
      store.facts.set(service, id, 'waiting', 1)
      await store.transaction(alice, (t) => t.delete(service, id))
      await store.transaction(alice, (t) => t.create(service, { id, data: { name: 'web' } }))
      await store.facts.flush()
      expect(await store.facts.get(service, id)).toEqual({})
    })

    it('of no resource are not kept', async () => {
      const store = await storeFor(make)
      store.facts.set(service, 'nobody', 'lastSeen', 1)
      await store.facts.flush()
      expect(await store.facts.get(service, 'nobody')).toEqual({})
    })
  })
}
