import { type Cluster, clusterKind, nodeKind } from '@freehold/contracts'
import { afterEach, beforeEach, expect, it } from 'vitest'
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
import { createMemoryTransports } from './transport.ts'

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
async function welcomed(agent: TestAgent): Promise<TestAgent> {
  await until(
    async () => agent.desired(),
    (desired) => desired !== undefined,
  )
  return agent
}
async function askedOf(agent: TestAgent): Promise<string> {
  const asked = await until(
    async () => agent.heard.find((message) => message.type === 'operation'),
    (message) => message !== undefined,
  )
  if (asked?.type !== 'operation') throw new Error('no operation')
  return asked.id
}
const clusterNow = (holds: (seen: Cluster) => boolean) =>
  until(
    () => world.store.get(clusterKind, cluster.cluster.id),
    (seen) => seen !== undefined && holds(seen),
  )

it("writes nothing of what an agent says about another cluster's services", async () => {
  const other = await addCluster(world, 'other')
  const service = await makeService(world, { clusterId: other.cluster.id })
  open.push(startSwarm(world, other))
  await push(world, service, 'one')
  const before = await until(
    () => serviceNow(world, service.id),
    ({ status }) => status.state === 'running',
  )
  const liar = await welcomed(connect())
  liar.report({ cluster: clusterReport() })
  await clusterNow((now) => now.status.state === 'online')
  const drift = { at: '2026-01-01T00:00:00.000Z', serviceId: service.id, found: 'Lies.', mended: 'Lies.' }
  const workload = { serviceId: service.id, revisionId: before.status.currentRevisionId ?? '', replicas: 7, tasks: [] }
  liar.report({ cluster: clusterReport({ workloads: [workload], drift: [drift] }) })
  await clusterNow((now) => now.status.drift.length > 0)
  expect((await serviceNow(world, service.id)).status).toEqual(before.status)
})

it('keeps short and printable what an agent reports', async () => {
  const service = await makeService(world, { clusterId: cluster.cluster.id })
  const agent = await welcomed(connect({ facts: { hostname: 'one\u0000\u001b[2J' } }))
  const hostile = `\u001b]0;\u0000${'x'.repeat(3000)}\ud800`
  const drift = Array.from({ length: 300 }, (_, minute) => ({
    at: new Date(Date.UTC(2026, 0, 1, 0, minute)).toISOString(),
    serviceId: service.id,
    found: hostile,
    mended: hostile,
  }))
  const task = {
    taskId: 'task',
    revisionId: service.id,
    swarmNodeId: 'swarm-node-1',
    slot: 1,
    state: 'failed',
    desiredState: 'shutdown',
    message: hostile,
    exitCode: 1,
    health: 'failing' as const,
    healthMessage: hostile,
    since: '2026-01-01T00:00:00.000Z',
    logTail: Array.from({ length: 500 }, () => hostile),
  }
  const workload = { serviceId: service.id, revisionId: service.id, replicas: 1, tasks: [task] }
  agent.report({ engineProblem: null, cluster: clusterReport({ workloads: [workload], drift }) })
  await clusterNow((now) => now.status.drift.length > 0)
  const { status } = await until(
    () => serviceNow(world, service.id),
    (seen) => seen.status.tasks.length > 0,
  )
  expect(status.tasks[0]?.logTail).toHaveLength(20)
  const stored = JSON.stringify([
    status,
    (await world.store.get(clusterKind, cluster.cluster.id))?.status,
    (await world.store.get(nodeKind, cluster.nodeId))?.status,
  ])
  expect(stored.length).toBeLessThan(200_000)
  expect(stored).not.toMatch(/\\u00|\\ud/)
})

it('takes an error code of an agent that is in no table for a failure of its engine', async () => {
  const agent = await welcomed(connect())
  const operation = { kind: 'service-logs', serviceId: cluster.cluster.id, tail: 1, follow: false } as const
  const asking = (async () => {
    const signal = AbortSignal.timeout(20_000)
    for await (const output of world.hub.request(cluster.cluster.id, operation, { signal })) void output
  })()
  const refusal = expect(asking).rejects.toMatchObject({ code: 'engine-unavailable', status: 503 })
  const id = await askedOf(agent)
  agent.send({ type: 'result', id, output: null, error: { code: 'constructor', message: 'x' }, done: true })
  await refusal
})

it('ends an operation whose answers pile up unread', async () => {
  const agent = await welcomed(connect())
  const operation = { kind: 'service-logs', serviceId: cluster.cluster.id, tail: 1, follow: true } as const
  const outputs = world.hub.request(cluster.cluster.id, operation, { signal: AbortSignal.timeout(20_000) })
  const reader = outputs[Symbol.asyncIterator]()
  const first = reader.next()
  const id = await askedOf(agent)
  const line = { at: '', stream: 'stdout' as const, taskId: 't', nodeName: 'n', line: 'x'.repeat(3_000_000) }
  for (let sent = 0; sent < 15; sent += 1) {
    agent.send({ type: 'result', id, output: { kind: 'service-logs', lines: [line] }, error: null, done: false })
  }
  agent.send({ type: 'ping' })
  await until(
    async () => agent.heard.at(-1)?.type,
    (type) => type === 'pong',
  )
  await first
  let read = 1
  const drain = async () => {
    while ((await reader.next()).done !== true) read += 1
  }
  await expect(drain()).rejects.toMatchObject({ code: 'timeout' })
  expect(read).toBeLessThan(15)
})

it("believes of a container's health only the agent of the node it runs on", async () => {
  const key = makeKey()
  const data = { clusterId: cluster.cluster.id, name: 'worker', publicKey: key.publicKey, revoked: false }
  const node = await world.store.transaction(tester, (transaction) => transaction.create(nodeKind, { data }))
  const service = await makeService(world, { clusterId: cluster.cluster.id })
  const facts = { swarmNodeId: 'swarm-node-2', role: 'worker', leader: false } as const
  const leader = await welcomed(connect())
  const worker = await welcomed(connect({ nodeId: node.id, privateKey: key.privateKey, facts }))
  const task = { revisionId: service.id, swarmNodeId: 'swarm-node-1', slot: 1, state: 'running' } as const
  const quiet = { desiredState: 'running', message: '', exitCode: null, health: 'unknown', healthMessage: '' } as const
  const tasks = [{ ...task, ...quiet, taskId: 'task', since: '2026-01-01T00:00:00.000Z', logTail: [] }]
  const workload = { serviceId: service.id, revisionId: service.id, replicas: 1, tasks }
  leader.report({
    cluster: clusterReport({ workloads: [workload] }),
    probes: [{ taskId: 'task', health: 'passing', message: '200 OK' }],
  })
  worker.report({ probes: [{ taskId: 'task', health: 'failing', message: 'a lie' }] })
  worker.send({ type: 'ping' })
  await until(
    async () => worker.heard.at(-1)?.type,
    (type) => type === 'pong',
  )
  const sight = world.hub.sightOf({ id: service.id, clusterId: cluster.cluster.id })
  expect(sight.tasks).toMatchObject([{ taskId: 'task', health: 'passing', healthMessage: '200 OK' }])
})

it('hears out no stranger that sends large frames before its hello', async () => {
  const heard: string[] = []
  let closed = false
  const { server, agent } = createMemoryTransports()
  agent.onMessage((text) => heard.push(JSON.parse(text).type))
  agent.onClose(() => {
    closed = true
  })
  world.hub.accept(server)
  agent.send(JSON.stringify({ type: 'ping', padding: 'x'.repeat(100_000) }))
  await until(
    async () => closed,
    (isClosed) => isClosed,
  )
  expect(heard).toEqual(['challenge'])
})
