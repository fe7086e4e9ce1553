import { imageKind } from '@freehold/contracts'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import {
  codesOf,
  ociIndex,
  ociManifest,
  pushBlob,
  pushImage,
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

const versionsOf = async (name: string) =>
  (await registry.store.find(imageKind, 'name', name))?.status.versions.map(({ versionString }) => versionString)

describe('deleting (OCI Distribution 1.1, "Content Management")', () => {
  it('removes a tag and leaves its manifest', async () => {
    const name = 'delete/tag'
    const { digest, manifest } = await pushImage(registry, name, 'v1', 'layer')
    await putManifest(registry, name, 'v2', manifest)
    expect((await registry.send('DELETE', `/v2/${name}/manifests/v1`)).status).toBe(202)
    expect((await registry.send('GET', `/v2/${name}/manifests/v1`)).status).toBe(404)
    expect((await registry.send('GET', `/v2/${name}/manifests/v2`)).status).toBe(200)
    expect((await registry.send('GET', `/v2/${name}/manifests/${digest}`)).status).toBe(200)
    expect(await versionsOf(name)).toEqual(['v2'])
  })

  it('removes a manifest with every tag that names it', async () => {
    const name = 'delete/manifest'
    const other = await pushImage(registry, name, 'other', 'other layer')
    const { digest, manifest } = await pushImage(registry, name, 'v1', 'layer')
    await putManifest(registry, name, 'v2', manifest)
    expect((await registry.send('DELETE', `/v2/${name}/manifests/${digest}`)).status).toBe(202)
    for (const reference of ['v1', 'v2', digest]) {
      expect((await registry.send('GET', `/v2/${name}/manifests/${reference}`)).status, reference).toBe(404)
    }
    expect(await versionsOf(name)).toEqual(['other'])
    expect((await registry.send('GET', `/v2/${name}/manifests/${other.digest}`)).status).toBe(200)
    expect((await registry.send('DELETE', `/v2/${name}/manifests/${digest}`)).status).toBe(404)
  })

  it('removes a blob from its repository alone, once no manifest needs it', async () => {
    const name = 'delete/blob'
    const { digest, manifest } = await pushImage(registry, name, 'v1', 'shared layer')
    await pushBlob(registry, 'delete/other-blob', 'shared layer')
    const layer = JSON.parse(manifest).layers[0].digest
    const refused = await registry.send('DELETE', `/v2/${name}/blobs/${layer}`)
    expect([refused.status, await codesOf(refused)]).toEqual([405, ['UNSUPPORTED']])
    expect((await registry.send('GET', `/v2/${name}/blobs/${layer}`)).status).toBe(200)
    await registry.send('DELETE', `/v2/${name}/manifests/${digest}`)
    expect((await registry.send('DELETE', `/v2/${name}/blobs/${layer}`)).status).toBe(202)
    expect((await registry.send('GET', `/v2/${name}/blobs/${layer}`)).status).toBe(404)
    expect((await registry.send('DELETE', `/v2/${name}/blobs/${layer}`)).status).toBe(404)
    expect((await registry.send('GET', `/v2/delete/other-blob/blobs/${layer}`)).status).toBe(200)
  })

  it('keeps the children of an index until the index is gone', async () => {
    const name = 'delete/index'
    const child = await pushImage(registry, name, 'child', 'layer')
    const index = JSON.stringify({
      schemaVersion: 2,
      mediaType: ociIndex,
      manifests: [{ mediaType: ociManifest, digest: child.digest, size: child.manifest.length }],
    })
    await putManifest(registry, name, 'index', index, ociIndex)
    expect((await registry.send('DELETE', `/v2/${name}/manifests/${child.digest}`)).status).toBe(405)
    expect((await registry.send('GET', `/v2/${name}/manifests/child`)).status).toBe(200)
    expect((await registry.send('DELETE', `/v2/${name}/manifests/${sha256(index)}`)).status).toBe(202)
    expect((await registry.send('DELETE', `/v2/${name}/manifests/${child.digest}`)).status).toBe(202)
  })

  it('answers 404 for what is not there', async () => {
    await pushBlob(registry, 'delete/nothing', 'x')
    for (const [path, code] of [
      ['delete/nothing/manifests/latest', 'MANIFEST_UNKNOWN'],
      [`delete/nothing/manifests/${sha256('none')}`, 'MANIFEST_UNKNOWN'],
      [`delete/nothing/blobs/${sha256('none')}`, 'BLOB_UNKNOWN'],
      [`delete/nowhere/manifests/${sha256('none')}`, 'MANIFEST_UNKNOWN'],
    ]) {
      const response = await registry.send('DELETE', `/v2/${path}`)
      expect([response.status, await codesOf(response)], path).toEqual([404, [code]])
    }
  })

  it('takes the same image again after it was deleted', async () => {
    const name = 'delete/again'
    const { digest, manifest } = await pushImage(registry, name, 'latest', 'layer')
    await registry.send('DELETE', `/v2/${name}/manifests/${digest}`)
    for (const part of [JSON.parse(manifest).config, ...JSON.parse(manifest).layers]) {
      expect((await registry.send('DELETE', `/v2/${name}/blobs/${part.digest}`)).status).toBe(202)
    }
    expect((await putManifest(registry, name, 'latest', manifest)).status).toBe(404)
    await pushImage(registry, name, 'latest', 'layer')
    const pulled = await registry.send('GET', `/v2/${name}/manifests/latest`)
    expect(await pulled.text()).toBe(manifest)
  })
})
