import { afterAll, beforeAll, expect, it } from 'vitest'
import { createRegistryContent, type RegistryContent } from './content.ts'
import { pushBlob, pushImage, pushParts, putManifest, sha256, startTestRegistry, type TestRegistry } from './testing.ts'

let registry: TestRegistry
let content: RegistryContent
beforeAll(async () => {
  registry = await startTestRegistry()
  content = createRegistryContent({ reads: registry.store, blobs: registry.blobs })
})
afterAll(() => registry.remove())

it('answers manifests and tags of the repository they are in, and of no other', async () => {
  const { digest, manifest } = await pushImage(registry, 'content/app', 'v1', 'layer')
  expect(await content.digestOfTag('content/app', 'v1')).toBe(digest)
  expect(await content.holds('content/app', digest)).toBe(true)
  expect((await content.manifest('content/app', digest))?.toString()).toBe(manifest)
  expect(await content.digestOfTag('content/other', 'v1')).toBeUndefined()
  expect(await content.holds('content/other', digest)).toBe(false)
  expect(await content.manifest('content/other', digest)).toBeUndefined()
})

it('answers a blob through a repository that links it, and within the limit alone', async () => {
  const { digest } = await pushBlob(registry, 'content/blobs', 'ten bytes.')
  expect((await content.blob('content/blobs', digest, { limitBytes: 10 }))?.toString()).toBe('ten bytes.')
  expect(await content.blob('content/blobs', digest, { limitBytes: 9 })).toBeUndefined()
  expect(await content.blob('content/other', digest, { limitBytes: 10 })).toBeUndefined()
  expect(await content.blob('content/blobs', sha256('nothing'), { limitBytes: 10 })).toBeUndefined()
  await registry.blobs.delete(digest)
  expect(await content.blob('content/blobs', digest, { limitBytes: 10 })).toBeUndefined()
})

it('answers as many referrers as asked for, of the types asked for', async () => {
  const { digest, manifest } = await pushImage(registry, 'content/subject', 'v1', 'layer')
  const subject = { mediaType: 'application/vnd.oci.image.manifest.v1+json', digest, size: manifest.length }
  for (const artifactType of ['a/sbom', 'a/signature', 'a/signature', 'a/signature']) {
    const annotations = { number: String(Math.random()) }
    const referrer = await pushParts(registry, 'content/subject', artifactType, { artifactType, subject, annotations })
    expect((await putManifest(registry, 'content/subject', sha256(referrer), referrer)).status).toBe(201)
  }
  const isWanted = (type: string) => type === 'a/signature'
  const found = await content.referrers('content/subject', digest, { isWanted, limit: 2 })
  expect(found.map(({ artifactType }) => artifactType)).toEqual(['a/signature', 'a/signature'])
  expect(await content.referrers('content/subject', digest, { isWanted, limit: 9 })).toHaveLength(3)
  expect(await content.referrers('content/app', digest, { isWanted, limit: 9 })).toEqual([])
})
