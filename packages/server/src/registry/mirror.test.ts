import { randomBytes } from 'node:crypto'
import { type ExternalRegistry, imageData, imageKind, kinds } from '@freehold/contracts'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import {
  digestOfText,
  type FakeRegistry,
  type Reply,
  startFakeRegistry,
} from '../external-registries/client/fake-registry.testing.ts'
import { createExternalRegistry, createUpstreams } from '../external-registries/index.ts'
import { createImage } from '../images/index.ts'
import { createSealer, Secret } from '../secrets/index.ts'
import { pushIndex } from './inspect.testing.ts'
import {
  basic,
  codesOf,
  ociIndex,
  ociManifest,
  password,
  pushBlob,
  pushImage,
  putManifest,
  startTestRegistry,
  type TestRegistry,
} from './testing.ts'

const actor = { type: 'user', id: 'ada', name: 'ada' } as const
const sealer = createSealer(new Secret(randomBytes(32)))
const revalidateMs = 60_000
let mirror: TestRegistry

beforeEach(async () => {
  mirror = await startTestRegistry({
    upstreams: (now) => createUpstreams({ sealer, now }),
    mirrorRevalidateMs: revalidateMs,
  })
})
afterEach(() => mirror.remove())

async function register(url: string, credentials?: { username: string; password: string }): Promise<ExternalRegistry> {
  return mirror.store.transaction(actor, (transaction) =>
    createExternalRegistry(
      transaction,
      {
        data: { type: 'docker', name: 'upstream', url, username: credentials?.username ?? '' },
        password: credentials?.password,
      },
      sealer,
    ),
  )
}
async function mirrorOf(registry: ExternalRegistry, repository: string, name = `mirror/${repository}`) {
  await mirror.store.transaction(actor, (transaction) =>
    transaction.create(imageKind, {
      data: {
        name,
        description: '',
        location: { internal: true, mirrorOf: { externalRegistryId: registry.id, repository } },
      },
    }),
  )
  return name
}
const get = (path: string, headers: Record<string, string> = {}) => mirror.send('GET', path, { headers })

describe('a mirror of another Freehold', () => {
  let upstream: TestRegistry
  let isUp = true
  let asked: string[] = []
  beforeEach(async () => {
    isUp = true
    asked = []
    upstream = await startTestRegistry()
    const { handle } = upstream.registry
    // Counts what the mirror asks, and is away when the test says so.
    upstream.registry.handle = async (request, response, context) => {
      asked.push(`${request.method} ${request.url}`)
      if (isUp) await handle(request, response, context)
      else response.destroy()
    }
  })
  afterEach(() => upstream.remove())
  const signedIn = () => register(upstream.url, { username: 'admin', password })
  const blobAsked = (digest: string) => asked.filter((line) => line.startsWith('GET') && line.endsWith(digest)).length

  test('is filled by a device that pulls its index, part by part, and asked for nothing else by it', async () => {
    const child = await pushImage(upstream, 'team/app', 'child', 'a layer')
    const index = await pushIndex(upstream, 'team/app', 'v1', [child])
    const other = await pushImage(upstream, 'team/app', 'v2', 'another layer')
    const name = await mirrorOf(await signedIn(), 'team/app')
    mirror.devices.set('device-one', [{ repository: name, digest: index }])
    const pull = (path: string) => mirror.send('GET', `/v2/${name}/${path}`, { user: 'device-one' })
    const { layers } = JSON.parse(child.manifest)
    const before = asked.length
    for (const path of [
      `manifests/${other.digest}`,
      `manifests/${child.digest}`,
      'manifests/v1',
      `blobs/${layers[0].digest}`,
    ]) {
      expect([path, (await pull(path)).status]).toEqual([path, 403])
    }
    expect(asked.slice(before)).toEqual([])
    expect((await pull(`manifests/${index}`)).status).toBe(200)
    expect(await (await pull(`manifests/${child.digest}`)).text()).toBe(child.manifest)
    expect(await (await pull(`blobs/${layers[0].digest}`)).text()).toBe('a layer')
    expect((await pull(`manifests/${other.digest}`)).status).toBe(403)
  })

  test('is filled by pulling and serves the same bytes, also when its registry is away', async () => {
    const image = await pushImage(upstream, 'team/app', 'v1', 'a layer')
    const name = await mirrorOf(await signedIn(), 'team/app')
    const manifest = await get(`/v2/${name}/manifests/v1`)
    expect(manifest.status).toBe(200)
    expect(manifest.headers.get('docker-content-digest')).toBe(image.digest)
    expect(await manifest.text()).toBe(image.manifest)
    const { layers, config } = JSON.parse(image.manifest)
    for (const { digest } of [config, ...layers]) {
      const blob = await get(`/v2/${name}/blobs/${digest}`)
      expect(blob.status).toBe(200)
      expect(digestOfText(Buffer.from(await blob.arrayBuffer()))).toBe(digest)
    }
    isUp = false
    mirror.clock.ms += 2 * revalidateMs
    expect((await get(`/v2/${name}/manifests/v1`)).status).toBe(200)
    expect((await get(`/v2/${name}/manifests/${image.digest}`)).status).toBe(200)
    expect(await (await get(`/v2/${name}/blobs/${layers[0].digest}`)).text()).toBe('a layer')
    const stored = await mirror.store.find(imageKind, 'name', name)
    expect(stored?.status.versions[0]).toMatchObject({
      versionString: 'v1',
      digest: image.digest,
      platforms: ['linux/arm64/v8'],
    })
  })

  test('asks what a tag means once a while, and takes the new meaning', async () => {
    const first = await pushImage(upstream, 'team/app', 'v1', 'one')
    const name = await mirrorOf(await signedIn(), 'team/app')
    const digestNow = async () =>
      (await mirror.send('HEAD', `/v2/${name}/manifests/v1`)).headers.get('docker-content-digest')
    expect(await digestNow()).toBe(first.digest)
    const second = await pushImage(upstream, 'team/app', 'v1', 'two')
    asked = []
    expect(await digestNow()).toBe(first.digest)
    expect(asked).toEqual([])
    mirror.clock.ms += revalidateMs + 1
    expect(await digestNow()).toBe(second.digest)
    expect((await get(`/v2/${name}/manifests/${first.digest}`)).status).toBe(200)
    asked = []
    mirror.clock.ms += revalidateMs + 1
    expect(await digestNow()).toBe(second.digest)
    expect(asked.filter((line) => line.startsWith('GET') && line.includes('manifests'))).toEqual([])
  })

  test('says that a tag is gone when its registry says so, though it holds it', async () => {
    await pushImage(upstream, 'team/app', 'v1', 'one')
    const name = await mirrorOf(await signedIn(), 'team/app')
    expect((await get(`/v2/${name}/manifests/v1`)).status).toBe(200)
    await upstream.send('DELETE', '/v2/team/app/manifests/v1')
    mirror.clock.ms += revalidateMs + 1
    const gone = await get(`/v2/${name}/manifests/v1`)
    expect([gone.status, await codesOf(gone)]).toEqual([404, ['MANIFEST_UNKNOWN']])
  })

  test('fetches a blob once for many who want it at the same time', async () => {
    const content = randomBytes(3_000_000)
    const { digest } = await pushBlob(upstream, 'team/app', content)
    const name = await mirrorOf(await signedIn(), 'team/app')
    await get(`/v2/${name}/manifests/signs-in`)
    const pulls = Array.from({ length: 12 }, async () =>
      Buffer.from(await (await get(`/v2/${name}/blobs/${digest}`)).arrayBuffer()),
    )
    for (const pulled of await Promise.all(pulls)) expect(pulled.equals(content)).toBe(true)
    expect(blobAsked(digest)).toBe(1)
    const range = await get(`/v2/${name}/blobs/${digest}`, { range: 'bytes=10-19' })
    expect([range.status, Buffer.from(await range.arrayBuffer()).equals(content.subarray(10, 20))]).toEqual([206, true])
    expect(blobAsked(digest)).toBe(1)
  })

  test('keeps to the quota of its repository and says so', async () => {
    const { digest } = await pushBlob(upstream, 'team/app', randomBytes(50_000))
    const { id: externalRegistryId } = await signedIn()
    const name = 'mirror/small'
    const location = { internal: true, mirrorOf: { externalRegistryId, repository: 'team/app' } } as const
    const data = imageData.parse({ name, location, quotaBytes: 10_000 })
    await mirror.store.transaction(actor, (transaction) => createImage(transaction, { data }))
    const refused = await get(`/v2/${name}/blobs/${digest}`)
    expect(refused.status).toBeGreaterThanOrEqual(400)
    expect(await refused.text()).toMatch(/quota/i)
    expect(await mirror.blobs.stat(digest)).toBeUndefined()
  })

  test('answers HEAD and ranges of blobs that are not here yet', async () => {
    const content = randomBytes(100_000)
    const { digest } = await pushBlob(upstream, 'team/app', content)
    const name = await mirrorOf(await signedIn(), 'team/app')
    const head = await mirror.send('HEAD', `/v2/${name}/blobs/${digest}`)
    expect([head.status, head.headers.get('content-length')]).toEqual([200, '100000'])
    expect(blobAsked(digest)).toBe(0)
    const range = await get(`/v2/${name}/blobs/${digest}`, { range: 'bytes=99990-' })
    expect([range.status, Buffer.from(await range.arrayBuffer()).equals(content.subarray(99_990))]).toEqual([206, true])
  })

  test('brings indexes with their children on demand', async () => {
    const child = await pushImage(upstream, 'team/app', 'arm', 'arm')
    const descriptor = { mediaType: ociManifest, digest: child.digest, size: child.manifest.length }
    const index = JSON.stringify({
      schemaVersion: 2,
      mediaType: ociIndex,
      manifests: [{ ...descriptor, platform: { os: 'linux', architecture: 'arm64' } }],
    })
    await putManifest(upstream, 'team/app', 'multi', index, ociIndex)
    const name = await mirrorOf(await signedIn(), 'team/app')
    const pulled = await get(`/v2/${name}/manifests/multi`)
    expect(await pulled.text()).toBe(index)
    expect(await (await get(`/v2/${name}/manifests/${child.digest}`)).text()).toBe(child.manifest)
  })

  test('links bytes that are here already only where its registry has them too', async () => {
    const name = await mirrorOf(await signedIn(), 'team/app')
    const secret = await pushBlob(mirror, 'private/other', 'bytes of somebody else')
    expect((await get(`/v2/${name}/blobs/${secret.digest}`)).status).toBe(404)
    await pushBlob(upstream, 'team/app', 'bytes of somebody else')
    const shared = await get(`/v2/${name}/blobs/${secret.digest}`)
    expect(await shared.text()).toBe('bytes of somebody else')
    expect(blobAsked(secret.digest)).toBe(0)
  })

  test('takes no pushes and says why', async () => {
    const name = await mirrorOf(await signedIn(), 'team/app')
    for (const refused of [
      await mirror.send('POST', `/v2/${name}/blobs/uploads/`),
      await putManifest(mirror, name, 'v1', '{}'),
    ]) {
      expect(refused.status).toBe(403)
      expect(await refused.text()).toContain('is a mirror of team/app')
    }
  })

  test('keeps what it needs and loses what nothing needs in the garbage collection', async () => {
    const image = await pushImage(upstream, 'team/app', 'v1', 'needed')
    const name = await mirrorOf(await signedIn(), 'team/app')
    await get(`/v2/${name}/manifests/v1`)
    const [layer] = JSON.parse(image.manifest).layers
    expect(await (await get(`/v2/${name}/blobs/${layer.digest}`)).text()).toBe('needed')
    const loose = await pushBlob(upstream, 'team/app', 'needed by nobody')
    await (await get(`/v2/${name}/blobs/${loose.digest}`)).text()
    for (let pass = 0; pass < 4; pass++) {
      mirror.clock.ms += 2 * 86_400_000
      await mirror.registry.collectGarbage({ graceMs: 86_400_000, signal: new AbortController().signal })
    }
    expect(await mirror.blobs.stat(loose.digest)).toBeUndefined()
    expect(await mirror.blobs.stat(layer.digest)).toBeDefined()
    isUp = false
    expect(await (await get(`/v2/${name}/blobs/${layer.digest}`)).text()).toBe('needed')
  })

  test('with nothing here and its registry away says which is to blame', async () => {
    const name = await mirrorOf(await signedIn(), 'team/app')
    isUp = false
    const manifest = await get(`/v2/${name}/manifests/v1`)
    expect(manifest.status).toBe(503)
    expect(await manifest.text()).toContain('is a mirror, and the registry behind it fails')
    expect((await get(`/v2/${name}/blobs/${digestOfText('x')}`)).status).toBe(503)
  })

  test('shows its registry no credentials but its own, and nobody its password', async () => {
    const registry = await signedIn()
    const shown = JSON.stringify(await mirror.store.audit({ kind: 'external-registry' }))
    expect(shown).not.toContain(password)
    expect(shown).not.toContain('sealedPassword')
    expect(JSON.stringify(await mirror.store.get(kinds.externalRegistry, registry.id))).not.toContain(password)
    expect(JSON.stringify(mirror.warnings)).not.toContain(basic('admin'))
  })
})

describe('a mirror of a registry that misbehaves (a fake)', () => {
  let fake: FakeRegistry | undefined
  afterEach(() => fake?.stop())
  const start = async (reply: Reply) => {
    fake = await startFakeRegistry(reply)
    return mirrorOf(await register(fake.url.href), 'team/app')
  }
  const lie = digestOfText('the truth')

  test('neither stores nor serves as whole a blob that is not what its digest says', async () => {
    const content = Buffer.from('a lie as long as it takes')
    const name = await start((_request, response) => {
      response.writeHead(200, { 'content-length': content.length }).end(content)
      return true
    })
    const pulls = Array.from({ length: 3 }, async () => (await get(`/v2/${name}/blobs/${lie}`)).arrayBuffer())
    for (const pull of await Promise.allSettled(pulls)) expect(pull.status).toBe('rejected')
    expect(await mirror.blobs.stat(lie)).toBeUndefined()
    const range = await get(`/v2/${name}/blobs/${lie}`, { range: 'bytes=0-3' })
    expect(range.status).toBe(503)
    expect(await range.text()).toContain('other bytes than their digest says')
  })

  test('breaks off a blob that its registry does not finish, and fetches it anew the next time', async () => {
    const content = randomBytes(500_000)
    const digest = digestOfText(content)
    let isBroken = true
    const name = await start((request, response) => {
      const from = Number(/bytes=(\d+)-/.exec(request.headers.range ?? '')?.[1] ?? 0)
      response.writeHead(from > 0 ? 206 : 200, { 'content-length': content.length - from })
      if (!isBroken) response.end(content.subarray(from))
      else if (from > 0) response.destroy()
      else response.write(content.subarray(0, 100_000), () => response.destroy())
      return true
    })
    await expect(get(`/v2/${name}/blobs/${digest}`).then((answer) => answer.arrayBuffer())).rejects.toThrow()
    isBroken = false
    const again = await get(`/v2/${name}/blobs/${digest}`)
    expect(Buffer.from(await again.arrayBuffer()).equals(content)).toBe(true)
  })

  test('passes 429 on with the time to wait, and takes a refusal of its credentials as being away', async () => {
    let status = 429
    const name = await start((_request, response) => {
      response.writeHead(status, { 'retry-after': '30' }).end()
      return true
    })
    const busy = await get(`/v2/${name}/manifests/v1`)
    expect([busy.status, busy.headers.get('retry-after')]).toEqual([429, '30'])
    status = 403
    expect((await get(`/v2/${name}/manifests/v2`)).status).toBe(503)
    status = 404
    expect((await get(`/v2/${name}/manifests/v3`)).status).toBe(404)
    expect((await get(`/v2/${name}/blobs/${lie}`)).status).toBe(404)
  })

  test('says so when its registry gives a manifest that is none', async () => {
    const name = await start((_request, response) => {
      response
        .writeHead(200, { 'content-type': 'application/vnd.docker.distribution.manifest.v1+json' })
        .end('{"schemaVersion":1}')
      return true
    })
    const answer = await get(`/v2/${name}/manifests/v1`)
    expect([answer.status, await answer.text()]).toEqual([
      503,
      expect.stringContaining('gives a manifest that is none'),
    ])
  })

  test('a client that reads slowly gets the whole blob, and holds up nobody else', async () => {
    const content = randomBytes(24_000_000)
    const digest = digestOfText(content)
    const name = await start((_request, response) => {
      response.writeHead(200, { 'content-length': content.length }).end(content)
      return true
    })
    const slow = await get(`/v2/${name}/blobs/${digest}`)
    const quick = await get(`/v2/${name}/blobs/${digest}`)
    expect(Buffer.from(await quick.arrayBuffer()).equals(content)).toBe(true)
    expect(Buffer.from(await slow.arrayBuffer()).equals(content)).toBe(true)
    expect(fake?.requests.filter((line) => line.startsWith('GET') && line.endsWith(digest))).toHaveLength(1)
  })
})
