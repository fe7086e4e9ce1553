import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { describe, expect, it } from 'vitest'
import type { Change, Store } from '../store.ts'
import { alice, bedFor, createService, kinds, service, type TestBed, until } from '../suite/test-bed.ts'
import { openPostgresStore } from './open.ts'

const longPollMs = 3_600_000

/** What only replicas on one PostgreSQL can show. */
export function describeReplicas(make: () => Promise<TestBed>): void {
  describe('replicas on one PostgreSQL', () => {
    it('may make the tables at the same time', async () => {
      const bed = await bedFor(make)
      const stores = await Promise.all(Array.from({ length: 4 }, () => bed.open()))
      await Promise.all(stores.map((store, index) => createService(store, { name: `web-${index}` })))
      for (const store of stores) expect(await store.count(service)).toBe(4)
    })

    it('write at once while a third follows without gap or repeat, in order', async () => {
      const bed = await bedFor(make)
      const [first, second, reader] = await Promise.all([bed.open(), bed.open(), bed.open()])
      const each = 300
      const seen: Change[] = []
      let done = false
      const following = follow(reader, seen, () => done)
      const writers = [first, second].flatMap((store, replica) =>
        Array.from({ length: each }, (_, index) =>
          createService(store, { name: `web-${replica}-${index}`, cluster: `c${replica}` }),
        ),
      )
      const written = await Promise.all(writers)
      done = true
      await following
      expect(seen.map(({ version }) => version)).toEqual(Array.from({ length: 2 * each }, (_, index) => index + 1))
      expect(new Set(seen.map(({ id }) => id))).toEqual(new Set(written.map(({ id }) => id)))
      expect(await reader.verifyAudit()).toEqual({ checked: 2 * each, firstBroken: null })
    })

    it('hold a unique key and a version against one another', async () => {
      const bed = await bedFor(make)
      const [first, second] = await Promise.all([bed.open(), bed.open()])
      const names = Array.from({ length: 30 }, (_, index) => `web-${index}`)
      const results = await Promise.allSettled(
        names.flatMap((name) => [createService(first, { name }), createService(second, { name })]),
      )
      expect(results.filter(({ status }) => status === 'fulfilled')).toHaveLength(30)
      const { id } = await createService(first, { name: 'counter' })
      const add = (store: Store) =>
        store.transaction(alice, async (t) => {
          const replicas = (await t.get(service, id))?.data.replicas ?? 0
          await t.update(service, id, { data: { name: 'counter', replicas: replicas + 1 } })
        })
      await Promise.all(Array.from({ length: 100 }, (_, index) => add(index % 2 === 0 ? first : second)))
      expect((await second.get(service, id))?.data.replicas).toBe(100)
    })

    it('take the cursors of one another', async () => {
      const bed = await bedFor(make)
      const [first, second] = await Promise.all([bed.open(), bed.open()])
      for (const name of ['a', 'b', 'c']) await createService(first, { name })
      const cursor = (await first.list(service, { limit: 2 })).nextCursor ?? ''
      expect((await second.list(service, { cursor })).items).toMatchObject([{ data: { name: 'c' } }])
    })

    it('wake one another by notification, and by the slow poll where there is none', async () => {
      const bed = await bedFor(make)
      const writer = await bed.open()
      const hearing = await openReplica(bed, longPollMs)
      let heard = 0
      hearing.onChange(() => {
        heard++
      })
      await until(async () => {
        await writer.transaction(alice, (t) => t.create(service, { data: { name: `web-${Math.random()}` } }))
        return heard >= 3
      })
      await hearing.close()

      const polling = await openReplica(bed, 20)
      let polled = 0
      polling.onChange(() => {
        polled++
      })
      await until(() => polled > 0)
      const before = polled
      await bed.sql('UPDATE clock SET version = version + 1')
      await until(() => polled > before)
      await polling.close()
    })

    it('lose a connection: the transaction in flight fails clearly, the next one works, changes are heard again', async () => {
      const bed = await bedFor(make)
      const store = await openReplica(bed, longPollMs)
      const { id } = await createService(store, { name: 'web' })
      let cut = (): void => {}
      const isCut = new Promise<void>((resolve) => {
        cut = resolve
      })
      let inside = false
      const inFlight = store.transaction(alice, async (t) => {
        await t.update(service, id, { data: { name: 'lost' } })
        await t.count(service)
        inside = true
        await isCut
        return t.count(service)
      })
      const failed = expect(inFlight).rejects.toMatchObject({ code: 'unavailable' })
      await until(() => inside)
      await bed.sql(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'freehold' AND datname = current_database()",
      )
      cut()
      await failed
      await until(() =>
        createService(store, { name: 'after' }).then(
          () => true,
          () => false,
        ),
      )
      expect(await store.get(service, id)).toMatchObject({ data: { name: 'web' }, version: 1 })

      const other = await bed.open()
      let heard = 0
      store.onChange(() => {
        heard++
      })
      await until(async () => {
        await other.transaction(alice, (t) => t.create(service, { data: { name: `web-${Math.random()}` } }))
        return heard > 0
      })
      expect((await store.verifyAudit()).firstBroken).toBeNull()
      await store.close()
    })
  })

  describe('a connection lost during the commit', () => {
    it('leaves it open whether the change is stored, and says so', async () => {
      const bed = await bedFor(make)
      const door = await openDoor(bed.target[1])
      const store = await openPostgresStore({ url: door.url, kinds })
      // With the byte that ends a statement, since every batch begins with READ COMMITTED.
      door.cutAfter('COMMIT\0')
      await expect(createService(store, { name: 'web' })).rejects.toMatchObject({
        code: 'unavailable',
        message: expect.stringContaining('may or may not be stored'),
      })
      await until(() =>
        createService(store, { name: 'after' }).then(
          () => true,
          () => false,
        ),
      )
      const names = (await store.all(service)).map(({ data }) => data.name)
      expect([['after'], ['web', 'after']]).toContainEqual(names)
      expect((await store.verifyAudit()).firstBroken).toBeNull()
      await store.close()
      await door.close()
    })
  })

  describe('a PostgreSQL that does not answer', () => {
    it('stops the opening with a clear error', async () => {
      const opening = openPostgresStore({ url: 'postgres://nobody@127.0.0.1:1/none', kinds })
      await expect(opening).rejects.toMatchObject({ code: 'unavailable' })
    })
  })
}

function openReplica(bed: TestBed, pollMs: number): Promise<Store> {
  return openPostgresStore({ url: bed.target[1], kinds, pollMs })
}

/** A door before PostgreSQL that can drop a client once it has passed on a word of it. */
async function openDoor(url: string) {
  const target = new URL(url)
  const sockets = new Set<Socket>()
  let fatal: string | undefined
  const server = createServer((client) => {
    const upstream = connect(Number(target.port), target.hostname)
    for (const socket of [client, upstream]) {
      sockets.add(socket)
      socket.on('error', () => socket.destroy())
      socket.on('close', () => {
        client.destroy()
        upstream.end()
      })
    }
    upstream.pipe(client)
    client.on('data', (chunk) => {
      upstream.write(chunk)
      if (fatal === undefined || !chunk.includes(fatal)) return
      fatal = undefined
      client.destroy()
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const own = new URL(url)
  own.port = String((server.address() as AddressInfo).port)
  return {
    url: own.href,
    cutAfter(word: string) {
      fatal = word
    },
    async close() {
      for (const socket of sockets) socket.destroy()
      server.close()
      await once(server, 'close')
    },
  }
}

async function follow(store: Store, seen: Change[], isDone: () => boolean): Promise<void> {
  for (;;) {
    // Whether writing has ended is asked before the read, so the last read has seen everything.
    const last = isDone()
    const changes = await store.changes(seen.at(-1)?.version ?? 0, { limit: 7 })
    seen.push(...changes)
    if (last && changes.length === 0) return
  }
}
