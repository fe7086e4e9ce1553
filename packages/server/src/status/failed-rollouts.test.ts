import { afterEach, beforeEach, expect, it } from 'vitest'
import {
  addCluster,
  digestOf,
  makeService,
  openWorld,
  push,
  serviceNow,
  startSwarm,
  type TestCluster,
  type TestSwarm,
  until,
  type World,
} from '../reconcilers/world.testing.ts'
import { listProblems } from './problems.ts'

let world: World
let cluster: TestCluster
let swarm: TestSwarm

beforeEach(async () => {
  world = await openWorld()
  cluster = await addCluster(world)
  swarm = startSwarm(world, cluster)
})
afterEach(async () => {
  swarm.close()
  await world.close()
})

it('names a service that serves on after its newest rollout failed, until a rollout succeeds', async () => {
  const service = await makeService(world, { clusterId: cluster.cluster.id })
  const problems = async () => (await listProblems(world.store, Date.now())).filter(({ kind }) => kind === 'service')
  const runs = (revision: number) =>
    until(
      () => serviceNow(world, service.id),
      ({ status }) => status.state === 'running' && status.currentRevisionNumber === revision,
    )
  await push(world, service, 'good')
  await runs(1)
  expect(await problems()).toEqual([])
  swarm.fates.set(digestOf('bad'), 'crashing')
  await push(world, service, 'bad')
  const [found] = await until(problems, (all) => all[0]?.severity === 'warning' && all[0].message.includes('failed'))
  expect(found).toMatchObject({ id: service.id, name: 'web' })
  expect(found?.message).toMatch(/^Revision 1 serves with 1 healthy container\. The rollout of revision 2 failed: /)
  await push(world, service, 'better')
  await runs(3)
  expect(await problems()).toEqual([])
})
