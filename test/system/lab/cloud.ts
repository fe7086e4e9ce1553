import { join } from 'node:path'
import { type Client, createClient } from '@freehold/client'
import { finalPhases, type Node, type Rollout, type Service as ServiceResource } from '@freehold/contracts'
import type { Dockerd } from './dockerd.ts'
import { labAdministrator, type Service, startService } from './freehold.ts'
import { type BuiltImage, loadImage, pushImage } from './image.ts'
import type { Machine } from './machine.ts'
import { temporaryFolder, waitFor } from './wait.ts'

/** A control plane seen by its administrator, with the few waits every story needs. */
export interface Cloud {
  client: Client
  /** For `FREEHOLD_TOKEN`. */
  token: string
  /** The service, once `holds` is true of it. */
  service(id: string, holds: (service: ServiceResource) => boolean, what: string): Promise<ServiceResource>
  node(id: string, holds: (node: Node) => boolean, what: string): Promise<Node>
  /** The newest rollout of a service, which is of this revision, once `holds` is true of it. */
  rollout(
    serviceId: string,
    revisionNumber: number,
    holds: (rollout: Rollout) => boolean,
    what: string,
  ): Promise<Rollout>
  /** The same once it is final. */
  verdict(serviceId: string, revisionNumber: number): Promise<Rollout>
  /** Pushes an image to where the service takes it from, as `docker push` does; returns the digest. */
  push(dockerd: Dockerd, serviceId: string, image: BuiltImage): Promise<string>
}

/** Signs in to a control plane; the session outlives restarts of it. */
export async function signIn(freehold: { url: string }, user = labAdministrator()): Promise<Cloud> {
  const { token } = await createClient({ url: freehold.url }).auth.login({ body: user })
  const client = createClient({ url: freehold.url, token })
  const cloud: Cloud = {
    client,
    token,
    service: (id, holds, what) => until(() => client.services.get({ params: { id } }), { holds, what }),
    node: (id, holds, what) => until(() => client.nodes.get({ params: { id } }), { holds, what }),
    rollout: (serviceId, revisionNumber, holds, what) =>
      until(() => newestRollout(client, serviceId), {
        holds: (rollout) => rollout.data.revisionNumber === revisionNumber && holds(rollout),
        what,
      }),
    verdict: (serviceId, revisionNumber) =>
      cloud.rollout(serviceId, revisionNumber, isFinal, `the verdict on revision ${revisionNumber}`),
    async push(dockerd, serviceId, image) {
      const { target } = await client.services.registryTarget({ params: { id: serviceId } })
      await loadImage(dockerd.engine, image, { as: target })
      return pushImage(dockerd.engine, target, user)
    },
  }
  return cloud
}

export function isFinal(rollout: Rollout): boolean {
  return finalPhases.includes(rollout.status.phase)
}

/** Waits until `read` answers what holds; in vain, the error shows what it answered last. */
export async function until<T>(
  read: () => Promise<T>,
  options: { holds: (value: T) => boolean; what: string; timeoutMs?: number },
): Promise<T> {
  return waitFor(
    async () => {
      const value = await read()
      if (options.holds(value)) return value
      throw new Error(`Last: ${JSON.stringify(value).slice(0, 4_000)}`)
    },
    { what: options.what, timeoutMs: options.timeoutMs ?? 90_000 },
  )
}

/** A service of small patience: a verdict in seconds, an end at once. `published` is the port of the node. */
export function quickService(options: { name: string; clusterId: string; published?: number }) {
  return {
    name: options.name,
    clusterId: options.clusterId,
    ports: {
      web: 8080,
      published: options.published === undefined ? [] : [{ target: 8080, published: options.published }],
    },
    healthCheck: { type: 'http', path: '/', timeoutSeconds: 2 },
    rollout: { strategy: 'auto', deadlineSeconds: 60, settleSeconds: 0 },
    stopGraceSeconds: 1,
  } as const
}

/** What the container behind a published port answers; throws where nothing does. */
export async function answerOf(port: number, address = '127.0.0.1'): Promise<string> {
  const response = await fetch(`http://${address}:${port}/`, { signal: AbortSignal.timeout(2_000) })
  return (await response.text()).trim()
}

/** An agent process with a state of its own, which can die and come back on it. */
export interface AgentProcess extends Service {
  name: string
  directory: string
}

/** Starts an agent with a new code for the cluster; `url` is where it reaches the control plane. */
export async function startAgent(options: {
  cloud: Cloud
  clusterId: string
  name: string
  url: string
  dockerd: Dockerd
  /** Where it runs; it must be on the network of the containers it asks for their health. */
  machine?: Machine
}): Promise<AgentProcess> {
  const folder = await temporaryFolder('agent')
  const { jumpCode } = await options.cloud.client.enrolments.create({
    body: { data: { clusterId: options.clusterId } },
  })
  const directory = join(folder.path, 'state')
  const service = await startService({
    entry: 'packages/cluster-agent/src/main.ts',
    env: {
      CLOUDLY_URL: options.url,
      JUMPCODE: jumpCode,
      DOCKER_HOST: options.dockerd.dockerHost,
      FREEHOLD_AGENT_DIR: directory,
      FREEHOLD_AGENT_NAME: options.name,
    },
    ...(options.machine === undefined ? {} : { machine: options.machine }),
  })
  return {
    ...service,
    name: options.name,
    directory,
    async stop() {
      await service.stop()
      await folder.remove()
    },
  }
}

/** A cluster and its first agent, linked and reporting. */
export async function startCluster(options: { cloud: Cloud; url: string; dockerd: Dockerd; machine?: Machine }) {
  const { client } = options.cloud
  const cluster = await client.clusters.create({ body: { data: { name: 'main' } } })
  const agent = await startAgent({ ...options, clusterId: cluster.id, name: 'first' })
  await until(() => client.clusters.get({ params: { id: cluster.id } }), {
    holds: ({ status }) => status.state === 'online',
    what: 'the cluster to be online',
  })
  return { clusterId: cluster.id, agent }
}

async function newestRollout(client: Client, serviceId: string): Promise<Rollout> {
  const service = await client.services.get({ params: { id: serviceId } })
  if (service.status.rolloutId === null) throw new Error('There is no rollout yet.')
  return client.rollouts.get({ params: { id: service.status.rolloutId } })
}
