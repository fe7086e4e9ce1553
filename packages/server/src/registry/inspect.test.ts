import { changeSchema, imageKind, manifestDetailSchema, serviceKind, tagKind } from '@freehold/contracts'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { contentsOf, pushIndex, serve } from './inspect.testing.ts'
import {
  ociManifest,
  pushBlob,
  pushImage,
  pushParts,
  putManifest,
  sha256,
  startTestRegistry,
  type TestRegistry,
} from './testing.ts'

let registry: TestRegistry
let call: ReturnType<typeof contentsOf>
beforeAll(async () => {
  registry = await startTestRegistry()
  call = contentsOf(registry)
})
afterAll(() => registry.remove())

/** Attaches an artifact to a manifest by its `subject` and answers its digest. */
async function refer(repository: string, subject: { digest: string; manifest: string }, artifactType: string) {
  const config = await pushBlob(registry, repository, '{}', 'application/vnd.oci.empty.v1+json')
  const manifest = JSON.stringify({
    schemaVersion: 2,
    mediaType: ociManifest,
    artifactType,
    config,
    layers: [],
    subject: { mediaType: ociManifest, digest: subject.digest, size: subject.manifest.length },
    annotations: { 'org.example.made': artifactType },
  })
  const response = await putManifest(registry, repository, sha256(manifest), manifest)
  expect(response.status).toBe(201)
  return sha256(manifest)
}

describe('the tags of an image', () => {
  it('come in order of their last move, with all that people ask about', async () => {
    const name = 'inspect/tags'
    const first = await pushImage(registry, name, 'v1', 'layer one')
    const second = await pushImage(registry, name, 'v2', 'layer two')
    await putManifest(registry, name, 'latest', first.manifest)
    await putManifest(registry, name, 'latest', second.manifest)
    await refer(name, second, 'application/vnd.dev.cosign.artifact.sig.v1+json')
    await refer(name, second, 'application/spdx+json')
    await putManifest(registry, name, `sha256-${first.digest.slice(7)}.sig`, await pushParts(registry, name, 'signed'))
    const { items, nextCursor } = await call('tags', name)
    expect(nextCursor).toBeNull()
    expect(items.map(({ tag, digest, purpose }) => [tag, digest, purpose]).slice(1)).toEqual([
      ['latest', second.digest, 'image'],
      ['v2', second.digest, 'image'],
      ['v1', first.digest, 'image'],
    ])
    expect(items[0]).toMatchObject({ tag: `sha256-${first.digest.slice(7)}.sig`, purpose: 'signature' })
    expect(items[1]).toMatchObject({
      mediaType: ociManifest,
      platforms: ['linux/arm64/v8'],
      pushedBy: 'admin',
      deployments: [],
      releases: [],
      attachments: { signatures: 1, sboms: 1, attestations: 0, others: 0 },
    })
    expect(items[3]).toMatchObject({ attachments: { signatures: 1, sboms: 0 } })
    const manifest = JSON.parse(second.manifest)
    const parts = [manifest.config, ...manifest.layers].reduce((sum, part) => sum + part.size, second.manifest.length)
    expect(items[1]?.sizeBytes).toBe(parts)
    expect(await call('tag', name, { params: { tag: 'v1' } })).toEqual(items[3])
    await expect(call('tag', name, { params: { tag: 'v9' } })).rejects.toMatchObject({ code: 'not-found' })
  })

  it('can be paged and searched', async () => {
    const name = 'inspect/pages'
    const { manifest } = await pushImage(registry, name, 'v0', 'layer')
    for (let tag = 1; tag < 8; tag += 1) await putManifest(registry, name, `v${tag}`, manifest)
    const seen: string[] = []
    let cursor: string | undefined
    do {
      const page = await call('tags', name, { query: { limit: 3, cursor } })
      expect(page.items.length).toBeLessThanOrEqual(3)
      seen.push(...page.items.map(({ tag }) => tag))
      cursor = page.nextCursor ?? undefined
    } while (cursor !== undefined)
    expect(seen).toEqual(['v7', 'v6', 'v5', 'v4', 'v3', 'v2', 'v1', 'v0'])
    const found = await call('tags', name, { query: { search: 'V3' } })
    expect(found.items.map(({ tag }) => tag)).toEqual(['v3'])
  })

  it('say which services run them now, and which may go back to them', async () => {
    const name = 'inspect/served'
    const old = await pushImage(registry, name, 'v1', 'layer one')
    await pushImage(registry, name, 'v2', 'layer two')
    const service = await serve(registry, name, 'v1')
    const tagOf = async (tag: string) => (await call('tag', name, { params: { tag } })).deployments
    expect(await tagOf('v1')).toMatchObject([{ serviceName: service.data.name, revisionNumber: 1, current: false }])
    const { items } = await registry.store.list(serviceKind, { where: { imageId: service.data.imageId ?? '' } })
    const revisionId = (await tagOf('v1'))[0]?.revisionId ?? ''
    await registry.store.transaction({ type: 'system', id: 't', name: 't' }, (t) =>
      t.setStatus(serviceKind, service.id, { ...(items[0] ?? service).status, currentRevisionId: revisionId }),
    )
    expect(await tagOf('v1')).toMatchObject([{ revisionNumber: 1, current: true }])
    expect(await tagOf('v2')).toEqual([])
    const detail = await call('manifest', name, { params: { digest: old.digest } })
    expect(detail.deployments).toMatchObject([{ current: true }])
  })
})

describe('one manifest', () => {
  it('shows layers, config without the values of its environment, tags and referrers', async () => {
    const name = 'inspect/detail'
    const config = {
      os: 'linux',
      architecture: 'amd64',
      created: '2030-01-01T00:00:00Z',
      config: {
        Entrypoint: ['/bin/app'],
        Cmd: ['--serve'],
        Env: ['PATH=/bin', 'PASSWORD=hunter2'],
        ExposedPorts: { '80/tcp': {} },
        Labels: { maintainer: 'ada' },
        User: 1000,
      },
    }
    const configType = 'application/vnd.oci.image.config.v1+json'
    const descriptor = await pushBlob(registry, name, JSON.stringify(config), configType)
    const layers = [await pushBlob(registry, name, 'one'), await pushBlob(registry, name, 'two and more')]
    const manifest = JSON.stringify({
      schemaVersion: 2,
      mediaType: ociManifest,
      config: descriptor,
      layers,
      annotations: { 'org.opencontainers.image.source': 'https://example.com' },
    })
    await putManifest(registry, name, 'v1', manifest)
    const digest = sha256(manifest)
    const sbom = await refer(name, { digest, manifest }, 'application/spdx+json')
    const detail = await call('manifest', name, { params: { digest } })
    expect(manifestDetailSchema.parse(detail)).toEqual(detail)
    expect(detail).toMatchObject({
      purpose: 'image',
      tags: ['v1'],
      platforms: ['linux/amd64'],
      layers: layers.map(({ digest: layer, size }) => ({ digest: layer, sizeBytes: size })),
      layerCount: 2,
      annotations: { 'org.opencontainers.image.source': 'https://example.com' },
      config: {
        platform: 'linux/amd64',
        entrypoint: ['/bin/app'],
        command: ['--serve'],
        environmentNames: ['PATH', 'PASSWORD'],
        exposedPorts: ['80/tcp'],
        labels: { maintainer: 'ada' },
        user: null,
      },
      referrers: [{ digest: sbom, purpose: 'sbom', annotations: { 'org.example.made': 'application/spdx+json' } }],
    })
    expect(JSON.stringify(detail)).not.toContain('hunter2')
    expect(await call('manifest', name, { params: { digest: sbom } })).toMatchObject({
      purpose: 'sbom',
      subject: digest,
      config: null,
    })
    await expect(call('manifest', name, { params: { digest: sha256('no') } })).rejects.toMatchObject({
      code: 'not-found',
    })
  })

  it('shows the children of an index with their platforms, and of a child the index', async () => {
    const name = 'inspect/index'
    const child = await pushImage(registry, name, 'child', 'layer')
    const attestation = await pushImage(registry, name, 'attested', 'attestation')
    const digest = await pushIndex(registry, name, 'multi', [child, { ...attestation, platform: 'unknown/unknown' }])
    const detail = await call('manifest', name, { params: { digest } })
    expect(detail).toMatchObject({
      purpose: 'index',
      platforms: ['linux/amd64'],
      childCount: 2,
      children: [
        { digest: child.digest, platform: 'linux/amd64', purpose: 'image', present: true },
        { digest: attestation.digest, platform: null },
      ],
    })
    const below = await call('manifest', name, { params: { digest: child.digest } })
    expect(below.parents).toEqual([digest])
    const { items } = await call('manifests', name)
    expect(items.map(({ tags }) => tags)).toEqual([['multi'], ['attested'], ['child']])
  })

  it('that is damaged is said to be', async () => {
    const name = 'inspect/damaged'
    const { digest } = await pushImage(registry, name, 'v1', 'layer of what is damaged')
    await registry.blobs.delete(digest)
    await expect(call('manifest', name, { params: { digest } })).rejects.toMatchObject({
      code: 'conflict',
      message: expect.stringContaining('push it again'),
    })
  })
})

describe('the list of images', () => {
  it('shows size, tags and last push, the one pushed to last first', async () => {
    const { digest, manifest } = await pushImage(registry, 'inspect/summary', 'v1', 'layer')
    await putManifest(registry, 'inspect/summary', 'v2', manifest)
    await serve(registry, 'inspect/summary', digest)
    const { items } = await call('summaries', 'inspect/summary')
    const parts = JSON.parse(manifest)
    expect(items[0]).toMatchObject({
      name: 'inspect/summary',
      externalImage: null,
      mirrorOf: null,
      tagCount: 2,
      manifestCount: 1,
      sizeBytes: parts.config.size + parts.layers[0].size + manifest.length,
      newestTag: 'v2',
      lastPushBy: 'admin',
      services: [{ imageVersion: digest }],
    })
    const one = await call('summaries', 'inspect/summary', { query: { id: items[0]?.id } })
    expect(one.items).toEqual([items[0]])
    const searched = await call('summaries', 'inspect/summary', { query: { search: 'SUMM' } })
    expect(searched.items.map(({ name }) => name)).toEqual(['inspect/summary'])
  })

  it('shows an image of another registry without contents, and has none to show of it', async () => {
    const actor = { type: 'user', id: 'ada', name: 'ada' } as const
    await registry.store.transaction(actor, (t) =>
      t.create(imageKind, {
        data: { name: 'outside', description: '', location: { internal: false, externalImage: 'ghcr.io/x/y' } },
      }),
    )
    const { items } = await call('summaries', 'outside', { query: { search: 'outside' } })
    expect(items).toMatchObject([{ externalImage: 'ghcr.io/x/y', tagCount: 0, lastPushAt: null }])
    await expect(call('tags', 'outside')).rejects.toMatchObject({ code: 'not-found' })
  })
})

it('the audit log keeps of every push repository, tag, digest and who it was', async () => {
  const { digest } = await pushImage(registry, 'inspect/audit', 'v1', 'layer')
  const [entry] = await registry.store.audit({ kind: tagKind.name, limit: 1 })
  expect(changeSchema.parse(entry)).toMatchObject({
    operation: 'create',
    actor: { name: 'admin' },
    after: { data: { repository: 'inspect/audit', name: 'v1', digest } },
  })
})
