import { randomBytes } from 'node:crypto'
import { openS3Blobs } from '@freehold/blobs/s3'
import { damagedBlobKind, imageData, imageKind, manifestKind, tagKind } from '@freehold/contracts'
import { afterAll, describe, expect, it, onTestFinished } from 'vitest'
import { type RunningObjectStore, startObjectStore } from '../../../../tools/object-store.ts'
import { createExternalRegistry, createUpstreams } from '../external-registries/index.ts'
import { createImage, deleteImage } from '../images/index.ts'
import { createSealer, Secret } from '../secrets/index.ts'
import { damaged, neverAborted } from './garbage.testing.ts'
import { createRetainer } from './retention.ts'
import {
  password,
  pushImage,
  sha256,
  startTestRegistry,
  type TestRegistry,
  type TestRegistryOptions,
} from './testing.ts'
import { usage } from './usage.testing.ts'

/**
 * Pushes, mirrors, imports, quotas, retention, deletes, garbage collection and the scrub, all at once in the same
 * repositories: each keeps its own promises elsewhere, here those that they share.
 */
const actor = { type: 'user', id: 'ada', name: 'ada' } as const
const sealer = createSealer(new Secret(randomBytes(32)))
const running = await startObjectStore()
if ('skipped' in running) console.warn(`Mirrors and imports on S3 were not tested: ${running.skipped}`)

const repositories = ['mine/a', 'mine/b']
const layers = ['one', 'two', 'three'].map((name) => name.repeat(30_000))
const pick = <T>(items: readonly T[]): T => {
  const item = items[Math.floor(Math.random() * items.length)]
  if (item === undefined) throw new Error('Nothing to pick from.')
  return item
}

async function start(options: TestRegistryOptions = {}) {
  const upstream = await startTestRegistry()
  const ours = await startTestRegistry({ upstreams: (now) => createUpstreams({ sealer, now }), ...options })
  onTestFinished(async () => {
    await ours.remove()
    await upstream.remove()
  })
  await ours.store.transaction(actor, async (transaction) => {
    const { id: externalRegistryId } = await createExternalRegistry(
      transaction,
      { data: { type: 'docker', name: 'upstream', url: upstream.url, username: 'admin' }, password },
      sealer,
    )
    const location = { internal: true, mirrorOf: { externalRegistryId, repository: 'team/app' } }
    await createImage(transaction, {
      data: imageData.parse({
        name: 'mirror/app',
        location,
        retention: { keepLastTags: 1, deleteUntaggedAfterDays: 1 },
      }),
    })
  })
  return { upstream, ours }
}

/** Pulls as a client does, redirects included, and checks every byte; answers the statuses. */
async function pull({ send }: TestRegistry, repository: string, reference: string): Promise<number[]> {
  const answer = await send('GET', `/v2/${repository}/manifests/${reference}`)
  const text = await answer.text()
  if (answer.status !== 200) return [answer.status]
  expect(sha256(text)).toBe(answer.headers.get('docker-content-digest'))
  const { config, layers: blobs } = JSON.parse(text)
  const statuses = [200]
  for (const { digest } of [config, ...blobs]) {
    const first = await send('GET', `/v2/${repository}/blobs/${digest}`)
    const found = first.status === 307 ? await fetch(first.headers.get('location') ?? '') : first
    const bytes = Buffer.from(await found.arrayBuffer())
    if (found.status === 200) expect(sha256(bytes)).toBe(digest)
    statuses.push(found.status)
  }
  return statuses
}

async function importOne({ registry }: TestRegistry, upstream: TestRegistry, repository: string, tag: string) {
  const request = { source: `${upstream.host}/team/app:${tag}`, repository, actor, signal: neverAborted }
  for await (const _line of registry.importImage(request));
}

function describeTogether(options: () => Promise<TestRegistryOptions>): void {
  it('a mirror serves, keeps and heals the bytes, and an import does not fetch them again', async () => {
    const { ours, upstream } = await start(await options())
    await pushImage(upstream, 'team/app', 'v1', layers[0] ?? '')
    expect(await pull(ours, 'mirror/app', 'v1')).toEqual([200, 200, 200])
    expect(await pull(ours, 'mirror/app', 'v1')).toEqual([200, 200, 200])
    await importOne(ours, upstream, 'mine/a', 'v1')
    expect(await pull(ours, 'mine/a', 'v1')).toEqual([200, 200, 200])
    const digests: string[] = []
    for await (const { digest } of ours.blobs.list()) digests.push(digest)
    for (const digest of digests) await ours.blobs.delete(digest)
    ours.registry.scrub.request()
    await ours.registry.scrub.run(neverAborted)
    expect(await ours.store.all(damagedBlobKind)).toHaveLength(3)
    expect(await pull(ours, 'mirror/app', 'v1')).toEqual([200, 200, 200])
    expect(await ours.store.all(damagedBlobKind)).toEqual([])
    expect(await pull(ours, 'mine/a', 'v1')).toEqual([200, 200, 200])
  })

  it('nothing is counted wrong, lost or left, whatever happens at once', async () => {
    const { ours, upstream } = await start({ ...(await options()), quotaBytes: 450_000 })
    for (const [index, layer] of layers.entries()) await pushImage(upstream, 'team/app', `v${index}`, layer)
    const { store } = ours
    const log = { info: () => {}, warn: (fields: object) => ours.warnings.push(fields) }
    const now = () => ours.clock.ms
    const retainer = createRetainer({
      store,
      host: () => ours.host,
      defaultRetention: { keepLastTags: 2, deleteUntaggedAfterDays: 1 },
      now,
      log,
    })
    const tag = () => `v${Math.floor(Math.random() * layers.length)}`
    let done = 0
    /** What another step took away meanwhile may refuse a step; nothing else may. */
    const may = async (work: Promise<unknown>) => {
      const failure = await work.then(
        () => undefined,
        (error: unknown) => error,
      )
      if (failure === undefined) done += 1
      else
        expect(String(failure)).toMatch(
          /refused|does not have|There is no blob|just removed|deleted just now|terminated|quota/,
        )
    }
    const steps: (() => Promise<unknown>)[] = [
      () => may(pushImage(ours, pick(repositories), tag(), pick(layers))),
      () => may(importOne(ours, upstream, pick(repositories), tag())),
      () => may(pull(ours, 'mirror/app', tag())),
      () => may(pull(ours, 'mirror/app', tag())),
      () => pull(ours, pick(repositories), tag()),
      () => ours.send('DELETE', `/v2/${pick([...repositories, 'mirror/app'])}/manifests/${tag()}`),
      async () => {
        const row = (await store.all(manifestKind)).at(0)
        if (row !== undefined) await ours.send('DELETE', `/v2/${row.data.repository}/manifests/${row.data.digest}`)
      },
      () => pushImage(upstream, 'team/app', tag(), pick(layers)),
      async () => {
        ours.clock.ms += 86_400_000
        await retainer.run(neverAborted)
      },
      async () => {
        const image = await store.find(imageKind, 'name', pick(repositories))
        if (image === undefined || Math.random() < 0.7) return
        await store.transaction(actor, (transaction) => deleteImage(transaction, { id: image.id })).catch(() => {})
      },
      async () => {
        ours.registry.scrub.request()
        await ours.registry.scrub.run(neverAborted)
      },
    ]
    let working = true
    const collecting = (async () => {
      while (working) {
        const { failures } = await ours.registry.collectGarbage({ graceMs: 0, signal: neverAborted })
        expect(failures).toBe(0)
      }
    })()
    try {
      await Promise.all(
        Array.from({ length: 4 }, async () => {
          for (let count = 0; count < 25; count += 1) {
            await pick(steps)()
            const { counted, kept } = await usage(store)
            expect(kept).toEqual(counted)
          }
        }),
      )
    } finally {
      working = false
      await collecting
    }
    expect(done).toBeGreaterThan(5)
    expect(await damaged(ours)).toEqual([])
    for (const { data } of await store.all(tagKind)) {
      const statuses = await pull(ours, data.repository, data.name)
      // What a mirror has not fetched yet may be more than the quota.
      const refused = data.repository === 'mirror/app' ? [403] : []
      expect(statuses.filter((status) => ![200, ...refused].includes(status))).toEqual([])
    }
    // What a refused push leaves is counted, and shown once it is dropped.
    const collectAll = async () => {
      for (let pass = 0; pass < 3; pass += 1) {
        ours.clock.ms = Math.max(ours.clock.ms, Date.now()) + 86_400_000
        await ours.registry.collectGarbage({ graceMs: 0, signal: neverAborted })
      }
    }
    await collectAll()
    for (const { data, status } of await store.all(imageKind)) {
      const { kept } = await usage(store)
      expect(status.usedBytes, data.name).toBe(kept[data.name] ?? 0)
    }
    for (const { id, data } of await store.all(imageKind)) {
      await store.transaction(actor, (transaction) => deleteImage(transaction, { id }))
      expect((await usage(store)).kept[data.name]).toBeUndefined()
    }
    await collectAll()
    expect(await usage(store)).toEqual({ counted: {}, kept: {} })
    expect(await Array.fromAsync(ours.blobs.list())).toEqual([])
    expect(ours.errors).toEqual([])
  })
}

describe('together in files', () => {
  describeTogether(async () => ({}))
})

describe.skipIf('skipped' in running)('together in S3', () => {
  const ceph = running as RunningObjectStore
  afterAll(() => ceph.stop())
  let buckets = 0
  for (const downloads of ['redirect', 'proxy'] as const) {
    describe(`with downloads by ${downloads}`, () => {
      describeTogether(async () => {
        buckets += 1
        const { store, close } = await openS3Blobs({
          ...{ endpoint: ceph.endpoint, region: 'us-east-1', bucket: `together-${buckets}` },
          ...{ accessKey: ceph.accessKey, secretKey: () => ceph.secretKey, owner: 'tests', downloads },
        })
        onTestFinished(close)
        return { wrapBlobs: () => store }
      })
    })
  }
})
