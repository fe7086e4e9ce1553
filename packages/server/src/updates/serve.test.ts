import { createHash } from 'node:crypto'
import { Readable } from 'node:stream'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { goodToken, newReleaseId, startWorld, textFile, type World } from './world.testing.ts'

let world: World
const bundle = Buffer.from(Array.from({ length: 300_000 }, (_value, index) => index % 251))
const bundleHash = createHash('sha256').update(bundle).digest('hex')
const folder = 'baseos/generic-amd64/1.0.0'
const manifest = textFile(`${folder}/manifest.json`)

beforeAll(async () => {
  world = await startWorld()
  await world.pass()
  const blobDigest = `sha256:${bundleHash}`
  await world.blobs.put(blobDigest, Readable.from([bundle]))
  await world.release(newReleaseId(), [
    manifest,
    textFile(`${folder}/checksums.txt`, 'sums\n'),
    { path: `${folder}/license-bundle.tar.gz`, blobDigest, sha256: bundleHash, sizeBytes: bundle.length },
    textFile('releases/shop/1.0.0/manifest.json'),
  ])
})
afterAll(() => world.close())

const good = { authorization: `Bearer ${goodToken}` }
const get = (path: string, options: { method?: string; headers?: Record<string, string> } = {}) =>
  fetch(`${world.url}/updates/${path}`, { ...options, headers: { ...good, ...options.headers } })
/** The names of what is in force, as a device finds them. */
async function namesInForce(): Promise<string[]> {
  const names = ['1.root.json']
  let at = 'timestamp.json'
  for (const next of ['snapshot', 'targets']) {
    const { signed } = (await (await nobody(`metadata/${at}`)).json()) as Metadata
    at = `${signed.meta[`${next}.json`]?.version}.${next}.json`
    names.push(at)
  }
  return names
}
type Metadata = { signed: { meta: Record<string, { version: number } | undefined> } }
/** Without saying who asks. */
const nobody = (path: string) => fetch(`${world.url}/updates/${path}`)

test.each([
  ['manifest.json', 'application/json; charset=utf-8'],
  ['checksums.txt', 'text/plain; charset=utf-8'],
  ['license-bundle.tar.gz', 'application/gzip'],
])('%s is served with its type', async (name, type) => {
  const answer = await get(`${folder}/${name}`)
  expect(answer.status).toBe(200)
  expect(answer.headers.get('content-type')).toBe(type)
  expect(answer.headers.get('cache-control')).toBe('private, no-cache')
  await answer.arrayBuffer()
})

test('a target is found by its hash too, and may be kept for ever there', async () => {
  const answer = await get(`${folder}/${manifest.sha256}.manifest.json`)
  expect(await answer.text()).toBe(manifest.text)
  expect(answer.headers.get('cache-control')).toBe('private, max-age=31536000, immutable')
  expect((await get(`${folder}/${'0'.repeat(64)}.manifest.json`)).status).toBe(404)
  expect((await get(`${manifest.sha256}.${folder}/manifest.json`)).status).toBe(404)
})

test('metadata with a version may be kept for ever, the timestamp is asked for each time', async () => {
  const root = await get('metadata/1.root.json')
  expect(root.headers.get('cache-control')).toBe('public, max-age=31536000, immutable')
  const timestamp = await get('metadata/timestamp.json')
  expect(timestamp.headers.get('cache-control')).toBe('no-cache')
  const etag = timestamp.headers.get('etag') ?? ''
  const again = await get('metadata/timestamp.json', { headers: { 'if-none-match': etag } })
  expect([again.status, await again.text()]).toEqual([304, ''])
})

test('metadata that never change are asked of the store once, however many devices fetch them', async () => {
  const names = await namesInForce()
  const store = world.store()
  const find = vi.spyOn(store, 'find')
  const list = vi.spyOn(store, 'list')
  try {
    const texts = new Set<string>()
    for (let device = 0; device < 50; device += 1) {
      for (const name of names) {
        const answer = await nobody(`metadata/${name}`)
        texts.add(`${name} ${answer.status} ${await answer.text()}`)
      }
    }
    expect([...texts].map((text) => / (\d+) /.exec(text)?.[1])).toEqual(['200', '200', '200'])
    expect(find.mock.calls.length + list.mock.calls.length).toBeLessThanOrEqual(3)
  } finally {
    find.mockRestore()
    list.mockRestore()
  }
})

test('what a device holds already is not sent again, by its name and by its hash', async () => {
  for (const path of [
    `metadata/${(await namesInForce()).at(-1)}`,
    'keys/assignments.json',
    `${folder}/manifest.json`,
  ]) {
    const etag = (await get(path)).headers.get('etag') ?? ''
    const again = await get(path, { headers: { 'if-none-match': etag } })
    expect([again.status, again.headers.get('etag'), await again.text()]).toEqual([304, etag, ''])
  }
})

test('HEAD says what GET would give', async () => {
  const head = await get(`${folder}/license-bundle.tar.gz`, { method: 'HEAD' })
  expect(head.headers.get('content-length')).toBe(String(bundle.length))
  expect(head.headers.get('etag')).toBe(`"${bundleHash}"`)
  expect(head.headers.get('accept-ranges')).toBe('bytes')
  expect(await head.text()).toBe('')
})

test.each([
  ['bytes=0-9', 0, 10],
  ['bytes=100000-', 100_000, bundle.length],
  ['bytes=-5', bundle.length - 5, bundle.length],
])('a range %s of a large file is given alone', async (range, start, end) => {
  const answer = await get(`${folder}/license-bundle.tar.gz`, { headers: { range } })
  expect(answer.status).toBe(206)
  expect(answer.headers.get('content-range')).toBe(`bytes ${start}-${end - 1}/${bundle.length}`)
  expect(Buffer.from(await answer.arrayBuffer()).equals(bundle.subarray(start, end))).toBe(true)
})

test('a range beyond the file is refused, one of another content ignored', async () => {
  const beyond = await get(`${folder}/license-bundle.tar.gz`, { headers: { range: 'bytes=300000-' } })
  expect([beyond.status, beyond.headers.get('content-range')]).toEqual([416, 'bytes */300000'])
  const changed = await get(`${folder}/manifest.json`, { headers: { range: 'bytes=0-1', 'if-range': '"other"' } })
  expect([changed.status, await changed.text()]).toEqual([200, manifest.text])
  const part = await get(`${folder}/manifest.json`, { headers: { range: 'bytes=2-5' } })
  expect([part.status, await part.text()]).toEqual([206, manifest.text?.slice(2, 6)])
})

test.each([
  '',
  'metadata/',
  'metadata/2.root.json',
  'metadata/01.root.json',
  'metadata/root.json',
  'metadata/1.timestamp.json',
  'nothing',
  '..%2f..%2fetc%2fpasswd',
  `${folder}/`,
])('nothing is at %j, and the answer says where to look', async (path) => {
  const answer = await get(path)
  expect(answer.status).toBe(404)
  expect(await answer.text()).toMatch(/timestamp\.json/)
  expect(answer.headers.get('cache-control')).toBe('no-store')
})

test('a broken address and another method are refused', async () => {
  expect((await get('%zz')).status).toBe(400)
  const post = await get('metadata/timestamp.json', { method: 'POST' })
  expect([post.status, post.headers.get('allow')]).toEqual([405, 'GET, HEAD'])
})

test.each(['releases/shop/1.0.0/manifest.json', `${folder}/manifest.json`])(
  '%s is for devices and readers only',
  async (path) => {
    expect((await nobody(path)).status).toBe(401)
    const wrong = `Bearer fhn_${'b'.repeat(43)}`
    expect((await get(path, { headers: { authorization: wrong } })).status).toBe(401)
    expect((await get(`${path}x`, { headers: { authorization: wrong } })).status).toBe(401)
    const answer = await get(path)
    expect(answer.status).toBe(200)
    expect(answer.headers.get('cache-control')).toBe('private, no-cache')
    expect(answer.headers.get('vary')).toBe('authorization, cookie')
    const { sha256 } = textFile(path)
    const byHash = path.replace('manifest', `${sha256}.manifest`)
    expect((await nobody(byHash)).status).toBe(401)
    expect((await nobody(byHash.replace('/', '%2f'))).status).toBe(401)
    expect((await nobody(byHash.replace('s', '%73'))).status).toBe(401)
  },
)

test('what every device needs is public', async () => {
  expect((await nobody('metadata/timestamp.json')).status).toBe(200)
  expect((await nobody('keys/assignments.json')).status).toBe(200)
})

test('a device gets the files of the releases it may have, and of no other', async () => {
  const id = newReleaseId()
  const files = ['releases/shop/9.0.0/manifest.json', 'baseos/generic-amd64/9.0.0/checksums.txt'].map((path) =>
    textFile(path),
  )
  await world.release(id, files)
  for (const { path, sha256 } of files) {
    const byHash = path.replace(/([^/]+)$/, `${sha256}.$1`)
    for (const each of [path, byHash]) expect((await get(each)).status).toBe(200)
    world.withheld.add(id)
    for (const each of [path, byHash]) {
      const refused = await get(each)
      expect([refused.status, await refused.text()]).toEqual([403, expect.stringMatching(/neither runs nor is to run/)])
    }
    world.withheld.delete(id)
  }
})
