import { createHash } from 'node:crypto'
import { truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { startPlayedWorker } from './builds/worker.testing.ts'
import { adminAccount, seedToken, startTestServer, type TestServer } from './http/server.testing.ts'

/** Damage as an operator meets it, behind the real door: found, told everywhere, healed. */
let server: TestServer
let token = ''
let reader = ''

beforeAll(async () => {
  server = await startTestServer({
    async seed(store) {
      reader = await seedToken(store, 'api', { userRole: 'user' })
    },
  })
  const { body } = await server.call('POST', '/api/v1/login', { body: adminAccount })
  token = body.token
})
afterAll(() => server.close())

const content = 'a layer that a disk will forget'
const hex = createHash('sha256').update(content).digest('hex')
const digest = `sha256:${hex}`

async function push(): Promise<void> {
  const headers = { authorization: `Bearer ${token}` }
  const response = await fetch(`${server.url}/v2/team/web/blobs/uploads/?digest=${digest}`, {
    method: 'POST',
    headers,
    body: content,
  })
  expect(response.status).toBe(201)
  const part = { mediaType: 'application/vnd.oci.image.layer.v1.tar', digest, size: content.length }
  const mediaType = 'application/vnd.oci.image.manifest.v1+json'
  const manifest = JSON.stringify({ schemaVersion: 2, mediaType, config: part, layers: [] })
  const put = await server.call('PUT', '/v2/team/web/manifests/v1', {
    token,
    body: manifest,
    headers: { 'content-type': mediaType },
  })
  expect(put.status).toBe(201)
}

const get = async (path: string) => (await server.call('GET', path, { token })).body
const damage = async () =>
  (await get('/api/v1/status')).problems.filter(({ kind }: { kind: string }) => kind === 'damaged-blob')

test('nothing is damaged, and only those who may write images can have blobs read anew', async () => {
  await push()
  expect(await damage()).toEqual([])
  expect((await server.call('GET', '/api/v1/registry/scrub', { token: reader })).body).toEqual({
    running: null,
    lastPass: null,
    damagedBlobs: 0,
  })
  expect((await server.call('POST', '/api/v1/registry/scrub', { token: reader })).status).toBe(403)
  expect((await server.call('POST', '/api/v1/registry/scrub', { token })).status).toBe(202)
  await expect
    .poll(async () => (await get('/api/v1/registry/scrub')).lastPass)
    .toMatchObject({
      checkedBlobs: 2,
      failures: 0,
    })
})

test('a pull of a blob that has lost bytes wakes the scrub, which tells what to push again', async () => {
  await truncate(join(server.directory, 'blobs', 'blobs', 'sha256', hex.slice(0, 2), hex), 5)
  expect((await server.call('GET', `/v2/team/web/blobs/${digest}`, { token })).status).toBe(404)
  const message = `The stored bytes of ${digest} are 5 instead of ${content.length} bytes; they are not served. Push team/web:v1 again to heal it.`
  await expect.poll(damage).toMatchObject([{ severity: 'error', name: 'team/web:v1', message }])
  expect((await get('/api/v1/damaged-blobs')).items).toMatchObject([
    { data: { digest, reason: 'size', repositories: ['team/web'], images: ['team/web:v1'] } },
  ])
  await expect.poll(() => get('/metrics')).toMatch(/^freehold_registry_damaged_blobs 1$/m)
})

test('pushing it again ends it', async () => {
  await push()
  expect(await damage()).toEqual([])
  expect((await get('/api/v1/damaged-blobs')).items).toEqual([])
  const response = await fetch(`${server.url}/v2/team/web/blobs/${digest}`, {
    headers: { authorization: `Bearer ${token}` },
  })
  expect(await response.text()).toBe(content)
})

test('an image of a build whose bytes are damaged is found, named, and not given out', async () => {
  const worker = await startPlayedWorker()
  const corebuildWorkersJson = JSON.stringify([worker.url])
  await server.call('PATCH', '/api/v1/settings', { token, body: { corebuildWorkersJson } })
  const data = { imageKind: 'ubuntu-iso', architecture: 'amd64' }
  const { id } = (await server.call('POST', '/api/v1/builds', { token, body: { data } })).body
  const artifact = async () => (await get(`/api/v1/builds/${id}`)).status.artifact
  await expect.poll(artifact, { timeout: 60_000 }).not.toBeNull()
  const { sha256 } = await artifact()
  expect(
    (await fetch((await server.call('POST', `/api/v1/builds/${id}/download`, { token, body: {} })).body.url)).status,
  ).toBe(200)
  await writeFile(join(server.directory, 'blobs', 'blobs', 'sha256', sha256.slice(0, 2), sha256), Buffer.alloc(100_000))
  await server.call('POST', '/api/v1/registry/scrub', { token })
  await expect
    .poll(damage, { timeout: 60_000 })
    .toMatchObject([
      { message: expect.stringContaining(`have changed; they are not served. Make or upload build ${id} again`) },
    ])
  expect((await server.call('POST', `/api/v1/builds/${id}/download`, { token, body: {} })).status).toBe(404)
  await worker.close()
})
