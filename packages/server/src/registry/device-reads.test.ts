import { manifestKind } from '@freehold/contracts'
import fc from 'fast-check'
import { beforeEach, describe, expect, it, onTestFinished } from 'vitest'
import { requireOfDevice } from './device-reads.ts'
import { RegistryError } from './errors.ts'
import { pushIndex } from './inspect.testing.ts'
import {
  codesOf,
  ociManifest,
  pushBlob,
  pushImage,
  pushParts,
  putManifest,
  sha256,
  startTestRegistry,
  type TestRegistry,
} from './testing.ts'

const name = 'fleet/app'
const user = 'device-one'
let registry: TestRegistry
beforeEach(async () => {
  registry = await startTestRegistry()
  onTestFinished(() => registry.remove())
})

const allow = (...images: { repository: string; digest: string }[]) => registry.devices.set(user, images)
const get = async (path: string, method = 'GET') => (await registry.send(method, path, { user })).status
const blobsOf = (manifest: string): string[] => {
  const { config, layers } = JSON.parse(manifest) as { config: { digest: string }; layers: { digest: string }[] }
  return [config.digest, ...layers.map(({ digest }) => digest)]
}

async function tokenFor(...scopes: string[]): Promise<{ token: string; scope: string }> {
  const query = scopes.map((scope) => `scope=${encodeURIComponent(scope)}`).join('&')
  const response = await registry.send('GET', `/v2/token?${query}`, { user })
  expect(response.status).toBe(200)
  return (await response.json()) as { token: string; scope: string }
}
const bearing = (token: string, method: string, path: string) =>
  registry.send(method, path, { user: null, headers: { authorization: `Bearer ${token}` } })

async function refer(digest: string, size: number, extra: object = {}): Promise<{ digest: string; blobs: string[] }> {
  const subject = { mediaType: ociManifest, digest, size }
  const artifactType = 'application/spdx+json'
  const manifest = await pushParts(registry, name, `about ${digest}`, { subject, artifactType, ...extra })
  expect((await putManifest(registry, name, sha256(manifest), manifest)).status).toBe(201)
  return { digest: sha256(manifest), blobs: blobsOf(manifest) }
}

describe('a device', () => {
  it('pulls the manifest it is to run and its blobs, by digest', async () => {
    const { digest, manifest } = await pushImage(registry, name, 'v1', 'layer one')
    allow({ repository: name, digest })
    expect(await get('/v2/')).toBe(200)
    for (const method of ['GET', 'HEAD']) {
      expect(await get(`/v2/${name}/manifests/${digest}`, method)).toBe(200)
      for (const blob of blobsOf(manifest)) expect(await get(`/v2/${name}/blobs/${blob}`, method)).toBe(200)
    }
  })

  it('pulls the children of an index, their blobs, what refers to either, and the list of that', async () => {
    const child = await pushImage(registry, name, 'child', 'child layer')
    const index = await pushIndex(registry, name, 'v1', [child])
    const bill = await refer(child.digest, child.manifest.length)
    const aboutBill = await refer(bill.digest, 1)
    allow({ repository: name, digest: index })
    for (const digest of [index, child.digest, bill.digest, aboutBill.digest]) {
      expect(await get(`/v2/${name}/manifests/${digest}`)).toBe(200)
      expect(await get(`/v2/${name}/referrers/${digest}`)).toBe(200)
    }
    for (const blob of [...blobsOf(child.manifest), ...bill.blobs, ...aboutBill.blobs]) {
      expect(await get(`/v2/${name}/blobs/${blob}`)).toBe(200)
    }
  })

  it('gets neither the index above its image, nor the other children, nor what the image refers to', async () => {
    const [one, other] = [
      await pushImage(registry, name, 'a', 'a layer'),
      await pushImage(registry, name, 'b', 'b layer'),
    ]
    const index = await pushIndex(registry, name, 'v1', [one, other])
    const bill = await refer(other.digest, 1)
    allow({ repository: name, digest: one.digest })
    for (const digest of [index, other.digest, bill.digest]) {
      expect(await get(`/v2/${name}/manifests/${digest}`)).toBe(403)
      expect(await get(`/v2/${name}/referrers/${digest}`)).toBe(403)
    }
    const layers = blobsOf(other.manifest).filter((blob) => !blobsOf(one.manifest).includes(blob))
    for (const blob of [...layers, ...bill.blobs]) expect(await get(`/v2/${name}/blobs/${blob}`)).toBe(403)
    allow({ repository: name, digest: bill.digest })
    expect(await get(`/v2/${name}/manifests/${other.digest}`)).toBe(403)
  })

  it('gets nothing by tag, not even its own image, and no list of tags or repositories', async () => {
    const { digest } = await pushImage(registry, name, 'v1', 'layer one')
    allow({ repository: name, digest })
    for (const path of [
      `/v2/${name}/manifests/v1`,
      `/v2/${name}/manifests/none`,
      `/v2/${name}/tags/list`,
      '/v2/_catalog',
    ]) {
      expect(await get(path)).toBe(403)
    }
    expect(await get(`/v2/${name}/manifests/v1`, 'HEAD')).toBe(403)
  })

  it('gets nothing of another repository, be it the same bytes under the same digest', async () => {
    const { digest, manifest } = await pushImage(registry, name, 'v1', 'layer one')
    await pushImage(registry, 'fleet/twin', 'v1', 'layer one')
    const secret = await pushImage(registry, 'fleet/secret', 'v1', 'secret layer')
    allow({ repository: name, digest })
    for (const blob of blobsOf(manifest)) expect(await get(`/v2/fleet/twin/blobs/${blob}`)).toBe(403)
    expect(await get(`/v2/fleet/twin/manifests/${digest}`)).toBe(403)
    for (const repository of [name, 'fleet/secret']) {
      expect(await get(`/v2/${repository}/manifests/${secret.digest}`)).toBe(403)
      for (const blob of blobsOf(secret.manifest)) expect(await get(`/v2/${repository}/blobs/${blob}`)).toBe(403)
    }
  })

  it('is told of what it may not pull and of what is not there in the same words', async () => {
    const { digest } = await pushImage(registry, name, 'v1', 'layer one')
    const other = await pushImage(registry, name, 'v2', 'layer two')
    allow({ repository: name, digest })
    const told = async (path: string) => (await registry.send('GET', path, { user })).text()
    const absent = `sha256:${'0'.repeat(64)}`
    expect(await told(`/v2/${name}/manifests/${other.digest}`)).toBe(await told(`/v2/${name}/manifests/${absent}`))
    expect(await told(`/v2/${name}/manifests/v2`)).toBe(await told(`/v2/${name}/manifests/none`))
    expect(await told(`/v2/fleet/none/manifests/${digest}`)).toContain('DENIED')
  })

  it('pushes, mounts and deletes nothing', async () => {
    const { digest, manifest } = await pushImage(registry, name, 'v1', 'layer one')
    const secret = await pushBlob(registry, 'fleet/secret', 'secret layer')
    allow({ repository: name, digest })
    const tries: [string, string][] = [
      ['POST', `/v2/${name}/blobs/uploads/`],
      ['POST', `/v2/${name}/blobs/uploads/?mount=${secret.digest}&from=fleet/secret`],
      ['POST', `/v2/${name}/blobs/uploads/?mount=${secret.digest}`],
      ['PUT', `/v2/${name}/manifests/v9`],
      ['DELETE', `/v2/${name}/manifests/v1`],
      ['DELETE', `/v2/${name}/manifests/${digest}`],
      ['DELETE', `/v2/${name}/blobs/${blobsOf(manifest)[0]}`],
    ]
    const { token, scope } = await tokenFor(`repository:${name}:pull,push,delete`, 'repository:fleet/secret:pull')
    expect(scope).toBe(`repository:${name}:pull`)
    for (const [method, path] of tries) {
      const body = method === 'PUT' ? manifest : undefined
      const headers = { 'content-type': ociManifest }
      const response = await registry.send(method, path, { user, headers, ...(body === undefined ? {} : { body }) })
      expect([method, path, response.status]).toEqual([method, path, 403])
      expect((await bearing(token, method, path)).status).toBe(401)
    }
    expect(await get(`/v2/${name}/blobs/${secret.digest}`)).toBe(403)
  })
})

describe('a token of the registry for a device', () => {
  it('grants pulling from repositories of its releases alone, and no catalogue', async () => {
    const { digest } = await pushImage(registry, name, 'v1', 'layer one')
    await pushImage(registry, 'fleet/other', 'v1', 'layer two')
    allow({ repository: name, digest })
    const { scope } = await tokenFor(
      `repository:${name}:*`,
      'repository:fleet/other:pull',
      'repository:fleet/none:pull',
      'registry:catalog:*',
    )
    expect(scope).toBe(`repository:${name}:pull`)
    expect((await tokenFor('repository:fleet/other:pull')).scope).toBe('')
  })

  it('opens what the device is to run at the time of each request, not what it was to run when it was given', async () => {
    const one = await pushImage(registry, name, 'v1', 'layer one')
    const two = await pushImage(registry, name, 'v2', 'layer two')
    allow({ repository: name, digest: one.digest })
    const { token } = await tokenFor(`repository:${name}:pull`)
    const status = async (digest: string) => (await bearing(token, 'GET', `/v2/${name}/manifests/${digest}`)).status
    expect([await status(one.digest), await status(two.digest)]).toEqual([200, 403])
    allow({ repository: name, digest: two.digest })
    expect([await status(one.digest), await status(two.digest)]).toEqual([403, 200])
    allow()
    expect(await status(two.digest)).toBe(401)
  })

  it('ends at once with the device', async () => {
    const { digest } = await pushImage(registry, name, 'v1', 'layer one')
    allow({ repository: name, digest })
    const { token } = await tokenFor(`repository:${name}:pull`)
    registry.devices.delete(user)
    const response = await bearing(token, 'GET', `/v2/${name}/manifests/${digest}`)
    expect([response.status, await codesOf(response)]).toEqual([401, ['UNAUTHORIZED']])
    expect(response.headers.get('www-authenticate')).toContain('error="invalid_token"')
  })
})

describe('whatever manifests name each other', () => {
  const digestOf = (number: number) => sha256(`number ${number}`)
  const roots = fc.uniqueArray(fc.nat(11), { maxLength: 3 })
  /** Each names manifests and blobs by number, and may refer to one; numbers without a row stand for what is not here. */
  const rows = fc.uniqueArray(
    fc.record({
      number: fc.nat(11),
      children: fc.uniqueArray(fc.nat(11), { maxLength: 3 }),
      subject: fc.option(fc.nat(11)),
      blobs: fc.uniqueArray(fc.integer({ min: 100, max: 112 }), { maxLength: 3 }),
    }),
    { selector: ({ number }) => number, maxLength: 12 },
  )

  it('a device reads the closure of its roots under children and referrers, and nothing else', async () => {
    let run = 0
    await fc.assert(
      fc.asyncProperty(rows, roots, async (graph, allowed) => {
        run += 1
        const repository = `property/run-${run}`
        await registry.store.transaction({ type: 'system', id: 't', name: 't' }, async (transaction) => {
          for (const row of graph) {
            await transaction.create(manifestKind, {
              data: {
                repository,
                digest: digestOf(row.number),
                mediaType: ociManifest,
                size: 1,
                artifactType: null,
                annotations: {},
                blobs: row.blobs.map((blob) => ({ digest: digestOf(blob), size: 1 })),
                manifests: row.children.map(digestOf),
                subject: row.subject === null ? null : digestOf(row.subject),
                pushedBy: 'test',
              },
            })
          }
        })
        const expected = new Set(allowed)
        for (let before = -1; before !== expected.size; ) {
          before = expected.size
          for (const { number, children, subject } of graph) {
            if (subject !== null && expected.has(subject)) expected.add(number)
            if (expected.has(number)) for (const child of children) expected.add(child)
          }
        }
        const expectedBlobs = new Set(graph.filter(({ number }) => expected.has(number)).flatMap(({ blobs }) => blobs))
        const digestsIn = async (asked: string) => new Set(asked === repository ? allowed.map(digestOf) : [])
        const isLet = async (endpoint: Parameters<typeof requireOfDevice>[2]) => {
          try {
            await requireOfDevice(registry.store, digestsIn, endpoint)
            return true
          } catch (error) {
            if (error instanceof RegistryError && error.status === 403) return false
            throw error
          }
        }
        for (let number = 0; number < 12; number += 1) {
          const digest = digestOf(number)
          const reference = { kind: 'digest', digest } as const
          expect(await isLet({ kind: 'manifest', repository, reference })).toBe(expected.has(number))
          expect(await isLet({ kind: 'referrers', repository, digest })).toBe(expected.has(number))
          expect(await isLet({ kind: 'manifest', repository: 'property/other', reference })).toBe(false)
        }
        for (let number = 100; number < 113; number += 1) {
          expect(await isLet({ kind: 'blob', repository, digest: digestOf(number) })).toBe(expectedBlobs.has(number))
        }
      }),
      { numRuns: 40 },
    )
  })
})
