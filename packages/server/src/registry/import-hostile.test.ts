import { randomBytes } from 'node:crypto'
import { afterEach, beforeEach, expect, onTestFinished, test } from 'vitest'
import { digestOfText, startFakeRegistry } from '../external-registries/client/fake-registry.testing.ts'
import { createExternalRegistry, createUpstreams } from '../external-registries/index.ts'
import { createSealer, Secret } from '../secrets/index.ts'
import { ociIndex, ociManifest, pushBlob, startTestRegistry, type TestRegistry } from './testing.ts'

const ada = { type: 'user', id: 'ada', name: 'ada' } as const
const sealer = createSealer(new Secret(randomBytes(32)))
const configType = 'application/vnd.oci.image.config.v1+json'
let ours: TestRegistry
beforeEach(async () => {
  ours = await startTestRegistry({ upstreams: (now) => createUpstreams({ sealer, now }) })
})
afterEach(() => ours.remove())

/** A registry elsewhere with these manifests by digest, the last one as `v1`, and these blobs. */
async function serve({ manifests, blobs = [] }: { manifests: string[]; blobs?: string[] }) {
  const byDigest = new Map([...manifests, ...blobs].map((content) => [digestOfText(content), content]))
  const fake = await startFakeRegistry((_request, response, path) => {
    const reference = path.split('/').at(-1) ?? ''
    const content = reference === 'v1' ? manifests.at(-1) : byDigest.get(reference)
    if (content === undefined) return false
    const type = path.includes('/manifests/') ? JSON.parse(content).mediaType : 'application/octet-stream'
    response.writeHead(200, { 'content-type': type, 'content-length': content.length }).end(content)
    return true
  })
  onTestFinished(() => fake.stop())
  await ours.store.transaction(ada, (transaction) =>
    createExternalRegistry(
      transaction,
      { data: { type: 'docker', name: 'fake', url: fake.url.href, username: '' } },
      sealer,
    ),
  )
  return {
    fetched: () => fake.requests.filter((line) => line.startsWith('GET')).length,
    async run(platforms?: string[]) {
      const { signal } = new AbortController()
      const request = { source: `${fake.host}/a:v1`, repository: 'mine/a', actor: ada, signal }
      const lines = ours.registry.importImage({ ...request, ...(platforms === undefined ? {} : { platforms }) })
      return Array.fromAsync(lines)
    },
  }
}

const indexOf = (children: readonly string[], mark = '') =>
  JSON.stringify({
    schemaVersion: 2,
    mediaType: ociIndex,
    annotations: { mark },
    manifests: children.map((child) => ({
      mediaType: JSON.parse(child).mediaType,
      digest: digestOfText(child),
      size: child.length,
    })),
  })
const imageOf = (config: { digest: string; size: number }) =>
  JSON.stringify({
    schemaVersion: 2,
    mediaType: ociManifest,
    config: { mediaType: configType, ...config },
    layers: [],
  })

test('indexes that name the same ones over and over are fetched once each', async () => {
  const config = '{}'
  const manifests = [imageOf({ digest: digestOfText(config), size: config.length })]
  let children = manifests.slice()
  for (let level = 0; level < 16; level += 1) {
    children = [indexOf(children, `${level} left`), indexOf(children, `${level} right`)]
    manifests.push(...children)
  }
  manifests.push(indexOf(children))
  const { run, fetched } = await serve({ manifests, blobs: [config] })
  expect((await run()).at(-1)?.done).toMatchObject({ digest: digestOfText(manifests.at(-1) ?? '') })
  expect(fetched()).toBe(manifests.length + 1)
})

test('indexes within indexes are refused after a thousand, however deep', async () => {
  const manifests = [indexOf([])]
  for (let depth = 0; depth < 1100; depth += 1) manifests.push(indexOf([manifests.at(-1) ?? '']))
  const { run, fetched } = await serve({ manifests })
  await expect(run()).rejects.toMatchObject({ code: 'conflict', message: expect.stringContaining('1000 manifests') })
  expect(fetched()).toBeLessThan(1010)
})

test('manifests that are large together are refused before they fill the memory', async () => {
  const children = Array.from({ length: 20 }, (_, index) => indexOf([], `${index}`.padEnd(3_900_000, 'x')))
  const { run, fetched } = await serve({ manifests: [...children, indexOf(children)] })
  await expect(run()).rejects.toMatchObject({ code: 'conflict', message: expect.stringContaining('64 MiB') })
  expect(fetched()).toBeLessThan(20)
})

test('a blob of another size than its manifest says is not fetched, nor linked where it is here', async () => {
  const config = '{"os":"linux","architecture":"arm64"}'
  const { run } = await serve({ manifests: [imageOf({ digest: digestOfText(config), size: 3 })], blobs: [config] })
  const refusal = { code: 'upstream-failed', message: expect.stringContaining('has 3 bytes; it has 37') }
  await expect(run()).rejects.toMatchObject(refusal)
  await expect(run(['linux/arm64'])).rejects.toMatchObject(refusal)
  expect(await ours.blobs.stat(digestOfText(config))).toBeUndefined()
  await pushBlob(ours, 'private/other', config)
  await expect(run()).rejects.toMatchObject(refusal)
  expect((await ours.send('HEAD', `/v2/mine/a/blobs/${digestOfText(config)}`)).status).toBe(404)
})
