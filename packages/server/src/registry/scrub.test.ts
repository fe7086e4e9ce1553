import { appendFile, readFile, rm, truncate, writeFile } from 'node:fs/promises'
import { request } from 'node:http'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { BlobStore } from '@freehold/blobs'
import { blobLinkKind, damagedBlobKind, manifestKind, scrubKind } from '@freehold/contracts'
import fc from 'fast-check'
import { describe, expect, it, onTestFinished } from 'vitest'
import { afterBytes, neverAborted } from './garbage.testing.ts'
import { createPace } from './scrub.ts'
import {
  basic,
  codesOf,
  ociIndex,
  ociManifest,
  pushBlob,
  pushImage,
  pushParts,
  putManifest,
  sha256,
  sha512,
  startTestRegistry,
  type TestRegistry,
  type TestRegistryOptions,
} from './testing.ts'

async function start(options: TestRegistryOptions = {}): Promise<TestRegistry> {
  const registry = await startTestRegistry(options)
  onTestFinished(() => registry.remove())
  return registry
}

const fileOf = (registry: TestRegistry, digest: string) => {
  const [algorithm = '', hex = ''] = digest.split(':')
  return join(registry.directory, 'blobs/blobs', algorithm, hex.slice(0, 2), hex)
}

/** As a disk does it: the bytes change under a name that stays. */
const damages: Record<string, (path: string) => Promise<void>> = {
  content: async (path) => {
    const bytes = await readFile(path)
    bytes[bytes.length >> 1] = (bytes[bytes.length >> 1] ?? 0) ^ 1
    await writeFile(path, bytes)
  },
  size: (path) => truncate(path, 3),
  missing: (path) => rm(path),
}

const scrubAll = (registry: TestRegistry) => {
  registry.registry.scrub.request()
  return registry.registry.scrub.run(neverAborted)
}
const records = async (registry: TestRegistry) => (await registry.store.all(damagedBlobKind)).map(({ data }) => data)

/** The layer of an image, by digest. */
const layerOf = (manifest: string): string => JSON.parse(manifest).layers[0].digest

describe('a scrub', () => {
  it('finds nothing among whole blobs, and says how many it read', async () => {
    const registry = await start()
    await pushImage(registry, 'scrub/whole', 'latest', 'a layer')
    const again = sha512('other algorithm')
    await registry.send('POST', `/v2/scrub/whole/blobs/uploads/?digest=${again}`, { body: 'other algorithm' })
    expect(await scrubAll(registry)).toEqual({ againInMs: 7 * 24 * 3_600_000 })
    const state = await registry.registry.scrub.state()
    expect(state).toMatchObject({ running: null, damagedBlobs: 0, lastPass: { checkedBlobs: 4, failures: 0 } })
    expect(state.lastPass?.checkedBytes).toBe(registry.registry.scrub.totals().scrubbedBytes)
    expect(await records(registry)).toEqual([])
  })

  it.each(Object.keys(damages))('finds damage of the %s, names what it hits, and serves it to nobody', async (how) => {
    const registry = await start()
    const { manifest } = await pushImage(registry, 'scrub/hit', 'v1', 'a layer that will be hurt')
    await putManifest(registry, 'scrub/hit', 'v2', manifest)
    await pushImage(registry, 'scrub/hit', 'other', 'a whole layer')
    const digest = layerOf(manifest)
    await damages[how]?.(fileOf(registry, digest))
    await scrubAll(registry)
    expect(await records(registry)).toMatchObject([
      { digest, reason: how, repositories: ['scrub/hit'], images: ['scrub/hit:v1', 'scrub/hit:v2'] },
    ])
    expect(registry.errors).toMatchObject([{ digest, reason: how }])
    expect(registry.registry.scrub.totals().damagedBlobs).toBe(1)

    const path = `/v2/scrub/hit/blobs/${digest}`
    for (const headers of [{}, { range: 'bytes=0-1' }]) {
      const response = await registry.send('GET', path, { headers })
      expect([response.status, await codesOf(response)]).toEqual([404, ['BLOB_UNKNOWN']])
    }
    expect((await registry.send('HEAD', path)).status).toBe(404)
    const mounted = await registry.send('POST', `/v2/scrub/other/blobs/uploads/?mount=${digest}&from=scrub/hit`)
    expect(mounted.status).toBe(202)
    const put = await putManifest(registry, 'scrub/hit', 'v3', manifest)
    expect([put.status, await codesOf(put)]).toEqual([404, ['MANIFEST_BLOB_UNKNOWN']])
    // A second pass tells of it no more, and keeps the record.
    await scrubAll(registry)
    expect(registry.errors).toHaveLength(1)
    expect(await records(registry)).toHaveLength(1)
  })

  it.each(['in one go', 'in chunks'])('is healed by a push of the same blob %s', async (how) => {
    const registry = await start()
    const { manifest } = await pushImage(registry, 'scrub/heal', 'v1', 'heals')
    const digest = layerOf(manifest)
    await damages.content?.(fileOf(registry, digest))
    await scrubAll(registry)
    if (how === 'in one go') await pushBlob(registry, 'scrub/heal', 'heals')
    else {
      const location = (await registry.send('POST', '/v2/scrub/heal/blobs/uploads/')).headers.get('location') ?? ''
      await registry.send('PATCH', location, { body: 'hea' })
      expect((await registry.send('PUT', `${location}?digest=${digest}`, { body: 'ls' })).status).toBe(201)
    }
    expect(await records(registry)).toEqual([])
    expect(await (await registry.send('GET', `/v2/scrub/heal/blobs/${digest}`)).text()).toBe('heals')
    expect((await putManifest(registry, 'scrub/heal', 'v2', manifest)).status).toBe(201)
  })

  it('finds a damaged manifest, which clients then push again though it is tagged', async () => {
    const registry = await start()
    const { digest, manifest } = await pushImage(registry, 'scrub/manifest', 'v1', 'layer')
    const child = { mediaType: ociManifest, digest, size: manifest.length }
    const index = JSON.stringify({ schemaVersion: 2, mediaType: ociIndex, manifests: [child] })
    await putManifest(registry, 'scrub/manifest', 'all', index, ociIndex)
    await damages.content?.(fileOf(registry, digest))
    await scrubAll(registry)
    expect(await records(registry)).toMatchObject([
      { digest, reason: 'content', images: ['scrub/manifest:v1', 'scrub/manifest:all'] },
    ])
    for (const reference of ['v1', digest]) {
      expect((await registry.send('HEAD', `/v2/scrub/manifest/manifests/${reference}`)).status).toBe(404)
    }
    expect((await putManifest(registry, 'scrub/manifest', 'more', index, ociIndex)).status).toBe(404)
    expect((await putManifest(registry, 'scrub/manifest', 'v1', manifest)).status).toBe(201)
    expect((await registry.send('HEAD', '/v2/scrub/manifest/manifests/v1')).status).toBe(200)
    expect(await records(registry)).toEqual([])
  })

  it('goes on after a restart where it was, and reads nothing twice', async () => {
    const first = await startTestRegistry()
    const digests: string[] = []
    for (let count = 0; count < 12; count += 1) {
      digests.push((await pushBlob(first, 'scrub/resume', `blob ${count}`)).digest)
    }
    await first.stop()
    const stopping = new AbortController()
    const opened: string[] = []
    const watch = (blobs: BlobStore, limit: number): BlobStore =>
      new Proxy(blobs, {
        get(target, name) {
          const value = Reflect.get(target, name)
          if (name !== 'open') return typeof value === 'function' ? value.bind(target) : value
          return (digest: string) => {
            opened.push(digest)
            if (opened.length === limit) stopping.abort()
            return target.open(digest)
          }
        },
      })
    const second = await startTestRegistry({ directory: first.directory, wrapBlobs: (blobs) => watch(blobs, 5) })
    second.registry.scrub.request()
    expect(await second.registry.scrub.run(stopping.signal)).toEqual({ againInMs: 0 })
    expect((await second.registry.scrub.state()).running).toMatchObject({ checkedBlobs: 4 })
    await second.stop()
    const third = await start({ directory: first.directory, wrapBlobs: (blobs) => watch(blobs, -1) })
    await third.registry.scrub.run(neverAborted)
    expect(opened).toEqual([...digests.toSorted().slice(0, 5), ...digests.toSorted().slice(4)])
    expect((await third.registry.scrub.state()).lastPass).toMatchObject({ checkedBlobs: 12, failures: 0 })
  })

  it('begins anew only when its period is over, or when it is asked for', async () => {
    const registry = await start()
    expect(await registry.registry.scrub.run(neverAborted)).toEqual({ againInMs: 600_000 })
    expect(await registry.store.count(scrubKind)).toBe(0)
    registry.clock.ms += 600_000
    await registry.registry.scrub.run(neverAborted)
    const first = (await registry.registry.scrub.state()).lastPass?.startedAt
    registry.clock.ms += 3_600_000
    expect(await registry.registry.scrub.run(neverAborted)).toEqual({ againInMs: 167 * 3_600_000 })
    expect((await registry.registry.scrub.state()).lastPass?.startedAt).toBe(first)
    registry.clock.ms += 167 * 3_600_000
    await registry.registry.scrub.run(neverAborted)
    expect((await registry.registry.scrub.state()).lastPass?.startedAt).not.toBe(first)
  })

  it('passes over storage that is away, makes no damage of it, and tries again', async () => {
    let away = true
    const wrapBlobs = (blobs: BlobStore): BlobStore =>
      new Proxy(blobs, {
        get(target, name) {
          if (name === 'open' && away) return () => Promise.reject(new Error('the storage is away'))
          const value = Reflect.get(target, name)
          return typeof value === 'function' ? value.bind(target) : value
        },
      })
    const registry = await start({ wrapBlobs })
    for (let count = 0; count < 30; count += 1) await pushBlob(registry, 'scrub/away', `blob ${count}`)
    expect(await scrubAll(registry)).toEqual({ againInMs: 60_000 })
    expect(await records(registry)).toEqual([])
    expect(registry.warnings.length).toBeGreaterThan(0)
    expect(registry.warnings.length).toBeLessThanOrEqual(20)
    away = false
    await scrubAll(registry)
    expect((await registry.registry.scrub.state()).running).toBeNull()
  })

  it('takes a disk that cannot read a blob for damage of that blob alone', async () => {
    const broken = sha256('on a bad sector')
    const wrapBlobs = (blobs: BlobStore): BlobStore =>
      new Proxy(blobs, {
        get(target, name) {
          const value = Reflect.get(target, name)
          if (name !== 'open') return typeof value === 'function' ? value.bind(target) : value
          return (digest: string) =>
            digest === broken
              ? Promise.reject(Object.assign(new Error('EIO'), { code: 'EIO', syscall: 'read' }))
              : target.open(digest)
        },
      })
    const registry = await start({ wrapBlobs })
    await pushBlob(registry, 'scrub/sector', 'on a bad sector')
    await pushBlob(registry, 'scrub/sector', 'on a good one')
    await scrubAll(registry)
    expect(await records(registry)).toMatchObject([{ digest: broken, reason: 'unreadable' }])
    expect((await registry.registry.scrub.state()).lastPass).toMatchObject({ failures: 0 })
  })

  it('writes down nothing of bytes that no repository names, and forgets what none names any more', async () => {
    const registry = await start()
    const garbage = sha256('garbage')
    const { digest } = await pushBlob(registry, 'scrub/garbage', 'named for now')
    await damages.content?.(fileOf(registry, digest))
    await scrubAll(registry)
    expect(await records(registry)).toHaveLength(1)
    expect((await registry.send('DELETE', `/v2/scrub/garbage/blobs/${digest}`)).status).toBe(202)
    const location = (await registry.send('POST', '/v2/scrub/garbage/blobs/uploads/')).headers.get('location') ?? ''
    const [id = ''] = location.split('/').at(-1)?.split('.') ?? []
    await registry.send('PATCH', location, { body: 'garbage' })
    await registry.blobs.finishUpload(id, garbage)
    await damages.content?.(fileOf(registry, garbage))
    await scrubAll(registry)
    expect(await records(registry)).toEqual([])
    expect((await registry.registry.scrub.state()).damagedBlobs).toBe(0)
  })

  it('leaves no record behind of a blob that is pushed again while it looks', async () => {
    const registry = await start({ wrapBlobs: (blobs) => afterBytes(blobs, () => sleep(Math.random() * 5)) })
    const contents = Array.from({ length: 6 }, (_, index) => `raced ${index}`)
    const blobs = await Promise.all(contents.map((content) => pushBlob(registry, 'scrub/race', content)))
    for (let round = 0; round < 8; round += 1) {
      for (const { digest } of blobs) await damages.content?.(fileOf(registry, digest))
      const scrubbing = scrubAll(registry)
      await Promise.all(
        contents.map(async (content) => {
          await sleep(Math.random() * 20)
          await pushBlob(registry, 'scrub/race', content)
        }),
      )
      await scrubbing
      for (const { digest } of blobs) {
        expect((await registry.send('HEAD', `/v2/scrub/race/blobs/${digest}`)).status).toBe(200)
      }
      expect(await records(registry)).toEqual([])
    }
  })
})

describe('a pull of bytes nobody has looked at yet', () => {
  it('is refused where they have another length than was pushed, and the scrub is told', async () => {
    const registry = await start()
    const { digest } = await pushBlob(registry, 'pulled/short', 'a layer of some length')
    await appendFile(fileOf(registry, digest), 'more')
    const path = `/v2/pulled/short/blobs/${digest}`
    expect((await registry.send('GET', path)).status).toBe(404)
    expect((await registry.send('HEAD', path)).status).toBe(404)
    const mount = `/v2/pulled/mounted/blobs/uploads/?mount=${digest}&from=pulled/short`
    expect((await registry.send('POST', mount)).status).toBe(202)
    expect(registry.suspected()).toBeGreaterThan(0)
    await registry.registry.scrub.run(neverAborted)
    expect(await records(registry)).toMatchObject([{ digest, reason: 'size', expectedBytes: 22, foundBytes: 26 }])
    await pushBlob(registry, 'pulled/short', 'a layer of some length')
    expect(await (await registry.send('GET', path)).text()).toBe('a layer of some length')
  })

  it('breaks off where they end too early, instead of ending well, and the scrub is told', async () => {
    const content = Buffer.alloc(3 * 1024 * 1024, 'x')
    const digest = sha256(content)
    let shorten = async () => {}
    const wrapBlobs = (blobs: BlobStore): BlobStore =>
      new Proxy(blobs, {
        get(target, name) {
          const value = Reflect.get(target, name)
          if (name !== 'send') return typeof value === 'function' ? value.bind(target) : value
          return async (...parameters: Parameters<BlobStore['send']>) => {
            await shorten()
            return target.send(...parameters)
          }
        },
      })
    const registry = await start({ wrapBlobs })
    await pushBlob(registry, 'pulled/cut', content)
    shorten = () => truncate(fileOf(registry, digest), 1_000_000)
    const [host, port] = registry.host.split(':')
    const ended = await new Promise<{ complete: boolean; sizeBytes: number }>((resolve) => {
      const headers = { authorization: basic('admin') }
      request({ host, port, path: `/v2/pulled/cut/blobs/${digest}`, headers }, (response) => {
        let sizeBytes = 0
        response.on('data', (chunk: Buffer) => {
          sizeBytes += chunk.length
        })
        response.on('error', () => {})
        response.on('close', () => resolve({ complete: response.complete, sizeBytes }))
      })
        // The break may come before the head of the answer has gone out.
        .on('error', () => resolve({ complete: false, sizeBytes: 0 }))
        .end()
    })
    expect(ended.complete).toBe(false)
    expect(ended.sizeBytes).toBeLessThan(content.length)
    await expect.poll(() => registry.suspected()).toBe(1)
    await registry.registry.scrub.run(neverAborted)
    expect(await records(registry)).toMatchObject([{ digest, reason: 'size', foundBytes: 1_000_000 }])
  })

  it('tells of a manifest whose bytes are not its own', async () => {
    const first = await startTestRegistry()
    const { digest } = await pushImage(first, 'pulled/manifest', 'v1', 'layer')
    await first.stop()
    const registry = await start({ directory: first.directory })
    await damages.content?.(fileOf(registry, digest))
    expect((await registry.send('GET', '/v2/pulled/manifest/manifests/v1')).status).toBe(500)
    expect(registry.suspected()).toBe(1)
    await registry.registry.scrub.run(neverAborted)
    expect(await records(registry)).toMatchObject([{ digest, reason: 'content' }])
  })
})

it('corrects a link that tells another size than the bytes that are pushed again', async () => {
  const registry = await start()
  const manifest = await pushParts(registry, 'link/size', 'right size')
  const { digest } = JSON.parse(manifest).layers[0]
  await putManifest(registry, 'link/size', 'v1', manifest)
  expect(await registry.store.count(manifestKind)).toBe(1)
  await registry.store.transaction({ type: 'system', id: 'x', name: 'x' }, async (transaction) => {
    const link = await transaction.find(blobLinkKind, 'reference', `link/size@${digest}`)
    if (link !== undefined) await transaction.update(blobLinkKind, link.id, { data: { ...link.data, size: 3 } })
  })
  expect((await registry.send('HEAD', `/v2/link/size/blobs/${digest}`)).status).toBe(404)
  await pushBlob(registry, 'link/size', 'right size')
  expect((await registry.send('HEAD', `/v2/link/size/blobs/${digest}`)).status).toBe(200)
})

it('reads no faster than it may, whatever comes in what portions and however the clock is set', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.record({ sizeBytes: fc.nat(2000), idleMs: fc.integer({ min: -5000, max: 5000 }) }), {
        maxLength: 50,
      }),
      async (portions) => {
        let nowMs = 1_000_000
        let sleptMs = 0
        let passed = 0
        const pace = createPace({
          bytesPerSecond: 1000,
          clock: {
            now: () => nowMs,
            async sleep(delayMs) {
              expect(delayMs).toBeLessThanOrEqual(1000)
              nowMs += delayMs
              sleptMs += delayMs
            },
          },
        })
        let idleMs = 0
        for (const portion of portions) {
          await pace(portion.sizeBytes, neverAborted)
          passed += portion.sizeBytes
          nowMs += portion.idleMs
          idleMs += Math.abs(portion.idleMs)
        }
        expect(passed).toBeLessThanOrEqual(sleptMs + idleMs + portions.length + 1)
        // It never waits longer than the bytes cost, but for a second a step where the clock was set back.
        expect(sleptMs).toBeLessThanOrEqual(passed + 1000 * portions.length)
      },
    ),
  )
})
