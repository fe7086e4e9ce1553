import type { Service as ServiceResource } from '@freehold/contracts'
import { afterAll, beforeAll, expect, test } from 'vitest'
import {
  type AgentProcess,
  answerOf,
  type Cloud,
  type Dockerd,
  type Freehold,
  freePort,
  loadImage,
  quickService,
  signIn,
  startCluster,
  startDockerd,
  startFreehold,
  waitFor,
  webImage,
} from './lab/index.ts'

/** What somebody does by hand in Docker is found, said and mended; what is not ours is left alone. */
const secret = 'a-secret-nobody-may-read'
const byHand = 'a-value-somebody-typed'
let dockerd: Dockerd
let freehold: Freehold
let cloud: Cloud
let agent: AgentProcess
let serviceId: string
let published: number

beforeAll(async () => {
  dockerd = await startDockerd({ swarm: true })
  freehold = await startFreehold()
  cloud = await signIn(freehold)
  const cluster = await startCluster({ cloud, url: freehold.url, dockerd })
  agent = cluster.agent
  published = await freePort()
  const data = {
    ...quickService({ name: 'web', clusterId: cluster.clusterId, published }),
    environment: { API_TOKEN: secret, MODE: 'calm' },
    volumes: [{ name: 'web-data', path: '/data' }],
  }
  serviceId = (await cloud.client.services.create({ body: { data } })).id
  await cloud.push(dockerd, serviceId, await webImage({ name: 'web:1', version: 'version 1' }))
  expect((await cloud.verdict(serviceId, 1)).status.phase).toBe('succeeded')
})

afterAll(async () => {
  await agent?.stop()
  await freehold?.stop()
  await dockerd?.stop()
})

test('a service removed by hand is said to have been, and put back', async () => {
  const before = await idOf('web-r1')
  await dockerd.engine.getService('web-r1').remove()
  const service = await cloud.service(serviceId, found(/web-r1 was removed by hand/), 'the removal to be shown')
  expect(service.status.drift[0]?.mended).not.toBe('')
  await cloud.service(serviceId, ({ status }) => status.state === 'running', 'the service to run again')
  await waitFor(async () => (await answerOf(published)) === 'version 1', { what: 'version 1 to answer again' })
  expect(await idOf('web-r1')).not.toBe(before)
})

test('a variable changed by hand is named without its value, and changed back', async () => {
  await changeByHand('web-r1', (environment) => [
    ...environment.filter((line) => !line.startsWith('API_TOKEN=')),
    `API_TOKEN=${byHand}`,
  ])
  await cloud.service(serviceId, found(/environment variable API_TOKEN was changed/), 'the change to be shown')
  await waitFor(async () => (await environmentOf('web-r1')).includes(`API_TOKEN=${secret}`), {
    what: 'the variable to be changed back',
  })
  const service = await cloud.service(serviceId, ({ status }) => status.state === 'running', 'the service to run again')
  expect(JSON.stringify(service.status)).not.toMatch(new RegExp(`${secret}|${byHand}`))
  expect(await answerOf(published)).toBe('version 1')
})

test('a variable added by hand is removed, and the drift is on the page of the cluster too', async () => {
  await changeByHand('web-r1', (environment) => [...environment, `EXTRA=${byHand}`])
  await cloud.service(serviceId, found(/EXTRA/), 'the addition to be shown')
  await waitFor(async () => !(await environmentOf('web-r1')).join().includes('EXTRA'), { what: 'it to be removed' })
  const { items } = await cloud.client.clusters.list()
  const drift = items[0]?.status.drift.map((each) => each.found).join(' ')
  expect(drift).toMatch(/removed by hand/)
  expect(drift).toMatch(/API_TOKEN/)
  expect(drift).not.toMatch(new RegExp(`${secret}|${byHand}`))
})

test('neither the agent nor the control plane writes a value into its log', () => {
  expect(agent.logs() + freehold.logs()).not.toMatch(new RegExp(`${secret}|${byHand}`))
})

test('a service somebody else made is never touched, and volumes outlive their service', async () => {
  await loadImage(dockerd.engine, await webImage({ name: 'foreign:1', version: 'foreign' }))
  await dockerd.engine.createService({
    Name: 'foreign',
    TaskTemplate: { ContainerSpec: { Image: 'foreign:1', Env: ['MINE=yes'] } },
    Mode: { Replicated: { Replicas: 1 } },
    EndpointSpec: { Mode: 'dnsrr' },
  })
  const before = await inspect('foreign')
  const volumes = await volumeNames()
  expect(volumes.join()).toContain('web-data')
  await cloud.client.services.delete({ params: { id: serviceId } })
  await waitFor(async () => (await serviceNames()).join() === 'foreign', { what: 'our service alone to be gone' })
  await waitFor(async () => (await dockerd.engine.listContainers()).length === 1, { what: 'its container to be gone' })
  expect((await inspect('foreign')).Version).toEqual(before.Version)
  expect(await volumeNames()).toEqual(volumes)
})

/** `found` matches one of the drifts; a fresh one each time, since no story makes the same twice. */
function found(pattern: RegExp) {
  return ({ status }: ServiceResource): boolean => status.drift.some((drift) => pattern.test(drift.found))
}

interface LiveService {
  ID: string
  Version: { Index: number }
  Spec: { TaskTemplate: { ContainerSpec: { Env?: string[] } } }
}

function inspect(name: string): Promise<LiveService> {
  return dockerd.engine.getService(name).inspect() as Promise<LiveService>
}

async function idOf(name: string): Promise<string> {
  return (await inspect(name)).ID
}

async function environmentOf(name: string): Promise<string[]> {
  return (await inspect(name)).Spec.TaskTemplate.ContainerSpec.Env ?? []
}

async function changeByHand(name: string, change: (environment: string[]) => string[]): Promise<void> {
  const { Spec, Version } = await inspect(name)
  Spec.TaskTemplate.ContainerSpec.Env = change(Spec.TaskTemplate.ContainerSpec.Env ?? [])
  await dockerd.engine.getService(name).update({ ...Spec, version: Version.Index })
}

async function serviceNames(): Promise<string[]> {
  return (await dockerd.engine.listServices()).map(({ Spec }) => Spec?.Name ?? '').sort()
}

async function volumeNames(): Promise<string[]> {
  return (await dockerd.engine.listVolumes()).Volumes.map(({ Name }) => Name).sort()
}
