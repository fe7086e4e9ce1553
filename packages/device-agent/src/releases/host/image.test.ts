import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { Secret } from '../../secret.ts'
import { digestOf, gzipType } from './host.testing.ts'
import { createImageSource } from './image.ts'

/**
 * A registry that misbehaves; a real one is in the story of host updates. Its token endpoint calls itself by a foreign
 * name, blobs are redirected to a store on another port.
 */
const blob = Buffer.from('the bytes of a layer, some of them here and some of them there')
const blobDigest = digestOf(blob)
const signal = new AbortController().signal

let folder: string
let registry: { url: URL; stop(): Promise<void> }
let store: { url: URL; stop(): Promise<void> }
let manifests: Map<string, string>
let answerBlob: (request: IncomingMessage, response: ServerResponse) => void
let seen: { at: 'registry' | 'store'; path: string; authorization: string; range: string }[]

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'image-'))
  manifests = new Map()
  seen = []
  answerBlob = (_, response) => response.end(blob)
  const note = (at: 'registry' | 'store', { url = '', headers }: IncomingMessage) =>
    seen.push({ at, path: url, authorization: headers.authorization ?? '', range: headers.range ?? '' })
  store = await listening((request, response) => {
    note('store', request)
    answerBlob(request, response)
  })
  registry = await listening((request, response) => {
    note('registry', request)
    const path = request.url ?? ''
    if (path.startsWith('/v2/token')) return response.end('{"token":"a-bearer"}')
    if (request.headers.authorization !== 'Bearer a-bearer') {
      const challenge = 'Bearer realm="https://elsewhere.example/v2/token",service="registry"'
      return response.writeHead(401, { 'www-authenticate': challenge }).end()
    }
    if (path.includes('/blobs/')) return response.writeHead(307, { location: `${store.url.origin}/kept` }).end()
    const manifest = manifests.get(path.split('/').at(-1) ?? '')
    return manifest === undefined ? response.writeHead(404).end() : response.end(manifest)
  })
})
afterEach(async () => {
  await registry.stop()
  await store.stop()
  await rm(folder, { recursive: true, force: true })
})

const source = () =>
  createImageSource({
    registry: registry.url,
    token: () => new Secret('the-node-token'),
    architecture: 'arm64',
    idleLimitMs: 10_000,
  })
const layersOf = (digest: string) => source().layers({ repository: 'baseos/hostapp', digest }, signal)
const path = () => join(folder, 'blob')
const fetch = (sizeBytes = blob.length) =>
  source().fetch({
    repository: 'baseos/hostapp',
    blob: { digest: blobDigest, sizeBytes },
    path: path(),
    onBytes: () => {},
    signal,
  })

function put(content: object): string {
  const text = JSON.stringify(content)
  manifests.set(digestOf(text), text)
  return digestOf(text)
}

describe('an image', () => {
  test('is found by its platform', async () => {
    const digest = put({ layers: [{ digest: blobDigest, size: blob.length, mediaType: gzipType }] })
    const platform = { os: 'linux', architecture: 'arm64' }
    const index = put({
      manifests: [
        { digest: blobDigest, platform: { os: 'linux', architecture: 'amd64' } },
        { digest, platform },
      ],
    })
    expect(await layersOf(index)).toEqual([{ digest: blobDigest, sizeBytes: blob.length, mediaType: gzipType }])
    await expect(layersOf(put({ manifests: [] }))).rejects.toMatchObject({ code: 'not-found' })
  })

  test('is refused where the registry gives another manifest, or one that is none', async () => {
    const digest = digestOf('wanted')
    manifests.set(digest, '{"layers":[]}')
    await expect(layersOf(digest)).rejects.toMatchObject({ code: 'conflict' })
    for (const layers of ['none', [{}], [{ digest: 'sha256:../../up', size: 1 }], [{ digest: blobDigest, size: -1 }]]) {
      await expect(layersOf(put({ layers }))).rejects.toMatchObject({ code: 'invalid-input' })
    }
    await expect(layersOf(digestOf('missing'))).rejects.toMatchObject({ code: 'not-found' })
  })

  test('gives the node token to the registry’s own token endpoint, and nothing of it to a store', async () => {
    await fetch()
    const basic = `Basic ${Buffer.from('device:the-node-token').toString('base64')}`
    expect(
      seen
        .filter(({ authorization }) => authorization === basic)
        .map(({ at, path: asked }) => `${at} ${asked.split('?')[0]}`),
    ).toEqual(['registry /v2/token'])
    expect(seen.filter(({ at }) => at === 'store').map(({ authorization }) => authorization)).toEqual([''])
  })
})

describe('a blob', () => {
  test('is gone on with from where it broke off', async () => {
    await writeFile(`${path()}.part`, blob.subarray(0, 20))
    answerBlob = (request, response) => {
      const from = Number(/\d+/.exec(request.headers.range ?? '')?.[0])
      response
        .writeHead(206, { 'content-range': `bytes ${from}-${blob.length - 1}/${blob.length}` })
        .end(blob.subarray(from))
    }
    await fetch()
    expect(seen.at(-1)?.range).toBe('bytes=20-')
    expect(await readFile(path())).toEqual(blob)
  })

  test('is begun anew where the other side gives the whole, or another part', async () => {
    await writeFile(`${path()}.part`, blob.subarray(0, 20))
    await fetch()
    expect(await readFile(path())).toEqual(blob)
    await rm(path())
    await writeFile(`${path()}.part`, blob.subarray(0, 20))
    answerBlob = (_, response) =>
      response.writeHead(206, { 'content-range': `bytes 0-9/${blob.length}` }).end(blob.subarray(0, 10))
    await expect(fetch()).rejects.toThrow('206')
    expect(await readdir(folder)).toEqual([])
  })

  test('of other or more bytes than its name says does not stay', async () => {
    answerBlob = (_, response) => response.end(Buffer.alloc(blob.length))
    await expect(fetch()).rejects.toMatchObject({ code: 'conflict' })
    answerBlob = (_, response) => response.end(Buffer.concat([blob, blob]))
    await expect(fetch()).rejects.toMatchObject({ code: 'conflict' })
    expect(await readdir(folder)).not.toContain('blob')
    answerBlob = (_, response) => response.end(blob)
    await fetch()
    expect(await readdir(folder)).toEqual(['blob'])
  })

  test('that is redirected in a circle, or not there, is said', async () => {
    answerBlob = (_, response) => response.writeHead(302, { location: '/kept' }).end()
    await expect(fetch()).rejects.toThrow('answered a blob with 302')
    answerBlob = (_, response) => response.writeHead(503).end()
    await expect(fetch()).rejects.toThrow('503')
  })
})

async function listening(answer: (request: IncomingMessage, response: ServerResponse) => void) {
  const server = createServer(answer)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    url: new URL(`http://127.0.0.1:${(server.address() as AddressInfo).port}`),
    stop: async () => {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}
