import { hash } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { canonicalJson } from '../canonical.ts'
import type { Store } from '../store.ts'
import {
  alice,
  bedFor,
  createService,
  kinds,
  type MakeTestBed,
  note,
  readLog,
  service,
  storeFor,
  until,
  user,
} from './test-bed.ts'

async function makeSomeChanges(store: Store, count: number): Promise<void> {
  for (let index = 0; index < count; index++) {
    await store.transaction(alice, (t) => t.create(note, { data: { index } }))
  }
}

export function describeLog(make: MakeTestBed): void {
  describe('the log', () => {
    it.each([0, 501, 1.5, Number.NaN])('refuses to read %s entries at once', async (limit) => {
      const store = await storeFor(make)
      await expect(store.changes(0, { limit })).rejects.toThrow(TypeError)
      await expect(store.audit({ limit })).rejects.toThrow(TypeError)
    })

    it('has one entry for each change: who, what, before and after', async () => {
      const store = await storeFor(make, { now: () => Date.UTC(2030, 0, 1) })
      const created = await createService(store, { name: 'web' })
      const updated = await store.transaction(alice, (t) => t.update(service, created.id, { data: { name: 'new' } }))
      const observed = await store.transaction(alice, (t) => t.setStatus(service, created.id, { phase: 'up' }))
      await store.transaction({ type: 'system', id: 'sweeper', name: 'sweeper' }, (t) => t.delete(service, created.id))
      const entry = { kind: 'service', id: created.id, actor: alice, at: '2030-01-01T00:00:00.000Z' }
      const changes = await store.changes(0)
      expect(changes).toMatchObject([
        { ...entry, version: 1, operation: 'create', before: null, after: created },
        { ...entry, version: 2, operation: 'update', before: created, after: updated },
        { ...entry, version: 3, operation: 'status', after: observed },
        { ...entry, version: 4, operation: 'delete', before: observed, after: null, actor: { id: 'sweeper' } },
      ])
      expect('before' in (changes[2] ?? {})).toBe(false)
    })

    it('never holds a redacted field, neither in the feed nor in the tables', async () => {
      const store = await storeFor(make)
      const secret = 'argon2id-very-secret'
      const { id } = await store.transaction(alice, (t) =>
        t.create(user, { data: { name: 'ada', passwordHash: secret } }),
      )
      await store.transaction(alice, (t) => t.update(user, id, { data: { name: 'ada', passwordHash: `${secret}-2` } }))
      await store.transaction(alice, (t) => t.delete(user, id))
      const changes = await store.changes(0)
      expect(changes).toHaveLength(3)
      expect(JSON.stringify(changes)).not.toContain(secret)
      expect(JSON.stringify(await store.audit())).not.toContain(secret)
      expect(changes[1]).toMatchObject({ before: { data: { name: 'ada' } }, after: { generation: 2 } })
    })

    it('can be followed in pages of any size and by kind, without gaps or repeats', async () => {
      const store = await storeFor(make)
      await makeSomeChanges(store, 5)
      await createService(store, { name: 'web' })
      await makeSomeChanges(store, 5)
      for (const limit of [1, 3, 11, 500]) {
        expect((await readLog(store, 0, limit)).map(({ version }) => version)).toEqual([
          1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11,
        ])
      }
      expect((await store.changes(0, { kinds: ['service'] })).map(({ version }) => version)).toEqual([6])
      expect(await store.changes(6, { kinds: ['service'] })).toEqual([])
      expect((await store.changes(3, { kinds: ['service', 'note'], limit: 4 })).map(({ version }) => version)).toEqual([
        4, 5, 6, 7,
      ])
      expect(await store.changes(0, { kinds: [] })).toEqual([])
    })

    it('is shown newest first for the audit, by kind, by resource and in pages', async () => {
      const store = await storeFor(make)
      const { id } = await createService(store, { name: 'web' })
      await makeSomeChanges(store, 3)
      await store.transaction(alice, (t) => t.setStatus(service, id, { phase: 'up' }))
      const versions = async (options: Parameters<Store['audit']>[0]) =>
        (await store.audit(options)).map(({ version }) => version)
      expect(await versions({})).toEqual([5, 4, 3, 2, 1])
      expect(await versions({ kind: 'service' })).toEqual([5, 1])
      expect(await versions({ id })).toEqual([5, 1])
      expect(await versions({ kind: 'note', id })).toEqual([])
      expect(await versions({ before: 4, limit: 2 })).toEqual([3, 2])
    })

    it('goes on over a restart without gap or repeat', async () => {
      const bed = await bedFor(make)
      for (let round = 0; round < 3; round++) {
        const store = await bed.open()
        await makeSomeChanges(store, 4)
        await store.close()
      }
      const store = await bed.open()
      expect((await readLog(store, 0, 5)).map(({ version }) => version)).toEqual(
        Array.from({ length: 12 }, (_, i) => i + 1),
      )
      expect(await store.verifyAudit()).toEqual({ checked: 12, firstBroken: null })
    })

    it('wakes listeners after a commit, not after a rollback, and no longer after they left', async () => {
      const store = await storeFor(make)
      let woken = 0
      const leave = store.onChange(() => {
        woken++
      })
      await createService(store, { name: 'web' })
      await until(() => woken > 0)
      leave()
      const before = woken
      await createService(store, { name: 'web-2' })
      expect(woken).toBe(before)
    })

    it('can be checked by anyone who has the changes', async () => {
      const store = await storeFor(make)
      await createService(store, { name: 'web' })
      await store.transaction(alice, (t) => t.create(user, { data: { name: 'ada', passwordHash: 'x' } }))
      await store.transaction(alice, (t) =>
        t.create(note, { data: { z: 1, a: ['\0', { y: 1, b: 2 }] }, labels: { l: '"' } }),
      )
      let previous = '0'.repeat(64)
      for (const { hash: stated, ...content } of await store.changes(0)) {
        expect(hash('sha256', `${previous}\n${canonicalJson(content)}`, 'hex')).toBe(stated)
        previous = stated
      }
      expect(await store.verifyAudit()).toEqual({ checked: 3, firstBroken: null })
    })

    it.each([
      [
        'a changed content',
        'UPDATE change SET after = replace(after, \'"index":4\', \'"index":9\') WHERE version = 5',
        5,
      ],
      ['a changed actor', "UPDATE change SET actor = replace(actor, 'alice', 'mallory') WHERE version = 3", 3],
      ['a changed hash', "UPDATE change SET hash = 'ab' WHERE version = 7", 7],
      ['an entry taken out', 'DELETE FROM change WHERE version = 6', 6],
      ['a cut-off end', 'DELETE FROM change WHERE version >= 9', 9],
    ])('shows %s', async (_, sql, firstBroken) => {
      const bed = await bedFor(make)
      const store = await bed.open()
      await makeSomeChanges(store, 10)
      expect((await store.verifyAudit()).firstBroken).toBeNull()
      await bed.sql(sql)
      expect((await store.verifyAudit()).firstBroken).toBe(firstBroken)
    })

    it('can be shortened; what is left verifies, and who is too far behind is told', async () => {
      const bed = await bedFor(make)
      const store = await bed.open()
      await makeSomeChanges(store, 10)
      await store.pruneLog(6)
      expect((await store.changes(6)).map(({ version }) => version)).toEqual([7, 8, 9, 10])
      await expect(store.changes(5)).rejects.toMatchObject({ code: 'feed-expired' })
      expect(await store.verifyAudit()).toEqual({ checked: 4, firstBroken: null })
      await store.pruneLog(2)
      await store.pruneLog(99)
      await store.close()
      const again = await bed.open()
      await makeSomeChanges(again, 1)
      expect((await again.changes(10)).map(({ version }) => version)).toEqual([11])
      expect(await again.verifyAudit()).toEqual({ checked: 1, firstBroken: null })
      await expect(again.changes(12)).rejects.toMatchObject({ code: 'feed-expired' })
    })
  })

  describe('a schema newer than the code', () => {
    it('stops the start with a clear error', async () => {
      const bed = await bedFor(make)
      await (await bed.open()).close()
      await bed.sql("UPDATE meta SET value = '99' WHERE key = 'schema'")
      await expect(bed.open({ kinds })).rejects.toMatchObject({
        code: 'conflict',
        message: expect.stringContaining('schema 99'),
      })
      await bed.sql("UPDATE meta SET value = '1' WHERE key = 'schema'")
      await bed.open()
    })
  })
}
