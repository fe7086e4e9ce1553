import { randomBytes } from 'node:crypto'
import { FreeholdError, type ImportProgress, imageKind } from '@freehold/contracts'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { digestOfText, startFakeRegistry } from '../external-registries/client/fake-registry.testing.ts'
import { createExternalRegistry, createUpstreams } from '../external-registries/index.ts'
import { createSealer, Secret } from '../secrets/index.ts'
import { parseSource } from './import-plan.ts'
import {
  ociIndex,
  ociManifest,
  password,
  pushBlob,
  putManifest,
  startTestRegistry,
  type TestRegistry,
} from './testing.ts'

const ada = { type: 'user', id: 'ada', name: 'ada' } as const
const sealer = createSealer(new Secret(randomBytes(32)))

describe('parsing a source', () => {
  test.each([
    [
      'docker.io/library/nginx:1.27',
      { host: 'docker.io', repository: 'library/nginx', reference: '1.27', tag: '1.27' },
    ],
    ['nginx', { host: 'docker.io', repository: 'library/nginx', reference: 'latest', tag: 'latest' }],
    [
      'registry-1.docker.io/team/app',
      { host: 'docker.io', repository: 'team/app', reference: 'latest', tag: 'latest' },
    ],
    ['localhost:5000/a:v1', { host: 'localhost:5000', repository: 'a', reference: 'v1', tag: 'v1' }],
    [
      `ghcr.io/a/b@${digestOfText('')}`,
      { host: 'ghcr.io', repository: 'a/b', reference: digestOfText(''), tag: 'latest' },
    ],
    [
      `ghcr.io/a/b:v1@${digestOfText('')}`,
      { host: 'ghcr.io', repository: 'a/b', reference: digestOfText(''), tag: 'v1' },
    ],
  ])('%s', (text, source) => expect(parseSource(text)).toEqual(source))

  test.each(['', 'a b', 'UPPER/x', 'x@sha256:1', 'host/../etc', 'a/b:', 'host:5000/'])('%s is none', (text) => {
    expect(parseSource(text)).toBeUndefined()
  })

  test('whatever is given, what comes out is safe as part of an address', () => {
    fc.assert(
      fc.property(fc.string({ maxLength: 100 }), (text) => {
        const source = parseSource(text)
        if (source !== undefined)
          expect(new URL(`/v2/${source.repository}/x`, 'http://a').pathname).toBe(`/v2/${source.repository}/x`)
      }),
    )
  })
})

describe('importing from another Freehold', () => {
  let upstream: TestRegistry
  let ours: TestRegistry
  beforeEach(async () => {
    upstream = await startTestRegistry()
    ours = await startTestRegistry({ upstreams: (now) => createUpstreams({ sealer, now }) })
    await ours.store.transaction(ada, (transaction) =>
      createExternalRegistry(
        transaction,
        { data: { type: 'docker', name: 'upstream', url: upstream.url, username: 'admin' }, password },
        sealer,
      ),
    )
  })
  afterEach(async () => {
    await ours.remove()
    await upstream.remove()
  })

  async function run(source: string, more: { tag?: string; platforms?: string[]; signal?: AbortSignal } = {}) {
    const { signal = new AbortController().signal, ...rest } = more
    const lines: ImportProgress[] = []
    const request = { source: `${upstream.host}/${source}`, repository: 'mine/app', actor: ada, signal, ...rest }
    for await (const line of ours.registry.importImage(request)) lines.push(line)
    return lines
  }

  /** An index for two platforms of real images. */
  async function pushIndex() {
    const children = []
    for (const architecture of ['amd64', 'arm64']) {
      const platform = { os: 'linux', architecture }
      const config = await pushBlob(
        upstream,
        'team/app',
        JSON.stringify(platform),
        'application/vnd.oci.image.config.v1+json',
      )
      const layers = [
        await pushBlob(upstream, 'team/app', `layer for ${architecture}`),
        await pushBlob(upstream, 'team/app', 'shared'),
      ]
      const manifest = JSON.stringify({ schemaVersion: 2, mediaType: ociManifest, config, layers })
      const digest = digestOfText(manifest)
      await putManifest(upstream, 'team/app', digest, manifest)
      children.push({ mediaType: ociManifest, digest, size: manifest.length, platform })
    }
    const index = JSON.stringify({ schemaVersion: 2, mediaType: ociIndex, manifests: children })
    await putManifest(upstream, 'team/app', 'v1', index, ociIndex)
    return { digest: digestOfText(index), children: children.map((child) => child.digest) }
  }
  const digestHere = async (tag: string) =>
    (await ours.send('HEAD', `/v2/mine/app/manifests/${tag}`)).headers.get('docker-content-digest')

  test('copies all platforms bit for bit, tells how far it is, and the audit names who', async () => {
    const { digest, children } = await pushIndex()
    const lines = await run('team/app:v1')
    expect(lines.at(-1)).toMatchObject({
      done: { repository: 'mine/app', tag: 'v1', digest },
      blobs: { total: 5, present: 5 },
    })
    expect(await digestHere('v1')).toBe(digest)
    for (const child of children) expect(await digestHere(child)).toBe(child)
    const image = await ours.store.find(imageKind, 'name', 'mine/app')
    expect(image?.status.versions[0]).toMatchObject({
      digest,
      platforms: ['linux/amd64', 'linux/arm64'],
      pushedBy: 'ada',
    })
    const entries = await ours.store.audit({ kind: 'manifest' })
    expect(entries.map((entry) => entry.actor.name)).toEqual(['ada', 'ada', 'ada'])
    expect(ours.pushes).toMatchObject([{ repository: 'mine/app', tag: 'v1', digest }])
  })

  test('run again copies nothing that is here', async () => {
    const { digest } = await pushIndex()
    await run('team/app:v1')
    const again = await run('team/app:v1', { tag: 'again' })
    expect(again.at(-1)).toMatchObject({ bytes: { copied: 0 }, done: { tag: 'again', digest } })
  })

  test('copies one platform as its own manifest, and says which there are', async () => {
    const { children } = await pushIndex()
    const lines = await run('team/app:v1', { platforms: ['linux/arm64'] })
    expect(lines.at(-1)?.done?.digest).toBe(children[1])
    expect(lines.at(-1)?.blobs.total).toBe(3)
    await expect(run('team/app:v1', { platforms: ['linux/s390x'] })).rejects.toMatchObject({
      code: 'not-found',
      message: expect.stringContaining('it has linux/amd64, linux/arm64'),
    })
  })

  test('says what fails: no such tag, wrong place, an image that is a mirror', async () => {
    await expect(run('team/app:none')).rejects.toMatchObject({ code: 'not-found' })
    await expect(run('team/app:BAD TAG')).rejects.toMatchObject({ code: 'invalid-input' })
    const registry = (await ours.store.find(imageKind, 'name', 'none')) as undefined
    expect(registry).toBeUndefined()
  })

  test('ends when it is canceled, and goes on where it was', async () => {
    const layers = []
    for (let at = 0; at < 12; at++) layers.push(await pushBlob(upstream, 'team/app', randomBytes(400_000)))
    const config = await pushBlob(
      upstream,
      'team/app',
      '{"os":"linux","architecture":"amd64"}',
      'application/vnd.oci.image.config.v1+json',
    )
    await putManifest(
      upstream,
      'team/app',
      'big',
      JSON.stringify({ schemaVersion: 2, mediaType: ociManifest, config, layers }),
    )
    const stop = new AbortController()
    const lines: ImportProgress[] = []
    const request = { source: `${upstream.host}/team/app:big`, repository: 'mine/app', actor: ada, signal: stop.signal }
    for await (const line of ours.registry.importImage(request)) {
      lines.push(line)
      if (line.message.startsWith('Copying')) stop.abort()
    }
    expect(lines.at(-1)?.done).toBeNull()
    expect(await digestHere('big')).toBeNull()
    const again = await run('team/app:big')
    expect(again.at(-1)).toMatchObject({ done: { tag: 'big' }, blobs: { total: 13, present: 13 } })
  })
})

test('bytes that are not what their digest says end an import, and nothing of them stays', async () => {
  const layer = digestOfText('the truth')
  const manifest = JSON.stringify({
    schemaVersion: 2,
    mediaType: ociManifest,
    config: { mediaType: 'application/vnd.oci.image.config.v1+json', digest: layer, size: 9 },
    layers: [],
  })
  const fake = await startFakeRegistry((_request, response, path) => {
    const body = path.includes('manifests') ? manifest : 'the lies!'
    response.writeHead(200, { 'content-type': ociManifest, 'content-length': body.length }).end(body)
    return true
  })
  const ours = await startTestRegistry({ upstreams: (now) => createUpstreams({ sealer, now }) })
  await ours.store.transaction(ada, (transaction) =>
    createExternalRegistry(
      transaction,
      { data: { type: 'docker', name: 'fake', url: fake.url.href, username: '' } },
      sealer,
    ),
  )
  const request = {
    source: `${fake.host}/a:v1`,
    repository: 'mine/a',
    actor: ada,
    signal: new AbortController().signal,
  }
  const failure = await Array.fromAsync(ours.registry.importImage(request)).catch((error: unknown) => error)
  expect(failure).toBeInstanceOf(FreeholdError)
  expect(failure).toMatchObject({
    code: 'upstream-failed',
    message: expect.stringContaining('Nothing of them was kept'),
  })
  expect(await ours.blobs.stat(layer)).toBeUndefined()
  await ours.remove()
  await fake.stop()
})
