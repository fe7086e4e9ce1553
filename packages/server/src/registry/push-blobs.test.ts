import { randomBytes } from 'node:crypto'
import { blobLinkKind } from '@freehold/contracts'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { codesOf, pushBlob, sha256, sha512, startTestRegistry, type TestRegistry } from './testing.ts'

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
