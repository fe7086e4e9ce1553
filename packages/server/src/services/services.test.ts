import { FreeholdError, imageKind, type Service, serviceData, serviceKind } from '@freehold/contracts'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import {
  addCluster,
  adminCaller,
  client,
  digestOf,
  makeService,
  openWorld,
  push,
  tester,
  type World,
} from '../reconcilers/world.testing.ts'
import { checkService, imageOf, sameWorkload, specOf } from './kind.ts'
import { createServiceHandlers } from './routes.ts'
import { registryTargetOf } from './service.ts'

const clusterId = '01900000-0000-7000-8000-0000000000aa'
const data = (part: Record<string, unknown>): Service['data'] => serviceData.parse({ name: 'web', clusterId, ...part })

describe('the rules of a service', () => {
  it.each([
    ['a limit without the strategy that has one', { maxReplicas: 2 }, 'data.maxReplicas'],
    [
      'more than the limit',
      { deploymentStrategy: 'limited-replicas', maxReplicas: 2, scaleFactor: 3 },
      'data.scaleFactor',
    ],
    ['a count where every node runs one', { deploymentStrategy: 'all-nodes', scaleFactor: 2 }, 'data.scaleFactor'],
    ['a check over the network without a port', { healthCheck: { type: 'http' } }, 'data.healthCheck'],
    [
      'a port published twice',
      { ports: { published: [1, 2].map((target) => ({ target, published: 80 })) } },
      'data.ports.published',
    ],
    ['two volumes at one path', { volumes: ['a', 'b'].map((name) => ({ name, path: '/x' })) }, 'data.volumes'],
  ])('refuse %s', (_what, part, path) => {
    try {
      checkService(data(part))
      expect.unreachable()
    } catch (error) {
      expect(error).toBeInstanceOf(FreeholdError)
      expect((error as FreeholdError).details.map((detail) => detail.path)).toContain(path)
    }
  })

  it('let a check by command stand without a port, and every node be stopped', () => {
    checkService(data({ healthCheck: { type: 'command', command: ['true'] } }))
    checkService(data({ deploymentStrategy: 'all-nodes', scaleFactor: 0 }))
  })
})

describe('the workload of a service', () => {
  const spec = (part: Record<string, unknown>) => specOf({ data: data(part) }, 'image')

  it('checks the web port by TCP where nothing is said, and nothing where there is no port', () => {
    expect(spec({ ports: { web: 80 } }).healthCheck).toEqual({ type: 'tcp', port: 80, timeoutSeconds: 5 })
    expect(spec({}).healthCheck).toBeNull()
    expect(spec({ ports: { web: 80 }, healthCheck: { type: 'http' } }).healthCheck).toMatchObject({
      type: 'http',
      port: 80,
      path: '/',
    })
  })

  it('is the same at any scale and different in anything else', () => {
    expect(sameWorkload(spec({ scaleFactor: 1 }), spec({ scaleFactor: 9 }))).toBe(true)
    expect(sameWorkload(spec({}), spec({ antiAffinity: true }))).toBe(false)
    expect(sameWorkload(spec({}), spec({ environment: { A: '' } }))).toBe(false)
  })
})

describe('with a store', () => {
  let world: World
  let cluster: string
  beforeEach(async () => {
    world = await openWorld()
    cluster = (await addCluster(world)).cluster.id
  })
  afterEach(() => world.close())

  const common = {
    caller: adminCaller,
    client,
    signal: new AbortController().signal,
    setHeader: () => {},
    query: undefined,
  }
  const update = (id: string, patch: Record<string, unknown>, version?: number) =>
    createServiceHandlers({ store: world.store, rules: world.rules }).update({
      ...common,
      params: { id },
      body: { data: patch, ...(version === undefined ? {} : { version }) },
    })

  it('gives a service an image of its own, and says where to push it', async () => {
    const service = await makeService(world, { clusterId: cluster, imageVersion: 'stable' })
    const repository = `workloads/web-${service.id.slice(0, 8)}`
    expect((await world.store.get(imageKind, service.data.imageId ?? ''))?.data.name).toBe(repository)
    expect(await registryTargetOf(world.store, service.id, world.rules)).toEqual({
      target: `registry.test:8080/${repository}:stable`,
      registry: 'registry.test:8080',
      repository,
      tag: 'stable',
    })
    await update(service.id, { imageVersion: digestOf('x') })
    await expect(registryTargetOf(world.store, service.id, world.rules)).rejects.toMatchObject({ code: 'conflict' })
  })

  it('refuses a new name, another cluster, stale versions and wrong fields, and writes nothing then', async () => {
    const service = await makeService(world, { clusterId: cluster })
    const other = await addCluster(world, 'other')
    await expect(update(service.id, { name: 'new' })).rejects.toThrow('its identity in the Swarm')
    await expect(update(service.id, { clusterId: other.cluster.id })).rejects.toMatchObject({ code: 'conflict' })
    await expect(update(service.id, { description: 'x' }, 1)).rejects.toMatchObject({ code: 'stale-version' })
    await expect(update(service.id, { scaleFactor: 'many', colour: 'red' })).rejects.toMatchObject({
      code: 'invalid-input',
      details: expect.arrayContaining([
        expect.objectContaining({ path: 'data.scaleFactor' }),
        expect.objectContaining({ path: 'data.colour' }),
      ]),
    })
    expect((await world.store.get(serviceKind, service.id))?.generation).toBe(1)
  })

  it('refuses a cluster or an image that is not there', async () => {
    await expect(makeService(world, { clusterId })).rejects.toMatchObject({ code: 'not-found' })
    const missing = makeService(world, { clusterId: cluster, imageId: clusterId })
    await expect(missing).rejects.toMatchObject({ code: 'not-found' })
    expect(await world.store.count(serviceKind)).toBe(0)
  })

  it('finds a digest by tag, and an external image by name alone', async () => {
    const service = await makeService(world, { clusterId: cluster })
    await push(world, service, 'one')
    const image = await world.store.get(imageKind, service.data.imageId ?? '')
    if (image === undefined) throw new Error('no image')
    const find = (imageVersion: string, of = image) => imageOf({ image: of, imageVersion, registryHost: 'host' })
    expect(find('latest')).toEqual({ reference: `host/${image.data.name}@${digestOf('one')}`, digest: digestOf('one') })
    expect(find('other')).toBeNull()
    const nginx = {
      ...image,
      data: { ...image.data, location: { internal: false as const, externalImage: 'docker.io/nginx' } },
    }
    expect(find('1.27', nginx)).toEqual({ reference: 'docker.io/nginx:1.27', digest: null })
    expect(find(digestOf('one'), nginx)?.reference).toBe(`docker.io/nginx@${digestOf('one')}`)
  })

  it('runs an external image at once', async () => {
    const image = await world.store.transaction(tester, (transaction) =>
      transaction.create(imageKind, {
        data: {
          name: 'nginx',
          description: '',
          location: { internal: false, externalImage: 'docker.io/library/nginx' },
        },
      }),
    )
    const service = await makeService(world, { clusterId: cluster, imageId: image.id, imageVersion: '1.27' })
    expect(service.status).toMatchObject({ state: 'deploying', rolloutId: expect.any(String) })
  })
})
