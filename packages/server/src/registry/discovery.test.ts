import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import {
  codesOf,
  ociIndex,
  pushBlob,
  pushImage,
  pushParts,
  putManifest,
  sha256,
  startTestRegistry,
  type TestRegistry,
} from './testing.ts'

let registry: TestRegistry
beforeAll(async () => {
  registry = await startTestRegistry()
})
afterAll(() => registry.remove())

interface Lists {
  name?: string
  tags?: string[]
  repositories: string[]
  manifests: { digest: string }[]
}

async function getJson(path: string) {
  const response = await registry.send('GET', path)
  return { status: response.status, body: (await response.json()) as Lists, link: response.headers.get('link') }
}

function next(link: string | null): string {
  return /^<([^>]+)>; rel="next"$/.exec(link ?? '')?.[1] ?? ''
}

describe('tags (OCI Distribution 1.1, "Listing Tags")', () => {
  beforeAll(async () => {
    const { digest, manifest } = await pushImage(registry, 'lists/tags', 'b', 'layer')
    const tags = ['c', 'a', 'Z', '10', '9', '_x']
    await putManifest(registry, 'lists/tags', `${digest}?${tags.map((tag) => `tag=${tag}`).join('&')}`, manifest)
  })

  it('come in ASCII order', async () => {
    expect(await getJson('/v2/lists/tags/tags/list')).toEqual({
      status: 200,
      body: { name: 'lists/tags', tags: ['10', '9', 'Z', '_x', 'a', 'b', 'c'] },
      link: null,
    })
  })

  it('come in pages, by n and last and by Link', async () => {
    const first = await getJson('/v2/lists/tags/tags/list?n=3')
    expect(first.body).toEqual({ name: 'lists/tags', tags: ['10', '9', 'Z'] })
    const second = await getJson(next(first.link))
    expect(second.body).toEqual({ name: 'lists/tags', tags: ['_x', 'a', 'b'] })
    const third = await getJson(next(second.link))
    expect(third).toEqual({ status: 200, body: { name: 'lists/tags', tags: ['c'] }, link: null })
    expect((await getJson('/v2/lists/tags/tags/list?last=a')).body.tags).toEqual(['b', 'c'])
    expect((await getJson('/v2/lists/tags/tags/list?n=2&last=aa')).body.tags).toEqual(['b', 'c'])
  })

  it('are none for n=0, without a Link', async () => {
    expect(await getJson('/v2/lists/tags/tags/list?n=0')).toEqual({
      status: 200,
      body: { name: 'lists/tags', tags: [] },
      link: null,
    })
  })

  it('are refused for a number that is none, and unknown for an unknown repository', async () => {
    for (const n of ['-1', 'x', '1e3', '99999999999999999999']) {
      expect((await registry.send('GET', `/v2/lists/tags/tags/list?n=${n}`)).status, n).toBe(400)
    }
    const unknown = await registry.send('GET', '/v2/lists/none/tags/list')
    expect([unknown.status, await codesOf(unknown)]).toEqual([404, ['NAME_UNKNOWN']])
  })

  it('are an empty list where only blobs were pushed', async () => {
    await pushBlob(registry, 'lists/blobs-only', 'x')
    expect((await getJson('/v2/lists/blobs-only/tags/list')).body).toEqual({ name: 'lists/blobs-only', tags: [] })
  })
})

it('lists repositories in pages', async () => {
  for (const name of ['catalog/b', 'catalog/a', 'catalog/c']) await pushImage(registry, name, 'latest', 'layer')
  const first = await getJson('/v2/_catalog?n=2&last=catalog')
  expect(first.body).toEqual({ repositories: ['catalog/a', 'catalog/b'] })
  expect((await getJson(next(first.link))).body.repositories[0]).toBe('catalog/c')
})

describe('referrers (OCI Distribution 1.1, "Listing Referrers")', () => {
  const name = 'lists/referrers'
  const subjectOf = (image: { digest: string; manifest: string }) => ({
    mediaType: 'application/vnd.oci.image.manifest.v1+json',
    digest: image.digest,
    size: image.manifest.length,
  })

  it('shows who refers to a manifest: type, annotations, and only in this repository', async () => {
    const image = await pushImage(registry, name, 'latest', 'subject')
    const subject = subjectOf(image)
    const annotations = { 'org.example.format': 'json' }
    const signature = await pushParts(registry, name, 'signature', {
      subject,
      artifactType: 'application/vnd.example.signature',
      annotations,
    })
    const plain = await pushParts(registry, name, 'plain', { subject })
    const index = JSON.stringify({ schemaVersion: 2, mediaType: ociIndex, manifests: [], subject })
    const response = await putManifest(registry, name, sha256(signature), signature)
    expect([response.status, response.headers.get('oci-subject')]).toEqual([201, image.digest])
    await putManifest(registry, name, sha256(plain), plain)
    await putManifest(registry, name, sha256(index), index, ociIndex)

    const found = await registry.send('GET', `/v2/${name}/referrers/${image.digest}`)
    expect([found.status, found.headers.get('content-type')]).toEqual([200, ociIndex])
    const manifestType = 'application/vnd.oci.image.manifest.v1+json'
    const signatureDescriptor = {
      mediaType: manifestType,
      digest: sha256(signature),
      size: signature.length,
      artifactType: 'application/vnd.example.signature',
      annotations,
    }
    expect(await found.json()).toEqual({
      schemaVersion: 2,
      mediaType: ociIndex,
      manifests: [
        signatureDescriptor,
        {
          mediaType: manifestType,
          digest: sha256(plain),
          size: plain.length,
          artifactType: 'application/vnd.oci.image.config.v1+json',
        },
        { mediaType: ociIndex, digest: sha256(index), size: index.length },
      ],
    })

    const query = 'artifactType=application/vnd.example.signature'
    const filtered = await registry.send('GET', `/v2/${name}/referrers/${image.digest}?${query}`)
    expect(filtered.headers.get('oci-filters-applied')).toBe('artifactType')
    expect(await filtered.json()).toMatchObject({ manifests: [signatureDescriptor] })
    expect((await getJson(`/v2/lists/elsewhere/referrers/${image.digest}`)).body.manifests).toEqual([])
  })

  it('takes the referrer before its subject', async () => {
    const later = await pushParts(registry, name, 'comes later')
    const subject = subjectOf({ digest: sha256(later), manifest: later })
    const early = await pushParts(registry, name, 'early', { subject })
    expect((await putManifest(registry, name, sha256(early), early)).headers.get('oci-subject')).toBe(sha256(later))
    const { body } = await getJson(`/v2/${name}/referrers/${sha256(later)}`)
    expect(body.manifests.map((manifest: { digest: string }) => manifest.digest)).toEqual([sha256(early)])
  })

  it('is an empty index for a digest nobody refers to, and 400 for one that is none', async () => {
    expect((await getJson(`/v2/${name}/referrers/${sha256('nobody')}`)).body.manifests).toEqual([])
    const response = await registry.send('GET', `/v2/${name}/referrers/sha256:x`)
    expect([response.status, await codesOf(response)]).toEqual([400, ['DIGEST_INVALID']])
  })

  it('comes in pages where it is too large for one, and loses none', async () => {
    const image = await pushImage(registry, name, 'large', 'large subject')
    const expected = new Set<string>()
    for (let count = 0; count < 5; count += 1) {
      const annotations = { filler: `${count}`.repeat(1024 * 1024) }
      const manifest = await pushParts(registry, name, `large ${count}`, { subject: subjectOf(image), annotations })
      expect((await putManifest(registry, name, sha256(manifest), manifest)).status).toBe(201)
      expected.add(sha256(manifest))
    }
    const seen: string[] = []
    let path = `/v2/${name}/referrers/${image.digest}`
    let pages = 0
    while (path !== '') {
      const response = await registry.send('GET', path)
      const text = await response.text()
      expect(text.length).toBeLessThanOrEqual(4 * 1024 * 1024)
      seen.push(...JSON.parse(text).manifests.map((manifest: { digest: string }) => manifest.digest))
      path = next(response.headers.get('link'))
      pages += 1
    }
    expect(pages).toBeGreaterThan(1)
    expect(seen.toSorted()).toEqual([...expected].toSorted())
  })

  it('leaves tags of the fallback schema to the clients that write them', async () => {
    const image = await pushImage(registry, name, 'fallback', 'fallback subject')
    const index = JSON.stringify({ schemaVersion: 2, mediaType: ociIndex, manifests: [subjectOf(image)] })
    const tag = image.digest.replace(':', '-')
    expect((await putManifest(registry, name, tag, index, ociIndex)).status).toBe(201)
    expect(await (await registry.send('GET', `/v2/${name}/manifests/${tag}`)).text()).toBe(index)
  })
})
