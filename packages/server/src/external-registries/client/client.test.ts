import { randomBytes } from 'node:crypto'
import { buffer } from 'node:stream/consumers'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { password, pushBlob, pushImage, startTestRegistry, type TestRegistry } from '../../registry/testing.ts'
import { Secret } from '../../secrets/index.ts'
import { createRegistryClient } from './client.ts'
import { digestOfText, type FakeRegistry, type Reply, startFakeRegistry } from './fake-registry.testing.ts'

const signal = new AbortController().signal
/** Soon out of patience; for those that fall silent alone, because a busy machine is slow too. */
const short = { answerMs: 2000, idleMs: 500 }
const clientOf = (
  url: URL,
  credentials: { username: string; password: string } | null = null,
  limits: { answerMs?: number; idleMs?: number } = {},
) =>
  createRegistryClient({
    url,
    credentials:
      credentials === null ? null : { username: credentials.username, password: new Secret(credentials.password) },
    now: Date.now,
    limits,
  })

describe('another Freehold, which asks for bearer tokens', () => {
  let upstream: TestRegistry
  beforeAll(async () => {
    upstream = await startTestRegistry()
  })
  afterAll(() => upstream.remove())
  const admin = () => clientOf(new URL(upstream.url), { username: 'admin', password })

  test('lets us in with the right password and not with a wrong one or none', async () => {
    expect(await admin().signIn(signal)).toBe('proved')
    await expect(
      clientOf(new URL(upstream.url), { username: 'admin', password: 'wrong' }).signIn(signal),
    ).rejects.toMatchObject({ reason: 'unauthorized', message: expect.not.stringContaining('wrong ') })
    await expect(clientOf(new URL(upstream.url)).signIn(signal)).rejects.toMatchObject({ reason: 'unauthorized' })
  })

  test('gives digests, manifests and blobs, and says what is not there', async () => {
    const { digest, manifest } = await pushImage(upstream, 'team/app', 'v1', 'layer')
    const client = admin()
    expect(await client.digestOf('team/app', 'v1', signal)).toBe(digest)
    const found = await client.manifest('team/app', 'v1', signal)
    expect(found).toMatchObject({ digest, mediaType: 'application/vnd.oci.image.manifest.v1+json' })
    expect(found.bytes.toString()).toBe(manifest)
    expect((await client.manifest('team/app', digest, signal)).bytes.toString()).toBe(manifest)
    const content = randomBytes(300_000)
    const blob = await pushBlob(upstream, 'team/app', content)
    expect(await client.blobSize('team/app', blob.digest, signal)).toBe(content.length)
    const { sizeBytes, bytes } = await client.blob('team/app', blob.digest, signal)
    expect(sizeBytes).toBe(content.length)
    expect((await buffer(bytes)).equals(content)).toBe(true)
    expect(await client.blobSize('team/app', `sha256:${'0'.repeat(64)}`, signal)).toBeUndefined()
    await expect(client.manifest('team/app', 'v9', signal)).rejects.toMatchObject({ reason: 'not-found' })
  })
})

describe('a registry that misbehaves (a fake)', () => {
  let fake: FakeRegistry | undefined
  afterEach(async () => {
    await fake?.stop()
    fake = undefined
  })
  const start = async (reply: Reply) => {
    fake = await startFakeRegistry(reply)
    return fake
  }

  test('gets Basic credentials only after it asked for them, and at once from then on', async () => {
    const { url, requests, headersOf } = await start((request, response) => {
      if (request.headers.authorization === undefined) {
        response.writeHead(401, { 'www-authenticate': 'Basic realm="x"' }).end()
      } else response.writeHead(200, { 'content-type': 'application/json' }).end('{}')
      return true
    })
    const client = clientOf(url, { username: 'ada', password: 'pa:ss' })
    expect(await client.signIn(signal)).toBe('proved')
    expect(headersOf('/v2/')?.authorization).toBe(`Basic ${Buffer.from('ada:pa:ss').toString('base64')}`)
    await client.signIn(signal)
    expect(requests).toHaveLength(3)
  })

  test('that lies about a digest is not believed, by tag and by digest', async () => {
    const { url } = await start((_request, response) => {
      const headers = { 'content-type': 'application/json', 'docker-content-digest': digestOfText('true') }
      response.writeHead(200, headers).end('{"lie":1}')
      return true
    })
    const client = clientOf(url)
    await expect(client.manifest('a', 'v1', signal)).rejects.toMatchObject({ reason: 'digest-mismatch' })
    await expect(client.manifest('a', digestOfText('true'), signal)).rejects.toMatchObject({
      reason: 'digest-mismatch',
    })
  })

  test('that sends a manifest without end is cut off', async () => {
    const { url } = await start((_request, response) => {
      response.writeHead(200, { 'content-type': 'application/json' })
      const more = () => {
        while (response.write(Buffer.alloc(65_536, 32)));
      }
      response.on('drain', more)
      more()
      return true
    })
    await expect(clientOf(url).manifest('a', 'v1', signal)).rejects.toMatchObject({ reason: 'too-large' })
  })

  test('that breaks off in the middle of a blob is asked for the rest, with and without ranges', async () => {
    const content = randomBytes(200_000)
    for (const knowsRanges of [true, false]) {
      let tries = 0
      const registry = await start((request, response) => {
        const from = knowsRanges ? Number(/bytes=(\d+)-/.exec(request.headers.range ?? '')?.[1] ?? 0) : 0
        response.writeHead(from > 0 ? 206 : 200, { 'content-length': content.length - from })
        tries += 1
        if (tries > 2) response.end(content.subarray(from))
        else response.write(content.subarray(from, from + 60_000 * tries), () => response.destroy())
        return true
      })
      const { bytes } = await clientOf(registry.url).blob('a', digestOfText(content), signal)
      expect((await buffer(bytes)).equals(content)).toBe(true)
      expect(tries).toBe(3)
      await registry.stop()
    }
  })

  test('that never gets further is given up', async () => {
    const { url, requests } = await start((_request, response) => {
      response.writeHead(200, { 'content-length': 1000 })
      response.write('x', () => response.destroy())
      return true
    })
    const { bytes } = await clientOf(url).blob('a', digestOfText('x'), signal)
    await expect(buffer(bytes)).rejects.toMatchObject({ reason: 'unreachable' })
    expect(requests.length).toBeLessThan(10)
  })

  test('that falls silent is given up in time, before its answer and in its middle', async () => {
    const silent = await start(() => true)
    await expect(clientOf(silent.url, null, short).signIn(signal)).rejects.toMatchObject({ reason: 'timeout' })
    await silent.stop()
    const stalling = await start((_request, response) => {
      response.writeHead(200, { 'content-length': 1000 }).write('x')
      return true
    })
    const { bytes } = await clientOf(stalling.url, null, short).blob('a', digestOfText('x'), signal)
    await expect(buffer(bytes)).rejects.toMatchObject({ reason: 'timeout' })
  })

  test('that says 401, 403, 404, 429 or 500 is understood', async () => {
    const { url } = await start((_request, response, path) => {
      const status = Number(path.split('/').at(-1))
      response.writeHead(status, status === 429 ? { 'retry-after': '7' } : {}).end()
      return true
    })
    const client = clientOf(url)
    const reasonOf = (status: number) => client.digestOf('a', String(status), signal).catch((error) => error)
    expect(await reasonOf(401)).toMatchObject({ reason: 'unauthorized' })
    expect(await reasonOf(403)).toMatchObject({ reason: 'denied' })
    expect(await reasonOf(404)).toMatchObject({ reason: 'not-found' })
    expect(await reasonOf(429)).toMatchObject({ reason: 'too-many-requests', retryAfterSeconds: 7 })
    expect(await reasonOf(500)).toMatchObject({ reason: 'broken' })
  })

  test('is told from a website, from nothing at all, and from TLS that is none', async () => {
    const website = await start((_request, response) => {
      response.writeHead(200, { 'content-type': 'text/html' }).end('<!doctype html><p>Welcome')
      return true
    })
    await expect(clientOf(website.url).signIn(signal)).rejects.toMatchObject({ reason: 'not-a-registry' })
    const secure = new URL(`https://${website.host}/`)
    await expect(clientOf(secure).signIn(signal)).rejects.toMatchObject({ reason: 'tls' })
    await website.stop()
    await expect(clientOf(website.url).signIn(signal)).rejects.toMatchObject({ reason: 'unreachable' })
    await expect(clientOf(new URL('http://nowhere.invalid/')).signIn(signal)).rejects.toMatchObject({
      reason: 'unreachable',
    })
  })

  test('that redirects a blob elsewhere is followed without its credentials', async () => {
    const elsewhere = await startFakeRegistry((_request, response) => {
      response.writeHead(200, { 'content-length': 4 }).end('blob')
      return true
    })
    const { url } = await start((request, response) => {
      if (request.headers.authorization === undefined) {
        response.writeHead(401, { 'www-authenticate': 'Basic realm="x"' }).end()
      } else response.writeHead(307, { location: `http://${elsewhere.host}/somewhere` }).end()
      return true
    })
    const client = clientOf(url, { username: 'ada', password: 'secret' })
    const { bytes } = await client.blob('a', digestOfText('blob'), signal)
    expect((await buffer(bytes)).toString()).toBe('blob')
    expect(elsewhere.headersOf('/somewhere')?.authorization).toBeUndefined()
    await elsewhere.stop()
  })

  test('that redirects without end, or to link-local addresses, is not followed', async () => {
    const { url, requests } = await start((_request, response, path) => {
      const location = path.includes('metadata') ? 'http://169.254.169.254/latest' : path
      response.writeHead(302, { location }).end()
      return true
    })
    await expect(clientOf(url).digestOf('a', 'loop', signal)).rejects.toMatchObject({ reason: 'broken' })
    expect(requests).toHaveLength(6)
    await expect(clientOf(url).digestOf('a', 'metadata', signal)).rejects.toMatchObject({ reason: 'refused-address' })
  })

  test('is left when the caller goes', async () => {
    const { url } = await start((_request, response) => {
      response.writeHead(200, { 'content-length': 1000 }).write('x')
      return true
    })
    const stop = new AbortController()
    const { bytes } = await clientOf(url).blob('a', digestOfText('x'), stop.signal)
    const reading = buffer(bytes)
    stop.abort(new Error('enough'))
    await expect(reading).rejects.toThrow('enough')
  })
})
