import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { clusterKind, enrolmentKind, nodeKind, serviceData } from '@freehold/contracts'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { makeKey } from '../agents/agent.testing.ts'
import {
  addCluster,
  adminCaller,
  client,
  makeService,
  openWorld,
  push,
  registryHost,
  serviceNow,
  startSwarm,
  type TestCluster,
  tester,
  until,
  type World,
} from '../reconcilers/world.testing.ts'
import { updateService } from '../services/index.ts'
import { createEnrolmentHandlers } from './enrol.ts'
import { createPullCredentials } from './pull.ts'
import { createAgentHandlers, createClusterHandlers, createNodeHandlers } from './routes.ts'

let world: World
let cluster: TestCluster
let nowMs: number

beforeEach(async () => {
  world = await openWorld()
  cluster = await addCluster(world)
  nowMs = Date.now()
})
afterEach(() => world.close())

const common = { caller: adminCaller, client, signal: new AbortController().signal, setHeader: () => {} }
const none = { params: undefined, query: undefined, body: undefined }
const handlers = () => ({
  enrolments: createEnrolmentHandlers({
    store: world.store,
    publicUrl: () => 'http://plane.test:8080',
    now: () => nowMs,
  }),
  agents: createAgentHandlers({ store: world.store, now: () => nowMs }),
  clusters: createClusterHandlers({ store: world.store }),
  nodes: createNodeHandlers({ store: world.store }),
})
async function makeCode(uses = 1) {
  const data = { clusterId: cluster.cluster.id, uses, expiresInSeconds: 60 }
  const made = await handlers().enrolments.create({ ...common, ...none, body: { data } })
  if (!('jumpCode' in made)) throw new Error('no code')
  return made
}
const enrolWith = (agents: ReturnType<typeof handlers>['agents'], jumpCode: string, publicKey = makeKey().publicKey) =>
  agents.enrol({ ...common, ...none, body: { jumpCode, publicKey, name: 'two', swarmNodeId: null } })

describe('a JUMPCODE', () => {
  it('is shown once with the line to run, and only its hash is stored', async () => {
    const made = await makeCode()
    expect(made.jumpCode).toMatch(/^fhj_[A-Za-z0-9_-]{43}$/)
    expect(made.command).toBe(`CLOUDLY_URL=http://plane.test:8080 JUMPCODE=${made.jumpCode} npm run agent`)
    const { scripts } = JSON.parse(await readFile(join(import.meta.dirname, '../../../../package.json'), 'utf8'))
    expect(scripts.agent).toContain('packages/cluster-agent/src/main.ts')
    expect(made.resource.data).not.toHaveProperty('hash')
    expect(JSON.stringify(await world.store.all(enrolmentKind))).not.toContain(made.jumpCode)
    expect(JSON.stringify(await world.store.changes(0))).not.toContain(made.jumpCode)
  })

  it('makes as many nodes as it has uses, even when they come at the same moment', async () => {
    const { jumpCode } = await makeCode(2)
    const { agents } = handlers()
    const results = await Promise.allSettled([1, 2, 3, 4].map(() => enrolWith(agents, jumpCode)))
    expect(results.filter((result) => result.status === 'fulfilled')).toHaveLength(2)
    expect(await world.store.count(nodeKind)).toBe(3)
    await expect(enrolWith(agents, jumpCode)).rejects.toThrow('has been used up')
  })

  it('gives the same node again to the same key, though it is used up', async () => {
    const { jumpCode } = await makeCode()
    const { agents } = handlers()
    const { publicKey } = makeKey()
    const first = await enrolWith(agents, jumpCode, publicKey)
    expect(await enrolWith(agents, jumpCode, publicKey)).toEqual(first)
    expect(first).toMatchObject({ clusterId: cluster.cluster.id, clusterName: 'main' })
  })

  it('says why it lets nobody in: expired, unknown', async () => {
    const { jumpCode } = await makeCode()
    const { agents } = handlers()
    await expect(enrolWith(agents, 'fhj_wrong')).rejects.toMatchObject({ code: 'wrong-credentials' })
    nowMs += 61_000
    await expect(enrolWith(agents, jumpCode)).rejects.toThrow('expired')
  })

  it('is not guessed: an address with five wrong ones has to wait, and then gets in with the right one', async () => {
    const { jumpCode } = await makeCode()
    const { agents } = handlers()
    for (let attempt = 0; attempt < 5; attempt++) {
      await expect(enrolWith(agents, `fhj_${attempt}`)).rejects.toMatchObject({ code: 'wrong-credentials' })
    }
    await expect(enrolWith(agents, jumpCode, 'bm8ga2V5')).rejects.toMatchObject({ code: 'invalid-input' })
    await expect(enrolWith(agents, jumpCode)).rejects.toMatchObject({
      code: 'too-many-requests',
      retryAfterSeconds: 1,
    })
    nowMs += 1001
    expect(await enrolWith(agents, jumpCode)).toMatchObject({ clusterName: 'main' })
  })

  it('takes only Ed25519 keys', async () => {
    const { jumpCode } = await makeCode()
    await expect(enrolWith(handlers().agents, jumpCode, 'bm8ga2V5')).rejects.toMatchObject({ code: 'invalid-input' })
    expect((await world.store.all(enrolmentKind))[0]?.data.usesLeft).toBe(1)
  })
})

describe('deleting a cluster', () => {
  it('names the services in the way, and takes nodes and codes along once they are gone', async () => {
    await makeCode()
    const service = await makeService(world, { clusterId: cluster.cluster.id })
    const remove = () =>
      handlers().clusters.delete({ ...common, ...none, params: { id: cluster.cluster.id }, query: {} })
    await expect(remove()).rejects.toThrow('still has services: web')
    await world.store.transaction(tester, async (transaction) => {
      const { deleteService } = await import('../services/index.ts')
      await deleteService(transaction, { id: service.id })
    })
    await remove()
    expect(await world.store.count(clusterKind)).toBe(0)
    expect(await world.store.count(nodeKind)).toBe(0)
    expect(await world.store.count(enrolmentKind)).toBe(0)
  })
})

describe('pull credentials of a cluster', () => {
  const credentials = () =>
    createPullCredentials({ store: world.store, serverKey: Buffer.alloc(32, 1), registryHost: () => registryHost })
  const clusterNow = async () => {
    const found = await world.store.get(clusterKind, cluster.cluster.id)
    if (found === undefined) throw new Error('gone')
    return found
  }

  it('open what the cluster runs, and what it may go back to, and nothing else', async () => {
    const swarm = startSwarm(world, cluster)
    try {
      const service = await makeService(world, { clusterId: cluster.cluster.id })
      const elsewhere = await addCluster(world, 'other')
      const foreign = await makeService(world, { clusterId: elsewhere.cluster.id, name: 'foreign' })
      await push(world, service, 'one')
      await until(
        () => serviceNow(world, service.id),
        ({ status }) => status.state === 'running',
      )
      const { username, password } = credentials().of(await clusterNow())
      const pull = await credentials().verifyClusterPull(username, password)
      const repository = `workloads/web-${service.id.slice(0, 8)}`
      expect(await pull?.mayPull(repository)).toBe(true)
      expect(await pull?.mayPull(`workloads/foreign-${foreign.id.slice(0, 8)}`)).toBe(false)
      await world.store.transaction(tester, (transaction) => {
        const data = serviceData.parse({ ...service.data, imageId: foreign.data.imageId })
        return updateService(transaction, { id: service.id, data }, world.rules)
      })
      expect(await pull?.mayPull(repository)).toBe(true)
    } finally {
      swarm.close()
    }
  })

  it('change for all when a node is revoked or deleted', async () => {
    const before = credentials().of(await clusterNow())
    expect(await credentials().verifyClusterPull(before.username, 'wrong')).toBeUndefined()
    await handlers().nodes.revoke({ ...common, ...none, params: { id: cluster.nodeId } })
    expect(await credentials().verifyClusterPull(before.username, before.password)).toBeUndefined()
    const revoked = credentials().of(await clusterNow())
    await handlers().nodes.delete({ ...common, ...none, params: { id: cluster.nodeId }, query: {} })
    expect(await credentials().verifyClusterPull(revoked.username, revoked.password)).toBeUndefined()
    const { username, password } = credentials().of(await clusterNow())
    expect((await credentials().verifyClusterPull(username, password))?.clusterId).toBe(cluster.cluster.id)
  })
})
