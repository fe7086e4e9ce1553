import { randomBytes } from 'node:crypto'
import { request } from 'node:http'
import { blobLinkKind, imageKind, manifestKind, tagKind } from '@freehold/contracts'
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

async function begin(repository: string, query = ''): Promise<string> {
  const response = await registry.send('POST', `/v2/${repository}/blobs/uploads/${query}`)
  expect(response.status).toBe(202)
  return response.headers.get('location') ?? ''
}

function patch(location: string, body: string, range?: string) {
  return registry.send('PATCH', location, { body, headers: range === undefined ? {} : { 'content-range': range } })
}

async function pulled(repository: string, digest: string): Promise<string> {
  return (await registry.send('GET', `/v2/${repository}/blobs/${digest}`)).text()
}

describe('a blob in one go (OCI Distribution 1.1, "Pushing a blob monolithically")', () => {
  it.each([sha256, sha512])('comes by a single POST', async (digestOf) => {
    const digest = digestOf('single')
    const response = await registry.send('POST', `/v2/push/post/blobs/uploads/?digest=${digest}`, { body: 'single' })
    expect([response.status, response.headers.get('location'), response.headers.get('docker-content-digest')]).toEqual([
      201,
      `/v2/push/post/blobs/${digest}`,
      digest,
    ])
    expect(await pulled('push/post', digest)).toBe('single')
  })

  it.each([sha256, sha512])('comes by POST and PUT', async (digestOf) => {
    const digest = digestOf('both')
    const location = await begin('push/put')
    const response = await registry.send('PUT', `${location}?digest=${digest}`, { body: 'both' })
    expect([response.status, response.headers.get('location')]).toEqual([201, `/v2/push/put/blobs/${digest}`])
    expect(await pulled('push/put', digest)).toBe('both')
  })

  it('takes the digest percent-encoded, as some clients send it', async () => {
    const digest = sha256('encoded')
    const location = await begin('push/put')
    const done = await registry.send('PUT', `${location}?digest=${encodeURIComponent(digest)}`, { body: 'encoded' })
    expect(done.status).toBe(201)
    expect((await registry.send('HEAD', `/v2/push/put/blobs/${encodeURIComponent(digest)}`)).status).toBe(200)
  })

  it('refuses content of another digest, and keeps neither blob nor upload', async () => {
    const wrong = sha256('what was promised')
    const location = await begin('push/wrong')
    for (const response of [
      await registry.send('POST', `/v2/push/wrong/blobs/uploads/?digest=${wrong}`, { body: 'other' }),
      await registry.send('PUT', `${location}?digest=${wrong}`, { body: 'other' }),
    ]) {
      expect([response.status, await codesOf(response)]).toEqual([400, ['DIGEST_INVALID']])
    }
    expect((await registry.send('GET', location)).status).toBe(404)
    expect((await registry.send('HEAD', `/v2/push/wrong/blobs/${wrong}`)).status).toBe(404)
    expect(await registry.store.count(blobLinkKind, { where: { repository: 'push/wrong' } })).toBe(0)
  })

  it('refuses digests that are none', async () => {
    const location = await begin('push/wrong')
    for (const digest of ['', 'sha256:abc', `md5:${'0'.repeat(32)}`, `sha256:${'G'.repeat(64)}`, '../../etc/passwd']) {
      const query = `?digest=${encodeURIComponent(digest)}`
      for (const response of [
        await registry.send('PUT', `${location}${query}`, { body: 'x' }),
        await registry.send('POST', `/v2/push/wrong/blobs/uploads/${query}`, { body: 'x' }),
      ]) {
        expect([response.status, await codesOf(response)], digest).toEqual([400, ['DIGEST_INVALID']])
      }
    }
    expect((await registry.send('PUT', location, { body: 'x' })).status).toBe(400)
    expect((await registry.send('GET', location)).headers.get('range')).toBe('0-0')
    expect((await registry.send('POST', '/v2/push/wrong/blobs/uploads/?digest-algorithm=md5')).status).toBe(400)
  })
})

describe('a blob in chunks (OCI Distribution 1.1, "Pushing a blob in chunks")', () => {
  it.each([
    ['sha256', sha256],
    ['sha512', sha512],
  ])('grows chunk by chunk and is closed by PUT, with %s', async (algorithm, digestOf) => {
    const location = await begin('push/chunks', `?digest-algorithm=${algorithm}`)
    const first = await patch(location, '01234', '0-4')
    expect([first.status, first.headers.get('range')]).toEqual([202, '0-4'])
    const second = await patch(first.headers.get('location') ?? '', '56789', '5-9')
    expect([second.status, second.headers.get('range')]).toEqual([202, '0-9'])
    const digest = digestOf('0123456789')
    const done = await registry.send('PUT', `${second.headers.get('location')}?digest=${digest}`)
    expect(done.status).toBe(201)
    expect(await pulled('push/chunks', digest)).toBe('0123456789')
  })

  it('takes the last chunk with the closing PUT, and chunks without a range where the upload stands', async () => {
    const location = await begin('push/chunks')
    expect((await patch(location, 'ab')).status).toBe(202)
    expect((await patch(location, 'cd')).status).toBe(202)
    const digest = sha256('abcdef')
    const done = await registry.send('PUT', `${location}?digest=${digest}`, {
      body: 'ef',
      headers: { 'content-range': '4-5' },
    })
    expect(done.status).toBe(201)
    expect(await pulled('push/chunks', digest)).toBe('abcdef')
  })

  it('answers 416 to a chunk out of order, says where it stands, and goes on from there', async () => {
    const location = await begin('push/order')
    await patch(location, '01234', '0-4')
    for (const range of ['0-4', '6-10', '4-8', '1000000-1000004', 'nonsense', '5-', 'bytes 5-9/10', '9-5']) {
      const response = await patch(location, '56789', range)
      expect([response.status, await codesOf(response)], range).toEqual([416, ['BLOB_UPLOAD_INVALID']])
      const status = await registry.send('GET', location)
      expect([status.status, status.headers.get('range')], range).toEqual([204, '0-4'])
    }
    const closing = await registry.send('PUT', `${location}?digest=${sha256('x')}`, {
      body: '6',
      headers: { 'content-range': '6-6' },
    })
    expect(closing.status).toBe(416)
    await patch(location, '56789', '5-9')
    expect((await registry.send('PUT', `${location}?digest=${sha256('0123456789')}`)).status).toBe(201)
  })

  it('refuses a chunk that is not as long as its range', async () => {
    const location = await begin('push/length')
    const response = await patch(location, '0123', '0-9')
    expect([response.status, await codesOf(response)]).toEqual([400, ['SIZE_INVALID']])
    expect((await registry.send('GET', location)).headers.get('range')).toBe('0-0')
  })

  it('forgets a cancelled upload', async () => {
    const location = await begin('push/cancel')
    await patch(location, 'x')
    expect((await registry.send('DELETE', location)).status).toBe(204)
    for (const method of ['GET', 'PATCH', 'DELETE', 'PUT']) {
      const query = method === 'PUT' ? `?digest=${sha256('x')}` : ''
      const response = await registry.send(method, `${location}${query}`)
      const codes = await codesOf(response)
      expect([response.status, codes], method).toEqual([404, ['BLOB_UPLOAD_UNKNOWN']])
    }
  })

  it('knows an upload only in its repository and only by the whole name it gave', async () => {
    const location = await begin('push/session')
    const session = location.split('/').at(-1) ?? ''
    const [uuid = ''] = session.split('.')
    const others = [
      location.replace('push/session', 'push/other'),
      location.replace(session, uuid),
      location.replace(session, `${uuid}.`),
      location.replace(session, `${uuid}.${'A'.repeat(22)}`),
      location.replace(session, '00000000-0000-4000-8000-000000000000'),
      location.replace(session, '..%2F..%2F..%2Fetc%2Fpasswd'),
    ]
    for (const other of others) {
      const response = await registry.send('PATCH', other, { body: 'x' })
      expect(response.status, other).toBe(404)
      await response.arrayBuffer()
    }
    expect((await registry.send('GET', location)).headers.get('range')).toBe('0-0')
  })

  it('goes on after a restart of the registry', async () => {
    const first = await startTestRegistry()
    const started = await first.send('POST', '/v2/push/restart/blobs/uploads/')
    const location = started.headers.get('location') ?? ''
    const content = randomBytes(300_000)
    await first.send('PATCH', location, { body: content.subarray(0, 100_000) })
    await first.stop()
    const second = await startTestRegistry({ directory: first.directory })
    const status = await second.send('GET', location)
    expect([status.status, status.headers.get('range')]).toEqual([204, '0-99999'])
    const headers = { 'content-range': '100000-299999' }
    expect((await second.send('PATCH', location, { body: content.subarray(100_000), headers })).status).toBe(202)
    const digest = sha256(content)
    expect((await second.send('PUT', `${location}?digest=${digest}`)).status).toBe(201)
    const pulledBack = await second.send('GET', `/v2/push/restart/blobs/${digest}`)
    expect(content.equals(Buffer.from(await pulledBack.arrayBuffer()))).toBe(true)
    await second.remove()
  })
})

describe('mounting (OCI Distribution 1.1, "Mounting a blob from another repository")', () => {
  it('makes a blob of another repository readable without sending it', async () => {
    const { digest } = await pushBlob(registry, 'mount/source', 'shared')
    const path = `/v2/mount/target/blobs/uploads/?mount=${digest}&from=mount/source`
    const response = await registry.send('POST', path)
    expect([response.status, response.headers.get('location'), response.headers.get('docker-content-digest')]).toEqual([
      201,
      `/v2/mount/target/blobs/${digest}`,
      digest,
    ])
    expect(await pulled('mount/target', digest)).toBe('shared')
    const anywhere = await registry.send('POST', `/v2/mount/third/blobs/uploads/?mount=${digest}`)
    expect(anywhere.status).toBe(201)
  })

  it('begins an upload where there is nothing to mount', async () => {
    const { digest } = await pushBlob(registry, 'mount/source', 'shared')
    for (const query of [`mount=${digest}&from=mount/none`, `mount=${sha256('none')}&from=mount/source`]) {
      const response = await registry.send('POST', `/v2/mount/other/blobs/uploads/?${query}`)
      expect([response.status, response.headers.get('location')?.includes('/blobs/uploads/')]).toEqual([202, true])
    }
    expect((await registry.send('HEAD', `/v2/mount/other/blobs/${digest}`)).status).toBe(404)
  })
})

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
