import { request } from 'node:http'
import { imageKind, manifestKind, tagKind } from '@freehold/contracts'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { manifestLimitBytes } from './manifest.ts'
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
} from './testing.ts'

let registry: TestRegistry
beforeAll(async () => {
  registry = await startTestRegistry()
})
afterAll(() => registry.remove())

describe('manifests (OCI Distribution 1.1, "Pushing Manifests")', () => {
  it('are stored with their tag, and told to the image and to whoever waits for pushes', async () => {
    const manifest = await pushParts(registry, 'manifests/tagged', 'a layer')
    const response = await putManifest(registry, 'manifests/tagged', 'v1', manifest)
    const digest = sha256(manifest)
    expect([response.status, response.headers.get('location'), response.headers.get('docker-content-digest')]).toEqual([
      201,
      `/v2/manifests/tagged/manifests/${digest}`,
      digest,
    ])
    const image = await registry.store.find(imageKind, 'name', 'manifests/tagged')
    const parsed = JSON.parse(manifest)
    expect(image?.status.versions).toEqual([
      {
        versionString: 'v1',
        digest,
        mediaType: ociManifest,
        size: manifest.length + parsed.config.size + parsed.layers[0].size,
        platforms: ['linux/arm64/v8'],
        pushedBy: 'admin',
        createdAt: image?.status.lastPushAt,
      },
    ])
    await expect
      .poll(() => registry.pushes.filter((push) => push.repository === 'manifests/tagged'))
      .toEqual([
        { repository: 'manifests/tagged', tag: 'v1', digest, actor: { type: 'user', id: 'admin', name: 'admin' } },
      ])
  })

  it.each([
    ['sha256', sha256],
    ['sha512', sha512],
  ])('can be pushed by %s digest, with tags beside it', async (algorithm, digestOf) => {
    const name = `manifests/by-${algorithm}`
    const manifest = await pushParts(registry, name, 'a layer')
    const digest = digestOf(manifest)
    const response = await putManifest(registry, name, `${digest}?tag=1.2.3&tag=1.2&tag=latest`, manifest)
    expect([response.status, response.headers.get('oci-tag')]).toEqual([201, '1.2.3, 1.2, latest'])
    const pulledByTag = await registry.send('GET', `/v2/${name}/manifests/1.2`)
    expect([await pulledByTag.text(), pulledByTag.headers.get('docker-content-digest')]).toEqual([manifest, digest])
    const many = Array.from({ length: 65 }, (_, index) => `tag=t${index}`).join('&')
    expect((await putManifest(registry, name, `${digest}?${many}`, manifest)).status).toBe(414)
  })

  it('are refused by another digest', async () => {
    const manifest = await pushParts(registry, 'manifests/wrong', 'a layer')
    const response = await putManifest(registry, 'manifests/wrong', sha256('other'), manifest)
    expect([response.status, await codesOf(response)]).toEqual([400, ['DIGEST_INVALID']])
  })

  it('are refused while blobs they name are missing, and nothing of them is seen', async () => {
    const manifest = await pushParts(registry, 'manifests/elsewhere', 'a layer')
    const response = await putManifest(registry, 'manifests/missing', 'latest', manifest)
    expect(response.status).toBe(404)
    const { config, layers } = JSON.parse(manifest)
    expect(await response.json()).toMatchObject({
      errors: [{ code: 'MANIFEST_BLOB_UNKNOWN', detail: { count: 2, missing: [config.digest, layers[0].digest] } }],
    })
    expect((await registry.send('GET', '/v2/manifests/missing/manifests/latest')).status).toBe(404)
    expect(await registry.store.find(imageKind, 'name', 'manifests/missing')).toBeUndefined()
    expect(await registry.store.count(manifestKind, { where: { repository: 'manifests/missing' } })).toBe(0)
    expect(await registry.store.count(tagKind, { where: { repository: 'manifests/missing' } })).toBe(0)
  })

  it('may name layers that are not to be distributed without their being there', async () => {
    const manifest = JSON.parse(await pushParts(registry, 'manifests/foreign', 'a layer'))
    for (const mediaType of [
      'application/vnd.oci.image.layer.nondistributable.v1.tar+gzip',
      'application/vnd.docker.image.rootfs.foreign.diff.tar.gzip',
    ]) {
      manifest.layers.push({ mediaType, digest: sha256(mediaType), size: 12, urls: ['https://layers.example/x'] })
    }
    expect((await putManifest(registry, 'manifests/foreign', 'latest', JSON.stringify(manifest))).status).toBe(201)
  })

  it('are refused where they tell a size that is not the blob’s', async () => {
    const manifest = JSON.parse(await pushParts(registry, 'manifests/sizes', 'a layer'))
    manifest.layers[0].size += 1
    const response = await putManifest(registry, 'manifests/sizes', 'latest', JSON.stringify(manifest))
    expect([response.status, await codesOf(response)]).toEqual([400, ['SIZE_INVALID']])
  })

  it('take an index only with its children, and count its size and platforms', async () => {
    const first = await pushImage(registry, 'manifests/index', 'amd64', 'one')
    const second = await pushImage(registry, 'manifests/index', 'arm64', 'two')
    const child = (image: { digest: string; manifest: string }, platform: object) => ({
      mediaType: ociManifest,
      digest: image.digest,
      size: image.manifest.length,
      platform,
    })
    const manifests = [
      child(first, { os: 'linux', architecture: 'amd64' }),
      child(second, { os: 'linux', architecture: 'arm', variant: 'v7' }),
      child(second, { os: 'unknown', architecture: 'unknown' }),
    ]
    const index = JSON.stringify({ schemaVersion: 2, mediaType: ociIndex, manifests })
    expect((await putManifest(registry, 'manifests/index', 'latest', index, ociIndex)).status).toBe(201)
    const image = await registry.store.find(imageKind, 'name', 'manifests/index')
    const version = image?.status.versions.find(({ versionString }) => versionString === 'latest')
    expect(version?.platforms).toEqual(['linux/amd64', 'linux/arm/v7'])
    const sizeOf = (tag: string) => image?.status.versions.find(({ versionString }) => versionString === tag)?.size ?? 0
    expect(version?.size).toBe(index.length + sizeOf('amd64') + sizeOf('arm64'))
    const elsewhere = await putManifest(registry, 'manifests/no-index', 'latest', index, ociIndex)
    expect([elsewhere.status, await codesOf(elsewhere)]).toEqual([404, ['MANIFEST_BLOB_UNKNOWN']])
  })

  it('take Docker schema 2 and its list', async () => {
    const name = 'manifests/docker'
    const schema2 = 'application/vnd.docker.distribution.manifest.v2+json'
    const list = 'application/vnd.docker.distribution.manifest.list.v2+json'
    const config = await pushBlob(registry, name, '{}', 'application/vnd.docker.container.image.v1+json')
    const layer = await pushBlob(registry, name, 'tar', 'application/vnd.docker.image.rootfs.diff.tar.gzip')
    const manifest = JSON.stringify({ schemaVersion: 2, mediaType: schema2, config, layers: [layer] })
    expect((await putManifest(registry, name, 'latest', manifest, schema2)).status).toBe(201)
    const child = { mediaType: schema2, digest: sha256(manifest), size: manifest.length }
    const body = JSON.stringify({
      schemaVersion: 2,
      mediaType: list,
      manifests: [{ ...child, platform: { os: 'linux', architecture: 'amd64' } }],
    })
    expect((await putManifest(registry, name, 'all', body, list)).status).toBe(201)
    const response = await registry.send('GET', `/v2/${name}/manifests/all`)
    expect([response.headers.get('content-type'), await response.text()]).toEqual([list, body])
  })

  it('may have 4 MiB and not a byte more', async () => {
    const name = 'manifests/large'
    const manifest = await pushParts(registry, name, 'a layer')
    const whole = manifest.padEnd(manifestLimitBytes, ' ')
    expect((await putManifest(registry, name, 'most', whole)).status).toBe(201)
    expect((await (await registry.send('GET', `/v2/${name}/manifests/most`)).text()).length).toBe(manifestLimitBytes)
    const streamed = new Blob([`${whole} `]).stream() as ReadableStream<Uint8Array>
    for (const body of [`${whole} `, streamed]) {
      const response = await registry.send('PUT', `/v2/${name}/manifests/more`, { body })
      expect([response.status, await codesOf(response)]).toEqual([413, ['SIZE_INVALID']])
    }
  })

  it('are refused as what they are not', async () => {
    const good = JSON.parse(await pushParts(registry, 'manifests/bad', 'a layer'))
    const bad: [string, unknown, string?][] = [
      ['no JSON', '{'],
      ['no object', []],
      ['null', 'null'],
      ['schema 1', { ...good, schemaVersion: 1 }],
      ['no config', { ...good, config: undefined }],
      ['a manifest and an index at once', { ...good, manifests: [] }],
      ['an index with layers', { ...good, mediaType: ociIndex, manifests: [] }, ociIndex],
      ['a digest that is none', { ...good, layers: [{ ...good.layers[0], digest: 'sha256:../../x' }] }],
      ['a size that is none', { ...good, layers: [{ ...good.layers[0], size: -1 }] }],
      ['another type than the header says', good, ociIndex],
      ['an unknown type', { ...good, mediaType: 'text/plain' }, 'text/plain'],
      [
        'Docker without a type',
        { ...good, mediaType: undefined },
        'application/vnd.docker.distribution.manifest.v2+json',
      ],
      ['annotations of numbers', { ...good, annotations: { a: 1 } }],
    ]
    for (const [name, body, mediaType] of bad) {
      const text = typeof body === 'string' ? body : JSON.stringify(body)
      const response = await putManifest(registry, 'manifests/bad', 'latest', text, mediaType)
      expect([response.status, await codesOf(response)], name).toEqual([400, ['MANIFEST_INVALID']])
    }
    expect((await registry.send('GET', '/v2/manifests/bad/manifests/latest')).status).toBe(404)
  })

  it('keep a tag as it is where the same push comes again', async () => {
    await pushImage(registry, 'manifests/again', 'latest', 'same')
    const before = await registry.store.find(tagKind, 'reference', 'manifests/again:latest')
    await pushImage(registry, 'manifests/again', 'latest', 'same')
    const after = await registry.store.find(tagKind, 'reference', 'manifests/again:latest')
    expect(after?.version).toBe(before?.version)
    const image = await registry.store.find(imageKind, 'name', 'manifests/again')
    expect(image?.status.versions.map(({ versionString }) => versionString)).toEqual(['latest'])
  })

  it('are refused under the name of an external image', async () => {
    await registry.store.transaction({ type: 'user', id: 'x', name: 'x' }, (transaction) =>
      transaction.create(imageKind, {
        data: {
          name: 'manifests/external',
          description: '',
          location: { internal: false, externalImage: 'docker.io/library/nginx' },
        },
      }),
    )
    const manifest = await pushParts(registry, 'manifests/external', 'a layer')
    const response = await putManifest(registry, 'manifests/external', 'latest', manifest)
    expect([response.status, await codesOf(response)]).toEqual([409, ['DENIED']])
  })
})

describe('names at and beyond their limits (OCI Distribution 1.1, "Pulling manifests")', () => {
  it('takes a name of 255 characters and a tag of 128', async () => {
    const name = `n/${'a'.repeat(253)}`
    const tag = `t${'.-_A9'.repeat(30)}`.slice(0, 128)
    const { digest } = await pushImage(registry, name, tag, 'layer')
    const response = await registry.send('HEAD', `/v2/${name}/manifests/${tag}`)
    expect(response.headers.get('docker-content-digest')).toBe(digest)
  })

  it.each([
    'A',
    'a'.repeat(256),
    'a//b',
    'a/',
    '-a',
    'a-',
    'a..b',
    'a___b',
    'a/../b',
    '..',
    'a%2F..%2Fb',
    '%2e%2e',
    'a%00b',
    'ü',
  ])('refuses the repository %s', async (name) => {
    // fetch resolves dots away before it sends; a bad client does not.
    const status = await rawStatus(`/v2/${name}/manifests/latest`)
    expect(status).toBe(400)
  })

  it.each(['.a', '-a', 'a'.repeat(129), 'a%20b', 'a%2Fb', '%E2%82%AC', '..%2f..%2fx'])(
    'refuses the tag %s',
    async (tag) => {
      expect([400, 404]).toContain(await rawStatus(`/v2/names/manifests/${tag}`))
      const manifest = await pushParts(registry, 'names', 'layer')
      const response = await putManifest(registry, 'names', tag, manifest)
      expect([400, 404, 405]).toContain(response.status)
    },
  )
})

function rawStatus(path: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const [host, port] = registry.host.split(':')
    const target = Buffer.from(path, 'utf8').toString('latin1')
    request({ host, port, path: target, headers: { authorization: basic('admin') } }, (response) => {
      response.resume()
      resolve(response.statusCode ?? 0)
    })
      .on('error', reject)
      .end()
  })
}
