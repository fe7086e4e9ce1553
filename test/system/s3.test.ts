import { createHash, randomBytes } from 'node:crypto'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import {
  buildImage,
  type Dockerd,
  type Freehold,
  labAdministrator,
  loadImage,
  type ObjectStore,
  pushImage,
  requireParts,
  run,
  settingsOf,
  startDockerd,
  startFreehold,
  startLabObjectStore,
  waitFor,
} from './lab/index.ts'

/** A control plane whose blobs are in S3, by the real clients; it dies, the store dies, and nothing is lost. */
let objectStore: ObjectStore
let dockerd: Dockerd
let folder: string
const { username, password } = labAdministrator()
const authorization = `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`

beforeAll(async () => {
  requireParts(['skopeo'])
  objectStore = await startLabObjectStore()
  dockerd = await startDockerd()
  folder = await mkdtemp(join(tmpdir(), 'freehold-s3-'))
})
afterAll(async () => {
  await dockerd?.stop()
  await objectStore?.stop()
  if (folder) await rm(folder, { recursive: true, force: true })
})

describe.each(['redirect', 'proxy'] as const)('with downloads by %s', (downloads) => {
  let freehold: Freehold
  let layer: Buffer
  const at = (path: string) => new URL(`/v2/story/${path}`, freehold.url)
  const name = (tag: string) => `127.0.0.1:${freehold.port}/story/app:${tag}`

  beforeAll(async () => {
    freehold = await startFreehold({ env: settingsOf(objectStore, { bucket: downloads, downloads }) })
    // Larger than one part, and not to be compressed.
    layer = randomBytes(20 * 1024 * 1024 + 1)
  })
  afterAll(() => freehold?.stop())

  const send = (method: string, url: string | URL, body?: Buffer) =>
    fetch(new URL(url, freehold.url), {
      method,
      redirect: 'manual',
      headers: { authorization },
      ...(body === undefined ? {} : { body: new Uint8Array(body) }),
    })

  test('docker pushes an image of several parts and pulls it back', async () => {
    const image = await buildImage({
      name: `story-${downloads}:v1`,
      files: [{ path: 'data', content: layer }],
      entrypoint: ['/bin/busybox', 'true'],
    })
    await loadImage(dockerd.engine, image, { as: name('v1') })
    const digest = await pushImage(dockerd.engine, name('v1'), { username, password })
    await dockerd.engine.getImage(name('v1')).remove()
    await dockerd.engine.getImage(image.name).remove()
    const stream = await dockerd.engine.createImage({
      fromImage: name('v1').slice(0, -':v1'.length),
      tag: 'v1',
      authconfig: { username, password, serveraddress: `127.0.0.1:${freehold.port}` },
    })
    await new Promise((resolve, reject) => {
      dockerd.engine.modem.followProgress(stream, (error) => (error === null ? resolve(undefined) : reject(error)))
    })
    const { RepoDigests } = await dockerd.engine.getImage(name('v1')).inspect()
    expect(RepoDigests?.join()).toContain(digest)
  })

  test('skopeo copies it out and in again, bit for bit', async () => {
    const credentials = `${username}:${password}`
    const layout = `oci:${join(folder, downloads)}:v1`
    const skopeo = (...args: string[]) =>
      run(['skopeo', ...args], { env: { REGISTRY_AUTH_FILE: join(folder, 'auth.json') }, timeoutMs: 120_000 })
    await skopeo('copy', '--src-tls-verify=false', '--src-creds', credentials, `docker://${name('v1')}`, layout)
    await skopeo('copy', '--dest-tls-verify=false', '--dest-creds', credentials, layout, `docker://${name('v2')}`)
    const index = JSON.parse(await readFile(join(folder, downloads, 'index.json'), 'utf8'))
    const head = await send('HEAD', at('app/manifests/v2'))
    expect(head.headers.get('docker-content-digest')).toBe(index.manifests[0].digest)
  })

  test('a layer is got as the setting says', async () => {
    const answer = await send('POST', `${at('app/blobs/uploads/')}?digest=${sha256(layer)}`, layer)
    expect(answer.status).toBe(201)
    const blob = await send('GET', at(`app/blobs/${sha256(layer)}`))
    expect(blob.status).toBe(downloads === 'redirect' ? 307 : 200)
    await blob.arrayBuffer()
  })

  test('an upload goes on after the control plane was killed in the middle of it', async () => {
    const started = await send('POST', at('app/blobs/uploads/'))
    const location = started.headers.get('location') ?? ''
    const content = randomBytes(30 * 1024 * 1024)
    const middle = 13 * 1024 * 1024 + 5
    expect((await send('PATCH', location, content.subarray(0, middle))).status).toBe(202)
    await freehold.kill9()
    await freehold.restart()
    const status = await send('GET', location)
    expect([status.status, status.headers.get('range')]).toEqual([204, `0-${middle - 1}`])
    expect((await send('PATCH', location, content.subarray(middle))).status).toBe(202)
    expect((await send('PUT', `${location}?digest=${sha256(content)}`)).status).toBe(201)
    const blob = await fetch(at(`app/blobs/${sha256(content)}`), { headers: { authorization } })
    expect(content.equals(Buffer.from(await blob.arrayBuffer()))).toBe(true)
  })

  test('while S3 is dead pushes and pulls are told so, and when it is back everything is there', async () => {
    const content = randomBytes(1000)
    const started = await send('POST', at('app/blobs/uploads/'))
    const location = started.headers.get('location') ?? ''
    expect((await send('PATCH', location, content)).status).toBe(202)
    await objectStore.killGateway()
    for (const answer of [
      await send('POST', at('app/blobs/uploads/')),
      await send('PUT', `${location}?digest=${sha256(content)}`),
      await send('GET', at(`app/blobs/${sha256(layer)}`)),
    ]) {
      expect([answer.status, ((await answer.json()) as { errors: { code: string }[] }).errors[0]?.code]).toEqual([
        503,
        'UNAVAILABLE',
      ])
    }
    await objectStore.startGateway()
    await waitFor(async () => (await send('PUT', `${location}?digest=${sha256(content)}`)).status === 201, {
      what: 'the upload to be finished',
    })
    const blob = await fetch(at(`app/blobs/${sha256(layer)}`), { headers: { authorization } })
    expect(layer.equals(Buffer.from(await blob.arrayBuffer()))).toBe(true)
    expect(freehold.logs()).not.toContain(objectStore.secretKey)
    expect(freehold.logs()).not.toContain(objectStore.accessKey)
  })
})

test('a control plane whose S3 is away does not start, and says what to check', async () => {
  const env = { ...settingsOf(objectStore, { bucket: 'away', downloads: 'proxy' }), S3_PORT: '1' }
  await expect(startFreehold({ env }).then((started) => started.stop())).rejects.toThrow(/Check S3_ENDPOINT, S3_PORT/)
  const partly = { S3_BUCKET: 'only' }
  await expect(startFreehold({ env: partly }).then((started) => started.stop())).rejects.toThrow(
    /S3_ENDPOINT is not set[\s\S]*S3_SECRETKEY is not set/,
  )
})

function sha256(content: Buffer): string {
  return `sha256:${createHash('sha256').update(content).digest('hex')}`
}
