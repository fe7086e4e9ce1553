import { request as httpRequest } from 'node:http'
import { imageKind, repositoryUsageKind } from '@freehold/contracts'
import fc from 'fast-check'
import { describe, expect, it, onTestFinished } from 'vitest'
import { countStore, createImage, deleteImage } from '../images/index.ts'
import { collectAll } from './garbage.testing.ts'
import {
  basic,
  pushBlob,
  pushImage,
  pushParts,
  putManifest,
  sha256,
  startTestRegistry,
  type TestRegistry,
  type TestRegistryOptions,
} from './testing.ts'
import { changeImage, usage } from './usage.testing.ts'

const tester = { type: 'user', id: 'tester', name: 'tester' } as const

async function start(options: TestRegistryOptions = {}): Promise<TestRegistry> {
  const registry = await startTestRegistry(options)
  onTestFinished(() => registry.remove())
  return registry
}

async function repositoryWithQuota(registry: TestRegistry, name: string, quotaBytes: number): Promise<void> {
  await registry.store.transaction(tester, (transaction) =>
    createImage(transaction, { data: { name, description: '', location: { internal: true }, quotaBytes } }),
  )
}

const blobOf = (letter: string, sizeBytes: number) => letter.repeat(sizeBytes)
const pushWhole = (registry: TestRegistry, repository: string, body: string) =>
  registry.send('POST', `/v2/${repository}/blobs/uploads/?digest=${sha256(body)}`, { body })

async function begin(registry: TestRegistry, repository: string): Promise<string> {
  const response = await registry.send('POST', `/v2/${repository}/blobs/uploads/`)
  return response.headers.get('location') ?? ''
}

/** A body of no known length, in pieces. */
function streamed(...pieces: string[]): ReadableStream<Uint8Array> {
  return new ReadableStream({
    start(controller) {
      for (const piece of pieces) controller.enqueue(Buffer.from(piece))
      controller.close()
    },
  })
}

const refused = (repository: string | null, quotaBytes: number) => ({
  status: 403,
  body: {
    errors: [
      {
        code: 'DENIED',
        message: expect.stringMatching(/would pass its quota: it holds .+ of .+, and this needs .+ more\. Delete/),
        detail: { repository, quotaBytes, usedBytes: expect.any(Number), neededBytes: expect.any(Number) },
      },
    ],
  },
})
const answerOf = async (response: Response) => ({
  status: response.status,
  body: response.status >= 400 ? await response.json() : undefined,
})

async function diskBytes(registry: TestRegistry): Promise<number> {
  let bytes = 0
  for await (const { sizeBytes } of registry.blobs.list()) bytes += sizeBytes
  return bytes
}

describe('a push over the quota of its repository is refused', () => {
  it('by the announced length, before a byte of it is kept', async () => {
    const registry = await start()
    await repositoryWithQuota(registry, 'team/app', 1000)
    expect((await pushWhole(registry, 'team/app', blobOf('a', 900))).status).toBe(201)
    expect(await answerOf(await pushWhole(registry, 'team/app', blobOf('b', 101)))).toEqual(refused('team/app', 1000))
    const location = await begin(registry, 'team/app')
    const patched = await registry.send('PATCH', location, { body: blobOf('c', 101) })
    expect(await answerOf(patched)).toEqual(refused('team/app', 1000))
    expect((await registry.send('GET', location)).status).toBe(404)
    expect(await diskBytes(registry)).toBe(900)
    expect((await pushWhole(registry, 'team/app', blobOf('d', 100))).status).toBe(201)
  })

  it('by what has come, where no length is announced, and the upload is gone', async () => {
    const registry = await start()
    await repositoryWithQuota(registry, 'team/app', 1000)
    const location = await begin(registry, 'team/app')
    const response = await registry.send('PATCH', location, { body: streamed(blobOf('a', 600), blobOf('b', 600)) })
    expect(await answerOf(response)).toEqual(refused('team/app', 1000))
    expect((await registry.send('GET', location)).status).toBe(404)
    expect(registry.errors).toEqual([])
  })

  it('in the middle of a body that has not ended, without waiting for its end', async () => {
    const registry = await start()
    await repositoryWithQuota(registry, 'team/app', 1000)
    const location = await begin(registry, 'team/app')
    const status = await new Promise<number | undefined>((resolve, reject) => {
      const request = httpRequest(new URL(location, registry.url), {
        method: 'PATCH',
        headers: { authorization: basic('admin'), 'transfer-encoding': 'chunked' },
      })
      request.on('response', (response) => {
        resolve(response.statusCode)
        response.resume()
        request.end()
      })
      request.on('error', reject)
      request.write(blobOf('a', 2000))
    })
    expect(status).toBe(403)
  })

  it('over all chunks of an upload together, and when it is finished', async () => {
    const registry = await start()
    await repositoryWithQuota(registry, 'team/app', 1000)
    const content = blobOf('a', 700) + blobOf('b', 400)
    let location = await begin(registry, 'team/app')
    const first = await registry.send('PATCH', location, { body: content.slice(0, 700) })
    location = first.headers.get('location') ?? ''
    expect(await answerOf(await registry.send('PATCH', location, { body: content.slice(700) }))).toEqual(
      refused('team/app', 1000),
    )
    location = await begin(registry, 'team/app')
    location = (await registry.send('PATCH', location, { body: content.slice(0, 700) })).headers.get('location') ?? ''
    await pushBlob(registry, 'team/app', blobOf('c', 500))
    const finished = await registry.send('PUT', `${location}?digest=${sha256(content.slice(0, 700))}`)
    expect(await answerOf(finished)).toEqual(refused('team/app', 1000))
    expect((await registry.send('GET', location)).status).toBe(404)
    expect(await diskBytes(registry)).toBe(500)
  })

  it('when it mounts a blob, or brings a manifest, that would not fit', async () => {
    const registry = await start()
    const manifest = await pushParts(registry, 'team/app', blobOf('a', 400))
    const { digest } = await pushBlob(registry, 'other/app', blobOf('m', 300))
    await putManifest(registry, 'team/app', 'v1', manifest)
    const usedBytes = (await usage(registry.store)).kept['team/app'] ?? 0
    await changeImage(registry.store, 'team/app', { quotaBytes: usedBytes + 299 })
    const mounted = await registry.send('POST', `/v2/team/app/blobs/uploads/?mount=${digest}&from=other/app`)
    expect(await answerOf(mounted)).toEqual(refused('team/app', usedBytes + 299))
    const annotated = JSON.stringify({ ...JSON.parse(manifest), annotations: { note: blobOf('n', 300) } })
    expect(await answerOf(await putManifest(registry, 'team/app', 'v2', annotated))).toEqual(
      refused('team/app', usedBytes + 299),
    )
    const { counted, kept } = await usage(registry.store)
    expect(kept).toEqual(counted)
  })

  it('but never for what it has already, in whichever way that is pushed', async () => {
    const registry = await start()
    const { digest, manifest } = await pushImage(registry, 'team/app', 'v1', blobOf('a', 500))
    await changeImage(registry.store, 'team/app', { quotaBytes: 1 })
    expect((await pushWhole(registry, 'team/app', blobOf('a', 500))).status).toBe(201)
    const location = await begin(registry, 'team/app')
    const put = await registry.send('PUT', `${location}?digest=${sha256(blobOf('a', 500))}`, { body: blobOf('a', 500) })
    expect(put.status).toBe(201)
    const layer = sha256(blobOf('a', 500))
    expect((await registry.send('POST', `/v2/team/app/blobs/uploads/?mount=${layer}&from=team/app`)).status).toBe(201)
    expect((await putManifest(registry, 'team/app', 'v2', manifest)).status).toBe(201)
    expect((await registry.send('GET', `/v2/team/app/manifests/${digest}`)).status).toBe(200)
    expect((await pushWhole(registry, 'team/app', 'new')).status).toBe(403)
  })
})

describe('the quota of all together', () => {
  it('counts what several repositories hold once, and speaks of the registry', async () => {
    const registry = await start({ quotaBytes: 1000 })
    expect((await pushWhole(registry, 'one', blobOf('a', 800))).status).toBe(201)
    expect((await pushWhole(registry, 'two', blobOf('a', 800))).status).toBe(201)
    expect(await answerOf(await pushWhole(registry, 'two', blobOf('b', 201)))).toEqual(refused(null, 1000))
    expect((await pushWhole(registry, 'two', blobOf('b', 200))).status).toBe(201)
    expect((await usage(registry.store)).kept).toEqual({ '': 1000, one: 800, two: 1000 })
  })
})

it('sixteen pushes at once never pass a quota, and leave nothing on the disk but what counts', async () => {
  const registry = await start({ quotaBytes: 8000 })
  await repositoryWithQuota(registry, 'team/app', 5000)
  const bodies = Array.from({ length: 16 }, (_, index) => blobOf(String.fromCharCode(97 + index), 900 + index))
  const statuses = await Promise.all(
    bodies.map(async (body, index) => {
      const repository = index % 4 === 0 ? 'free/app' : 'team/app'
      if (index % 2 === 0) return (await pushWhole(registry, repository, body)).status
      const location = await begin(registry, repository)
      const patched = await registry.send('PATCH', location, { body: streamed(body.slice(0, 300), body.slice(300)) })
      if (patched.status !== 202) return patched.status
      return (await registry.send('PUT', `${patched.headers.get('location')}?digest=${sha256(body)}`)).status
    }),
  )
  expect(new Set(statuses)).toEqual(new Set([201, 403]))
  const { counted, kept } = await usage(registry.store)
  expect(kept).toEqual(counted)
  expect(kept['team/app'] ?? 0).toBeLessThanOrEqual(5000)
  expect(kept[''] ?? 0).toBeLessThanOrEqual(8000)
  expect(await diskBytes(registry)).toBe(kept[''])
})

it('usage is what repositories hold, after any pushes, mounts, deletes and garbage collections', async () => {
  const registry = await start()
  const repository = fc.constantFrom('one', 'two', 'three')
  const layer = fc.constantFrom('x', 'yy', 'zzz')
  const event = fc.oneof(
    fc.record({ kind: fc.constant('push' as const), repository, layer, tag: fc.constantFrom('a', 'b') }),
    fc.record({ kind: fc.constant('blob' as const), repository, layer }),
    fc.record({ kind: fc.constant('mount' as const), repository, from: repository, layer }),
    fc.record({ kind: fc.constant('delete tag' as const), repository, tag: fc.constantFrom('a', 'b') }),
    fc.record({ kind: fc.constant('delete manifest' as const), repository, tag: fc.constantFrom('a', 'b') }),
    fc.record({ kind: fc.constant('unlink' as const), repository, layer }),
    fc.record({ kind: fc.constant('delete image' as const), repository }),
    fc.record({ kind: fc.constant('collect' as const) }),
  )
  const { send } = registry
  const run = async (each: typeof event extends fc.Arbitrary<infer E> ? E : never): Promise<void> => {
    if (each.kind === 'push') await pushImage(registry, each.repository, each.tag, each.layer)
    else if (each.kind === 'blob') await pushBlob(registry, each.repository, each.layer)
    else if (each.kind === 'collect') await collectAll(registry, 1000)
    else if (each.kind === 'mount') {
      await send('POST', `/v2/${each.repository}/blobs/uploads/?mount=${sha256(each.layer)}&from=${each.from}`)
    } else if (each.kind === 'unlink') await send('DELETE', `/v2/${each.repository}/blobs/${sha256(each.layer)}`)
    else if (each.kind === 'delete image') {
      await registry.store.transaction(tester, async (transaction) => {
        const image = await transaction.find(imageKind, 'name', each.repository)
        if (image !== undefined) await deleteImage(transaction, { id: image.id })
      })
    } else {
      const response = await send('HEAD', `/v2/${each.repository}/manifests/${each.tag}`)
      const digest = response.headers.get('docker-content-digest')
      const reference = each.kind === 'delete tag' ? each.tag : digest
      if (digest !== null) await send('DELETE', `/v2/${each.repository}/manifests/${reference}`)
    }
  }
  await fc.assert(
    fc.asyncProperty(fc.array(event, { minLength: 1, maxLength: 12 }), async (events) => {
      for (const each of events) await run(each)
      const { counted, kept } = await usage(registry.store)
      expect(kept).toEqual(counted)
    }),
    { numRuns: 25 },
  )
  expect(registry.errors).toEqual([])
})

it('a store from before usage was kept is counted once', async () => {
  const registry = await start()
  await pushImage(registry, 'one', 'a', 'x')
  await pushImage(registry, 'two', 'a', 'x')
  await registry.store.transaction(tester, async (transaction) => {
    for (const row of await transaction.all(repositoryUsageKind)) await transaction.delete(repositoryUsageKind, row.id)
  })
  expect(await countStore(registry.store)).toBe(true)
  const { counted, kept } = await usage(registry.store)
  expect(kept).toEqual(counted)
  expect(await countStore(registry.store)).toBe(false)
})
