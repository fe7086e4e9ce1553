import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { codesOf, pushBlob, pushImage, sha256, startTestRegistry, type TestRegistry } from './testing.ts'

let registry: TestRegistry
beforeAll(async () => {
  registry = await startTestRegistry()
})
afterAll(() => registry.remove())

describe('blobs (OCI Distribution 1.1, "Pulling blobs")', () => {
  it('gives the whole blob with digest, length, type and a validator', async () => {
    const { digest } = await pushBlob(registry, 'pull/blobs', 'content of a layer')
    const response = await registry.send('GET', `/v2/pull/blobs/blobs/${digest}`)
    expect(response.status).toBe(200)
    expect(await response.text()).toBe('content of a layer')
    expect(Object.fromEntries(response.headers)).toMatchObject({
      'docker-content-digest': digest,
      'content-length': '18',
      'content-type': 'application/octet-stream',
      'accept-ranges': 'bytes',
      etag: `"${digest}"`,
    })
  })

  it('answers HEAD with the same headers and no body', async () => {
    const { digest } = await pushBlob(registry, 'pull/head', 'head')
    const response = await registry.send('HEAD', `/v2/pull/head/blobs/${digest}`)
    expect([response.status, response.headers.get('content-length'), await response.text()]).toEqual([200, '4', ''])
    expect(response.headers.get('docker-content-digest')).toBe(digest)
  })

  it('gives the empty blob', async () => {
    const { digest } = await pushBlob(registry, 'pull/empty', '')
    const response = await registry.send('GET', `/v2/pull/empty/blobs/${digest}`)
    expect([response.status, response.headers.get('content-length'), await response.text()]).toEqual([200, '0', ''])
  })

  it.each([
    ['bytes=0-3', 206, '0123', 'bytes 0-3/10'],
    ['bytes=4-', 206, '456789', 'bytes 4-9/10'],
    ['bytes=-3', 206, '789', 'bytes 7-9/10'],
    ['bytes=8-100', 206, '89', 'bytes 8-9/10'],
    ['bytes=-100', 206, '0123456789', 'bytes 0-9/10'],
    ['bytes=0-1,3-4', 200, '0123456789', null],
    ['lines=0-1', 200, '0123456789', null],
    ['bytes=5-2', 200, '0123456789', null],
  ])('answers the range %s with %i', async (range, status, text, contentRange) => {
    const { digest } = await pushBlob(registry, 'pull/ranges', '0123456789')
    const response = await registry.send('GET', `/v2/pull/ranges/blobs/${digest}`, { headers: { range } })
    expect([response.status, await response.text(), response.headers.get('content-range')]).toEqual([
      status,
      text,
      contentRange,
    ])
  })

  it('refuses a range beyond the end with 416 and the size', async () => {
    const { digest } = await pushBlob(registry, 'pull/ranges', '0123456789')
    const response = await registry.send('GET', `/v2/pull/ranges/blobs/${digest}`, { headers: { range: 'bytes=10-' } })
    expect([response.status, response.headers.get('content-range')]).toEqual([416, 'bytes */10'])
    expect(await codesOf(response)).toEqual(['SIZE_INVALID'])
  })

  it('gives the whole blob to a resumed pull whose first part was another', async () => {
    const { digest } = await pushBlob(registry, 'pull/ranges', '0123456789')
    const path = `/v2/pull/ranges/blobs/${digest}`
    const other = await registry.send('GET', path, { headers: { range: 'bytes=5-', 'if-range': '"sha256:other"' } })
    expect([other.status, await other.text()]).toEqual([200, '0123456789'])
    const same = await registry.send('GET', path, { headers: { range: 'bytes=5-', 'if-range': `"${digest}"` } })
    expect([same.status, await same.text()]).toEqual([206, '56789'])
  })

  it('answers 304 to whoever has it', async () => {
    const { digest } = await pushBlob(registry, 'pull/known', 'known')
    const response = await registry.send('GET', `/v2/pull/known/blobs/${digest}`, {
      headers: { 'if-none-match': `"other", W/"${digest}"` },
    })
    expect([response.status, await response.text()]).toEqual([304, ''])
  })

  it('knows a blob only in the repositories it was pushed to', async () => {
    const { digest } = await pushBlob(registry, 'pull/mine', 'mine alone')
    for (const path of [`/v2/pull/yours/blobs/${digest}`, `/v2/pull/mine/blobs/${sha256('nothing')}`]) {
      const response = await registry.send('GET', path)
      expect([response.status, await codesOf(response)]).toEqual([404, ['BLOB_UNKNOWN']])
      expect((await registry.send('HEAD', path)).status).toBe(404)
    }
  })
})

describe('manifests (OCI Distribution 1.1, "Pulling manifests")', () => {
  it('gives the exact bytes by tag and by digest', async () => {
    const { digest, manifest } = await pushImage(registry, 'pull/image', 'latest', 'layer')
    for (const reference of ['latest', digest]) {
      const response = await registry.send('GET', `/v2/pull/image/manifests/${reference}`)
      expect([response.status, await response.text()]).toEqual([200, manifest])
      expect(Object.fromEntries(response.headers)).toMatchObject({
        'docker-content-digest': digest,
        'content-type': 'application/vnd.oci.image.manifest.v1+json',
        'content-length': String(manifest.length),
      })
      const head = await registry.send('HEAD', `/v2/pull/image/manifests/${reference}`)
      expect([head.status, head.headers.get('docker-content-digest'), await head.text()]).toEqual([200, digest, ''])
    }
  })

  it('answers 304 until the tag moves', async () => {
    const first = await pushImage(registry, 'pull/moves', 'latest', 'one')
    const headers = { 'if-none-match': `"${first.digest}"` }
    expect((await registry.send('GET', '/v2/pull/moves/manifests/latest', { headers })).status).toBe(304)
    const second = await pushImage(registry, 'pull/moves', 'latest', 'two')
    const response = await registry.send('GET', '/v2/pull/moves/manifests/latest', { headers })
    expect([response.status, response.headers.get('docker-content-digest')]).toEqual([200, second.digest])
  })

  it('answers 404 for an unknown tag, digest and repository', async () => {
    await pushImage(registry, 'pull/image', 'latest', 'layer')
    for (const path of [
      'pull/image/manifests/none',
      `pull/image/manifests/${sha256('x')}`,
      'nobody/manifests/latest',
    ]) {
      const response = await registry.send('GET', `/v2/${path}`)
      expect([response.status, await codesOf(response)], path).toEqual([404, ['MANIFEST_UNKNOWN']])
    }
  })
})

describe('the door of the registry', () => {
  it('says that it speaks the protocol', async () => {
    const response = await registry.send('GET', '/v2/')
    expect([response.status, response.headers.get('docker-distribution-api-version')]).toEqual([200, 'registry/2.0'])
    expect((await registry.send('GET', '/v2')).status).toBe(200)
  })

  it('has no other endpoints and says which methods there are', async () => {
    expect((await registry.send('GET', '/v2/a/unknown/path')).status).toBe(404)
    const response = await registry.send('DELETE', '/v2/a/tags/list')
    expect([response.status, response.headers.get('allow'), await codesOf(response)]).toEqual([
      405,
      'GET',
      ['UNSUPPORTED'],
    ])
  })

  it('serves repositories whose names hold the words of the protocol', async () => {
    for (const name of [
      'blobs',
      'manifests',
      'a/blobs',
      'a/blobs/uploads',
      'tags/list',
      'a/manifests/b',
      'referrers/x',
    ]) {
      const { digest } = await pushImage(registry, name, 'latest', `layer of ${name}`)
      const response = await registry.send('GET', `/v2/${name}/manifests/latest`)
      expect(response.headers.get('docker-content-digest'), name).toBe(digest)
      const tags = await registry.send('GET', `/v2/${name}/tags/list`)
      expect(await tags.json(), name).toEqual({ name, tags: ['latest'] })
    }
  })
})
