import { imageKind, manifestKind, tagKind } from '@freehold/contracts'
import { beforeEach, describe, expect, it, onTestFinished } from 'vitest'
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

const name = 'delete/app'
let registry: TestRegistry
let call: ReturnType<typeof contentsOf>
beforeEach(async () => {
  registry = await startTestRegistry()
  onTestFinished(() => registry.remove())
  call = contentsOf(registry)
})

const preview = (body: object) => call('deletions', name, { body: { ...body, preview: true } })
const remove = (body: object) => call('deletions', name, { body })
async function rows() {
  const where = { repository: name }
  const [tags, manifests] = await Promise.all([
    registry.store.all(tagKind, { where }),
    registry.store.all(manifestKind, { where }),
  ])
  return {
    tags: tags.map(({ data }) => data.name).toSorted(),
    manifests: manifests.map(({ data }) => data.digest).toSorted(),
  }
}

async function storedBytes(): Promise<number> {
  let sum = 0
  for await (const { sizeBytes } of registry.blobs.list({ onStrange: () => {} })) sum += sizeBytes
  return sum
}

async function sign(subject: { digest: string; manifest: string }): Promise<string> {
  const config = await pushBlob(registry, name, '{}', 'application/vnd.oci.empty.v1+json')
  const manifest = JSON.stringify({
    schemaVersion: 2,
    mediaType: ociManifest,
    artifactType: 'application/vnd.dev.cosign.artifact.sig.v1+json',
    config,
    layers: [],
    subject: { mediaType: ociManifest, digest: subject.digest, size: subject.manifest.length },
  })
  await putManifest(registry, name, sha256(manifest), manifest)
  return sha256(manifest)
}

describe('deleting with a preview', () => {
  it('changes nothing, and tells exactly what the delete then does', async () => {
    const old = await pushImage(registry, name, 'v1', 'old layer')
    const kept = await pushImage(registry, name, 'v2', 'new layer')
    const signature = await sign(old)
    const before = await rows()
    const plan = await preview({ tags: ['v1'] })
    expect(await rows()).toEqual(before)
    expect(plan).toMatchObject({
      deleted: false,
      tags: [{ tag: 'v1', digest: old.digest }],
      manifests: [
        { digest: old.digest, purpose: 'image', because: 'untagged', platforms: ['linux/arm64/v8'] },
        { digest: signature, purpose: 'signature', because: 'referrer' },
      ],
      leftBehind: [],
      refusals: [],
    })
    const freed = await storedBytes()
    const done = await remove({ tags: ['v1'] })
    expect(done).toEqual({ ...plan, deleted: true })
    expect(await rows()).toEqual({ tags: ['v2'], manifests: [kept.digest] })
    expect((await registry.store.find(imageKind, 'name', name))?.status.versions).toMatchObject([
      { versionString: 'v2' },
    ])
    for (let pass = 0; pass < 3; pass += 1) {
      registry.clock.ms += 10_000
      await registry.registry.collectGarbage({ graceMs: 1000, signal: new AbortController().signal })
    }
    expect(freed - (await storedBytes())).toBe(plan.freedBytes)
  })

  it('tells what is left behind where nothing else shall go', async () => {
    const image = await pushImage(registry, name, 'v1', 'layer')
    const signature = await sign(image)
    const plan = await preview({ tags: ['v1'], cascade: false })
    expect(plan).toMatchObject({
      manifests: [],
      leftBehind: [{ digest: image.digest, because: 'untagged', message: null }],
      freedBytes: 0,
    })
    const whole = await remove({ manifests: [image.digest], cascade: false })
    expect(whole).toMatchObject({
      tags: [{ tag: 'v1' }],
      manifests: [{ digest: image.digest, because: 'asked' }],
      leftBehind: [{ digest: signature, purpose: 'signature', because: 'referrer', message: null }],
    })
    expect(await rows()).toEqual({ tags: [], manifests: [signature] })
  })

  it('keeps a manifest that another tag names, and counts no bytes that others need', async () => {
    const image = await pushImage(registry, name, 'v1', 'layer')
    await putManifest(registry, name, 'v2', image.manifest)
    expect(await preview({ tags: ['v1'] })).toMatchObject({ manifests: [], leftBehind: [], freedBytes: 0 })
    const both = await preview({ tags: ['v1', 'v2'] })
    expect(both.manifests.map(({ digest }) => digest)).toEqual([image.digest])
    const whole = both.freedBytes
    await pushBlob(registry, 'delete/other', 'layer')
    expect((await preview({ tags: ['v1', 'v2'] })).freedBytes).toBe(whole - 'layer'.length)
  })

  it('takes the children of an index along, but none that a tag or another index names', async () => {
    const [a, b, c] = [
      await pushImage(registry, name, 'a', 'layer a'),
      await pushImage(registry, name, 'b', 'layer b'),
      await pushImage(registry, name, 'c', 'layer c'),
    ]
    const one = await pushIndex(registry, name, 'one', [a, b, c])
    await pushIndex(registry, name, 'two', [b, { ...b, platform: 'linux/s390x' }])
    await call('deletions', name, { body: { tags: ['a', 'b'] } })
    expect((await rows()).tags).toEqual(['c', 'one', 'two'])
    const plan = await preview({ manifests: [one] })
    expect(plan.manifests.map(({ digest, because }) => [digest, because])).toEqual([
      [one, 'asked'],
      [a.digest, 'child'],
    ])
    await remove({ manifests: [one] })
    expect((await rows()).manifests).not.toContain(a.digest)
    expect((await rows()).manifests).toContain(b.digest)
    expect((await registry.send('GET', `/v2/${name}/manifests/two`)).status).toBe(200)
  })

  it("takes cosign's tags along", async () => {
    const image = await pushImage(registry, name, 'v1', 'layer')
    const signature = await pushParts(registry, name, 'a signature')
    const tag = `sha256-${image.digest.slice(7)}.sig`
    await putManifest(registry, name, tag, signature)
    const plan = await remove({ tags: ['v1'] })
    expect(plan.tags.map((each) => each.tag).toSorted()).toEqual([tag, 'v1'])
    expect(plan.manifests).toMatchObject([{ because: 'untagged' }, { because: 'referrer', purpose: 'signature' }])
    expect(await rows()).toEqual({ tags: [], manifests: [] })
  })

  it('leaves a referrer behind that has a tag of its own, and says so', async () => {
    const image = await pushImage(registry, name, 'v1', 'layer')
    const signature = await sign(image)
    const body = await (await registry.send('GET', `/v2/${name}/manifests/${signature}`)).text()
    await putManifest(registry, name, 'signed-by-hand', body)
    const plan = await remove({ tags: ['v1'] })
    expect(plan.leftBehind).toMatchObject([{ digest: signature, message: 'The tag signed-by-hand names it.' }])
    expect(await rows()).toEqual({ tags: ['signed-by-hand'], manifests: [signature] })
  })
})

describe('a delete is refused as a whole', () => {
  it('while a revision of a service runs it, by tag and by digest, naming the service', async () => {
    const image = await pushImage(registry, name, 'v1', 'layer')
    await pushImage(registry, name, 'v2', 'other layer')
    const service = await serve(registry, name, 'v1')
    const plan = await preview({ tags: ['v1', 'v2'] })
    expect(plan.refusals).toMatchObject([{ tag: 'v1', digest: image.digest, reason: 'in-use' }])
    expect(plan.refusals[0]?.message).toContain(`Revision 1 of the service ${service.data.name}`)
    const before = await rows()
    for (const body of [{ tags: ['v1', 'v2'] }, { manifests: [image.digest] }]) {
      await expect(remove(body)).rejects.toMatchObject({
        code: 'conflict',
        message: expect.stringContaining(service.data.name),
      })
    }
    expect(await rows()).toEqual(before)
  })

  it('while an index names it, unless the index goes too', async () => {
    const child = await pushImage(registry, name, 'child', 'layer')
    const index = await pushIndex(registry, name, 'index', [child])
    await expect(remove({ manifests: [child.digest] })).rejects.toMatchObject({
      code: 'conflict',
      message: expect.stringContaining(index),
    })
    await remove({ manifests: [child.digest, index] })
    expect(await rows()).toEqual({ tags: [], manifests: [] })
  })

  it('where something is not there', async () => {
    await pushImage(registry, name, 'v1', 'layer')
    expect((await preview({ tags: ['v9'] })).refusals).toMatchObject([{ tag: 'v9', reason: 'not-found' }])
    await expect(remove({ tags: ['v1', 'v9'] }))
      .rejects.toMatchObject({ code: 'conflict' })
      .catch(() => {})
    await expect(remove({ manifests: [sha256('no')] })).rejects.toMatchObject({ code: 'not-found' })
    expect((await rows()).tags).toEqual(['v1'])
  })
})
