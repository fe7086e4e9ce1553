import {
  clusterKind,
  type Document,
  documentSchema,
  imageKind,
  type OperationOutput,
  planRoutes,
  serviceKind,
} from '@freehold/contracts'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import {
  addCluster,
  adminCaller,
  client,
  makeService,
  openWorld,
  push,
  serviceNow,
  startSwarm,
  tester,
  until,
  type World,
} from '../reconcilers/world.testing.ts'
import { createSealer, Secret } from '../secrets/index.ts'
import { diff } from './kind.ts'
import { createPlanHandlers } from './routes.ts'

let world: World
beforeEach(async () => {
  world = await openWorld()
})
afterEach(() => world.close())

const common = { caller: adminCaller, client, signal: new AbortController().signal, setHeader: () => {} }
const sealer = createSealer(new Secret(Buffer.alloc(32, 3)))
const handlers = (of: World = world) => createPlanHandlers({ store: of.store, hub: of.hub, rules: of.rules, sealer })
const bodyOf = (documents: unknown[], options: { prune?: boolean; version?: number } = {}) =>
  planRoutes.plan.apply.body.parse({ documents, ...options })
const apply = async (documents: unknown[], options: { prune?: boolean; version?: number } = {}, of: World = world) => {
  const output = await handlers(of).apply({
    ...common,
    params: undefined,
    query: undefined,
    body: bodyOf(documents, options),
  })
  if (!('changes' in output)) throw new Error('no changes')
  return output.changes
}
const preview = async (documents: unknown[], options: { prune?: boolean } = {}) => {
  const output = await handlers().preview({
    ...common,
    params: undefined,
    query: undefined,
    body: bodyOf(documents, options),
  })
  if (!('changes' in output)) throw new Error('no plan')
  return output
}
const exported = async (of: World = world) => {
  const output = await handlers(of).export({ ...common, params: undefined, query: undefined, body: undefined })
  if (!('documents' in output)) throw new Error('no documents')
  return output.documents
}

const base = [
  { kind: 'cluster', name: 'main', spec: {} },
  {
    kind: 'image',
    name: 'shared/nginx',
    spec: { location: { internal: false, externalImage: 'docker.io/library/nginx' } },
  },
  {
    kind: 'service',
    name: 'web',
    spec: { cluster: 'main', image: 'shared/nginx', imageVersion: '1.27', ports: { web: 80 } },
  },
  { kind: 'service', name: 'api', labels: { team: 'blue' }, spec: { cluster: 'main', environment: { A: '1' } } },
]

it('makes everything the documents say, and a second time nothing', async () => {
  const changes = await apply(base)
  expect(changes.map(({ action, kind, name }) => `${action} ${kind} ${name}`)).toEqual([
    'create cluster main',
    'create image shared/nginx',
    'create service web',
    'create service api',
  ])
  expect(await apply(base)).toEqual([])
  expect((await exported()).map(({ kind, name }) => `${kind} ${name}`)).toEqual([
    'cluster main',
    'image shared/nginx',
    'service api',
    'service web',
  ])
})

it('shows the fields that would change, changes nothing, and asks the agent what it would do', async () => {
  const cluster = await addCluster(world)
  await apply(base)
  const asked: string[] = []
  const hub = {
    request: (
      _clusterId: string,
      operation: { kind: string; desired?: { workloads: { spec: { image: string } }[] } },
    ) => {
      asked.push(...(operation.desired?.workloads.map((workload) => workload.spec.image) ?? []))
      return (async function* (): AsyncGenerator<OperationOutput> {
        yield { kind: 'plan', steps: ['Create the service web-2.'] }
      })()
    },
  }
  const changed = base.map((one) =>
    one.name === 'web' ? { ...one, spec: { ...one.spec, imageVersion: '1.28' } } : one,
  )
  const versionBefore = await world.store.version()
  const planned = await createPlanHandlers({ store: world.store, hub, rules: world.rules, sealer }).preview({
    ...common,
    params: undefined,
    query: undefined,
    body: bodyOf(changed),
  })
  expect(planned).toMatchObject({
    changes: [
      {
        action: 'update',
        kind: 'service',
        name: 'web',
        fields: [{ path: 'spec.imageVersion', from: '1.27', to: '1.28' }],
      },
    ],
    clusters: [{ cluster: 'main', steps: ['Create the service web-2.'], problem: null }],
  })
  expect(asked).toEqual(['docker.io/library/nginx:1.28'])
  const since = await world.store.changes(versionBefore)
  expect(since.filter((change) => change.operation !== 'status')).toEqual([])
  expect(cluster.cluster.data.name).toBe('main')
})

it('says in a sentence that an agent is away', async () => {
  await apply(base)
  const planned = await preview([{ ...base[2], spec: { ...base[2]?.spec, scaleFactor: 2 } }])
  expect(planned.clusters[0]?.problem).toContain('No agent')
})

it('is refused as a whole, with nothing written, where one document breaks a rule', async () => {
  const port = { web: 80, published: [{ target: 80, published: 8080 }] }
  const clash = [
    base[0],
    { kind: 'service', name: 'one', spec: { cluster: 'main', ports: port } },
    { kind: 'service', name: 'two', spec: { cluster: 'main', ports: port } },
  ]
  await expect(preview(clash)).rejects.toMatchObject({ code: 'conflict' })
  await expect(apply(clash)).rejects.toThrow(/8080\/tcp .* service one/)
  expect(await world.store.count(clusterKind)).toBe(0)
})

it('refuses names that are nowhere, and two documents for one thing', async () => {
  await expect(apply([base[2]])).rejects.toMatchObject({ code: 'not-found' })
  await expect(apply([base[0], base[0]])).rejects.toMatchObject({ code: 'invalid-input' })
})

it('is stale when something desired changed since, but not when agents report', async () => {
  await apply(base)
  const { version } = await preview(base)
  const [service] = await world.store.all(serviceKind)
  if (service === undefined) throw new Error('no service')
  await world.store.transaction(tester, (transaction) =>
    transaction.setStatus(serviceKind, service.id, { ...service.status, message: 'Something was seen.' }),
  )
  expect(await apply(base, { version })).toEqual([])
  await world.store.transaction(tester, (transaction) =>
    transaction.update(serviceKind, service.id, { labels: { touched: 'yes' } }),
  )
  await expect(apply(base, { version })).rejects.toThrow(/changed by tester/)
})

it('with prune removes what no document names, the own images of removed services too, but never a cluster', async () => {
  await apply(base)
  const changes = await apply([base[2]], { prune: true })
  expect(changes.map(({ action, name }) => `${action} ${name}`)).toEqual(['delete api'])
  expect((await world.store.all(imageKind)).map((image) => image.data.name)).toEqual(['shared/nginx'])
  expect(await world.store.count(clusterKind)).toBe(1)
  expect((await preview([base[2]], { prune: true })).changes).toEqual([])
})

it('rolls out what it changes', async () => {
  const cluster = await addCluster(world)
  const swarm = startSwarm(world, cluster)
  try {
    const service = await makeService(world, { clusterId: cluster.cluster.id })
    await push(world, service, 'one')
    await until(
      () => serviceNow(world, service.id),
      ({ status }) => status.state === 'running',
    )
    const documents = (await exported()).map((document) =>
      document.kind === 'service' ? { ...document, spec: { ...document.spec, environment: { A: '2' } } } : document,
    )
    await apply(documents)
    await until(
      () => serviceNow(world, service.id),
      ({ status }) => status.currentRevisionNumber === 2,
    )
  } finally {
    swarm.close()
  }
})

const nameOf = (prefix: string) => fc.integer({ min: 1, max: 6 }).map((n) => `${prefix}-${n}`)
const labels = fc.option(fc.dictionary(fc.constantFrom('team', 'tier'), fc.constantFrom('a', 'b')), { nil: undefined })
const documents: fc.Arbitrary<Document[]> = fc
  .record({
    clusters: fc.uniqueArray(nameOf('cluster'), { minLength: 1, maxLength: 3 }),
    images: fc.uniqueArray(nameOf('image'), { maxLength: 3 }),
    services: fc.uniqueArray(nameOf('service'), { maxLength: 5 }),
    labels: fc.array(labels, { minLength: 11, maxLength: 11 }),
    pick: fc.array(fc.nat(), { minLength: 5, maxLength: 5 }),
    scale: fc.array(fc.integer({ min: 0, max: 3 }), { minLength: 5, maxLength: 5 }),
    environment: fc.dictionary(fc.constantFrom('A', 'B'), fc.string({ maxLength: 5 })),
  })
  .map(({ clusters, images, services, labels: tags, pick, scale, environment }) => {
    const tag = (at: number) =>
      tags[at] === undefined || Object.keys(tags[at] ?? {}).length === 0 ? {} : { labels: tags[at] }
    return [
      ...clusters.map((name, at) => ({ kind: 'cluster', name, ...tag(at), spec: { description: name } })),
      ...images.map((name, at) => ({
        kind: 'image',
        name,
        ...tag(3 + at),
        spec: { location: at % 2 === 0 ? { internal: true } : { internal: false, externalImage: `docker.io/${name}` } },
      })),
      ...services.map((name, at) => ({
        kind: 'service',
        name,
        ...tag(6 + at),
        spec: {
          cluster: clusters[(pick[at] ?? 0) % clusters.length],
          ...(images.length > 0 && (pick[at] ?? 0) % 2 === 0 ? { image: images[(pick[at] ?? 0) % images.length] } : {}),
          scaleFactor: scale[at],
          environment,
          ports: { web: 80 + at },
        },
      })),
    ].map((document) => documentSchema.parse(document))
  })

describe('export', () => {
  it('applied to an empty server gives the same export', async () => {
    await fc.assert(
      fc.asyncProperty(documents, async (wanted) => {
        const [first, second] = [await openWorld(), await openWorld()]
        try {
          await apply(wanted, {}, first)
          const there = await exported(first)
          await apply(there, {}, second)
          expect(await exported(second)).toEqual(there)
          expect(there.length).toBe(wanted.length)
        } finally {
          await first.close()
          await second.close()
        }
      }),
      { numRuns: 15 },
    )
  })

  it('compared with itself gives no change', () => {
    fc.assert(
      fc.property(documents, (wanted) => {
        const changes = diff(wanted, { clusters: [], registries: [], images: [], services: [] }, { prune: true })
        expect(changes.map(({ name }) => name).toSorted()).toEqual(wanted.map(({ name }) => name).toSorted())
      }),
    )
  })
})

it('lets nobody change by documents what they may not change by itself', async () => {
  await apply(base)
  const user = { ...adminCaller, identity: adminCaller.identity && { ...adminCaller.identity, role: 'user' as const } }
  const applyAsUser = (documents: unknown[], options: { prune?: boolean } = {}) =>
    handlers().apply({ ...common, caller: user, params: undefined, query: undefined, body: bodyOf(documents, options) })
  const [cluster, image, service] = base
  const before = await exported()
  for (const documents of [
    [...base, { kind: 'cluster', name: 'own', spec: {} }],
    [{ ...cluster, spec: { description: 'taken over' } }, image, service],
    [cluster, { ...image, spec: { location: { internal: false, externalImage: 'evil.example/nginx' } } }, service],
  ]) {
    await expect(applyAsUser(documents)).rejects.toMatchObject({ code: 'forbidden' })
  }
  await expect(applyAsUser([], { prune: true })).rejects.toMatchObject({ code: 'forbidden' })
  expect(await exported()).toEqual(before)
  const scaled = { ...service, spec: { ...service?.spec, scaleFactor: 2 } }
  expect(await applyAsUser([cluster, image, scaled].filter((one) => one !== undefined))).toMatchObject({
    changes: [{ action: 'update', kind: 'service', name: 'web' }],
  })
})
