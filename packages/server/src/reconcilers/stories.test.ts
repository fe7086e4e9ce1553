import { FreeholdError, revisionKind, rolloutKind, serviceKind } from '@freehold/contracts'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { deleteService, deployService, updateService } from '../services/index.ts'
import {
  addCluster,
  digestOf,
  makeService,
  openWorld,
  push,
  rolloutsOf,
  serviceNow,
  startSwarm,
  type TestCluster,
  type TestSwarm,
  tester,
  until,
  type World,
} from './world.testing.ts'

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
  expect(world.failures).toEqual([])
})

const running = (id: string, revision: number) =>
  until(
    () => serviceNow(world, id),
    ({ status }) => status.state === 'running' && status.currentRevisionNumber === revision,
  )
const change = (id: string, data: Record<string, unknown>) =>
  world.store.transaction(tester, async (transaction) => {
    const service = await transaction.get(serviceKind, id)
    if (service === undefined) throw new Error('gone')
    return updateService(transaction, { id, data: { ...service.data, ...data } }, world.rules)
  })

it('waits for an image, runs it when it is pushed, and rolls out the next one by its digest', async () => {
  const service = await makeService(world, { clusterId: cluster.cluster.id })
  expect(service.status.state).toBe('waiting-for-image')
  await push(world, service, 'one')
  const first = await running(service.id, 1)
  expect(first.status.message).toContain('Revision 1 serves')
  expect(first.status.tasks[0]).toMatchObject({ health: 'passing', nodeName: null })
  expect(swarm.agent.desired()?.workloads[0]?.spec.image).toBe(
    `registry.test:8080/workloads/web-${service.id.slice(0, 8)}@${digestOf('one')}`,
  )
  await push(world, service, 'two')
  await running(service.id, 2)
  expect(swarm.ran).toContainEqual([
    { revision: 1, replicas: 1 },
    { revision: 2, replicas: 1 },
  ])
  expect((await rolloutsOf(world, service.id)).map((rollout) => rollout.data.trigger)).toEqual(['push', 'push'])
})

it('says failed, why, and with which last lines, and keeps what served before', async () => {
  const service = await makeService(world, { clusterId: cluster.cluster.id })
  await push(world, service, 'good')
  await running(service.id, 1)
  swarm.fates.set(digestOf('bad'), 'crashing')
  await push(world, service, 'bad')
  const [, rollout] = await until(
    () => rolloutsOf(world, service.id),
    (rollouts) => rollouts[1]?.status.phase === 'failed',
  )
  expect(rollout?.status.failure?.reason).toContain('exit code 3')
  expect(rollout?.status.failure?.logTail).toEqual(['cannot open the database'])
  expect(rollout?.status.previousServes).toBe(true)
  const after = await running(service.id, 1)
  expect(after.status.message).toContain('The rollout of revision 2 failed')
})

it('names the failing probe where the new revision starts but never answers', async () => {
  const service = await makeService(world, { clusterId: cluster.cluster.id })
  swarm.fates.set(digestOf('sick'), 'unhealthy')
  await push(world, service, 'sick')
  const [rollout] = await until(
    () => rolloutsOf(world, service.id),
    (rollouts) => rollouts[0]?.status.phase === 'failed',
  )
  expect(rollout?.status.failure?.reason).toContain('Not healthy within 5 s')
  expect(rollout?.status.failure?.reason).toContain('500 Internal Server Error')
  const after = await until(
    () => serviceNow(world, service.id),
    ({ status }) => status.state === 'failed',
  )
  expect(after.status.message).toContain('Nothing runs.')
  await until(
    async () => swarm.agent.desired()?.workloads,
    (workloads) => workloads?.length === 0,
  )
})

it('goes back to an earlier revision, and forward again with the next push', async () => {
  const service = await makeService(world, { clusterId: cluster.cluster.id })
  await push(world, service, 'one')
  const { status } = await running(service.id, 1)
  await push(world, service, 'two')
  await running(service.id, 2)
  const revisionId = status.currentRevisionId ?? ''
  const deploy = () =>
    world.store.transaction(tester, (transaction) =>
      deployService(transaction, { id: service.id, revisionId }, world.rules),
    )
  const { rollout } = await deploy()
  expect(rollout.data.trigger).toBe('rollback')
  await running(service.id, 1)
  await expect(deploy()).rejects.toMatchObject({ code: 'conflict' })
  await push(world, service, 'three')
  await running(service.id, 3)
})

it('lets a newer rollout take over, with the last proven revision to go back to', async () => {
  const service = await makeService(world, { clusterId: cluster.cluster.id })
  await push(world, service, 'one')
  await running(service.id, 1)
  swarm.fates.set(digestOf('stuck'), 'pending')
  await push(world, service, 'stuck')
  await until(
    () => rolloutsOf(world, service.id),
    (rollouts) => rollouts.length === 2,
  )
  await push(world, service, 'three')
  await running(service.id, 3)
  const rollouts = await rolloutsOf(world, service.id)
  expect(rollouts.map((rollout) => rollout.status.phase)).toEqual(['succeeded', 'superseded', 'succeeded'])
  expect(rollouts[2]?.data.previousRevisionId).toBe(rollouts[0]?.data.revisionId)
})

it('goes back when a person aborts', async () => {
  const service = await makeService(world, { clusterId: cluster.cluster.id })
  await push(world, service, 'one')
  await running(service.id, 1)
  swarm.fates.set(digestOf('stuck'), 'pending')
  await push(world, service, 'stuck')
  const [, stuck] = await until(
    () => rolloutsOf(world, service.id),
    (rollouts) => rollouts.length === 2,
  )
  await world.store.transaction(tester, async (transaction) => {
    if (stuck === undefined) throw new Error('no rollout')
    await transaction.update(rolloutKind, stuck.id, { data: { ...stuck.data, abortRequested: true } })
  })
  await until(
    () => rolloutsOf(world, service.id),
    (rollouts) => rollouts[1]?.status.phase === 'aborted',
  )
  await running(service.id, 1)
})

it('scales whichever revision serves at once, without a new revision, and stops at 0', async () => {
  const service = await makeService(world, { clusterId: cluster.cluster.id })
  await push(world, service, 'one')
  await running(service.id, 1)
  await change(service.id, { scaleFactor: 3 })
  await until(
    () => serviceNow(world, service.id),
    ({ status }) => status.replicas.healthy === 3,
  )
  await change(service.id, { scaleFactor: 0 })
  await until(
    () => serviceNow(world, service.id),
    ({ status }) => status.state === 'stopped',
  )
  expect(await rolloutsOf(world, service.id)).toHaveLength(1)
})

it('stops the old one first where both need the same port', async () => {
  const ports = { web: 80, published: [{ target: 80, published: 8081, protocol: 'tcp' }] }
  const service = await makeService(world, { clusterId: cluster.cluster.id, ports })
  await push(world, service, 'one')
  await running(service.id, 1)
  await push(world, service, 'two')
  await running(service.id, 2)
  const both = swarm.ran.find((workloads) => workloads.length === 2)
  expect(both).toEqual([
    { revision: 1, replicas: 0 },
    { revision: 2, replicas: 1 },
  ])
  await expect(makeService(world, { clusterId: cluster.cluster.id, name: 'other', ports })).rejects.toThrow(
    /8081\/tcp .* service web/,
  )
})

it('says unknown when no agent reports, and finishes the rollout when one comes back after a restart', async () => {
  const service = await makeService(world, { clusterId: cluster.cluster.id })
  await push(world, service, 'one')
  await running(service.id, 1)
  swarm.fates.set(digestOf('two'), 'pending')
  await push(world, service, 'two')
  await until(
    () => rolloutsOf(world, service.id),
    (rollouts) => rollouts.length === 2,
  )
  swarm.close()
  await world.restart()
  const lost = await until(
    () => serviceNow(world, service.id),
    ({ status }) => status.state === 'unknown',
  )
  expect(lost.status.message).toContain('No agent')
  expect((await rolloutsOf(world, service.id))[1]?.status.phase).toBe('starting')
  swarm = startSwarm(world, cluster)
  await running(service.id, 2)
})

it('takes everything of a deleted service with it, and tells the agent', async () => {
  const service = await makeService(world, { clusterId: cluster.cluster.id })
  await push(world, service, 'one')
  await running(service.id, 1)
  await world.store.transaction(tester, (transaction) => deleteService(transaction, { id: service.id }))
  await until(
    async () => swarm.agent.desired()?.workloads,
    (workloads) => workloads?.length === 0,
  )
  expect(await rolloutsOf(world, service.id)).toEqual([])
  expect(await world.store.all(revisionKind, { where: { serviceId: service.id } })).toEqual([])
})

it('does not deploy by itself where deployOnPush is off, and never changes the image behind an edit', async () => {
  const service = await makeService(world, { clusterId: cluster.cluster.id, deployOnPush: false })
  await push(world, service, 'one')
  await world.store.transaction(tester, (transaction) => deployService(transaction, { id: service.id }, world.rules))
  await running(service.id, 1)
  await push(world, service, 'two')
  await change(service.id, { environment: { GREETING: 'hello' } })
  await running(service.id, 2)
  expect(swarm.agent.desired()?.workloads[0]?.spec.image).toContain(digestOf('one'))
})

it('refuses to deploy a version that was never pushed', async () => {
  const service = await makeService(world, { clusterId: cluster.cluster.id })
  const deploy = world.store.transaction(tester, (transaction) =>
    deployService(transaction, { id: service.id, imageVersion: 'v9' }, world.rules),
  )
  await expect(deploy).rejects.toThrow(FreeholdError)
  expect((await serviceNow(world, service.id)).data.imageVersion).toBe('latest')
})
