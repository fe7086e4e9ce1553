import { randomBytes } from 'node:crypto'
import { rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { blobLinkKind, damagedBlobKind, imageData, imageKind, repositoryUsageKind } from '@freehold/contracts'
import { afterEach, beforeEach, describe, expect, onTestFinished, test } from 'vitest'
import { digestOfText, type Reply, startFakeRegistry } from '../external-registries/client/fake-registry.testing.ts'
import { createExternalRegistry, createUpstreams } from '../external-registries/index.ts'
import { createImage, deleteImage } from '../images/index.ts'
import { createSealer, Secret } from '../secrets/index.ts'
import { neverAborted } from './garbage.testing.ts'
import { ociManifest, password, pushBlob, pushImage, startTestRegistry, type TestRegistry } from './testing.ts'
import { usage } from './usage.testing.ts'

const actor = { type: 'user', id: 'ada', name: 'ada' } as const
const sealer = createSealer(new Secret(randomBytes(32)))
let mirror: TestRegistry
let upstream: TestRegistry
beforeEach(async () => {
  mirror = await startTestRegistry({ upstreams: (now) => createUpstreams({ sealer, now }) })
  upstream = await startTestRegistry()
})
afterEach(async () => {
  await mirror.remove()
  await upstream.remove()
})

async function mirrorOf(url: string, name: string, more: { username?: string; quotaBytes?: number } = {}) {
  const { username = '', ...fields } = more
  await mirror.store.transaction(actor, async (transaction) => {
    const registry = await createExternalRegistry(
      transaction,
      { data: { type: 'docker', name, url, username }, ...(username === '' ? {} : { password }) },
      sealer,
    )
    const location = { internal: true, mirrorOf: { externalRegistryId: registry.id, repository: 'team/app' } }
    const data = imageData.parse({ name: `mirror/${name}`, location, ...fields })
    await createImage(transaction, { data })
  })
  return `/v2/mirror/${name}`
}
const get = (path: string) => mirror.send('GET', path)
const imageOf = async (name: string) => {
  const image = await mirror.store.find(imageKind, 'name', name)
  if (image === undefined) throw new Error(`There is no image ${name}.`)
  return image
}
async function fake(reply: Reply) {
  const registry = await startFakeRegistry(reply)
  onTestFinished(() => registry.stop())
  return registry
}

describe('a mirror', () => {
  test('whose manifest or blob was damaged gets it anew from its registry, by tag and by digest', async () => {
    const { digest, manifest } = await pushImage(upstream, 'team/app', 'v1', 'a layer')
    const path = await mirrorOf(upstream.url, 'other', { username: 'admin' })
    const layer = JSON.parse(manifest).layers[0].digest
    const pulls = [`${path}/manifests/v1`, `${path}/manifests/${digest}`]
    for (const pull of [...pulls, `${path}/blobs/${layer}`]) await (await get(pull)).text()
    for (const pull of pulls) {
      for (const damage of [
        (file: string) => writeFile(file, 'x'.repeat(manifest.length)),
        (file: string) => rm(file),
      ]) {
        for (const one of [digest, layer]) await damage(fileOf(one))
        mirror.registry.scrub.request()
        await mirror.registry.scrub.run(neverAborted)
        expect(await mirror.store.all(damagedBlobKind)).toHaveLength(2)
        expect(await (await get(pull)).text()).toBe(manifest)
        expect(await (await get(`${path}/blobs/${layer}`)).text()).toBe('a layer')
        expect(await mirror.store.all(damagedBlobKind)).toEqual([])
      }
    }
  })

  test('that holds manifests without their blobs is not damaged', async () => {
    await pushImage(upstream, 'team/app', 'v1', 'a layer')
    await get(`${await mirrorOf(upstream.url, 'other', { username: 'admin' })}/manifests/v1`)
    mirror.registry.scrub.request()
    await mirror.registry.scrub.run(neverAborted)
    expect(await mirror.store.all(damagedBlobKind)).toEqual([])
  })

  test('asks again for a tag that was deleted here, and when its clock was set back', async () => {
    const first = await pushImage(upstream, 'team/app', 'v1', 'one')
    const path = await mirrorOf(upstream.url, 'other', { username: 'admin' })
    const digestNow = async () => (await get(`${path}/manifests/v1`)).headers.get('docker-content-digest')
    expect(await digestNow()).toBe(first.digest)
    expect((await mirror.send('DELETE', `${path}/manifests/v1`)).status).toBe(202)
    expect(await digestNow()).toBe(first.digest)
    const second = await pushImage(upstream, 'team/app', 'v1', 'two')
    mirror.clock.ms -= 365 * 86_400_000
    expect(await digestNow()).toBe(second.digest)
  })

  test('shows what it holds as it fills', async () => {
    const { manifest } = await pushImage(upstream, 'team/app', 'v1', 'a layer')
    const path = await mirrorOf(upstream.url, 'other', { username: 'admin' })
    await get(`${path}/manifests/v1`)
    expect((await imageOf('mirror/other')).status.usedBytes).toBe(manifest.length)
    await (await get(`${path}/blobs/${JSON.parse(manifest).layers[0].digest}`)).text()
    expect((await imageOf('mirror/other')).status.usedBytes).toBe(manifest.length + 'a layer'.length)
  })

  test('keeps to its quota with many fetches under way', async () => {
    const contents = [randomBytes(60_000), randomBytes(60_000)]
    const finish = Promise.withResolvers<void>()
    const { url } = await fake((_request, response, path) => {
      const content = contents.find((one) => path.endsWith(digestOfText(one)))
      if (content === undefined) return false
      response.writeHead(200, { 'content-length': content.length }).write(content.subarray(0, 30_000))
      void finish.promise.then(() => response.end(content.subarray(30_000)))
      return true
    })
    const path = await mirrorOf(url.href, 'small', { quotaBytes: 100_000 })
    const [one, two] = contents.map((content) => `${path}/blobs/${digestOfText(content)}`)
    const first = await get(one ?? '')
    expect((await get(two ?? '')).status).toBeGreaterThanOrEqual(400)
    finish.resolve()
    expect((await first.arrayBuffer()).byteLength).toBe(60_000)
    const { counted, kept } = await usage(mirror.store)
    expect(kept).toEqual(counted)
  })

  test('of a registry that never finishes holds up no mirror of another one', async () => {
    const { url } = await fake((_request, response) => {
      response.writeHead(200, { 'content-length': 1000 }).write('x')
      return true
    })
    const stuck = await mirrorOf(url.href, 'stuck')
    const leave = new AbortController()
    const authorization = `Basic ${Buffer.from(`admin:${password}`).toString('base64')}`
    const pulls = Array.from({ length: 16 }, (_, index) =>
      fetch(`${mirror.url}${stuck}/blobs/${digestOfText(`blob ${index}`)}`, {
        headers: { authorization },
        signal: leave.signal,
      }),
    )
    for (const pull of pulls) expect((await pull).status).toBe(200)
    const { digest } = await pushBlob(upstream, 'team/app', 'quick')
    const quick = await mirrorOf(upstream.url, 'quick', { username: 'admin' })
    expect(await (await get(`${quick}/blobs/${digest}`)).text()).toBe('quick')
    leave.abort()
  })

  test('reads no other blob into memory than the config whose size its manifest says', async () => {
    const platform = '{"os":"linux","architecture":"arm64"}'
    await pushBlob(mirror, 'private/large', platform)
    const mediaType = 'application/vnd.oci.image.config.v1+json'
    const config = { mediaType, digest: digestOfText(platform), size: 1 }
    const manifest = JSON.stringify({ schemaVersion: 2, mediaType: ociManifest, config, layers: [] })
    const { url } = await fake((_request, response, path) => {
      if (!path.includes('/manifests/')) return false
      response.writeHead(200, { 'content-type': ociManifest, 'content-length': manifest.length }).end(manifest)
      return true
    })
    expect((await get(`${await mirrorOf(url.href, 'liar')}/manifests/v1`)).status).toBe(200)
    expect((await imageOf('mirror/liar')).status.versions[0]).toMatchObject({ platforms: [] })
  })

  test('that is deleted while it fetches leaves neither link nor usage', async () => {
    const content = randomBytes(1000)
    const finish = Promise.withResolvers<void>()
    const { url } = await fake((_request, response) => {
      response.writeHead(200, { 'content-length': content.length }).write(content.subarray(0, 10))
      void finish.promise.then(() => response.end(content.subarray(10)))
      return true
    })
    const pull = await get(`${await mirrorOf(url.href, 'gone')}/blobs/${digestOfText(content)}`)
    const { id } = await imageOf('mirror/gone')
    await mirror.store.transaction(actor, (transaction) => deleteImage(transaction, { id }))
    finish.resolve()
    await expect(pull.arrayBuffer()).rejects.toThrow()
    expect(await mirror.store.all(blobLinkKind)).toEqual([])
    const named = (await mirror.store.all(repositoryUsageKind)).map(({ data }) => data.repository)
    expect(named).not.toContain('mirror/gone')
  })
})

function fileOf(digest: string): string {
  const [algorithm = '', hex = ''] = digest.split(':')
  return join(mirror.directory, 'blobs/blobs', algorithm, hex.slice(0, 2), hex)
}
