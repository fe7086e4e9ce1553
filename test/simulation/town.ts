import { existsSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  type Agent,
  createAgent,
  createMemoryState,
  createSimulatedEngine,
  type Engine,
  label,
  machineFacts,
  type SimulatedImage,
  type SimulatedSwarm,
  silentLog,
} from '@freehold/cluster-agent'
import { clusterKind, imageKind, kinds, rolloutKind, type Service, serviceData, serviceKind } from '@freehold/contracts'
import { createFakeClock, createRandom, type FakeClock, type Random } from '@freehold/reconcile'
import {
  type AgentHub,
  createAgentHandlers,
  createAgentHub,
  createEnrolmentHandlers,
  createPullCredentials,
  createReconcilers,
  createService,
  type Reconcilers,
  type ServiceRules,
} from '@freehold/server'
import { type Actor, openSqliteStore, type Store } from '@freehold/store'
import { createSimulatedNetwork, type SimulatedNetwork } from './network.ts'

const actor: Actor = { type: 'user', id: 'simulation', name: 'simulation' }
const registryHost = 'registry.test'

/** How containers of an image fare is written in its digest: what `sign` it was made of. */
const fates: Record<string, SimulatedImage> = {
  good: {},
  crash: { crashesAfterMs: 900, exitCode: 3, log: ['no database'] },
  deaf: { isUnhealthy: true },
  gone: { isMissing: true },
}
export const fateNames = Object.keys(fates)

export interface Town {
  clock: FakeClock
  random: Random
  network: SimulatedNetwork
  store(): Store
  swarms: Map<string, SimulatedSwarm>
  services: Service[]
  agents: string[]
  failures: string[]
  push(service: Service, sign: string): Promise<void>
  /** The control plane's memory is gone; its store is not. */
  restart(): Promise<void>
  stop(): Promise<void>
}

/** One control plane, two clusters of two nodes each, three services in each. Everything real but clock, network, Docker. */
export async function buildTown(seed: number): Promise<Town> {
  const random = createRandom(seed)
  const clock = createFakeClock({ startMs: Date.parse('2026-01-01T00:00:00Z'), settle })
  const directory = await mkdtemp(join(memoryDirectory(), 'freehold-simulation-'))
  const rules: ServiceRules = { registryHost: () => registryHost, now: () => clock.now() }
  const failures: string[] = []
  const open = () => openSqliteStore({ directory, kinds: Object.values(kinds), now: () => clock.now() })
  let parts = startControlPlane(await open())
  const network = createSimulatedNetwork({ clock, random, accept: (transport) => parts.hub.accept(transport) })

  function startControlPlane(store: Store): { store: Store; hub: AgentHub; reconcilers: Reconcilers } {
    const pull = createPullCredentials({ store, serverKey: Buffer.alloc(32, 1), registryHost: rules.registryHost })
    const hub = createAgentHub({
      store,
      clock,
      serverVersion: 'simulated',
      registryHost: rules.registryHost,
      registryFor: (cluster) => pull.of(cluster),
    })
    const onFailure = ({ job, error }: { job: string; error: unknown }) => failures.push(`${job}: ${String(error)}`)
    const judge = () => Promise.reject(new Error('No service here demands a signature.'))
    const reconcilers = createReconcilers({ store, clock, random, hub, rules, judge, onFailure })
    reconcilers.start()
    return { store, hub, reconcilers }
  }
  const stopControlPlane = async (): Promise<void> => {
    parts.hub.close()
    await parts.reconcilers.stop()
    await parts.store.close()
  }

  const swarms = new Map<string, SimulatedSwarm>()
  const agents: Agent[] = []
  const services: Service[] = []
  const names: string[] = []
  for (const name of ['north', 'south']) {
    const cluster = await parts.store.transaction(actor, (transaction) =>
      transaction.create(clusterKind, { data: { name, description: '' } }),
    )
    const nodes = [`${name}-1`, `${name}-2`]
    const swarm = createSimulatedEngine({ clock, random, nodes, images: imagesByReference() })
    swarm.services.set('foreign', foreignService())
    swarms.set(cluster.id, swarm)
    const jumpCode = await makeJumpCode(parts.store, { clusterId: cluster.id, now: () => clock.now() })
    const { enrol } = createAgentHandlers({ store: parts.store, now: () => clock.now() })
    for (const node of nodes) {
      const agent = createAgent({
        transport: network.transport(node, async (request) => enrol({ ...aside, body: request }) as never),
        engine: inSwarm(swarm.engine(node), `swarm-${name}`),
        prober: swarm.prober,
        state: createMemoryState(),
        clock,
        random,
        log: silentLog,
        agentVersion: 'simulated',
        machine: machineFacts(),
        name: node,
        jumpCode,
        swarm: { init: false, advertiseAddress: '192.0.2.1' },
      })
      agents.push(agent)
      names.push(node)
      const starting = agent.start()
      await clock.runUntil(() => false, 500)
      await starting
      agent.finished().catch((error: unknown) => failures.push(`${node}: ${String(error)}`))
    }
    for (const service of ['web', 'api', 'database']) {
      services.push(
        await addService({ clusterId: cluster.id, name: `${name}-${service}`, keepsData: service === 'database' }),
      )
    }
  }

  function addService(options: { clusterId: string; name: string; keepsData: boolean }): Promise<Service> {
    const data = serviceData.parse({
      name: options.name,
      clusterId: options.clusterId,
      scaleFactor: options.keepsData ? 1 : 2,
      ports: { web: 80 },
      volumes: options.keepsData ? [{ name: options.name, path: '/data' }] : [],
      rollout: { deadlineSeconds: 20, settleSeconds: 3 },
      stopGraceSeconds: 1,
    })
    return parts.store.transaction(actor, (transaction) => createService(transaction, { data }, rules))
  }

  return {
    clock,
    random,
    network,
    store: () => parts.store,
    swarms,
    services,
    agents: names,
    failures,
    push: (service, sign) => pushImage(parts.store, { service, sign, at: new Date(clock.now()).toISOString() }),
    async restart() {
      await stopControlPlane()
      parts = startControlPlane(await open())
    },
    async stop() {
      const stopping = Promise.all(agents.map((agent) => agent.stop()))
      await clock.runUntil(() => false, 5_000)
      await stopping
      await stopControlPlane()
      await rm(directory, { recursive: true, force: true })
    },
  }
}

export function digestOf(sign: string): string {
  return `sha256:${Buffer.from(sign).toString('hex').padEnd(64, '0')}`
}

/** What an image's reference says of how it fares. */
export function signOf(reference: string): string {
  const hex = reference.split('@sha256:')[1] ?? ''
  return Buffer.from(hex, 'hex').toString('utf8').replaceAll('\0', '')
}

/** Running containers of a service by revision id, as the Swarm itself would list them. */
export function runningOf(swarm: SimulatedSwarm, service: Service): Map<string, number> {
  const running = new Map<string, number>()
  for (const task of swarm.tasks) {
    const labels = task.Spec.ContainerSpec?.Labels ?? {}
    const revision = labels[label.revision]
    if (task.Status.State !== 'running' || revision === undefined || labels[label.service] !== service.id) continue
    running.set(revision, (running.get(revision) ?? 0) + 1)
  }
  return running
}

export async function rolloutsOf(store: Store) {
  return store.all(rolloutKind)
}

export async function servicesOf(store: Store): Promise<Service[]> {
  return store.all(serviceKind)
}

/** Thousands of commits, each waiting for a disk, would only test the disk; where there is memory for it, it is taken. */
function memoryDirectory(): string {
  return existsSync('/dev/shm') ? '/dev/shm' : tmpdir()
}

const aside = {
  params: undefined,
  query: undefined,
  caller: { identity: null, actor },
  client: { address: '192.0.2.9', userAgent: 'simulation' },
  signal: new AbortController().signal,
  setHeader: () => undefined,
}

/** Lets everything that needs no virtual time happen; the store commits in real turns of the event loop. */
async function settle(): Promise<void> {
  for (let turn = 0; turn < 4; turn++) await new Promise<void>((resolve) => setImmediate(resolve))
}

async function makeJumpCode(store: Store, options: { clusterId: string; now: () => number }): Promise<string> {
  const handlers = createEnrolmentHandlers({ store, publicUrl: () => 'http://simulated', now: options.now })
  const body = { data: { clusterId: options.clusterId, uses: 2, expiresInSeconds: 3600 } }
  const made = await handlers.create({ ...aside, body })
  if (!('jumpCode' in made)) throw new Error('no JUMPCODE')
  return made.jumpCode
}

async function pushImage(store: Store, push: { service: Service; sign: string; at: string }): Promise<void> {
  await store.transaction(actor, async (transaction) => {
    const image = await transaction.get(imageKind, push.service.data.imageId ?? '')
    if (image === undefined) throw new Error('the service has no image')
    const version = {
      versionString: 'latest',
      digest: digestOf(push.sign),
      mediaType: 'application/vnd.oci.image.manifest.v1+json',
      size: 1,
      platforms: ['linux/amd64'],
      pushedBy: 'simulation',
      createdAt: push.at,
    }
    await transaction.setStatus(imageKind, image.id, { versions: [version], lastPushAt: push.at, usedBytes: 1 })
  })
}

function imagesByReference(): Record<string, SimulatedImage> {
  return new Proxy<Record<string, SimulatedImage>>(
    {},
    { get: (_none, reference) => fates[signOf(String(reference)).split('-')[0] ?? ''] },
  )
}

function inSwarm(engine: Engine, swarmId: string): Engine {
  return {
    ...engine,
    info: async (signal) => {
      const info = await engine.info(signal)
      return { ...info, Swarm: { ...info.Swarm, Cluster: { ID: swarmId } } }
    },
  }
}

/** Somebody else's service on the same Swarm: nobody may touch it. */
function foreignService() {
  return {
    ID: 'foreign',
    Version: { Index: 1 },
    Spec: {
      Name: 'foreign',
      Labels: { owner: 'somebody else' },
      TaskTemplate: { ContainerSpec: { Image: 'good' } },
      Mode: { Replicated: { Replicas: 0 } },
    },
  } as never
}
