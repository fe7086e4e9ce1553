import { randomBytes } from 'node:crypto'
import { type ExternalRegistry, type Image, imageKind } from '@freehold/contracts'
import { afterEach, beforeEach, expect, test } from 'vitest'
import {
  addCluster,
  makeService,
  openWorld,
  startSwarm,
  type TestSwarm,
  tester,
  until,
  type World,
} from '../reconcilers/world.testing.ts'
import { createSealer, Secret } from '../secrets/index.ts'
import { deleteService } from '../services/index.ts'
import { createExternalRegistry, createPullBook, createUpstreams, updateExternalRegistry } from './index.ts'

const sealer = createSealer(new Secret(randomBytes(32)))
const problems: unknown[] = []
let world: World
let swarms: TestSwarm[] = []

beforeEach(async () => {
  const upstreams = createUpstreams({ sealer, now: Date.now })
  const book = createPullBook({ upstreams, onProblem: (problem) => problems.push(problem) })
  world = await openWorld({ pullFor: (reads, image) => book.of(reads, image) })
})
afterEach(async () => {
  for (const swarm of swarms) swarm.close()
  swarms = []
  problems.length = 0
  await world.close()
})

const described = { type: 'docker', name: 'partner', url: 'https://registry.example', username: 'robot' } as const
const register = (password: string): Promise<ExternalRegistry> =>
  world.store.transaction(tester, (transaction) =>
    createExternalRegistry(transaction, { data: described, password }, sealer),
  )
const makeImage = (name: string, path: string, externalRegistryId?: string): Promise<Image> =>
  world.store.transaction(tester, (transaction) =>
    transaction.create(imageKind, {
      data: {
        name,
        description: '',
        location: {
          internal: false,
          externalImage: `registry.example/${path}`,
          ...(externalRegistryId === undefined ? {} : { externalRegistryId }),
        },
      },
    }),
  )
async function swarmOf(name: string) {
  const cluster = await addCluster(world, name)
  const swarm = startSwarm(world, cluster)
  swarms.push(swarm)
  return { clusterId: cluster.cluster.id, pulls: async () => swarm.agent.desired()?.externalPulls }
}

test('credentials reach the agents of the cluster that runs the image, for that image alone', async () => {
  const registry = await register('open sesame')
  const secret = await makeImage('partner/secret', 'team/secret', registry.id)
  const open = await makeImage('partner/open', 'team/open')
  const [one, other] = [await swarmOf('one'), await swarmOf('other')]
  await makeService(world, { clusterId: one.clusterId, name: 'secret', imageId: secret.id })
  await makeService(world, { clusterId: other.clusterId, name: 'open', imageId: open.id })
  await until(one.pulls, (pulls) => pulls?.length === 1)
  expect(await one.pulls()).toEqual([
    { image: 'registry.example/team/secret', username: 'robot', password: 'open sesame' },
  ])
  await until(
    async () => swarms[1]?.agent.desired()?.workloads.length,
    (count) => count === 1,
  )
  expect(await other.pulls()).toEqual([])
})

test('a new password arrives by itself, and goes with the last service that needed it', async () => {
  const registry = await register('first')
  const image = await makeImage('partner/app', 'team/app', registry.id)
  const { clusterId, pulls } = await swarmOf('one')
  const service = await makeService(world, { clusterId, imageId: image.id })
  await until(pulls, (found) => found?.[0]?.password === 'first')
  await world.store.transaction(tester, (transaction) =>
    updateExternalRegistry(transaction, { id: registry.id, data: described, password: 'second' }, sealer),
  )
  await until(pulls, (found) => found?.[0]?.password === 'second')
  await world.store.transaction(tester, (transaction) => deleteService(transaction, { id: service.id }))
  await until(pulls, (found) => found?.length === 0)
  expect(problems).toEqual([])
})

test('a password that cannot be decrypted is left out and told of', async () => {
  const elsewhere = createSealer(new Secret(randomBytes(32)))
  const registry = await world.store.transaction(tester, (transaction) =>
    createExternalRegistry(transaction, { data: described, password: 'x' }, elsewhere),
  )
  const image = await makeImage('partner/app', 'team/app', registry.id)
  const { clusterId, pulls } = await swarmOf('one')
  await makeService(world, { clusterId, imageId: image.id })
  await until(
    async () => problems.length,
    (count) => count > 0,
  )
  await until(pulls, (found) => found?.length === 0)
})
