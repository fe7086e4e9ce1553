import { createHash, randomUUID } from 'node:crypto'
import { Writable } from 'node:stream'
import { deviceHeartbeatPath, deviceRegisterPath, type Release } from '@freehold/contracts'
import { pino } from 'pino'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { seedToken, startTestServer, type TestServer } from './http/server.testing.ts'
import { makeRelease } from './images/releases.testing.ts'

/** Devices that pull as a container engine does, behind the real door. */
const sha256 = (text: string) => `sha256:${createHash('sha256').update(text).digest('hex')}`
const mediaType = 'application/vnd.oci.image.manifest.v1+json'
const logged: string[] = []
let server: TestServer
let admin = ''
let shop: Release

function contentOf(layer: string) {
  const config = JSON.stringify({ os: 'linux', architecture: 'arm64', layer })
  const describe = (text: string, type: string) => ({ mediaType: type, digest: sha256(text), size: text.length })
  const manifest = JSON.stringify({
    schemaVersion: 2,
    mediaType,
    config: describe(config, 'application/vnd.oci.image.config.v1+json'),
    layers: [describe(layer, 'application/vnd.oci.image.layer.v1.tar')],
  })
  return { layer, config, manifest, digest: sha256(manifest) }
}
const web = contentOf('the web server')
const vault = contentOf('the vault')

beforeAll(async () => {
  const stream = new Writable({
    write(chunk: Buffer, _encoding, done) {
      logged.push(chunk.toString())
      done()
    },
  })
  server = await startTestServer({
    log: pino({ level: 'trace' }, stream),
    async seed(store) {
      admin = await seedToken(store, 'admin')
      shop = await makeRelease(store, { version: '1.2.0', images: [{ repository: 'shop/web', digest: web.digest }] })
    },
  })
  await push('shop/web', web)
  await push('shop/vault', vault)
})
afterAll(() => server.close())

const basic = (username: string, password: string) => ({
  authorization: `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`,
})
const raw = (method: string, path: string, headers: Record<string, string>, body?: string) =>
  fetch(`${server.url}${path}`, { method, headers, ...(body === undefined ? {} : { body }) })

async function push(repository: string, { layer, config, manifest }: ReturnType<typeof contentOf>): Promise<void> {
  const headers = basic('ci', admin)
  for (const blob of [layer, config]) {
    const path = `/v2/${repository}/blobs/uploads/?digest=${sha256(blob)}`
    expect((await raw('POST', path, headers, blob)).status).toBe(201)
  }
  const put = await raw('PUT', `/v2/${repository}/manifests/v1`, { ...headers, 'content-type': mediaType }, manifest)
  expect(put.status).toBe(201)
}

const api = (method: string, path: string, body?: unknown) =>
  server.call(method, `/api/v1${path}`, { token: admin, ...(body === undefined ? {} : { body }) })

/** A device that is in, and pinned to the release of the shop. */
async function enrol(): Promise<{ id: string; nodeId: string; nodeToken: string }> {
  const nodeId = randomUUID()
  const made = await api('POST', '/join-tokens', { data: { name: `t${nodeId.slice(0, 8)}` } })
  const { body } = await server.call('POST', deviceRegisterPath, {
    body: { nodeId, deviceSecret: `secret-${nodeId}`, status: { hostname: `host-${nodeId}` } },
    token: made.body.joinToken,
  })
  const { body: found } = await api('GET', `/devices?search=host-${nodeId}`)
  const id = found.items[0].id as string
  const pinned = await api('PATCH', `/devices/${id}`, { data: { pinnedAppReleaseId: shop.id } })
  expect(pinned.status).toBe(200)
  return { id, nodeId, nodeToken: body.nodeToken }
}

/** As an engine does: it is challenged, asks for a token of just that, and comes again. */
async function pull(path: string, user: string, nodeToken: string) {
  const challenged = await raw('GET', path, {})
  const challenge = challenged.headers.get('www-authenticate') ?? ''
  const scope = /scope="([^"]+)"/.exec(challenge)?.[1] ?? ''
  const asked = await raw('GET', `/v2/token?scope=${encodeURIComponent(scope)}`, basic(user, nodeToken))
  if (asked.status !== 200) return { status: asked.status, text: await asked.text(), token: '' }
  const { token } = (await asked.json()) as { token: string }
  const answer = await raw('GET', path, { authorization: `Bearer ${token}` })
  return { status: answer.status, text: await answer.text(), token }
}

test('a device pulls what it is pinned to, manifest and blobs, by token and by HTTP Basic', async () => {
  const { nodeId, nodeToken } = await enrol()
  for (const user of ['device', `d_${nodeId}`]) {
    expect(await pull(`/v2/shop/web/manifests/${web.digest}`, user, nodeToken)).toMatchObject({
      status: 200,
      text: web.manifest,
    })
    for (const blob of [web.layer, web.config]) {
      expect(await pull(`/v2/shop/web/blobs/${sha256(blob)}`, user, nodeToken)).toMatchObject({
        status: 200,
        text: blob,
      })
    }
    const direct = await raw('GET', `/v2/shop/web/manifests/${web.digest}`, basic(user, nodeToken))
    expect(direct.status).toBe(200)
  }
})

test('a device gets nothing else: no other repository, no tag, no list, and the API does not know it', async () => {
  const { nodeToken } = await enrol()
  const headers = basic('device', nodeToken)
  for (const path of [
    `/v2/shop/vault/manifests/${vault.digest}`,
    `/v2/shop/vault/blobs/${sha256(vault.layer)}`,
    `/v2/shop/web/blobs/${sha256(vault.layer)}`,
    '/v2/shop/web/manifests/v1',
    '/v2/shop/web/tags/list',
    '/v2/_catalog',
  ]) {
    expect([path, (await raw('GET', path, headers)).status]).toEqual([path, 403])
  }
  expect((await pull(`/v2/shop/vault/manifests/${vault.digest}`, 'device', nodeToken)).status).toBe(401)
  expect((await raw('GET', '/api/v1/images', { authorization: `Bearer ${nodeToken}` })).status).toBe(401)
})

test('a device that is unpinned pulls nothing any more', async () => {
  const { id, nodeToken } = await enrol()
  const path = `/v2/shop/web/manifests/${web.digest}`
  const { token } = await pull(path, 'device', nodeToken)
  await api('PATCH', `/devices/${id}`, { data: { pinnedAppReleaseId: null } })
  expect((await raw('GET', path, { authorization: `Bearer ${token}` })).status).toBe(401)
  const status = { releases: { app: { releaseId: shop.id, running: shop.id, state: 'succeeded' } } }
  const { nodeId } = (await api('GET', `/devices/${id}`)).body.data
  const heard = await server.call('POST', deviceHeartbeatPath, {
    token: nodeToken,
    body: { nodeId, sequence: 1, status },
  })
  expect(heard.status).toBe(200)
  expect((await raw('GET', path, { authorization: `Bearer ${token}` })).status).toBe(200)
})

test('a revoked device is refused at once, by its token of the registry too, and slows down no other', async () => {
  const [device, neighbour] = [await enrol(), await enrol()]
  const path = `/v2/shop/web/manifests/${web.digest}`
  const { status, token } = await pull(path, 'device', device.nodeToken)
  expect(status).toBe(200)
  expect((await api('POST', `/devices/${device.id}/revoke`)).status).toBe(200)
  expect((await raw('GET', path, { authorization: `Bearer ${token}` })).status).toBe(401)
  for (let tries = 0; tries < 30; tries += 1) {
    expect((await raw('GET', path, basic('device', device.nodeToken))).status).toBe(401)
  }
  expect((await pull(path, 'device', neighbour.nodeToken)).status).toBe(200)
  expect((await api('DELETE', `/devices/${neighbour.id}`)).status).toBe(204)
  expect((await raw('GET', path, basic('device', neighbour.nodeToken))).status).toBe(401)
})

test('what a release has is refused to be deleted, and the images’ routes name the release', async () => {
  const headers = basic('ci', admin)
  const refused = await raw('DELETE', '/v2/shop/web/manifests/v1', headers)
  expect([refused.status, await refused.text()]).toEqual([405, expect.stringContaining('The release shop 1.2.0 has')])
  const { body: images } = await api('GET', '/images?search=shop/web')
  const { body: tags } = await api('GET', `/images/${images.items[0].id}/tags`)
  expect(tags.items).toMatchObject([{ tag: 'v1', releases: [{ product: 'shop', version: '1.2.0' }] }])
})

test('guessed node tokens are slowed down, and no token is ever logged', async () => {
  const { nodeToken } = await enrol()
  const path = `/v2/shop/web/manifests/${web.digest}`
  const { token } = await pull(path, 'device', nodeToken)
  const guess = `fhn_${'g'.repeat(43)}`
  const statuses = new Set<number>()
  for (let round = 0; round < 50 && !statuses.has(429); round += 1) {
    const answers = Array.from({ length: 100 }, () => raw('GET', path, basic('device', guess)))
    for (const { status } of await Promise.all(answers)) statuses.add(status)
  }
  expect([...statuses].toSorted()).toEqual([401, 429])
  // Devices with a good one, and people, are let in from the same address all the while.
  for (const headers of [basic('device', nodeToken), basic('ci', admin)]) {
    expect((await raw('GET', path, headers)).status).toBe(200)
  }
  const text = logged.join('')
  const secrets = [nodeToken, guess, token, Buffer.from(`device:${nodeToken}`).toString('base64')]
  expect(logged.length).toBeGreaterThan(0)
  for (const secret of secrets) expect(text).not.toContain(secret)
})
