import { randomBytes } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type FaultProxy, startFaultProxy } from '../../../tools/fault-proxy.ts'
import { type RunningObjectStore, startObjectStore } from '../../../tools/object-store.ts'
import { adminAccount, startTestServer, type TestServer } from './http/server.testing.ts'
import { ociManifest, sha256 } from './registry/testing.ts'

/** The whole control plane with its blobs in S3, through a wire that can be made to fail. */
const running = await startObjectStore()
if ('skipped' in running) console.warn(`The server on S3 was not tested: ${running.skipped}`)

describe.skipIf('skipped' in running)('on S3', () => {
  const ceph = running as RunningObjectStore
  let proxy: FaultProxy
  const servers: TestServer[] = []
  beforeAll(async () => {
    proxy = await startFaultProxy(ceph)
  })
  afterAll(async () => {
    for (const server of servers) await server.close()
    await proxy.close()
    await ceph.stop()
  })

  const environment = (bucket: string) => ({
    S3_ENDPOINT: proxy.url,
    S3_BUCKET: bucket,
    S3_ACCESSKEY: ceph.accessKey,
    S3_SECRETKEY: ceph.secretKey,
  })

  async function start(changed: Record<string, string>) {
    const server = await startTestServer({ environment: changed })
    servers.push(server)
    return server
  }

  function send(
    server: TestServer,
    method: string,
    path: string,
    options: { body?: Buffer; headers?: Record<string, string> } = {},
  ) {
    const basic = Buffer.from(`${adminAccount.username}:${adminAccount.password}`).toString('base64')
    return fetch(new URL(path, server.url), {
      method,
      redirect: 'manual',
      headers: { authorization: `Basic ${basic}`, ...options.headers },
      ...(options.body === undefined ? {} : { body: new Uint8Array(options.body) }),
    })
  }

  async function pushBlob(server: TestServer, content: Buffer) {
    const digest = sha256(content)
    const pushed = await send(server, 'POST', `/v2/on/s3/blobs/uploads/?digest=${digest}`, { body: content })
    expect(pushed.status).toBe(201)
    return { mediaType: 'application/octet-stream', digest, size: content.length }
  }

  async function pushImage(server: TestServer, layer: Buffer) {
    const config = await pushBlob(server, Buffer.from('{"os":"linux","architecture":"amd64"}'))
    const layers = [await pushBlob(server, layer)]
    const body = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: ociManifest, config, layers }))
    const pushed = await send(server, 'PUT', '/v2/on/s3/manifests/latest', {
      body,
      headers: { 'content-type': ociManifest },
    })
    expect(pushed.status).toBe(201)
    return { manifest: body, layer: layers[0]?.digest ?? '' }
  }

  test('blobs are got from the store itself: whole, in ranges, and not at all where the client has them', async () => {
    const server = await start(environment('redirect'))
    const content = randomBytes(100_000)
    const { manifest, layer } = await pushImage(server, content)
    const path = `/v2/on/s3/blobs/${layer}`
    const answer = await send(server, 'GET', path)
    expect([answer.status, answer.headers.get('docker-content-digest')]).toEqual([307, layer])
    expect(answer.headers.get('cache-control')).toBe('no-store')
    const address = answer.headers.get('location') ?? ''
    expect(address).not.toContain(ceph.secretKey)
    expect(content.equals(Buffer.from(await (await fetch(address)).arrayBuffer()))).toBe(true)
    const ranged = await send(server, 'GET', path, { headers: { range: 'bytes=5-9' } })
    expect(ranged.status).toBe(307)
    const part = await fetch(ranged.headers.get('location') ?? '', { headers: { range: 'bytes=5-9' } })
    expect([part.status, Buffer.from(await part.arrayBuffer())]).toEqual([206, content.subarray(5, 10)])
    const head = await send(server, 'HEAD', path)
    expect([head.status, head.headers.get('content-length')]).toEqual([200, '100000'])
    const known = await send(server, 'GET', path, { headers: { 'if-none-match': `"${layer}"` } })
    expect(known.status).toBe(304)
    expect((await send(server, 'GET', path, { headers: { range: 'bytes=100000-' } })).status).toBe(416)
    expect((await send(server, 'GET', `/v2/on/s3/blobs/${sha256('none')}`)).status).toBe(404)
    expect((await fetch(new URL(path, server.url), { redirect: 'manual' })).status).toBe(401)
    const got = await send(server, 'GET', '/v2/on/s3/manifests/latest')
    expect(manifest.equals(Buffer.from(await got.arrayBuffer()))).toBe(true)
  })

  test('blobs come through the control plane where the setting says so', async () => {
    const server = await start({ ...environment('proxied'), FREEHOLD_S3_DOWNLOADS: 'proxy' })
    const content = randomBytes(3_000_000)
    const { digest } = await pushBlob(server, content)
    const whole = await send(server, 'GET', `/v2/on/s3/blobs/${digest}`)
    expect([whole.status, content.equals(Buffer.from(await whole.arrayBuffer()))]).toEqual([200, true])
    const part = await send(server, 'GET', `/v2/on/s3/blobs/${digest}`, { headers: { range: 'bytes=-7' } })
    expect([part.status, Buffer.from(await part.arrayBuffer())]).toEqual([206, content.subarray(-7)])
  })

  test('a store that is away is 503 with the spec’s body, manifests in memory are still served, and all is well after', async () => {
    const server = await start(environment('away'))
    const { manifest, layer } = await pushImage(server, randomBytes(1000))
    const other = randomBytes(1000)
    proxy.fail({ kind: 'reset' })
    const answers = [
      await send(server, 'GET', `/v2/on/s3/blobs/${layer}`),
      await send(server, 'HEAD', `/v2/on/s3/blobs/${layer}`),
      await send(server, 'POST', '/v2/on/s3/blobs/uploads/'),
      await send(server, 'POST', `/v2/on/s3/blobs/uploads/?digest=${sha256(other)}`, { body: other }),
    ]
    for (const answer of answers) expect(answer.status).toBe(503)
    const body = (await answers[2]?.json()) as { errors: { code: string; message: string }[] }
    expect(body.errors).toEqual([{ code: 'UNAVAILABLE', message: expect.stringMatching(/S3.*try again later/) }])
    const got = await send(server, 'GET', '/v2/on/s3/manifests/latest')
    expect(manifest.equals(Buffer.from(await got.arrayBuffer()))).toBe(true)
    proxy.heal()
    expect((await send(server, 'GET', `/v2/on/s3/blobs/${layer}`)).status).toBe(307)
    await pushBlob(server, other)
  })

  test('a manifest that cannot be read just now is unavailable, not damaged', async () => {
    const secret = { APP_SECRET: 'the same secret of both, long enough.' }
    const first = await start({ ...environment('manifests'), ...secret })
    await pushImage(first, randomBytes(10))
    await first.server.close()
    const again = await start({ ...environment('manifests'), ...secret, FREEHOLD_DATA_DIR: first.directory })
    proxy.fail({ kind: 'reset' })
    const answer = await send(again, 'GET', '/v2/on/s3/manifests/latest')
    proxy.heal()
    expect(answer.status).toBe(503)
    expect((await send(again, 'GET', '/v2/on/s3/manifests/latest')).status).toBe(200)
  })

  test('a store that cannot be used stops the start with what to do', async () => {
    const wrong = (changed: Record<string, string>) =>
      startTestServer({ environment: { ...environment('wrong'), ...changed } })
    await expect(wrong({ S3_SECRETKEY: 'wrong' })).rejects.toThrow(/Check S3_SECRETKEY/)
    await expect(wrong({ S3_ENDPOINT: 'http://127.0.0.1:1' })).rejects.toThrow(/Check S3_ENDPOINT/)
    await start(environment('wrong'))
    await expect(wrong({})).rejects.toThrow(/another Freehold installation/)
  })
})
