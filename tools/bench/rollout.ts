import { setTimeout as delay } from 'node:timers/promises'
import {
  type Dockerd,
  freePort,
  labAdministrator,
  loadImage,
  pushImage,
  startDockerd,
  waitFor,
  webImage,
} from '../../test/system/lab/index.ts'
import { type ControlPlane, startAgent, startControlPlane } from './control-plane.ts'
import { median, type Part, type Row } from './row.ts'

const runs = 7
const pollMs = 5
const limitMs = 120_000

/** Something that can be brought to a version: ours by a push, Docker's by an update. */
interface Contender {
  /** Brings the version out; answers the milliseconds from the end of that call until the port answers with it. */
  update(version: string): Promise<number>
}

/**
 * From the end of the push until the new version answers on a port of the node, beside the end of Docker's own update
 * of the same image on the same engine: both by digest, from our registry, host-mode port, one replica, alternating.
 */
export const rolloutPart: Part = {
  name: 'rollout',
  async run(): Promise<Row[]> {
    await using stack = new AsyncDisposableStack()
    const dockerd = await startDockerd({ swarm: true })
    stack.defer(() => dockerd.stop())
    const controlPlane = await startControlPlane()
    stack.defer(() => controlPlane.stop())
    const agent = await startAgent(controlPlane, dockerd)
    stack.defer(() => agent.stop())
    const ours = await createOurs(controlPlane, dockerd, agent.clusterId)
    const peer = await createPeer(controlPlane, dockerd)
    const times: { ours: number[]; peer: number[] } = { ours: [], peer: [] }
    for (let index = 0; index < runs; index += 1) {
      const first = index % 2 === 0
      if (first) times.ours.push(await ours.update(`ours-${index}`))
      times.peer.push(await peer.update(`peer-${index}`))
      if (!first) times.ours.push(await ours.update(`ours-${index}`))
    }
    return rowsOf(times)
  },
}

function rowsOf(times: { ours: number[]; peer: number[] }): Row[] {
  const name = 'docker service update'
  const note = `${runs} alternating runs each, the first deployment not counted; ours ${list(times.ours)} ms, Docker ${list(times.peer)} ms`
  return [
    {
      measure: 'push to serving, median',
      unit: 'ms',
      ours: median(times.ours),
      peer: { name, value: median(times.peer) },
      target: { of: 'ratio', atMost: 1.2 },
      note,
    },
    {
      measure: 'push to serving, slowest',
      unit: 'ms',
      ours: Math.max(...times.ours),
      peer: { name, value: Math.max(...times.peer) },
    },
  ]
}

async function createOurs({ client, program }: ControlPlane, dockerd: Dockerd, clusterId: string): Promise<Contender> {
  const port = await freePort()
  const service = await client.services.create({
    body: { data: { name: 'ours', clusterId, ports: { web: 8080, published: [{ target: 8080, published: port }] } } },
  })
  const params = { id: service.id }
  const { target } = await client.services.registryTarget({ params })
  const idle = async () => {
    const { status } = await client.services.get({ params })
    return status.state === 'running'
  }
  const update = async (version: string) => {
    await loadImage(dockerd.engine, await webImage({ name: `${version}:1`, version }), { as: target })
    await pushImage(dockerd.engine, target, labAdministrator())
    const timeMs = await timeUntilServing(port, version)
    await waitFor(idle, { what: `the rollout of ${version} to end\n${program.output().slice(-2000)}` })
    return timeMs
  }
  await update('ours-first')
  return { update }
}

async function createPeer(controlPlane: ControlPlane, dockerd: Dockerd): Promise<Contender> {
  const port = await freePort()
  const { client, url } = controlPlane
  await client.images.create({ body: { data: { name: 'bench/peer' } } })
  const repository = `${new URL(url).host}/bench/peer`
  const push = async (version: string) => {
    await loadImage(dockerd.engine, await webImage({ name: `${version}:1`, version }), { as: `${repository}:latest` })
    return `${repository}@${await pushImage(dockerd.engine, `${repository}:latest`, labAdministrator())}`
  }
  const specOf = (image: string) => ({
    authconfig: { ...labAdministrator(), serveraddress: new URL(url).host },
    Name: 'peer',
    TaskTemplate: { ContainerSpec: { Image: image } },
    Mode: { Replicated: { Replicas: 1 } },
    EndpointSpec: {
      Mode: 'dnsrr' as const,
      Ports: [{ TargetPort: 8080, PublishedPort: port, PublishMode: 'host' as const, Protocol: 'tcp' as const }],
    },
  })
  const first = await push('peer-first')
  const created = await dockerd.engine.createService(specOf(first))
  const service = dockerd.engine.getService(created.id)
  await timeUntilServing(port, 'peer-first')
  return {
    update: async (version) => {
      const image = await push(version)
      const { Version: stored } = (await service.inspect()) as { Version: { Index: number } }
      await service.update({ version: stored.Index, ...specOf(image) })
      const timeMs = await timeUntilServing(port, version)
      await waitFor(async () => (await stateOfUpdate(service)) === 'completed', {
        what: `Docker's update to ${version}`,
      })
      return timeMs
    },
  }
}

async function stateOfUpdate(service: { inspect(): Promise<unknown> }): Promise<string | undefined> {
  return ((await service.inspect()) as { UpdateStatus?: { State?: string } }).UpdateStatus?.State
}

async function timeUntilServing(port: number, version: string): Promise<number> {
  const startedAt = performance.now()
  while ((await bodyOf(port)) !== `${version}\n`) {
    if (performance.now() - startedAt > limitMs) throw new Error(`${version} did not answer within ${limitMs} ms.`)
    await delay(pollMs)
  }
  return performance.now() - startedAt
}

async function bodyOf(port: number): Promise<string | undefined> {
  try {
    const response = await fetch(`http://127.0.0.1:${port}/`, {
      headers: { connection: 'close' },
      signal: AbortSignal.timeout(1000),
    })
    return await response.text()
  } catch {
    return undefined
  }
}

function list(values: readonly number[]): string {
  return values.map((value) => Math.round(value)).join(' ')
}
