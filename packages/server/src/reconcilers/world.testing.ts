import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type BlobStore, createFileBlobs } from '@freehold/blobs'
import {
  type Cluster,
  clusterKind,
  type Desired,
  imageKind,
  kinds,
  nodeKind,
  type Rollout,
  rolloutKind,
  type Service,
  serviceData,
  serviceKind,
  type Task,
  type Workload,
} from '@freehold/contracts'
import { createRandom, systemClock } from '@freehold/reconcile'
import { type Actor, openSqliteStore, type Store } from '@freehold/store'
import { createJudge } from '../admission/index.ts'
import { clusterReport, connectAgent, makeKey, type TestAgent } from '../agents/agent.testing.ts'
import { type AgentHub, createAgentHub } from '../agents/index.ts'
import { createPullCredentials } from '../clusters/index.ts'
import type { Caller } from '../http/handler.ts'
import { createRegistryContent } from '../registry/index.ts'
import { createService, type ServiceRules } from '../services/index.ts'
import { createReconcilers, type Reconcilers } from './reconcilers.ts'

export const tester: Actor = { type: 'user', id: 'tester', name: 'tester' }
export const adminCaller: Caller = {
  identity: { subject: 'user', userId: tester.id, name: tester.name, role: 'admin', expiresAt: null },
  actor: tester,
}
export const client = { address: '192.0.2.7', userAgent: 'test' }
export const registryHost = 'registry.test:8080'

/** How the containers of a revision fare in the test's Swarm. */
export type Fate = 'healthy' | 'crashing' | 'unhealthy' | 'pending'

export interface World {
  store: Store
  rules: ServiceRules
  hub: AgentHub
  blobs: BlobStore
  failures: unknown[]
  /** Ends this control plane as kill -9 would, as far as memory goes, and starts another on the same store. */
  restart(): Promise<void>
  close(): Promise<void>
}

/** A control plane without its door: a real store, the real link server and all background jobs. */
export async function openWorld(options: Pick<Parameters<typeof createAgentHub>[0], 'pullFor'> = {}): Promise<World> {
  const directory = await mkdtemp(join(tmpdir(), 'freehold-world-'))
  const open = () => openSqliteStore({ directory, kinds: Object.values(kinds) })
  const rules: ServiceRules = { registryHost: () => registryHost, now: () => systemClock.now() }
  const failures: unknown[] = []
  const blobs = await createFileBlobs({ directory: join(directory, 'blobs') })
  let parts = await start(await open())

  async function start(store: Store): Promise<{ store: Store; hub: AgentHub; reconcilers: Reconcilers }> {
    const pull = createPullCredentials({ store, serverKey: Buffer.alloc(32, 7), registryHost: rules.registryHost })
    const hub = createAgentHub({
      store,
      clock: systemClock,
      serverVersion: '0.1.0',
      registryHost: rules.registryHost,
      registryFor: (cluster) => pull.of(cluster),
      ...options,
    })
    const reconcilers = createReconcilers({
      store,
      clock: systemClock,
      random: createRandom(1),
      hub,
      rules,
      judge: createJudge({ content: createRegistryContent({ reads: store, blobs }), registryHost: rules.registryHost }),
      onFailure: ({ job, error }) => failures.push(job, error),
    })
    reconcilers.start()
    return { store, hub, reconcilers }
  }
  const stop = async (): Promise<void> => {
    parts.hub.close()
    await parts.reconcilers.stop()
    await parts.store.close()
  }

  return {
    get store() {
      return parts.store
    },
    get hub() {
      return parts.hub
    },
    rules,
    blobs,
    failures,
    async restart() {
      await stop()
      parts = await start(await open())
    },
    async close() {
      await stop()
      await rm(directory, { recursive: true, force: true })
    },
  }
}

export interface TestCluster {
  cluster: Cluster
  nodeId: string
  key: ReturnType<typeof makeKey>
}

export async function addCluster(world: World, name = 'main'): Promise<TestCluster> {
  const key = makeKey()
  return world.store.transaction(tester, async (transaction) => {
    const cluster = await transaction.create(clusterKind, { data: { name, description: '' } })
    const node = await transaction.create(nodeKind, {
      data: { clusterId: cluster.id, name: `${name}-one`, publicKey: key.publicKey, revoked: false },
    })
    return { cluster, nodeId: node.id, key }
  })
}

/** A Swarm of one machine as its agent would report it: each workload fares as `fates` says of its image. */
export interface TestSwarm {
  agent: TestAgent
  /** By what an image's reference contains; healthy where nothing fits. */
  fates: Map<string, Fate>
  /** Every set of revision numbers that ran at once, in order. */
  ran: { revision: number; replicas: number }[][]
  report(): void
  close(): void
}

export function startSwarm(world: World, cluster: TestCluster, options: { swarmId?: string } = {}): TestSwarm {
  const fates = new Map<string, Fate>()
  const ran: TestSwarm['ran'] = []
  const swarmNodeId = `swarm-node-of-${cluster.cluster.data.name}`
  let failures = 0
  const agent = connectAgent({
    accept: (transport) => world.hub.accept(transport),
    nodeId: cluster.nodeId,
    privateKey: cluster.key.privateKey,
    now: () => systemClock.now(),
    facts: { swarmNodeId },
  })
  const fateOf = (workload: Workload): Fate =>
    [...fates].find(([part]) => workload.spec.image.includes(part))?.[1] ?? 'healthy'
  let reported = 0
  const report = (): void => {
    const desired = agent.desired()
    if (desired === undefined) return
    if (desired.workloads.some((workload) => fateOf(workload) === 'crashing')) failures += 1
    ran.push(desired.workloads.map(({ revisionNumber: revision, replicas }) => ({ revision, replicas })))
    agent.report({
      generation: desired.generation,
      cluster: clusterReport({
        swarmId: options.swarmId ?? `swarm-of-${cluster.cluster.data.name}`,
        workloads: workloadsOf(desired, { fateOf, failures, swarmNodeId }),
      }),
      probes: probesOf(desired, fateOf),
    })
  }
  const timer = setInterval(() => {
    const generation = agent.desired()?.generation ?? 0
    const isCrashing = agent.desired()?.workloads.some((workload) => fateOf(workload) === 'crashing')
    if (generation === reported && isCrashing !== true) return
    reported = generation
    report()
  }, 10)
  return {
    agent,
    fates,
    ran,
    report,
    close: () => {
      clearInterval(timer)
      agent.close()
    },
  }
}

function workloadsOf(
  desired: Desired,
  context: { fateOf: (workload: Workload) => Fate; failures: number; swarmNodeId: string },
) {
  return desired.workloads
    .filter((workload) => workload.replicas > 0)
    .map((workload) => ({
      serviceId: workload.serviceId,
      revisionId: workload.revisionId,
      replicas: workload.replicas,
      tasks: Array.from({ length: workload.replicas }, (_, index) => tasksOf(workload, index + 1, context)).flat(),
    }))
}

function tasksOf(
  workload: Workload,
  slot: number,
  context: { fateOf: (workload: Workload) => Fate; failures: number; swarmNodeId: string },
): Omit<Task, 'nodeName'>[] {
  const fate = context.fateOf(workload)
  const task = (part: Partial<Task>): Omit<Task, 'nodeName'> => ({
    taskId: `${workload.revisionId}-${slot}`,
    revisionId: workload.revisionId,
    swarmNodeId: context.swarmNodeId,
    slot,
    state: fate === 'pending' ? 'pending' : 'running',
    desiredState: 'running',
    message: fate === 'pending' ? 'no suitable node' : '',
    exitCode: null,
    health: 'unknown',
    healthMessage: '',
    since: '2026-01-01T00:00:00.000Z',
    logTail: [],
    ...part,
  })
  if (fate !== 'crashing') return [task({})]
  return Array.from({ length: Math.min(5, context.failures) }, (_, index) =>
    task({
      taskId: `${workload.revisionId}-${slot}-${index}`,
      state: 'failed',
      desiredState: 'shutdown',
      message: 'task: non-zero exit (3)',
      exitCode: 3,
      logTail: ['cannot open the database'],
    }),
  )
}

function probesOf(desired: Desired, fateOf: (workload: Workload) => Fate) {
  return desired.workloads.flatMap((workload) => {
    const fate = fateOf(workload)
    if (workload.spec.healthCheck === null || (fate !== 'healthy' && fate !== 'unhealthy')) return []
    return Array.from({ length: workload.replicas }, (_, index) => ({
      taskId: `${workload.revisionId}-${index + 1}`,
      health: fate === 'healthy' ? ('passing' as const) : ('failing' as const),
      message: fate === 'healthy' ? '200 OK' : '500 Internal Server Error',
    }))
  })
}

const quickRollout = { strategy: 'auto', deadlineSeconds: 5, settleSeconds: 0 } as const

export function makeService(
  world: World,
  input: { clusterId: string; name?: string } & Record<string, unknown>,
): Promise<Service> {
  const data = serviceData.parse({ name: 'web', ports: { web: 80 }, rollout: quickRollout, ...input })
  return world.store.transaction(tester, (transaction) => createService(transaction, { data }, world.rules))
}

/** What the registry does after a push. `sign` makes the digest: the same sign, the same image. */
export async function push(world: World, service: Service, sign: string, tag = 'latest'): Promise<void> {
  await world.store.transaction(tester, async (transaction) => {
    const image = await transaction.get(imageKind, service.data.imageId ?? '')
    if (image === undefined) throw new Error('The service has no image.')
    const version = {
      versionString: tag,
      digest: digestOf(sign),
      mediaType: 'application/vnd.oci.image.manifest.v1+json',
      size: 1,
      platforms: ['linux/amd64'],
      pushedBy: 'tester',
      createdAt: new Date().toISOString(),
    }
    const others = image.status.versions.filter((one) => one.versionString !== tag)
    await transaction.setStatus(imageKind, image.id, {
      ...image.status,
      versions: [version, ...others],
      lastPushAt: version.createdAt,
    })
  })
}

export function digestOf(sign: string): string {
  return `sha256:${Buffer.from(sign).toString('hex').padEnd(64, '0')}`
}

export async function serviceNow(world: World, id: string): Promise<Service> {
  const service = await world.store.get(serviceKind, id)
  if (service === undefined) throw new Error('The service is gone.')
  return service
}

export async function rolloutsOf(world: World, serviceId: string): Promise<Rollout[]> {
  return world.store.all(rolloutKind, { where: { serviceId } })
}

/** Waits until the condition holds; after 20 s it says what it saw last. */
export async function until<T>(look: () => Promise<T>, holds: (seen: T) => boolean): Promise<T> {
  const endAt = Date.now() + 20_000
  while (true) {
    const seen = await look()
    if (holds(seen)) return seen
    if (Date.now() > endAt)
      throw new Error(`Waited in vain; last seen: ${JSON.stringify(seen, null, 1)?.slice(0, 3000)}`)
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}
