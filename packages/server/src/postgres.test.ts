import { createHash } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type RunningPostgres, startPostgres } from '../../../tools/postgres.ts'
import { startPlayedWorker } from './builds/worker.testing.ts'
import { adminAccount, startTestServer, type TestServer } from './http/server.testing.ts'

/** The whole control plane on PostgreSQL: what people do, from sign-in to a push that makes a rollout. */
const postgres = await startPostgres()
if ('skipped' in postgres) console.warn(`The server on PostgreSQL was not tested: ${postgres.skipped}`)

describe.skipIf('skipped' in postgres)('on PostgreSQL', () => {
  const { url } = postgres as RunningPostgres
  const start = () =>
    startTestServer({
      environment: { FREEHOLD_STORE_URL: url, APP_SECRET: 'the-same-on-every-control-plane-of-a-store' },
    })
  let server: TestServer
  let token = ''

  beforeAll(async () => {
    server = await start()
    token = (await server.call('POST', '/api/v1/login', { body: adminAccount })).body.token
  })
  afterAll(async () => {
    await server.close()
    await (postgres as RunningPostgres).stop()
  })

  const create = (plural: string, data: Record<string, unknown>) =>
    server.call('POST', `/api/v1/${plural}`, { token, body: { data } })

  test('one of many services of the same name is made, whoever comes first', async () => {
    const cluster = (await create('clusters', { name: 'race' })).body
    const answers = await Promise.all(
      Array.from({ length: 20 }, () => create('services', { name: 'race', clusterId: cluster.id })),
    )
    expect(answers.map(({ status }) => status).toSorted()).toEqual([201, ...Array.from({ length: 19 }, () => 409)])
  })

  test('a push becomes a rollout, is watched as it happens, and is there after a restart', async () => {
    const cluster = (await create('clusters', { name: 'main' })).body
    const service = (await create('services', { name: 'web', clusterId: cluster.id })).body
    const since = (await server.call('GET', '/api/v1/status', { token })).body.storeVersion
    const seen = firstChange(`/api/v1/changes?since=${since}&kinds=rollout`)
    const digest = await pushImage(service.id)
    expect(await seen).toContain(service.id)
    await server.close()
    server = await start()
    const rollouts = (await server.call('GET', `/api/v1/rollouts?serviceId=${service.id}`, { token })).body.items
    expect(rollouts).toHaveLength(1)
    const image = (await server.call('GET', `/api/v1/images/${service.data.imageId}`, { token })).body
    expect(image.status.versions[0].digest).toBe(digest)
  })

  test('an image is asked for, made by a worker that is played, and its record is there after a restart', async () => {
    const worker = await startPlayedWorker()
    const corebuildWorkersJson = JSON.stringify([{ url: worker.url, id: 'played' }])
    await server.call('PATCH', '/api/v1/settings', { token, body: { corebuildWorkersJson } })
    const { id } = (await create('builds', { imageKind: 'ubuntu-iso', architecture: 'amd64' })).body
    const path = `/api/v1/builds/${id}`
    const status = async () => (await server.call('GET', path, { token })).body.status
    await expect.poll(async () => (await status()).message, { timeout: 60_000 }).toBe('The image is ready.')
    const { url, sha256 } = (await server.call('POST', `${path}/download`, { token, body: {} })).body
    expect(digestOf(Buffer.from(await (await fetch(url)).arrayBuffer()))).toBe(`sha256:${sha256}`)
    // The new one has another data directory, and so none of the bytes.
    await server.close()
    server = await start()
    expect((await status()).state).toBe('succeeded')
    const gone = await server.call('POST', `${path}/download`, { token, body: {} })
    expect([gone.status, gone.body.error.message]).toEqual([404, expect.stringContaining('are gone')])
    expect((await status()).artifact.location).toBeNull()
    await worker.close()
  })

  /** The data of the first event of a watch. */
  async function firstChange(path: string): Promise<string> {
    const stop = new AbortController()
    const headers = { authorization: `Bearer ${token}` }
    const response = await fetch(`${server.url}${path}`, { headers, signal: stop.signal })
    let text = ''
    const decoder = new TextDecoder()
    for await (const chunk of response.body ?? []) {
      text += decoder.decode(chunk as Uint8Array, { stream: true })
      if (/^data: .*\n\n/m.test(text)) break
    }
    stop.abort()
    return text
  }

  /** Pushes the smallest image there is to a service's target; resolves to the manifest's digest. */
  async function pushImage(serviceId: string): Promise<string> {
    const config = Buffer.from(JSON.stringify({ architecture: 'amd64', os: 'linux' }))
    const target = (await server.call('GET', `/api/v1/services/${serviceId}/registry-target`, { token })).body
    const send = async (method: string, path: string, body: Buffer, type: string) => {
      const basic = Buffer.from(`${adminAccount.username}:${adminAccount.password}`).toString('base64')
      const headers = { authorization: `Basic ${basic}`, 'content-type': type }
      const response = await fetch(`${server.url}/v2/${target.repository}/${path}`, {
        method,
        headers,
        body: Uint8Array.from(body),
      })
      expect(response.status).toBe(201)
    }
    await send('POST', `blobs/uploads/?digest=${digestOf(config)}`, config, 'application/octet-stream')
    const mediaType = 'application/vnd.oci.image.manifest.v1+json'
    const descriptor = {
      mediaType: 'application/vnd.oci.image.config.v1+json',
      digest: digestOf(config),
      size: config.length,
    }
    const manifest = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType, config: descriptor, layers: [] }))
    await send('PUT', `manifests/${target.tag}`, manifest, mediaType)
    return digestOf(manifest)
  }
})

function digestOf(bytes: Buffer): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`
}
