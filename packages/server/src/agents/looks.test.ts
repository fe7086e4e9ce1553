import { rolloutKind } from '@freehold/contracts'
import { afterEach, beforeEach, expect, it } from 'vitest'
import {
  addCluster,
  makeService,
  openWorld,
  push,
  rolloutsOf,
  serviceNow,
  startSwarm,
  type TestCluster,
  type TestSwarm,
  until,
  type World,
} from '../reconcilers/world.testing.ts'
import { newLink, noteAnswer, provenAt } from './looks.ts'
import { createClusterView } from './view.ts'

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

it('does not call a revision settled while the agent that called it healthy answers no look', async () => {
  const service = await makeService(world, {
    clusterId: cluster.cluster.id,
    rollout: { strategy: 'auto', deadlineSeconds: 60, settleSeconds: 1 },
  })
  swarm.agent.mute(true)
  await push(world, service, 'first')
  const phaseNow = async () => (await rolloutsOf(world, service.id)).at(-1)?.status.phase
  await until(phaseNow, (phase) => phase === 'settling')
  const looksBefore = swarm.agent.heard.filter(({ type }) => type === 'look').length
  await until(
    async () => swarm.agent.heard.filter(({ type }) => type === 'look').length,
    (looks) => looks >= looksBefore + 3,
  )
  expect(await phaseNow()).toBe('settling')

  swarm.agent.mute(false)
  await until(phaseNow, (phase) => phase === 'succeeded')
  expect((await serviceNow(world, service.id)).status.state).toBe('running')
  expect(await world.store.count(rolloutKind, { where: { active: 'yes' } })).toBe(0)
})

it('takes as proved what every agent concerned has answered, and an answer to an unknown look for nothing', () => {
  const view = createClusterView('cluster')
  const sent: string[] = []
  const linked = (nodeId: string, swarmNodeId: string) => {
    const live = newLink({
      nodeId,
      facts: { swarmNodeId },
      send: (message: { type: string; id?: string }) => sent.push(`${nodeId} ${message.type} ${message.id}`),
    } as unknown as Parameters<typeof newLink>[0])
    view.links.set(nodeId, live)
    return live
  }
  const [leader, worker] = [linked('leader', 'one'), linked('worker', 'two')]
  linked('idle', 'three')
  const tasks = [{ state: 'running', swarmNodeId: 'two' }] as unknown as Parameters<typeof provenAt>[1]['tasks']
  const at = (now: number) => provenAt(view.links.values(), { leader, tasks, now })

  expect(at(1000)).toBeNull()
  expect(sent).toEqual(['leader look 1', 'worker look 1'])
  expect(at(1100)).toBeNull()
  expect(sent).toHaveLength(2)
  noteAnswer(leader, '1')
  noteAnswer(worker, '99')
  expect(at(1200)).toBeNull()
  noteAnswer(worker, '1')
  expect(at(1240)).toBe(1000)
  expect(at(1300)).toBe(1000)
  expect(sent.slice(2)).toEqual(['leader look 2', 'worker look 2'])
  noteAnswer(leader, '2')
  expect(at(1301)).toBe(1000)
  noteAnswer(worker, '2')
  expect(at(1302)).toBe(1300)
})
