import { rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { blobLinkKind, condemnedKind, manifestKind, updateTargetKind } from '@freehold/contracts'
import type { Store } from '@freehold/store'
import { describe, expect, it, onTestFinished } from 'vitest'
import { createDigestGuard } from './digest-guard.ts'
import { afterBytes, collectAll, diskAndNeeds, linksAndNeeds, losses, neverAborted } from './garbage.testing.ts'
import { createGarbageCollector } from './garbage.ts'
import {
  pushBlob,
  pushImage,
  pushParts,
  putManifest,
  sha256,
  startTestRegistry,
  type TestRegistry,
  type TestRegistryOptions,
} from './testing.ts'

const graceMs = 24 * 3_600_000

async function start(options: TestRegistryOptions = {}): Promise<TestRegistry> {
  const registry = await startTestRegistry(options)
  onTestFinished(() => registry.remove())
  return registry
}

const collect = (registry: TestRegistry) => registry.registry.collectGarbage({ graceMs, signal: neverAborted })

/** A grace time later than it was. */
function wait(registry: TestRegistry): void {
  registry.clock.ms += graceMs + 1000
}

async function remove(registry: TestRegistry, path: string): Promise<void> {
  expect((await registry.send('DELETE', path)).status).toBe(202)
}

const statusOf = async (registry: TestRegistry, method: string, path: string, body?: string) =>
  (await registry.send(method, path, body === undefined ? {} : { body })).status

/** The same store; `work` is done each time after a page of manifests was read outside of a transaction. */
function afterManifestsRead(store: Store, work: () => Promise<void>): Store {
  return new Proxy(store, {
    get(target, name) {
      const value = Reflect.get(target, name)
      if (typeof value !== 'function') return value
      if (name !== 'list') return value.bind(target)
      return async (...parameters: Parameters<Store['list']>) => {
        const page = await target.list(...parameters)
        if (parameters[0].name === manifestKind.name && parameters[1]?.where?.repository !== undefined) await work()
        return page
      }
    },
  })
}

describe('garbage collection', () => {
  it('leaves a file of a release for devices alone, until no release names it', async () => {
    const registry = await start()
    const bytes = Buffer.from('licences')
    const digest = sha256(bytes)
    await registry.blobs.put(digest, Readable.from([bytes]))
    const actor = { type: 'system', id: 'test', name: 'test' } as const
    const data = {
      path: 'baseos/x/1.0.0/license-bundle.tar.gz',
      sha256: digest.slice('sha256:'.length),
      sizeBytes: bytes.length,
      text: null,
      releaseId: null,
    }
    const target = await registry.store.transaction(actor, (transaction) =>
      transaction.create(updateTargetKind, { data, status: { state: 'signed' } }),
    )
    wait(registry)
    await collectAll(registry, graceMs)
    expect(await registry.blobs.stat(digest)).toEqual({ sizeBytes: bytes.length })
    await registry.store.transaction(actor, (transaction) => transaction.delete(updateTargetKind, target.id))
    await collectAll(registry, graceMs)
    expect(await registry.blobs.stat(digest)).toBeUndefined()
  })

  it('frees what a deleted manifest alone needed, a grace time after each step, and nothing else', async () => {
    const registry = await start()
    const gone = await pushImage(registry, 'gc/story', 'gone', 'a layer of its own')
    await pushImage(registry, 'gc/story', 'stays', 'another layer')
    const shared = await pushBlob(registry, 'gc/story', 'a layer nobody names')
    await pushImage(registry, 'gc/other', 'stays', 'a layer nobody names')
    await remove(registry, `/v2/gc/story/manifests/${gone.digest}`)

    expect(await collect(registry)).toMatchObject({ complete: true, condemned: 0, removedBlobs: 0 })
    wait(registry)
    // Links of config, layer and the abandoned layer; the manifest's own bytes.
    expect(await collect(registry)).toMatchObject({ condemned: 4, droppedLinks: 0, removedBlobs: 0 })
    expect(await collect(registry)).toMatchObject({ condemned: 0, droppedLinks: 0, removedBlobs: 0 })
    wait(registry)
    expect(await collect(registry)).toMatchObject({
      condemned: 2,
      droppedLinks: 3,
      removedBlobs: 1,
      freedBytes: gone.manifest.length,
    })
    wait(registry)
    const { config, layers } = JSON.parse(gone.manifest)
    const lastBytes = config.size + layers[0].size
    expect(await collect(registry)).toMatchObject({ removedBlobs: 2, freedBytes: lastBytes, failures: 0 })

    const { disk, needed } = await diskAndNeeds(registry)
    expect(disk).toEqual(needed)
    expect(disk).toContain(shared.digest)
    expect(await statusOf(registry, 'GET', `/v2/gc/story/blobs/${shared.digest}`)).toBe(404)
    expect(await statusOf(registry, 'GET', `/v2/gc/other/blobs/${shared.digest}`)).toBe(200)
    let heldBytes = 0
    for await (const entry of registry.blobs.list()) heldBytes += entry.sizeBytes
    expect(registry.registry.storage()).toEqual({ heldBytes, freedBytes: gone.manifest.length + lastBytes })
    expect(await registry.store.count(condemnedKind)).toBe(0)
  })

  it('keeps manifests no tag names', async () => {
    const registry = await start()
    const { digest } = await pushImage(registry, 'gc/untagged', 'v1', 'a layer')
    await remove(registry, '/v2/gc/untagged/manifests/v1')
    expect(await collectAll(registry, graceMs)).toBe(0)
    expect(await statusOf(registry, 'GET', `/v2/gc/untagged/manifests/${digest}`)).toBe(200)
    expect(await losses(registry)).toEqual([])
  })

  for (const [what, renew] of Object.entries({
    'asked for': (registry: TestRegistry, digest: string) => statusOf(registry, 'HEAD', `/v2/gc/renew/blobs/${digest}`),
    'mounted again': (registry: TestRegistry, digest: string) =>
      statusOf(registry, 'POST', `/v2/gc/renew/blobs/uploads/?mount=${digest}&from=gc/renew`),
    'uploaded again': (registry: TestRegistry) => pushBlob(registry, 'gc/renew', 'a layer').then(() => 201),
  })) {
    it(`keeps a blob for another grace time once it was ${what}`, async () => {
      const registry = await start()
      const { digest } = await pushBlob(registry, 'gc/renew', 'a layer')
      wait(registry)
      expect(await collect(registry)).toMatchObject({ condemned: 1 })
      registry.clock.ms += graceMs - 1000
      expect([200, 201]).toContain(await renew(registry, digest))
      registry.clock.ms += 2000
      expect(await collect(registry)).toMatchObject({ droppedLinks: 0, condemned: 1 })
      registry.clock.ms += graceMs - 1000
      expect(await collect(registry)).toMatchObject({ droppedLinks: 0 })
      expect(await statusOf(registry, 'GET', `/v2/gc/renew/blobs/${digest}`)).toBe(200)
      await collectAll(registry, graceMs)
      expect(await statusOf(registry, 'GET', `/v2/gc/renew/blobs/${digest}`)).toBe(404)
    })
  }

  it('lets a manifest save its condemned blobs', async () => {
    const registry = await start()
    const manifest = await pushParts(registry, 'gc/saved', 'a layer')
    wait(registry)
    expect(await collect(registry)).toMatchObject({ condemned: 2 })
    wait(registry)
    expect((await putManifest(registry, 'gc/saved', 'v1', manifest)).status).toBe(201)
    expect(await registry.store.count(condemnedKind)).toBe(0)
    expect(await collectAll(registry, graceMs)).toBe(0)
    expect(await losses(registry)).toEqual([])
  })

  it('drops no link that was condemned by mistake, because it looks at the manifests again', async () => {
    const registry = await start()
    await pushImage(registry, 'gc/mistake', 'v1', 'a layer')
    const at = new Date(registry.clock.ms).toISOString()
    await registry.store.transaction({ type: 'system', id: 'test', name: 'test' }, async (transaction) => {
      for (const { data } of await transaction.all(blobLinkKind)) {
        for (const repository of [data.repository, null]) {
          await transaction.create(condemnedKind, { data: { ...data, repository, condemnedAt: at } })
        }
      }
    })
    wait(registry)
    expect(await collect(registry)).toMatchObject({ droppedLinks: 0, removedBlobs: 0 })
    expect(await registry.store.count(condemnedKind)).toBe(0)
    expect(await losses(registry)).toEqual([])
  })

  it('drops no link that a manifest begins to need after the manifests were looked at', async () => {
    const registry = await start()
    const manifest = await pushParts(registry, 'gc/late', 'a layer')
    let lookedAt: (() => Promise<void>) | undefined
    const collector = createGarbageCollector({
      store: afterManifestsRead(registry.store, async () => lookedAt?.()),
      blobs: registry.blobs,
      guard: createDigestGuard(),
      log: { info: () => {}, warn: () => {} },
      now: () => registry.clock.ms,
    })
    wait(registry)
    expect(await collector.collect({ graceMs, signal: neverAborted })).toMatchObject({ condemned: 2 })
    wait(registry)
    const statuses: number[] = []
    lookedAt = async () => {
      lookedAt = undefined
      statuses.push((await putManifest(registry, 'gc/late', 'v1', manifest)).status)
    }
    expect(await collector.collect({ graceMs, signal: neverAborted })).toMatchObject({ droppedLinks: 0, failures: 0 })
    expect(statuses).toEqual([201])
    expect(await losses(registry)).toEqual([])
  })

  for (const [what, push] of Object.entries({
    'an upload in parts': async (registry: TestRegistry) => {
      const location = (await registry.send('POST', '/v2/gc/between/blobs/uploads/')).headers.get('location') ?? ''
      return statusOf(registry, 'PUT', `${location}?digest=${sha256('a layer')}`, 'a layer')
    },
    'an upload in one request': (registry: TestRegistry) =>
      statusOf(registry, 'POST', `/v2/gc/between/blobs/uploads/?digest=${sha256('a layer')}`, 'a layer'),
    'a manifest': async (registry: TestRegistry, manifest: string) =>
      (await putManifest(registry, 'gc/between', 'new', manifest)).status,
  })) {
    it(`takes nothing from ${what} whose bytes are stored while no row says so yet`, async () => {
      let inBetween: (() => Promise<void>) | undefined
      const registry = await start({ wrapBlobs: (blobs) => afterBytes(blobs, async () => inBetween?.()) })
      const { digest, manifest } = await pushImage(registry, 'gc/between', 'old', 'a layer')
      await remove(registry, `/v2/gc/between/manifests/${digest}`)
      if (what !== 'a manifest') await remove(registry, `/v2/gc/between/blobs/${sha256('a layer')}`)
      wait(registry)
      await collect(registry)
      wait(registry)
      if (what === 'a manifest') await pushParts(registry, 'gc/between', 'a layer')
      let collections = 0
      inBetween = async () => {
        await collect(registry)
        collections += 1
      }
      expect(await push(registry, manifest)).toBe(201)
      expect(collections).toBe(1)
      const brought = what === 'a manifest' ? digest : sha256('a layer')
      expect(await registry.blobs.stat(brought)).toBeDefined()
      expect(await losses(registry)).toEqual([])
    })
  }

  it('passes over what it cannot remove and what is no blob, says so, and goes on', async () => {
    const stuck = sha256('stuck')
    const registry = await start({
      wrapBlobs: (blobs) =>
        new Proxy(blobs, {
          get(target, name) {
            if (name === 'delete') {
              return async (digest: string) => {
                if (digest === stuck) throw new Error('The disk says no.')
                return target.delete(digest)
              }
            }
            const value = Reflect.get(target, name)
            return typeof value === 'function' ? value.bind(target) : value
          },
        }),
    })
    for (const content of ['stuck', 'one', 'two']) {
      const { digest } = await pushBlob(registry, 'gc/bad', content)
      await remove(registry, `/v2/gc/bad/blobs/${digest}`)
    }
    const note = join(registry.directory, 'blobs', 'blobs', 'note.txt')
    await writeFile(note, 'of the operator')
    wait(registry)
    expect(await collect(registry)).toMatchObject({ condemned: 3, strangeFiles: 1 })
    wait(registry)
    expect(await collect(registry)).toMatchObject({ complete: true, removedBlobs: 2, freedBytes: 6, failures: 1 })
    expect(registry.warnings).toHaveLength(3)
    expect((await diskAndNeeds(registry)).disk).toEqual([stuck])
    await rm(note)
  })

  it('stops where it is told to, and the next pass does the rest', async () => {
    const registry = await start()
    const { digest } = await pushBlob(registry, 'gc/stopped', 'a layer')
    await remove(registry, `/v2/gc/stopped/blobs/${digest}`)
    wait(registry)
    const stopped = await registry.registry.collectGarbage({ graceMs, signal: AbortSignal.abort() })
    expect(stopped).toMatchObject({ complete: false, condemned: 0 })
    expect(registry.registry.storage().heldBytes).toBeNull()
    expect(await collectAll(registry, graceMs)).toBe(7)
  })

  it('empties a repository that is left of all its links', async () => {
    const registry = await start()
    for (let count = 0; count < 130; count += 1) await pushBlob(registry, 'gc/many', `layer ${count}`)
    await pushImage(registry, 'gc/many', 'v1', 'layer 7')
    await collectAll(registry, graceMs)
    const { links, needed } = await linksAndNeeds(registry.store)
    expect(links).toEqual(needed)
    const on = await diskAndNeeds(registry)
    expect(on.disk).toEqual(on.needed)
  })
})

describe('the guard of a digest', () => {
  it('lets no removal begin while somebody holds it, and nobody hold it while it is removed', async () => {
    const guard = createDigestGuard()
    const first = Promise.withResolvers<void>()
    const second = Promise.withResolvers<void>()
    const holding = [guard.hold('a', () => first.promise), guard.hold('a', () => second.promise)]
    expect(await guard.removing('b', async () => 'removed')).toBe('removed')
    expect(await guard.removing('a', async () => 'removed')).toBeUndefined()
    first.resolve()
    await holding[0]
    expect(await guard.removing('a', async () => 'removed')).toBeUndefined()
    second.resolve()
    await holding[1]
    const removal = Promise.withResolvers<string>()
    const removing = guard.removing('a', () => removal.promise)
    const order: string[] = []
    const late = guard.hold('a', async () => void order.push('held'))
    await guard.hold('b', async () => void order.push('another'))
    expect(await guard.removing('a', async () => 'twice')).toBeUndefined()
    order.push('removed')
    removal.resolve('removed')
    expect(await removing).toBe('removed')
    await late
    expect(order).toEqual(['another', 'removed', 'held'])
  })

  it('is free again after a failure', async () => {
    const guard = createDigestGuard()
    const failing = () => Promise.reject(new Error('failed'))
    await expect(guard.hold('a', failing)).rejects.toThrow('failed')
    await expect(guard.removing('a', failing)).rejects.toThrow('failed')
    expect(await guard.removing('a', async () => 'removed')).toBe('removed')
    expect(await guard.hold('a', async () => 'held')).toBe('held')
  })
})
