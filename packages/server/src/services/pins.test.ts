import { type Image, imageKind, revisionKind, type Service, serviceData } from '@freehold/contracts'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { createTagLookup, UpstreamError } from '../external-registries/index.ts'
import type { Handlers } from '../http/handler.ts'
import {
  addCluster,
  adminCaller,
  client,
  digestOf,
  openWorld,
  rolloutsOf,
  tester,
  type World,
} from '../reconcilers/world.testing.ts'
import { createServiceHandlers } from './routes.ts'

/** What the registry elsewhere says of each tag; a text is why it says nothing. */
let tags: Map<string, { digest: string } | string>
let world: World
let handlers: Omit<Handlers<'services'>, 'logs'>
let clusterId: string
let image: Image

beforeEach(async () => {
  tags = new Map([['v1', { digest: digestOf('one') }]])
  world = await openWorld()
  const ask = async (_repository: string, tag: string) => {
    const said = tags.get(tag)
    if (said === undefined || typeof said === 'string') throw new UpstreamError('unreachable', said ?? 'It is away.')
    return said.digest
  }
  const registry = { digestOf: ask } as never
  const lookup = createTagLookup({
    upstreams: { of: async () => registry, forHost: async () => registry },
    refreshMirror: async () => {},
    now: Date.now,
  })
  handlers = createServiceHandlers({ store: world.store, rules: { ...world.rules, tags: lookup } })
  clusterId = (await addCluster(world)).cluster.id
  image = await world.store.transaction(tester, (transaction) =>
    transaction.create(imageKind, {
      data: {
        name: 'outside/app',
        description: '',
        location: { internal: false, externalImage: 'registry.example/team/app' },
      },
    }),
  )
})
afterEach(() => world.close())

const common = { caller: adminCaller, client, signal: new AbortController().signal, setHeader: () => {}, query: {} }
const create = async (imageVersion: string) =>
  (await handlers.create({
    ...common,
    params: undefined,
    body: { data: serviceData.parse({ name: 'app', clusterId, imageId: image.id, imageVersion }) },
  } as never)) as Service
const update = (service: Service, data: object) =>
  handlers.update({ ...common, params: { id: service.id }, body: { data } } as never)
const deploy = (service: Service) => handlers.deploy({ ...common, params: { id: service.id }, body: {} } as never)
const images = async (service: Service) =>
  (await world.store.all(revisionKind, { where: { serviceId: service.id } }))
    .toSorted((one, other) => one.data.number - other.data.number)
    .map(({ data }) => data.spec.image)
const pinned = (sign: string) => `registry.example/team/app@${digestOf(sign)}`

test('a tag elsewhere becomes the digest it has when the service is made', async () => {
  const service = await create('v1')
  expect(await images(service)).toEqual([pinned('one')])
})

test('a change of something else keeps the digest; a deploy and another tag ask again', async () => {
  const service = await create('v1')
  tags.set('v1', { digest: digestOf('two') })
  await update(service, { environment: { A: '1' } })
  expect(await images(service)).toEqual([pinned('one'), pinned('one')])
  await deploy(service)
  expect((await images(service)).at(-1)).toBe(pinned('two'))
  tags.set('v2', { digest: digestOf('three') })
  await update(service, { imageVersion: 'v2' })
  expect((await images(service)).at(-1)).toBe(pinned('three'))
})

test('where nobody can be asked it rolls out by tag and says why', async () => {
  tags.set('v1', 'registry.example cannot be reached (ECONNREFUSED).')
  const service = await create('v1')
  expect(await images(service)).toEqual(['registry.example/team/app:v1'])
  const [rollout] = await rolloutsOf(world, service.id)
  expect(JSON.stringify(rollout?.status.history)).toContain(
    'could not be pinned to a digest: registry.example cannot be reached (ECONNREFUSED). Each node runs',
  )
})
