import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import {
  createAgent,
  createEngineClient,
  createMemoryState,
  createProber,
  createWebSocketTransport,
  machineFacts,
  silentLog,
} from '@freehold/cluster-agent'
import { desiredSchema, type Node } from '@freehold/contracts'
import { systemClock, systemRandom } from '@freehold/reconcile'
import { afterAll, beforeAll, expect, test } from 'vitest'
import {
  type AgentProcess,
  type Cloud,
  type Freehold,
  quickService,
  run,
  type SwarmNode,
  type SwarmNodes,
  signIn,
  startAgent,
  startCluster,
  startFreehold,
  startSwarmNodes,
  until,
  waitFor,
  webImage,
} from './lab/index.ts'

/** One Swarm of two machines, an agent on each; then a twin, a cut cable, a revoked agent, and a wrong clock. */
let swarm: SwarmNodes
let leader: SwarmNode
let worker: SwarmNode
let freehold: Freehold
let cloud: Cloud
let url: string
let first: AgentProcess
let second: AgentProcess
let clusterId: string
let serviceId: string

beforeAll(async () => {
  swarm = await startSwarmNodes(2)
  const [one, two] = swarm.nodes
  if (one === undefined || two === undefined) throw new Error('There are not two nodes.')
  leader = one
  worker = two
  freehold = await startFreehold({ env: { SERVEZONE_URL: swarm.hostAddress } })
  url = `http://${swarm.hostAddress}:${freehold.port}`
  cloud = await signIn(freehold)
  const cluster = await startCluster({ cloud, url, dockerd: leader, machine: leader.machine })
  first = cluster.agent
  clusterId = cluster.clusterId
  second = await startAgent({ cloud, clusterId, name: 'second', url, dockerd: worker, machine: worker.machine })
})

afterAll(async () => {
  await second?.stop()
  await first?.stop()
  await freehold?.stop()
  await swarm?.stop()
})

test('two agents of one Swarm are both linked, and one of them leads', async () => {
  const nodes = await until(nodesByName, {
    holds: (now) => ['first', 'second'].every((name) => now[name]?.status.state === 'online'),
    what: 'both nodes to be online',
  })
  expect(nodes.first?.status).toMatchObject({ leader: true, role: 'manager', address: leader.address })
  expect(nodes.second?.status).toMatchObject({ leader: false, role: 'worker' })
  const cluster = await cloud.client.clusters.get({ params: { id: clusterId } })
  expect(cluster.status).toMatchObject({ state: 'online', leaderNodeId: nodes.first?.id })
  expect(cluster.status.swarmNodes.map(({ role }) => role).sort()).toEqual(['manager', 'worker'])
})

test('a service for all nodes runs on both, each asked by its own agent, and only the leader makes it', async () => {
  const data = { ...quickService({ name: 'everywhere', clusterId }), deploymentStrategy: 'all-nodes' } as const
  serviceId = (await cloud.client.services.create({ body: { data } })).id
  await cloud.push(leader, serviceId, await webImage({ name: 'everywhere:1', version: 'version 1' }))
  expect((await cloud.verdict(serviceId, 1)).status).toMatchObject({ phase: 'succeeded', healthy: 2, wanted: 2 })
  const { status } = await running(2)
  expect(new Set(status.tasks.map(({ swarmNodeId }) => swarmNodeId)).size).toBe(2)
  expect(status.tasks.map(({ healthMessage }) => healthMessage)).toEqual(Array(2).fill('/ on port 8080 answered 200.'))
  expect(JSON.parse(await readFile(join(first.directory, 'created.json'), 'utf8'))).toEqual(['everywhere-r1'])
  await expect(readFile(join(second.directory, 'created.json'))).rejects.toMatchObject({ code: 'ENOENT' })
})

test('a second agent for a machine that has one is told so, and changes nothing', async () => {
  const twin = await startAgent({ cloud, clusterId, name: 'twin', url, dockerd: leader, machine: leader.machine })
  try {
    await waitFor(() => twin.logs().includes('Another agent (first) is connected for this very machine'), {
      what: 'the twin to be refused',
    })
  } finally {
    await twin.stop()
  }
  const nodes = await nodesByName()
  expect(nodes.twin?.status.state).not.toBe('online')
  expect(nodes.first?.status).toMatchObject({ state: 'online', leader: true })
  await cloud.client.nodes.delete({ params: { id: nodes.twin?.id ?? '' } })
  await running(2)
})

test("with the leader's cable out nothing is claimed, and with it back everything is known again", async () => {
  const { id } = await nodeNamed('first')
  await leader.cut()
  await cloud.node(id, ({ status }) => status.state === 'offline', 'the cut node to be offline')
  const unknown = await cloud.service(
    serviceId,
    ({ status }) => status.state === 'unknown',
    'the service to be unknown',
  )
  expect(unknown.status).toMatchObject({ replicas: { running: 0, healthy: 0 } })
  const cluster = await cloud.client.clusters.get({ params: { id: clusterId } })
  expect(cluster.status).toMatchObject({ state: 'degraded', message: expect.stringContaining('does not report') })
  await leader.mend()
  await cloud.node(id, ({ status }) => status.state === 'online', 'the mended node to be online')
  await running(2)
})

test('a revoked agent is shut out for good; its containers go on, and the password it knew is void', async () => {
  const { id } = await nodeNamed('second')
  const containers = await containerIds(worker)
  const before = await pullPassword()
  await pull(before)
  const revoked = await cloud.client.nodes.revoke({ params: { id } })
  expect(revoked.status.state).toBe('revoked')
  await waitFor(() => second.logs().includes('This agent was revoked.'), { what: 'the agent to be told' })
  await waitFor(async () => (await pullPassword()).password !== before.password, { what: 'another pull password' })
  await expect(pull(before)).rejects.toThrow(/unauthorized|denied|authentication required/i)
  await pull(await pullPassword())

  const partly = await cloud.service(serviceId, ({ status }) => status.state === 'degraded', 'half of it to be unseen')
  expect(partly.status.replicas).toMatchObject({ wanted: 2, running: 2, healthy: 1 })
  const refusals = () => second.logs().split('This agent was revoked.').length
  const refusedBefore = refusals()
  await second.restart()
  await waitFor(() => refusals() > refusedBefore, { what: 'it to be refused again' })
  expect((await nodeNamed('second')).status.state).toBe('revoked')
  expect(await containerIds(worker)).toEqual(containers)
})

test('an agent whose clock is a year ahead is linked and told of, and its clock is named as a problem', async () => {
  await second.stop()
  await cloud.client.nodes.delete({ params: { id: (await nodeNamed('second')).id } })
  const yearMs = 365 * 86_400_000
  const { jumpCode } = await cloud.client.enrolments.create({ body: { data: { clusterId } } })
  const agent = createAgent({
    transport: createWebSocketTransport({ url }),
    engine: createEngineClient({ address: worker.dockerHost }),
    prober: createProber(),
    state: createMemoryState(),
    clock: { ...systemClock, now: () => systemClock.now() + yearMs },
    random: systemRandom,
    log: silentLog,
    agentVersion: 'test',
    machine: machineFacts(),
    name: 'early',
    jumpCode,
    swarm: { init: false, advertiseAddress: '127.0.0.1' },
  })
  await agent.start()
  try {
    await waitFor(async () => (await nodesByName()).early, { what: 'the node to be enrolled' })
    const { id } = await nodeNamed('early')
    const { status } = await cloud.node(id, (now) => now.status.state === 'online', 'the node to be online')
    expect(Math.abs((status.clockSkewMs ?? 0) - yearMs)).toBeLessThan(60_000)
    expect(status.message).toMatch(/clock is \d+ s ahead/)
    const { problems } = await cloud.client.status.get()
    expect(problems).toContainEqual(
      expect.objectContaining({ kind: 'node', name: 'early', message: expect.stringMatching(/clock is \d+ s ahead/) }),
    )
  } finally {
    await agent.stop()
  }
})

function running(healthy: number) {
  return cloud.service(
    serviceId,
    ({ status }) => status.state === 'running' && status.replicas.healthy === healthy,
    `${healthy} healthy containers`,
  )
}

async function nodesByName(): Promise<Record<string, Node>> {
  const { items } = await cloud.client.nodes.list()
  return Object.fromEntries(items.map((node) => [node.data.name, node]))
}

async function nodeNamed(name: string): Promise<Node> {
  const node = (await nodesByName())[name]
  if (node === undefined) throw new Error(`There is no node ${name}.`)
  return node
}

async function containerIds(node: SwarmNode): Promise<string[]> {
  return (await node.engine.listContainers()).map(({ Id }) => Id).sort()
}

interface Credentials {
  username: string
  password: string
}

/** What the first agent was told to pull with. */
async function pullPassword(): Promise<Credentials> {
  const { registry } = desiredSchema.parse(JSON.parse(await readFile(join(first.directory, 'desired.json'), 'utf8')))
  if (registry === null) throw new Error('The agent was told no registry.')
  return registry
}

async function pull({ username, password }: Credentials): Promise<void> {
  const { target } = await cloud.client.services.registryTarget({ params: { id: serviceId } })
  await run(['skopeo', 'inspect', '--tls-verify=false', '--creds', `${username}:${password}`, `docker://${target}`])
}
