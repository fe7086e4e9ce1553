import {
  clusterKind,
  type Image,
  imageKind,
  manifestKind,
  type Retention,
  serviceData,
  tagKind,
} from '@freehold/contracts'
import type { Store } from '@freehold/store'
import { describe, expect, it, onTestFinished } from 'vitest'
import { createService } from '../services/index.ts'
import { collectAll, losses } from './garbage.testing.ts'
import { createRetainer, type Retainer } from './retention.ts'
import { dayMs } from './retention-rules.ts'
import {
  ociIndex,
  ociManifest,
  pushBlob,
  pushImage,
  pushParts,
  putManifest,
  sha256,
  startTestRegistry,
  type TestRegistry,
} from './testing.ts'
import { changeImage, usage } from './usage.testing.ts'

const tester = { type: 'user', id: 'tester', name: 'tester' } as const
const never = new AbortController().signal

async function start(): Promise<TestRegistry> {
  const registry = await startTestRegistry()
  onTestFinished(() => registry.remove())
  return registry
}

function retainerOf(registry: TestRegistry, options: { defaultRetention?: Retention; store?: Store } = {}): Retainer {
  return createRetainer({
    store: options.store ?? registry.store,
    host: () => registry.host,
    defaultRetention: options.defaultRetention ?? null,
    now: () => registry.clock.ms,
    log: { info: () => {}, warn: (fields) => registry.warnings.push(fields) },
  })
}

async function imageOf({ store }: TestRegistry, repository: string): Promise<Image> {
  const image = await store.find(imageKind, 'name', repository)
  if (image === undefined) throw new Error(`There is no image ${repository}.`)
  return image
}

const tagsOf = async ({ store }: TestRegistry, repository: string) =>
  (await store.all(tagKind, { where: { repository } })).map((tag) => tag.data.name).toSorted()
const digestsOf = async ({ store }: TestRegistry, repository: string) =>
  (await store.all(manifestKind, { where: { repository } })).map((row) => row.data.digest).toSorted()

/** Pushes tags a day apart. */
async function pushDaily(registry: TestRegistry, repository: string, tags: readonly string[]): Promise<string[]> {
  const digests: string[] = []
  for (const tag of tags) {
    registry.clock.ms += dayMs
    digests.push((await pushImage(registry, repository, tag, `${repository} ${tag}`)).digest)
  }
  return digests
}

async function serve(registry: TestRegistry, repository: string, imageVersion: string): Promise<void> {
  await registry.store.transaction(tester, async (transaction) => {
    const cluster = await transaction.create(clusterKind, { data: { name: 'main', description: '' } })
    const image = await transaction.find(imageKind, 'name', repository)
    const data = serviceData.parse({ name: 'web', clusterId: cluster.id, imageId: image?.id, imageVersion })
    await createService(transaction, { data }, { registryHost: () => registry.host, now: () => registry.clock.ms })
  })
}

/** cosign's layout: a manifest under a tag made of the digest it signs. */
async function sign(
  registry: TestRegistry,
  repository: string,
  digest: string,
): Promise<{ tag: string; digest: string }> {
  const tag = `${digest.replace(':', '-')}.sig`
  return { tag, digest: (await pushImage(registry, repository, tag, `signature of ${digest}`)).digest }
}

describe('a dry run', () => {
  it('says what would go and why, by saved rules, by others and by the default, and changes nothing', async () => {
    const registry = await start()
    await pushDaily(registry, 'team/app', ['v1', 'v2', 'v3'])
    const before = await registry.store.version()
    const retainer = retainerOf(registry, { defaultRetention: { keepLastTags: 2 } })
    const image = await imageOf(registry, 'team/app')
    expect(await retainerOf(registry).preview(image)).toMatchObject({
      source: 'none',
      retention: null,
      tags: { keep: 3, delete: 0 },
    })
    const byDefault = await retainer.preview(image)
    expect(byDefault).toMatchObject({
      source: 'default',
      tags: { keep: 2, delete: 1 },
      manifests: { keep: 3, delete: 0 },
    })
    expect(byDefault.steps[0]).toMatchObject({ tag: 'v1', action: 'delete', reason: 'no rule keeps it (the last 2)' })
    const tried = await retainer.preview(image, { keepLastTags: 1 })
    expect(tried).toMatchObject({ source: 'request', tags: { keep: 1, delete: 2 }, truncated: false })
    expect(await registry.store.version()).toBe(before)
    await changeImage(registry.store, 'team/app', { retention: {} })
    expect(await retainer.preview(await imageOf(registry, 'team/app'))).toMatchObject({
      source: 'image',
      tags: { delete: 0 },
    })
  })

  it('counts the bytes no manifest that stays needs', async () => {
    const registry = await start()
    const [first] = await pushDaily(registry, 'team/app', ['v1', 'v2'])
    await registry.send('DELETE', '/v2/team/app/manifests/v1')
    const row = await registry.store.find(manifestKind, 'reference', `team/app@${first}`)
    registry.clock.ms += 10 * dayMs
    const report = await retainerOf(registry).preview(await imageOf(registry, 'team/app'), {
      deleteUntaggedAfterDays: 7,
    })
    expect(report.manifests.delete).toBe(1)
    const blobBytes = row?.data.blobs.reduce((sum, blob) => sum + blob.size, 0) ?? 0
    expect(report.releasedBytes).toBe((row?.data.size ?? 0) + blobBytes)
  })

  it('is refused for an external image', async () => {
    const registry = await start()
    const image = await registry.store.transaction(tester, (transaction) =>
      transaction.create(imageKind, {
        data: {
          name: 'nginx',
          description: '',
          location: { internal: false, externalImage: 'docker.io/library/nginx' },
        },
      }),
    )
    await expect(retainerOf(registry).preview(image)).rejects.toMatchObject({ code: 'conflict' })
  })
})

describe('a pass', () => {
  it('removes what was announced, frees it in time, and the log names the rule', async () => {
    const registry = await start()
    const digests = await pushDaily(registry, 'team/app', ['v1', 'v2', 'v3', 'v4'])
    await pushDaily(registry, 'untouched/app', ['v1', 'v2'])
    await changeImage(registry.store, 'team/app', { retention: { keepLastTags: 2, deleteUntaggedAfterDays: 3 } })
    const retainer = retainerOf(registry)
    expect(await retainer.run(never)).toEqual({ tags: 2, manifests: 0 })
    expect(await tagsOf(registry, 'team/app')).toEqual(['v3', 'v4'])
    expect(await retainer.run(never)).toEqual({ tags: 0, manifests: 0 })
    registry.clock.ms += 4 * dayMs
    expect(await retainer.run(never)).toEqual({ tags: 0, manifests: 2 })
    expect(await digestsOf(registry, 'team/app')).toEqual(digests.slice(2).toSorted())
    expect(await digestsOf(registry, 'untouched/app')).toHaveLength(2)
    const { versions } = (await imageOf(registry, 'team/app')).status
    expect(versions.map((version) => version.versionString)).toEqual(['v4', 'v3'])
    const names = (await registry.store.audit({ kind: 'tag' })).map(
      ({ actor, operation }) => `${operation} by ${actor.name}`,
    )
    expect(names.slice(0, 2)).toEqual(Array(2).fill('delete by registry retention: keeps the last 2'))
    const [entry] = await registry.store.audit({ kind: 'manifest' })
    expect(entry).toMatchObject({
      operation: 'delete',
      actor: {
        type: 'system',
        id: 'registry-retention',
        name: 'registry retention: removes what was untagged for 3 days',
      },
    })
    expect(await collectAll(registry, 1000)).toBeGreaterThan(0)
    const { counted, kept } = await usage(registry.store)
    expect(kept).toEqual(counted)
    expect((await imageOf(registry, 'team/app')).status.usedBytes).toBe(counted['team/app'])
    expect(await losses(registry)).toEqual([])
  })

  it('a tag pushed again counts from then, though it names what it named', async () => {
    const registry = await start()
    await pushDaily(registry, 'team/app', ['nightly', 'v1', 'v2'])
    registry.clock.ms += dayMs
    await pushImage(registry, 'team/app', 'nightly', 'team/app nightly')
    await changeImage(registry.store, 'team/app', { retention: { keepLastTags: 2 } })
    await retainerOf(registry).run(never)
    expect(await tagsOf(registry, 'team/app')).toEqual(['nightly', 'v2'])
  })

  it('never takes what a service runs, an index’s child of it, its signature, or a tag it names', async () => {
    const registry = await start()
    const child = await pushImage(registry, 'team/app', 'child', 'child layer')
    const index = JSON.stringify({
      schemaVersion: 2,
      mediaType: ociIndex,
      manifests: [{ mediaType: ociManifest, digest: child.digest, size: child.manifest.length }],
    })
    await putManifest(registry, 'team/app', 'run', index, ociIndex)
    const signature = await sign(registry, 'team/app', sha256(index))
    const subject = { mediaType: ociIndex, digest: sha256(index), size: index.length }
    const bill = await pushParts(registry, 'team/app', 'bill of materials', {
      subject,
      artifactType: 'application/spdx',
    })
    await putManifest(registry, 'team/app', sha256(bill), bill)
    await serve(registry, 'team/app', 'run')
    await registry.send('DELETE', '/v2/team/app/manifests/child')
    await pushDaily(registry, 'team/app', ['v1', 'v2'])
    await changeImage(registry.store, 'team/app', { retention: { keepLastTags: 1, deleteUntaggedAfterDays: 1 } })
    registry.clock.ms += 100 * dayMs
    const retainer = retainerOf(registry)
    await retainer.run(never)
    registry.clock.ms += 100 * dayMs
    await retainer.run(never)
    expect(await tagsOf(registry, 'team/app')).toEqual(['run', 'v2', signature.tag].toSorted())
    const left = await digestsOf(registry, 'team/app')
    for (const digest of [child.digest, sha256(index), signature.digest, sha256(bill)]) expect(left).toContain(digest)
    expect(left).toHaveLength(5)
  })

  it('takes an index with its children and signatures, and leaves none of them alone', async () => {
    const registry = await start()
    const child = await pushImage(registry, 'team/app', 'child', 'child layer')
    const descriptor = { mediaType: ociManifest, digest: child.digest, size: child.manifest.length }
    const index = JSON.stringify({ schemaVersion: 2, mediaType: ociIndex, manifests: [descriptor] })
    await putManifest(registry, 'team/app', 'old', index, ociIndex)
    await sign(registry, 'team/app', sha256(index))
    const [newest] = await pushDaily(registry, 'team/app', ['new'])
    await changeImage(registry.store, 'team/app', { retention: { keepLastTags: 1, deleteUntaggedAfterDays: 1 } })
    const retainer = retainerOf(registry)
    for (let pass = 0; pass < 3; pass += 1) {
      registry.clock.ms += 2 * dayMs
      await retainer.run(never)
    }
    expect([await tagsOf(registry, 'team/app'), await digestsOf(registry, 'team/app')]).toEqual([['new'], [newest]])
  })
})

it('a push between the plan and the delete wins', async () => {
  const registry = await start()
  const { manifest, digest } = await pushImage(registry, 'team/app', 'v1', 'layer one')
  await pushDaily(registry, 'team/app', ['v2'])
  await changeImage(registry.store, 'team/app', { retention: { keepLastTags: 1, deleteUntaggedAfterDays: 1 } })
  let before: (() => Promise<unknown>) | undefined
  const store: Store = {
    ...registry.store,
    get: (kind, id) => registry.store.get(kind, id),
    find: (kind, unique, key) => registry.store.find(kind, unique, key),
    list: (kind, options) => registry.store.list(kind, options),
    all: (kind, options) => registry.store.all(kind, options),
    async transaction(actor, work) {
      const push = before
      before = undefined
      await push?.()
      return registry.store.transaction(actor, work)
    },
  }
  const retainer = retainerOf(registry, { store })
  const image = await imageOf(registry, 'team/app')
  expect((await retainer.preview(image)).steps[0]).toMatchObject({ tag: 'v1', action: 'delete' })
  registry.clock.ms += dayMs
  before = () => putManifest(registry, 'team/app', 'v1', manifest)
  await retainer.run(never)
  expect(await tagsOf(registry, 'team/app')).toEqual(['v1'])
  await registry.send('DELETE', '/v2/team/app/manifests/v1')
  registry.clock.ms += 10 * dayMs
  expect((await retainer.preview(await imageOf(registry, 'team/app'))).manifests.delete).toBe(2)
  before = () => putManifest(registry, 'team/app', 'again', manifest)
  await retainer.run(never)
  expect(await tagsOf(registry, 'team/app')).toEqual(['again'])
  expect(await digestsOf(registry, 'team/app')).toEqual([digest])
})

it('many pushes, deletes and garbage collections at the same time lose nothing that stays', async () => {
  const registry = await start()
  await pushImage(registry, 'team/app', 'v0', 'layer 0')
  await changeImage(registry.store, 'team/app', { retention: { keepLastTags: 3, deleteUntaggedAfterDays: 1 } })
  const retainer = retainerOf(registry)
  // Days go by fast, but never so fast that a push outlasts the grace time of its own blobs.
  const begun = Array.from({ length: 4 }, () => registry.clock.ms)
  const isPushing = () => Math.min(...begun) < Number.POSITIVE_INFINITY
  const retaining = async () => {
    while (isPushing()) {
      if (registry.clock.ms - Math.min(...begun) < 20 * dayMs) registry.clock.ms += dayMs
      await retainer.run(never)
      await registry.registry.collectGarbage({ graceMs: 30 * dayMs, signal: never })
    }
  }
  const push = async (pusher: number) => {
    try {
      for (let number = 0; number < 12; number += 1) {
        begun[pusher] = registry.clock.ms
        const blob = await pushBlob(registry, 'team/app', `layer ${number % 5}`)
        const config = await pushBlob(
          registry,
          'team/app',
          '{"os":"linux"}',
          'application/vnd.oci.image.config.v1+json',
        )
        const manifest = JSON.stringify({ schemaVersion: 2, mediaType: ociManifest, config, layers: [blob] })
        expect((await putManifest(registry, 'team/app', `v${pusher}-${number}`, manifest)).status).toBe(201)
      }
    } finally {
      begun[pusher] = Number.POSITIVE_INFINITY
    }
  }
  const ended = await Promise.allSettled([retaining(), ...begun.keys().map(push)])
  expect(ended.filter(({ status }) => status === 'rejected')).toEqual([])
  expect(registry.warnings).toEqual([])
  expect(await losses(registry)).toEqual([])
  await retainer.run(never)
  expect(await tagsOf(registry, 'team/app')).toHaveLength(3)
  for (const tag of await tagsOf(registry, 'team/app')) {
    expect((await registry.send('GET', `/v2/team/app/manifests/${tag}`)).status).toBe(200)
  }
  const { counted, kept } = await usage(registry.store)
  expect(kept).toEqual(counted)
})
