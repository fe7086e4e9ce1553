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
 * Docker is measured twice: with the very task our agent makes (attached to an overlay network, so that services reach
 * each other), and with a task on no network at all.
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
    const task = await taskOf(dockerd, 'ours-r')
    const contenders: Record<Name, Contender> = {
      ours,
      same: await createPeer(controlPlane, dockerd, { name: 'same', task }),
      bare: await createPeer(controlPlane, dockerd, { name: 'bare', task: {} }),
    }
    const times: Record<Name, number[]> = { ours: [], same: [], bare: [] }
    for (let index = 0; index < runs; index += 1) {
      const order = index % 2 === 0 ? names : names.toReversed()
      for (const name of order) times[name].push(await contenders[name].update(`${name}-${index}`))
    }
    return rowsOf(times)
  },
}

const names = ['ours', 'same', 'bare'] as const
type Name = (typeof names)[number]

function rowsOf({ ours, same, bare }: Record<Name, number[]>): Row[] {
  const name = 'docker service update'
  const note = `${runs} alternating runs each, the first deployment not counted; ours ${list(ours)} ms, Docker ${list(same)} ms, Docker without a network ${list(bare)} ms`
  const unit = 'ms' as const
  return [
    {
      measure: 'push to serving, median',
      unit,
      ours: median(ours),
      peer: { name, value: median(same) },
      target: { of: 'ratio', atMost: 1.2 },
      note,
    },
    { measure: 'push to serving, slowest', unit, ours: Math.max(...ours), peer: { name, value: Math.max(...same) } },
    {
      measure: 'the same beside a task without a network, median',
      unit,
      ours: median(ours),
      peer: { name, value: median(bare) },
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
    await waitFor(idle, { what: () => `the rollout of ${version} to end\n${program.output().slice(-2000)}` })
    return timeMs
  }
  await update('ours-first')
  return { update }
}

interface TaskTemplate {
  ContainerSpec?: object
  [part: string]: unknown
}

/** The task our agent made, so that Docker's own service can be given the same. */
async function taskOf(dockerd: Dockerd, prefix: string): Promise<TaskTemplate> {
  const services = await dockerd.engine.listServices()
  const found = services.find((service) => service.Spec?.Name?.startsWith(prefix))
  if (found?.Spec?.TaskTemplate === undefined) throw new Error(`The engine runs no service ${prefix}….`)
  return found.Spec.TaskTemplate as unknown as TaskTemplate
}

async function createPeer(
  { client, url }: ControlPlane,
  dockerd: Dockerd,
  { name, task }: { name: string; task: TaskTemplate },
): Promise<Contender> {
  const port = await freePort()
  const host = new URL(url).host
  const repository = `${host}/bench/${name}`
  await client.images.create({ body: { data: { name: `bench/${name}` } } })
  const push = async (version: string) => {
    await loadImage(dockerd.engine, await webImage({ name: `${version}:1`, version }), { as: `${repository}:latest` })
    return `${repository}@${await pushImage(dockerd.engine, `${repository}:latest`, labAdministrator())}`
  }
  const specOf = (image: string) => ({
    authconfig: { ...labAdministrator(), serveraddress: host },
    Name: name,
    TaskTemplate: { ...task, ContainerSpec: { ...task.ContainerSpec, Image: image } },
    Mode: { Replicated: { Replicas: 1 } },
    EndpointSpec: {
      Mode: 'dnsrr' as const,
      Ports: [{ TargetPort: 8080, PublishedPort: port, PublishMode: 'host' as const, Protocol: 'tcp' as const }],
    },
  })
  const created = await dockerd.engine.createService(specOf(await push(`${name}-first`)))
  const service = dockerd.engine.getService(created.id)
  await timeUntilServing(port, `${name}-first`)
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
