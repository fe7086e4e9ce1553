import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { clusterKind, kinds, nodeKind } from '@freehold/contracts'
import { type Change, openSqliteStore, type Store } from '@freehold/store'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { createFeed, type Feed } from './feed.ts'

const actor = { type: 'system', id: 'test', name: 'test' } as const
let directory = ''
let store: Store
let feed: Feed
let reads = 0

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'freehold-feed-'))
  store = await openSqliteStore({ directory, kinds: Object.values(kinds) })
  reads = 0
  const counted: Store = {
    ...store,
    changes: (...asked) => {
      reads += 1
      return store.changes(...asked)
    },
  }
  feed = await createFeed({
    store: counted,
    onError: (error) => {
      throw error
    },
  })
})
afterEach(async () => {
  await feed.close()
  await store.close()
  await rm(directory, { recursive: true, force: true })
})

let made = 0
const makeCluster = () =>
  store.transaction(actor, (transaction) => {
    made += 1
    return transaction.create(clusterKind, { data: { name: `c${made}`, description: '' } })
  })

/** Collects changes until one of this version has come. */
async function collect(changes: AsyncIterable<Change>, until: () => number): Promise<number[]> {
  const versions: number[] = []
  for await (const change of changes) {
    versions.push(change.version)
    if (change.version >= until()) break
  }
  return versions
}

test('a watcher that starts now gets what comes, in order and once', async () => {
  await makeCluster()
  const signal = new AbortController().signal
  const changes = await feed.watch({ since: undefined, kinds: ['cluster'], signal })
  const [first, second] = [await makeCluster(), await makeCluster()]
  expect(await collect(changes, () => second.version)).toEqual([first.version, second.version])
})

test('watchers that join at any moment among writers miss nothing and get nothing twice', async () => {
  const writers = Array.from({ length: 4 }, async () => {
    for (let round = 0; round < 60; round += 1) await makeCluster()
  })
  const watchers = Array.from({ length: 20 }, async (_, number) => {
    for (let pause = 0; pause < number * 3; pause += 1) await new Promise((resolve) => setImmediate(resolve))
    const since = Math.max(0, (await store.version()) - number)
    const changes = await feed.watch({ since, kinds: ['cluster'], signal: new AbortController().signal })
    const versions: number[] = []
    for await (const change of changes) {
      versions.push(change.version)
      if ((change.after?.data as { name?: string } | undefined)?.name === 'the-last') break
    }
    return { since, versions }
  })
  await Promise.all(writers)
  await store.transaction(actor, (transaction) =>
    transaction.create(clusterKind, { data: { name: 'the-last', description: '' } }),
  )
  for (const { since, versions } of await Promise.all(watchers)) {
    expect(versions).toEqual((await everything(since)).map((change) => change.version))
  }
})

async function everything(since: number): Promise<Change[]> {
  const found: Change[] = []
  for (;;) {
    const page = await store.changes(found.at(-1)?.version ?? since, { limit: 500 })
    found.push(...page)
    if (page.length < 500) return found
  }
}

test('what happens between asking and reading comes once, though the store and the reader both have it', async () => {
  const before = await makeCluster()
  const changes = await feed.watch({ since: 0, kinds: ['cluster'], signal: new AbortController().signal })
  const between = await makeCluster()
  await until(() => reads >= 2)
  let end = Number.POSITIVE_INFINITY
  const reading = collect(changes, () => end)
  await until(() => reads >= 3)
  end = (await makeCluster()).version
  expect(await reading).toEqual([before.version, between.version, end])
})

test('a change of more than a page arrives whole', async () => {
  const changes = await feed.watch({ since: undefined, kinds: ['cluster'], signal: new AbortController().signal })
  const since = await store.version()
  await makeClusters(1_201)
  const last = await store.version()
  expect(await collect(changes, () => last)).toEqual((await everything(since)).map((change) => change.version))
})

async function makeClusters(count: number): Promise<void> {
  await store.transaction(actor, async (transaction) => {
    for (let row = 0; row < count; row += 1) {
      made += 1
      await transaction.create(clusterKind, { data: { name: `c${made}`, description: '' } })
    }
  })
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setImmediate(resolve))
}

test('two hundred watchers cost the store no more reads than one', async () => {
  const stop = new AbortController()
  const watching = await Promise.all(
    Array.from({ length: 200 }, () => feed.watch({ since: undefined, kinds: ['cluster'], signal: stop.signal })),
  )
  const before = reads
  const target = await makeCluster()
  const seen = await Promise.all(watching.map((changes) => collect(changes, () => target.version)))
  expect(seen).toHaveLength(200)
  expect(reads - before).toBeLessThan(5)
  expect(feed.watcherCount()).toBe(0)
})

test('kinds that were not asked for do not come', async () => {
  const changes = await feed.watch({ since: undefined, kinds: ['cluster'], signal: new AbortController().signal })
  const cluster = await makeCluster()
  await store.transaction(actor, (transaction) =>
    transaction.create(nodeKind, { data: { clusterId: cluster.id, name: 'n', publicKey: 'k', revoked: false } }),
  )
  const second = await makeCluster()
  expect(await collect(changes, () => second.version)).toEqual([cluster.version, second.version])
})

test('a watcher that reads nothing is dropped, and others are not', async () => {
  const signal = new AbortController().signal
  const slow = (await feed.watch({ since: undefined, kinds: ['cluster'], signal }))[Symbol.asyncIterator]()
  const quick = await feed.watch({ since: undefined, kinds: ['cluster'], signal })
  let last = Number.POSITIVE_INFINITY
  const reading = collect(quick, () => last)
  for (let round = 0; round < 11; round += 1) await makeClusters(500)
  last = (await makeCluster()).version
  expect((await reading).length).toBe(5_501)
  await expect(drain(slow)).rejects.toMatchObject({ code: 'unavailable' })
})

async function drain(changes: AsyncIterator<Change>): Promise<void> {
  while ((await changes.next()).done !== true);
}

test('a start that is no longer kept is refused before anything is answered', async () => {
  const { version } = await makeCluster()
  await makeCluster()
  await store.pruneLog(version)
  const watching = feed.watch({ since: 0, kinds: ['cluster'], signal: new AbortController().signal })
  await expect(watching).rejects.toMatchObject({ code: 'feed-expired' })
})

test('an aborted watcher ends and is forgotten', async () => {
  const stop = new AbortController()
  const changes = await feed.watch({ since: undefined, kinds: ['cluster'], signal: stop.signal })
  const ended = drain(changes[Symbol.asyncIterator]())
  stop.abort()
  await ended
  expect(feed.watcherCount()).toBe(0)
})

test('closing ends every watcher', async () => {
  const changes = await feed.watch({ since: undefined, kinds: ['cluster'], signal: new AbortController().signal })
  const ended = drain(changes[Symbol.asyncIterator]())
  await feed.close()
  await expect(ended).rejects.toMatchObject({ code: 'unavailable' })
  await expect(
    feed.watch({ since: undefined, kinds: ['cluster'], signal: new AbortController().signal }),
  ).rejects.toMatchObject({
    code: 'unavailable',
  })
})
