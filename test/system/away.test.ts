import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, expect, test } from 'vitest'
import {
  type AgentProcess,
  answerOf,
  type Cloud,
  type Dockerd,
  type Freehold,
  freePort,
  quickService,
  signIn,
  startCluster,
  startDockerd,
  startFreehold,
  waitFor,
  webImage,
} from './lab/index.ts'

/** The control plane is away for 25 seconds of real time; the agent alone keeps everything as desired. */
const awayMs = 25_000
let dockerd: Dockerd
let freehold: Freehold
let cloud: Cloud
let agent: AgentProcess
let clusterId: string
const services: { id: string; name: string; port: number }[] = []

beforeAll(async () => {
  dockerd = await startDockerd({ swarm: true })
  freehold = await startFreehold()
  cloud = await signIn(freehold)
  const cluster = await startCluster({ cloud, url: freehold.url, dockerd })
  agent = cluster.agent
  clusterId = cluster.clusterId
  for (const name of ['kept', 'lost']) {
    const port = await freePort()
    const data = quickService({ name, clusterId, published: port })
    const { id } = await cloud.client.services.create({ body: { data } })
    await cloud.push(dockerd, id, await webImage({ name: `${name}:1`, version: `${name} 1` }))
    services.push({ id, name, port })
  }
  for (const { id } of services) expect((await cloud.verdict(id, 1)).status.phase).toBe('succeeded')
})

afterAll(async () => {
  await agent?.stop()
  await freehold?.stop()
  await dockerd?.stop()
})

test('with the control plane away, a killed container returns and a removed service is put back; then it is told', async () => {
  const before = await cloud.client.clusters.get({ params: { id: clusterId } })
  await freehold.kill9()
  const wentAt = performance.now()

  const killed = await containerOf('kept')
  await dockerd.engine.getContainer(killed).kill()
  const removed = await serviceIdOf('lost-r1')
  await dockerd.engine.getService('lost-r1').remove()
  await waitFor(async () => (await serviceIdOf('lost-r1')) !== removed, { what: 'the removed service to be put back' })
  await waitFor(async () => ![killed, undefined].includes(await containerOf('kept')), { what: 'another container' })
  for (const { name, port } of services) {
    await waitFor(async () => (await answerOf(port)) === `${name} 1`, { what: `${name} to answer again` })
  }
  await sleep(Math.max(0, awayMs - (performance.now() - wentAt)))
  for (const { name, port } of services) expect(await answerOf(port)).toBe(`${name} 1`)

  await freehold.restart()
  for (const { id, name } of services) {
    const running = await cloud.service(id, ({ status }) => status.state === 'running', `${name} to be shown running`)
    expect(running.status).toMatchObject({ currentRevisionNumber: 1, replicas: { healthy: 1 } })
  }
  const [, lost] = services
  await cloud.service(
    lost?.id ?? '',
    ({ status }) => status.drift.some(({ found }) => found.includes('lost-r1 was removed by hand')),
    'what happened meanwhile to be shown',
  )
  const after = await cloud.client.clusters.get({ params: { id: clusterId } })
  expect(after.status.state).toBe('online')
  expect(after.status.observedGeneration).toBeGreaterThanOrEqual(before.status.observedGeneration)
})

test('an agent restarted while the control plane is away works from its disk', async () => {
  await freehold.kill9()
  await agent.restart()
  const removed = await serviceIdOf('kept-r1')
  await dockerd.engine.getService('kept-r1').remove()
  const [kept] = services
  await waitFor(async () => (await serviceIdOf('kept-r1')) !== removed, { what: 'the service to be put back' })
  await waitFor(async () => (await answerOf(kept?.port ?? 0)) === 'kept 1', { what: 'it to answer' })
  await freehold.restart()
  await cloud.service(
    kept?.id ?? '',
    ({ status }) =>
      status.state === 'running' && status.drift.some(({ found }) => found.includes('kept-r1 was removed')),
    'it to be shown running, and to have been removed',
  )
  expect((await cloud.client.nodes.list()).items.map(({ data }) => data.name)).toEqual(['first'])
})

async function serviceIdOf(name: string): Promise<string> {
  return (await dockerd.engine.getService(name).inspect()).ID
}

async function containerOf(name: string): Promise<string> {
  const [container] = await dockerd.engine.listContainers({ filters: { name: [`${name}-r1`] } })
  if (container === undefined) throw new Error(`No container of ${name} runs.`)
  return container.Id
}
