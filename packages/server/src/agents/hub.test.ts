import {
  type Cluster,
  clusterKind,
  type Desired,
  type Node,
  nodeKind,
  type OperationOutput,
  serviceKind,
} from '@freehold/contracts'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { revokeNode } from '../clusters/index.ts'
import {
  addCluster,
  makeService,
  openWorld,
  push,
  serviceNow,
  startSwarm,
  type TestCluster,
  tester,
  until,
  type World,
} from '../reconcilers/world.testing.ts'
import { clusterReport, connectAgent, makeKey, type TestAgent } from './agent.testing.ts'
import { clockProblem } from './kind.ts'

let world: World
let cluster: TestCluster
const open: { close(): void }[] = []

beforeEach(async () => {
  world = await openWorld()
  cluster = await addCluster(world)
})
afterEach(async () => {
  for (const one of open.splice(0)) one.close()
  await world.close()
  expect(world.failures).toEqual([])
})

function connect(options: Partial<Parameters<typeof connectAgent>[0]> = {}): TestAgent {
  const agent = connectAgent({
    accept: (transport) => world.hub.accept(transport),
    nodeId: cluster.nodeId,
    privateKey: cluster.key.privateKey,
    now: () => Date.now(),
    ...options,
  })
  open.push(agent)
  return agent
}
function swarm(of: TestCluster = cluster) {
  const started = startSwarm(world, of)
  open.push(started)
  return started
}
async function addNode(name: string): Promise<{ nodeId: string; privateKey: TestCluster['key']['privateKey'] }> {
  const key = makeKey()
  const data = { clusterId: cluster.cluster.id, name, publicKey: key.publicKey, revoked: false }
  const node = await world.store.transaction(tester, (transaction) => transaction.create(nodeKind, { data }))
  return { nodeId: node.id, privateKey: key.privateKey }
}
const node = (holds: (seen: Node) => boolean, id = cluster.nodeId) =>
  until(
    () => world.store.get(nodeKind, id),
    (seen) => seen !== undefined && holds(seen),
  )
const clusterNow = (holds: (seen: Cluster) => boolean) =>
  until(
    () => world.store.get(clusterKind, cluster.cluster.id),
    (seen) => seen !== undefined && holds(seen),
  )
const refused = (agent: TestAgent) =>
  until(
    async () => agent.refusal(),
    (refusal) => refusal !== undefined,
  )

it('welcomes a node that proves its key, tells it what is desired, and shows it online', async () => {
  const agent = connect()
  await until(
    async () => agent.desired(),
    (desired) => desired !== undefined,
  )
  expect(agent.heard.map((message) => message.type).slice(0, 3)).toEqual(['challenge', 'welcome', 'desired'])
  expect(agent.desired()).toMatchObject({
    clusterName: 'main',
    workloads: [],
    registry: { host: 'registry.test:8080' },
  })
  await node((seen) => seen.status.state === 'online' && seen.status.leader)
  agent.report({ cluster: clusterReport() })
  const seen = await clusterNow((now) => now.status.state === 'online')
  expect(seen?.status).toMatchObject({ leaderNodeId: cluster.nodeId, swarmId: 'swarm-1' })
})

it('refuses a signature by another key, and lets the agent try again', async () => {
  const refusal = await refused(connect({ privateKey: makeKey().privateKey }))
  expect(refusal).toMatchObject({ reason: 'bad-signature', final: false })
})

it('refuses a node it does not know for good', async () => {
  const refusal = await refused(connect({ nodeId: '01900000-0000-7000-8000-00000000dead' }))
  expect(refusal).toMatchObject({ reason: 'unknown-node', final: true })
})

it('refuses a protocol that is too old', async () => {
  expect(await refused(connect({ protocol: 0 }))).toMatchObject({ reason: 'protocol' })
})

it('closes the link of a revoked agent at once and keeps it out', async () => {
  const agent = connect()
  await node((seen) => seen.status.state === 'online')
  await world.store.transaction(tester, (transaction) => revokeNode(transaction, cluster.nodeId))
  expect(await refused(agent)).toMatchObject({ reason: 'revoked', final: true })
  expect(await refused(connect())).toMatchObject({ reason: 'revoked', final: true })
  await node((seen) => seen.status.state === 'revoked')
  expect((await world.store.get(clusterKind, cluster.cluster.id))?.status.pullEpoch).toBe(1)
})

it('refuses a second agent for the same machine, and lets the same agent replace its old link', async () => {
  const first = connect()
  await until(
    async () => first.desired(),
    (desired) => desired !== undefined,
  )
  const second = await addNode('copy')
  const refusal = await refused(connect(second))
  expect(refusal).toMatchObject({ reason: 'node-taken', final: false })
  expect(refusal?.message).toContain('main-one')
  const again = connect()
  await until(
    async () => again.desired(),
    (desired) => desired !== undefined,
  )
  await until(
    async () => first.isClosed(),
    (closed) => closed,
  )
  expect(first.refusal()).toBeUndefined()
})

it('refuses a leader of another Swarm in the same cluster, and the same Swarm in another cluster', async () => {
  const first = connect()
  await until(
    async () => first.desired(),
    (desired) => desired !== undefined,
  )
  first.report({ cluster: clusterReport() })
  await clusterNow((now) => now.status.state === 'online')
  const stranger = connect({ ...(await addNode('stranger')), facts: { swarmNodeId: 'swarm-node-9' } })
  await until(
    async () => stranger.desired(),
    (desired) => desired !== undefined,
  )
  stranger.report({ cluster: clusterReport({ swarmId: 'swarm-2' }) })
  expect(await refused(stranger)).toMatchObject({ reason: 'wrong-cluster' })
  const other = await addCluster(world, 'other')
  const twin = connect({
    nodeId: other.nodeId,
    privateKey: other.key.privateKey,
    facts: { swarmNodeId: 'swarm-node-8' },
  })
  await until(
    async () => twin.desired(),
    (desired) => desired !== undefined,
  )
  twin.report({ cluster: clusterReport() })
  expect(await refused(twin)).toMatchObject({ reason: 'wrong-cluster' })
})

it('shows how wrong a clock is and works on all the same', async () => {
  connect({ now: () => Date.now() - 3_600_000 })
  const seen = await node(({ status }) => status.state === 'online')
  expect(seen?.status.clockSkewMs).toBeLessThan(-3_590_000)
  expect(seen === undefined ? null : clockProblem(seen)).toContain('behind')
})

it('calls a node offline after its grace, and the cluster with it, but not before', async () => {
  const machine = swarm()
  await clusterNow((now) => now.status.state === 'online')
  machine.close()
  const endedAt = Date.now()
  await clusterNow((now) => now.status.state === 'offline')
  expect(Date.now() - endedAt).toBeGreaterThan(4500)
  await node((seen) => seen.status.state === 'offline' && !seen.status.leader)
})

it('rebuilds what it knows from the store and from agents that come back after a restart', async () => {
  let machine = swarm()
  const service = await makeService(world, { clusterId: cluster.cluster.id })
  await push(world, service, 'one')
  await until(
    () => serviceNow(world, service.id),
    ({ status }) => status.state === 'running',
  )
  await world.restart()
  machine.close()
  expect((await serviceNow(world, service.id)).status.state).toBe('running')
  machine = swarm()
  await until(
    async () => machine.agent.desired()?.workloads,
    (workloads) => workloads?.length === 1,
  )
  await clusterNow((now) => now.status.state === 'online')
  expect((await serviceNow(world, service.id)).status.state).toBe('running')
})

it('says what the engine says when it does not answer', async () => {
  const agent = connect()
  await until(
    async () => agent.desired(),
    (desired) => desired !== undefined,
  )
  agent.report({ engineProblem: 'The socket refuses connections.' })
  const seen = await clusterNow((now) => now.status.state === 'degraded')
  expect(seen?.status.message).toContain('The socket refuses connections.')
})

it('keeps what was found and mended by hand with the service and the cluster', async () => {
  const service = await makeService(world, { clusterId: cluster.cluster.id })
  const agent = connect()
  await until(
    async () => agent.desired(),
    (desired) => desired !== undefined,
  )
  const drift = { at: '2026-01-01T00:00:00.000Z', serviceId: service.id, found: 'It was gone.', mended: 'Made again.' }
  agent.report({ cluster: clusterReport({ drift: [drift] }) })
  const seen = await clusterNow((now) => now.status.drift.length > 0)
  expect(seen?.status.drift).toEqual([drift])
  await until(
    () => serviceNow(world, service.id),
    ({ status }) => status.drift.length === 1,
  )
})

it('passes an operation to the leader and its answers back, and cancels it when nobody listens', async () => {
  const agent = connect()
  await until(
    async () => agent.desired(),
    (desired) => desired !== undefined,
  )
  agent.report({ cluster: clusterReport() })
  await clusterNow((now) => now.status.state === 'online')
  const stop = new AbortController()
  const heard: OperationOutput[] = []
  const asking = (async () => {
    const operation = { kind: 'service-logs', serviceId: cluster.cluster.id, tail: 1, follow: true } as const
    for await (const output of world.hub.request(cluster.cluster.id, operation, { signal: stop.signal }))
      heard.push(output)
  })()
  const asked = await until(
    async () => agent.heard.find((message) => message.type === 'operation'),
    (message) => message !== undefined,
  )
  if (asked?.type !== 'operation') throw new Error('no operation')
  agent.send({ type: 'result', id: asked.id, output: { kind: 'service-logs', lines: [] }, error: null, done: false })
  await until(
    async () => heard,
    (outputs) => outputs.length === 1,
  )
  stop.abort()
  await asking
  await until(
    async () => agent.heard.at(-1),
    (message) => message?.type === 'cancel' && message.id === asked.id,
  )
})

it('says agent-offline at once where none is linked, and when the link ends in the middle', async () => {
  const desired: Desired = {
    clusterId: cluster.cluster.id,
    clusterName: 'main',
    generation: 1,
    workloads: [],
    registry: null,
    externalPulls: [],
  }
  const operation = { kind: 'plan', desired } as const
  const ask = async () => {
    for await (const output of world.hub.request(cluster.cluster.id, operation, {
      signal: AbortSignal.timeout(20_000),
    }))
      void output
  }
  await expect(ask()).rejects.toMatchObject({ code: 'agent-offline' })
  const agent = connect()
  await until(
    async () => agent.desired(),
    (desired) => desired !== undefined,
  )
  const asking = expect(ask()).rejects.toMatchObject({ code: 'agent-offline' })
  await until(
    async () => agent.heard.at(-1)?.type,
    (type) => type === 'operation',
  )
  agent.close()
  await asking
})

it('ends the link of an agent that sends what is not of the protocol', async () => {
  const agent = connect()
  await until(
    async () => agent.desired(),
    (desired) => desired !== undefined,
  )
  agent.send({ type: 'nonsense' } as never)
  await until(
    async () => agent.isClosed(),
    (closed) => closed,
  )
})

it('tells only the cluster concerned', async () => {
  const other = await addCluster(world, 'other')
  const [here, there] = [swarm(), swarm(other)]
  await until(
    async () => [here.agent.desired(), there.agent.desired()],
    (both) => both.every((one) => one !== undefined),
  )
  const before = there.agent.desired()?.generation
  const service = await makeService(world, { clusterId: cluster.cluster.id })
  await push(world, service, 'one')
  await until(
    () => serviceNow(world, service.id),
    ({ status }) => status.state === 'running',
  )
  expect(there.agent.desired()?.generation).toBe(before)
  expect(await world.store.count(serviceKind, { where: { clusterId: other.cluster.id } })).toBe(0)
})
