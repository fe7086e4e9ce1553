import { randomBytes } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import {
  codesOf,
  ociIndex,
  ociManifest,
  pushBlob,
  pushImage,
  pushParts,
  putManifest,
  sha256,
  sha512,
  startTestRegistry,
  type TestRegistry,
} from './testing.ts'

/** What OCI Distribution 1.1 asks for and no other file here shows; docs/registry-conformance.md says what is where. */
let registry: TestRegistry
beforeAll(async () => {
  registry = await startTestRegistry()
})
afterAll(() => registry.remove())

const uuid = /[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/
const emptyConfig = 'application/vnd.oci.empty.v1+json'
const begin = async (repository: string, query = '') =>
  (await registry.send('POST', `/v2/${repository}/blobs/uploads/${query}`)).headers.get('location') ?? ''

async function expectPulled(repository: string, reference: string, body: string, mediaType: string): Promise<void> {
  const response = await registry.send('GET', `/v2/${repository}/manifests/${reference}`)
  expect([response.status, response.headers.get('content-type'), await response.text()]).toEqual([200, mediaType, body])
}

describe('pulling (OCI Distribution 1.1, "Pulling manifests", "Pulling blobs", "Checking if content exists")', () => {
  it('tells digest, length and type of a manifest by HEAD, by tag and by digest, and 404 for none', async () => {
    const { digest, manifest } = await pushImage(registry, 'conform/head', 'v1', 'layer')
    for (const reference of ['v1', digest]) {
      const head = await registry.send('HEAD', `/v2/conform/head/manifests/${reference}`)
      expect([head.status, await head.text()]).toEqual([200, ''])
      expect(Object.fromEntries(head.headers)).toMatchObject({
        'docker-content-digest': digest,
        'content-length': String(manifest.length),
        'content-type': ociManifest,
      })
    }
    for (const reference of ['none', sha256('none')]) {
      const head = await registry.send('HEAD', `/v2/conform/head/manifests/${reference}`)
      expect([head.status, await head.text()]).toEqual([404, ''])
    }
  })

  it('answers HEAD with 304 to whoever has it, blob and manifest', async () => {
    const { digest, manifest } = await pushImage(registry, 'conform/known', 'v1', 'layer')
    const layer = JSON.parse(manifest).layers[0].digest
    for (const [path, etag] of [
      ['manifests/v1', digest],
      [`blobs/${layer}`, layer],
    ]) {
      const response = await registry.send('HEAD', `/v2/conform/known/${path}`, {
        headers: { 'if-none-match': `"${etag}"` },
      })
      expect(response.status, path).toBe(304)
    }
  })

  it('ignores parameters of the type a manifest is pushed with, and tells none when it is pulled', async () => {
    const manifest = await pushParts(registry, 'conform/parameters', 'layer')
    const put = await putManifest(registry, 'conform/parameters', 'v1', manifest, `${ociManifest}; charset=utf-8`)
    expect(put.status).toBe(201)
    await expectPulled('conform/parameters', 'v1', manifest, ociManifest)
  })

  it('gives the manifest that is there, whatever types a client accepts', async () => {
    const { manifest } = await pushImage(registry, 'conform/accept', 'v1', 'layer')
    const response = await registry.send('GET', '/v2/conform/accept/manifests/v1', {
      headers: { accept: 'application/vnd.docker.distribution.manifest.v1+json' },
    })
    expect([response.status, await response.text()]).toEqual([200, manifest])
  })

  it('ignores the namespace parameter, being no proxy ("Registry Proxying")', async () => {
    const { digest } = await pushImage(registry, 'conform/ns', 'v1', 'layer')
    const response = await registry.send('GET', '/v2/conform/ns/manifests/v1?ns=docker.io')
    expect([response.headers.get('docker-content-digest'), response.headers.get('oci-namespace')]).toEqual([
      digest,
      null,
    ])
  })
})

describe('uploads (OCI Distribution 1.1, "Pushing blobs")', () => {
  it('have a location with a UUID, no least length of a chunk, and tell where they stand', async () => {
    const started = await registry.send('POST', '/v2/conform/upload/blobs/uploads/', {
      headers: { 'content-length': '0' },
    })
    const location = started.headers.get('location') ?? ''
    expect([started.status, started.headers.get('oci-chunk-min-length')]).toEqual([202, null])
    expect(location).toMatch(uuid)
    const patched = await registry.send('PATCH', location, { body: 'x', headers: { 'content-range': '0-0' } })
    expect([patched.status, patched.headers.get('range')]).toEqual([202, '0-0'])
    expect(patched.headers.get('location')).toMatch(uuid)
    const status = await registry.send('GET', location)
    expect([status.status, status.headers.get('range')]).toEqual([204, '0-0'])
    expect(status.headers.get('location')).toMatch(uuid)
    expect((await registry.send('DELETE', location)).status).toBe(204)
  })

  it('take a body of unknown length', async () => {
    const content = randomBytes(300_000)
    const location = await begin('conform/stream')
    const body = new Blob([content]).stream() as ReadableStream<Uint8Array>
    const patched = await registry.send('PATCH', location, { body })
    expect([patched.status, patched.headers.get('range')]).toEqual([202, '0-299999'])
    expect((await registry.send('PUT', `${location}?digest=${sha256(content)}`)).status).toBe(201)
  })

  it.each([
    ['in one go', ''],
    ['with the last chunk in the PUT', 'half'],
    ['all in chunks', 'whole'],
  ])('refuse another digest %s, with sha256 and sha512', async (_how, sent) => {
    for (const digestOf of [sha256, sha512]) {
      const location = await begin('conform/digest', '?digest-algorithm=sha512')
      if (sent !== '') expect((await registry.send('PATCH', location, { body: sent })).status).toBe(202)
      const body = sent === 'whole' ? {} : { body: 'rest' }
      const response = await registry.send('PUT', `${location}?digest=${digestOf('promised')}`, body)
      expect([response.status, await codesOf(response)]).toEqual([400, ['DIGEST_INVALID']])
    }
  })

  it('begin where a mount names a source that is none ("Mounting a blob from another repository")', async () => {
    const { digest } = await pushBlob(registry, 'conform/source', 'to be mounted')
    const mount = (query: string) => registry.send('POST', `/v2/conform/target/blobs/uploads/?${query}`)
    expect((await mount(`mount=${sha256('none')}`)).status).toBe(202)
    const bad = await mount(`mount=${digest}&from=No/Name`)
    expect([bad.status, await codesOf(bad)]).toEqual([400, ['NAME_INVALID']])
    const badDigest = await mount('mount=sha256:x&from=conform/source')
    expect([badDigest.status, await codesOf(badDigest)]).toEqual([400, ['DIGEST_INVALID']])
    const anywhere = await mount(`mount=${digest}`)
    expect([anywhere.status, anywhere.headers.get('location')]).toEqual([201, `/v2/conform/target/blobs/${digest}`])
  })

  it('by automatic mount take nothing from where the caller may not pull', async () => {
    const { digest } = await pushBlob(registry, 'secret/source', 'not for everyone')
    const token = await registry.send('GET', '/v2/token?service=x&scope=repository:conform/mine:pull,push')
    const { token: bearer } = (await token.json()) as { token: string }
    const headers = { authorization: `Bearer ${bearer}` }
    const path = `/v2/conform/mine/blobs/uploads/?mount=${digest}`
    expect((await registry.send('POST', path, { user: null, headers })).status).toBe(202)
  })
})

describe('manifests of every shape (OCI Distribution 1.1, "Pushing Manifests"; OCI Image 1.1)', () => {
  const name = 'conform/shapes'
  const empty = () => pushBlob(registry, name, '{}', emptyConfig)
  const pushed = async (body: object, mediaType: string) => {
    const text = JSON.stringify({ schemaVersion: 2, mediaType, ...body })
    const digest = sha512(text)
    const response = await putManifest(registry, name, digest, text, mediaType)
    expect([response.status, response.headers.get('docker-content-digest'), response.headers.get('location')]).toEqual([
      201,
      digest,
      `/v2/${name}/manifests/${digest}`,
    ])
    await expectPulled(name, digest, text, mediaType)
    return { mediaType, digest, size: text.length }
  }

  it('without layers, with data in descriptors and with fields nobody knows', async () => {
    const config = await empty()
    await pushed({ config, layers: [] }, ociManifest)
    await pushed({ config: { ...config, data: 'e30=' }, layers: [{ ...config, data: 'e30=' }] }, ociManifest)
    await pushed({ config, layers: [config], 'org.example.unknown': { deep: [1] } }, ociManifest)
  })

  it('as artifacts: with a type of their own, with layers of any type, as an index with a type', async () => {
    const config = await empty()
    const layer = await pushBlob(registry, name, 'sbom', 'text/spdx+json')
    const artifactType = 'application/vnd.example.sbom'
    const artifact = await pushed({ artifactType, config, layers: [layer] }, ociManifest)
    await pushed({ artifactType, manifests: [artifact] }, ociIndex)
  })

  it('as an index of nothing, and an index of indexes', async () => {
    const inner = await pushed({ manifests: [] }, ociIndex)
    await pushed({ manifests: [inner] }, ociIndex)
  })

  it('refuses Docker schema 1, signed or not, and says so', async () => {
    const schema1 = JSON.stringify({
      schemaVersion: 1,
      name,
      tag: 'v1',
      architecture: 'amd64',
      fsLayers: [],
      history: [],
    })
    for (const type of ['prettyjws', 'json']) {
      const mediaType = `application/vnd.docker.distribution.manifest.v1+${type}`
      const response = await putManifest(registry, name, 'schema1', schema1, mediaType)
      expect([response.status, await codesOf(response)]).toEqual([400, ['MANIFEST_INVALID']])
    }
    expect((await registry.send('HEAD', `/v2/${name}/manifests/schema1`)).status).toBe(404)
  })

  it('refuses a digest that is none, pushed and pulled', async () => {
    const manifest = await pushParts(registry, name, 'layer')
    for (const response of [
      await putManifest(registry, name, 'sha256:baddigeststring', manifest),
      await registry.send('GET', `/v2/${name}/manifests/sha256:baddigeststring`),
    ]) {
      expect([response.status, await codesOf(response)]).toEqual([400, ['DIGEST_INVALID']])
    }
  })
})

describe('referrers (OCI Distribution 1.1, "Pushing Manifests with Subject", "Listing Referrers")', () => {
  const name = 'conform/referrers'
  const referrersOf = async (digest: string, query = '') => {
    const response = await registry.send('GET', `/v2/${name}/referrers/${digest}${query}`)
    expect([response.status, response.headers.get('content-type')]).toEqual([200, ociIndex])
    return { response, ...((await response.json()) as { manifests: { digest: string; artifactType?: string }[] }) }
  }

  it('of a repository nobody pushed to are none, not unknown', async () => {
    const response = await registry.send('GET', `/v2/conform/nowhere/referrers/${sha256('x')}`)
    expect([response.status, await response.json()]).toEqual([
      200,
      { schemaVersion: 2, mediaType: ociIndex, manifests: [] },
    ])
  })

  it('of a subject by sha512 are found, and vanish with their manifest', async () => {
    const manifest = await pushParts(registry, name, 'subject by sha512')
    const subject = { mediaType: ociManifest, digest: sha512(manifest), size: manifest.length }
    await putManifest(registry, name, subject.digest, manifest)
    const referrer = await pushParts(registry, name, 'referrer', { subject })
    const put = await putManifest(registry, name, sha256(referrer), referrer)
    expect(put.headers.get('oci-subject')).toBe(subject.digest)
    expect((await referrersOf(subject.digest)).manifests.map(({ digest }) => digest)).toEqual([sha256(referrer)])
    expect((await registry.send('DELETE', `/v2/${name}/manifests/${sha256(referrer)}`)).status).toBe(202)
    expect((await referrersOf(subject.digest)).manifests).toEqual([])
  })

  it('are filtered by type, and an unknown filter is not said to be applied', async () => {
    const image = await pushImage(registry, name, 'filtered', 'filtered subject')
    const subject = { mediaType: ociManifest, digest: image.digest, size: image.manifest.length }
    for (const artifactType of ['application/vnd.example.a', 'application/vnd.example.b']) {
      const referrer = await pushParts(registry, name, artifactType, { subject, artifactType })
      expect((await putManifest(registry, name, sha256(referrer), referrer)).status).toBe(201)
    }
    const all = await referrersOf(image.digest, '?unknown=x')
    expect([all.manifests.length, all.response.headers.get('oci-filters-applied')]).toEqual([2, null])
    const some = await referrersOf(image.digest, '?artifactType=application/vnd.example.b')
    expect(some.manifests.map(({ artifactType }) => artifactType)).toEqual(['application/vnd.example.b'])
    expect(some.response.headers.get('oci-filters-applied')).toBe('artifactType')
    const none = await referrersOf(image.digest, '?artifactType=application/vnd.example.c')
    expect([none.manifests, none.response.headers.get('oci-filters-applied')]).toEqual([[], 'artifactType'])
  })

  it('of an image copied here with its index of the fallback tag are each there once ("Enabling the Referrers API")', async () => {
    const image = await pushImage(registry, name, 'copied', 'copied subject')
    const subject = { mediaType: ociManifest, digest: image.digest, size: image.manifest.length }
    const signature = await pushParts(registry, name, 'copied signature', { subject })
    const descriptor = { mediaType: ociManifest, digest: sha256(signature), size: signature.length }
    // Without a subject it refers to nothing, though the client's index names it.
    const stranger = await pushImage(registry, name, 'stranger', 'stranger')
    const strangerDescriptor = { mediaType: ociManifest, digest: stranger.digest, size: stranger.manifest.length }
    expect((await putManifest(registry, name, sha256(signature), signature)).status).toBe(201)
    const manifests = [descriptor, strangerDescriptor]
    const index = JSON.stringify({ schemaVersion: 2, mediaType: ociIndex, manifests })
    const tag = image.digest.replace(':', '-')
    expect((await putManifest(registry, name, tag, index, ociIndex)).status).toBe(201)
    expect((await referrersOf(image.digest)).manifests.map(({ digest }) => digest)).toEqual([sha256(signature)])
    await expectPulled(name, tag, index, ociIndex)
  })

  it("by cosign's tags are images like any other, found by tag, and by referrer where they name their subject", async () => {
    const image = await pushImage(registry, name, 'signed', 'signed image')
    const signing = 'application/vnd.dev.cosign.simplesigning.v1+json'
    const payload = JSON.stringify({ critical: { image: { 'docker-manifest-digest': image.digest } }, optional: null })
    const layer = await pushBlob(registry, name, payload, signing)
    const config = await pushBlob(
      registry,
      name,
      '{"architecture":"","os":""}',
      'application/vnd.oci.image.config.v1+json',
    )
    const layers = [{ ...layer, annotations: { 'dev.cosignproject.cosign/signature': 'MEUCIQ==' } }]
    const body = (extra: object) =>
      JSON.stringify({ schemaVersion: 2, mediaType: ociManifest, config, layers, ...extra })
    const tag = `${image.digest.replace(':', '-')}.sig`
    expect((await putManifest(registry, name, tag, body({}))).status).toBe(201)
    await expectPulled(name, tag, body({}), ociManifest)
    expect((await referrersOf(image.digest)).manifests).toEqual([])
    const subject = { mediaType: ociManifest, digest: image.digest, size: image.manifest.length }
    const referring = body({ subject, artifactType: 'application/vnd.dev.cosign.artifact.sig.v1+json' })
    expect((await putManifest(registry, name, sha256(referring), referring)).status).toBe(201)
    expect((await referrersOf(image.digest)).manifests).toMatchObject([
      { digest: sha256(referring), artifactType: 'application/vnd.dev.cosign.artifact.sig.v1+json' },
    ])
  })
})

describe('lists (OCI Distribution 1.1, "Listing Tags")', () => {
  it('of very many tags come from the store page by page, in order, and end', async () => {
    const name = 'conform/many'
    const { digest, manifest } = await pushImage(registry, name, 'first', 'layer')
    const tags = Array.from({ length: 1200 }, (_, index) => `t${(index * 7919) % 1200}`)
    for (let at = 0; at < tags.length; at += 60) {
      const query = tags.slice(at, at + 60).map((tag) => `tag=${tag}`)
      expect((await putManifest(registry, name, `${digest}?${query.join('&')}`, manifest)).status).toBe(201)
    }
    // Neighbours whose names begin alike are not of this repository.
    await pushImage(registry, `${name}-more`, 'zz', 'layer')
    await pushImage(registry, `${name}/below`, 'zz', 'layer')
    const seen: string[] = []
    let path = `/v2/${name}/tags/list?n=501`
    while (path !== '') {
      const response = await registry.send('GET', path)
      seen.push(...((await response.json()) as { tags: string[] }).tags)
      path = /^<([^>]+)>; rel="next"$/.exec(response.headers.get('link') ?? '')?.[1] ?? ''
    }
    expect(seen).toEqual(['first', ...tags].toSorted())
    expect((await (await registry.send('GET', `/v2/${name}/tags/list`)).json()) as object).toEqual({ name, tags: seen })
  })
})

it('deletes what was pushed in the order of the official suite: tags, manifests from the outside in, then blobs', async () => {
  const name = 'conform/delete'
  const child = await pushImage(registry, name, 'child', 'layer')
  const manifests = [{ mediaType: ociManifest, digest: child.digest, size: child.manifest.length }]
  const index = JSON.stringify({ schemaVersion: 2, mediaType: ociIndex, manifests })
  await putManifest(registry, name, 'index', index, ociIndex)
  const { config, layers } = JSON.parse(child.manifest)
  const paths = [
    ...['manifests/child', 'manifests/index', `manifests/${sha256(index)}`, `manifests/${child.digest}`],
    ...[`blobs/${config.digest}`, `blobs/${layers[0].digest}`],
  ]
  for (const path of paths) {
    expect((await registry.send('DELETE', `/v2/${name}/${path}`)).status, path).toBe(202)
    expect((await registry.send('GET', `/v2/${name}/${path}`)).status, path).toBe(404)
  }
})
