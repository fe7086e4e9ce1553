import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  blobLinkKind,
  clusterKind,
  imageKind,
  kinds,
  manifestKind,
  serviceData,
  serviceKind,
  tagKind,
} from '@freehold/contracts'
import { type Actor, openSqliteStore, type Store } from '@freehold/store'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createImageHandlers, ensureImage, ensureServiceImage } from './index.ts'

const actor: Actor = { type: 'user', id: 'ada', name: 'ada' }
const digest = `sha256:${'1'.repeat(64)}`
let directory: string
let store: Store
let handlers: ReturnType<typeof createImageHandlers>

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'images-'))
  store = await openSqliteStore({ directory, kinds: Object.values(kinds) })
  handlers = createImageHandlers({
    store,
    importImage: () => {
      throw new Error('No test here imports.')
    },
  })
})
afterAll(async () => {
  await store.close()
  await rm(directory, { recursive: true, force: true })
})

/** What the door would hand over. */
function input(parts: { params?: object; query?: object; body?: object }): never {
  return {
    params: undefined,
    query: {},
    body: undefined,
    caller: { identity: null, actor },
    client: { address: '', userAgent: '' },
    signal: new AbortController().signal,
    setHeader: () => {},
    ...parts,
  } as never
}

type Data = Parameters<typeof create>[0]
async function create(data: { name: string; description?: string; location?: object }) {
  const body = { data: { description: '', location: { internal: true }, ...data } }
  return (await handlers.create(input({ body }))) as { id: string; version: number; data: Data }
}

function transaction<T>(work: Parameters<typeof store.transaction<T>>[1]): Promise<T> {
  return store.transaction(actor, work)
}

async function useBy(imageId: string, ...names: string[]): Promise<void> {
  await transaction(async (tx) => {
    const cluster = await tx.create(clusterKind, { data: { name: `c-${names[0]}`, description: '' } })
    for (const name of names) {
      await tx.create(serviceKind, { data: serviceData.parse({ name, clusterId: cluster.id, imageId }) })
    }
  })
}

/** Rows as a push leaves them. */
async function fill(repository: string): Promise<void> {
  await transaction(async (tx) => {
    await tx.create(blobLinkKind, { data: { repository, digest, size: 1 } })
    await tx.create(manifestKind, {
      data: {
        repository,
        digest,
        mediaType: 'application/vnd.oci.image.manifest.v1+json',
        size: 1,
        artifactType: null,
        annotations: {},
        blobs: [{ digest, size: 1 }],
        manifests: [],
        subject: null,
        pushedBy: 'ada',
      },
    })
    await tx.create(tagKind, { data: { repository, name: 'latest', digest, pushedBy: 'ada' } })
  })
}

async function rowsOf(repository: string): Promise<number[]> {
  const where = { repository }
  return Promise.all([
    store.count(blobLinkKind, { where }),
    store.count(manifestKind, { where }),
    store.count(tagKind, { where }),
  ])
}

describe('images', () => {
  it('are created, shown, listed and found by name', async () => {
    const internal = await create({ name: 'team/app' })
    const location = { internal: false, externalImage: 'docker.io/library/nginx' }
    const external = await create({ name: 'nginx', location })
    expect(await handlers.get(input({ params: { id: external.id } }))).toMatchObject({
      data: { name: 'nginx', location },
      status: { versions: [], lastPushAt: null },
    })
    expect(await handlers.list(input({ query: { limit: 10, search: 'team' } }))).toMatchObject({
      items: [{ id: internal.id }],
      nextCursor: null,
    })
    await expect(create({ name: 'team/app' })).rejects.toMatchObject({ code: 'already-exists' })
  })

  it('change by a merge patch, with the version that was read', async () => {
    const image = await create({ name: 'patched' })
    const params = { id: image.id }
    const body = { data: { description: 'new' }, labels: { team: 'a' }, version: image.version }
    expect(await handlers.update(input({ params, body }))).toMatchObject({
      data: { name: 'patched', description: 'new' },
      labels: { team: 'a' },
    })
    await expect(handlers.update(input({ params, body }))).rejects.toMatchObject({ code: 'stale-version' })
    await expect(handlers.update(input({ params, body: { data: { name: 'other' } } }))).rejects.toMatchObject({
      code: 'conflict',
    })
    await expect(handlers.update(input({ params, body: { data: { colour: 'red' } } }))).rejects.toMatchObject({
      code: 'invalid-input',
    })
  })

  it('cannot be deleted while services use them, and the refusal names them', async () => {
    const image = await create({ name: 'used' })
    await useBy(image.id, 'web')
    await fill('used')
    const params = { id: image.id }
    await expect(handlers.delete(input({ params }))).rejects.toMatchObject({
      code: 'conflict',
      message: expect.stringContaining('the service web.'),
    })
    expect(await rowsOf('used')).toEqual([1, 1, 1])
    await useBy(image.id, 'a', 'b', 'd', 'e', 'f', 'g')
    await expect(handlers.delete(input({ params }))).rejects.toThrow('the services web, a, b, d, e and others.')
  })

  it('take their tags, manifests and links along, and no one else’s', async () => {
    const image = await create({ name: 'gone' })
    await fill('gone')
    await fill('gone/not')
    const params = { id: image.id }
    await expect(handlers.delete(input({ params, query: { version: image.version - 1 } }))).rejects.toMatchObject({
      code: 'stale-version',
    })
    expect(await rowsOf('gone')).toEqual([1, 1, 1])
    await handlers.delete(input({ params, query: { version: image.version } }))
    expect([await rowsOf('gone'), await rowsOf('gone/not')]).toEqual([
      [0, 0, 0],
      [1, 1, 1],
    ])
    await expect(handlers.get(input({ params }))).rejects.toMatchObject({ code: 'not-found' })
    await expect(handlers.delete(input({ params }))).rejects.toMatchObject({ code: 'not-found' })
  })

  it('that are external own no repository', async () => {
    const image = await create({ name: 'outside', location: { internal: false, externalImage: 'ghcr.io/x/y' } })
    await fill('outside')
    await handlers.delete(input({ params: { id: image.id } }))
    expect(await rowsOf('outside')).toEqual([1, 1, 1])
  })
})

describe('the image of a service', () => {
  const service = { id: '01936e5a-7a1b-7000-8000-000000000000', name: 'web' }

  it('is made once, under the name its pushes go to', async () => {
    const first = await transaction((tx) => ensureServiceImage(tx, service))
    const second = await transaction((tx) => ensureServiceImage(tx, service))
    expect(first.data).toEqual({
      name: 'workloads/web-01936e5a',
      description: 'Image of the service web',
      location: { internal: true },
    })
    expect(second).toEqual(first)
  })

  it('is refused where an external image has its name', async () => {
    await create({ name: 'taken', location: { internal: false, externalImage: 'ghcr.io/x/y' } })
    const work = transaction((tx) => ensureImage(tx, { repository: 'taken', description: '' }))
    await expect(work).rejects.toMatchObject({ code: 'conflict' })
    expect((await store.find(imageKind, 'name', 'taken'))?.data.location.internal).toBe(false)
  })
})
