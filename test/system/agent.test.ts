import { randomUUID } from 'node:crypto'
import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { Report, Workload } from '@freehold/contracts'
import { afterAll, beforeAll, expect, test } from 'vitest'
import {
  brokenImage,
  type Dockerd,
  freePort,
  loadImage,
  type Service,
  startDockerd,
  startService,
  type TemporaryFolder,
  temporaryFolder,
  waitFor,
  webImage,
} from './lab/index.ts'
import { startLinkServer } from './link-server.testing.ts'

/** The real agent process on a real engine; the other end of its link is a small server of this test. */
const clusterId = randomUUID()
const jumpCode = 'jump-code-of-the-test'
let dockerd: Dockerd
let folder: TemporaryFolder
let controlPlane: Awaited<ReturnType<typeof startLinkServer>>
let agent: Service
let webPort: number

beforeAll(async () => {
  dockerd = await startDockerd()
  for (const version of ['1', '2']) {
    await loadImage(dockerd.engine, await webImage({ name: `web:${version}`, version: `version ${version}` }))
  }
  await loadImage(dockerd.engine, await brokenImage({ name: 'broken:1' }))
  folder = await temporaryFolder('agent')
  controlPlane = await startLinkServer({ clusterId, jumpCode })
  webPort = await freePort()
  agent = await startAgent()
})

afterAll(async () => {
  await agent?.stop()
  await controlPlane?.stop()
  await dockerd?.stop()
  await folder?.remove()
})

test('an agent enrols, makes a Swarm where there is none, and keeps its key to itself', async () => {
  const report = await waitFor(() => controlPlane.latest(({ node }) => node.leader), { what: 'a report of the leader' })
  expect(report.node).toMatchObject({ role: 'manager', engineVersion: expect.stringMatching(/^\d+\./) })
  expect(agent.logs()).toContain('making it a Swarm of its own')
  expect(agent.logs()).not.toContain(jumpCode)
  const files = (await readdir(join(folder.path, 'state'))).sort()
  expect(files).toContain('identity.json')
  for (const file of files.filter((name) => name.endsWith('.json'))) {
    expect((await stat(join(folder.path, 'state', file))).mode & 0o077).toBe(0)
  }
})

test('a desired service runs, passes its check and answers', async () => {
  controlPlane.want([web(1)])
  const report = await waitFor(() => controlPlane.latest(isPassing('web:1')), { what: 'revision 1 to pass' })
  expect(report.cluster?.workloads[0]).toMatchObject({ replicas: 1, tasks: [{ state: 'running', exitCode: null }] })
  expect(await answer()).toBe('version 1\n')
})

test('one revision follows the other on the same port, the second after the first has ended', async () => {
  controlPlane.want([{ ...web(2), startAfterRevisionId: idOf('web', 1) }])
  await waitFor(() => controlPlane.latest(isPassing('web:2')), { what: 'revision 2 to pass' })
  expect(await answer()).toBe('version 2\n')
  expect(await serviceNames()).toEqual(['web-r2'])
})

test('a service scales without its container being replaced', async () => {
  controlPlane.want([{ ...web(3), spec: { ...web(3).spec, image: 'web:2', ports: [] } }])
  const one = await waitFor(() => controlPlane.latest(isPassing('web:3')), { what: 'revision 3 to pass' })
  controlPlane.want([{ ...web(3), replicas: 3, spec: { ...web(3).spec, image: 'web:2', ports: [] } }])
  const three = await waitFor(() => controlPlane.latest(({ probes }) => probes.length === 3), { what: 'three to pass' })
  expect(three.probes.map(({ taskId }) => taskId)).toContain(one.probes[0]?.taskId)
  expect(three.cluster?.drift).toEqual([])
})

test('a variable changed by hand and a service removed by hand are said and mended', async () => {
  controlPlane.want([web(4)])
  await waitFor(() => controlPlane.latest(isPassing('web:4')), { what: 'revision 4 to pass' })
  await changeByHand('web-r4', (spec) => {
    spec.TaskTemplate.ContainerSpec.Env = ['GREETING=a secret value']
  })
  const drifted = await waitFor(
    () => controlPlane.latest(({ cluster }) => driftIn(cluster).includes('environment variable GREETING was changed')),
    { what: 'the change to be reported' },
  )
  expect(JSON.stringify(drifted)).not.toContain('a secret value')
  expect((await inspect('web-r4')).Spec.TaskTemplate.ContainerSpec.Env).toEqual(['GREETING=hello'])

  await dockerd.engine.getService('web-r4').remove()
  await waitFor(() => controlPlane.latest(({ cluster }) => driftIn(cluster).includes('web-r4 was removed by hand')), {
    what: 'the removal to be reported',
  })
  await waitFor(() => serviceNames().then((names) => names.includes('web-r4')), { what: 'the service to be back' })
})

test('a foreign service is left alone, also where its name is wanted', async () => {
  await dockerd.engine.createService({
    Name: 'other-r1',
    TaskTemplate: { ContainerSpec: { Image: 'web:1' } },
    Mode: { Replicated: { Replicas: 1 } },
    EndpointSpec: { Mode: 'dnsrr' },
  })
  const before = await inspect('other-r1')
  controlPlane.want([web(4), workload('other', 1, { image: 'web:2' })])
  const report = await waitFor(
    () => controlPlane.latest(({ cluster }) => cluster?.pending.join().includes('other-r1 exists') === true),
    { what: 'the taken name to be said' },
  )
  expect(report.cluster?.pending).toHaveLength(1)
  controlPlane.want([web(4)])
  await waitFor(() => controlPlane.latest(({ cluster }) => cluster?.pending.length === 0), { what: 'nothing pending' })
  expect((await inspect('other-r1')).Version).toEqual(before.Version)
  await dockerd.engine.getService('other-r1').remove()
})

test('a container that is killed comes back, with the control plane away', async () => {
  await waitFor(() => controlPlane.latest(isPassing('web:4')), { what: 'revision 4 to pass' })
  controlPlane.setAway(true)
  const [container] = await dockerd.engine.listContainers({ filters: { name: ['web-r4'] } })
  await dockerd.engine.getContainer(container?.Id ?? '').kill()
  await dockerd.engine.getService('web-r4').remove()
  await waitFor(async () => (await answer()) === 'version 1\n', { what: 'the service to answer again' })
  controlPlane.setAway(false)
  await waitFor(() => controlPlane.latest(isPassing('web:4')), { what: 'a report once the link is back' })
})

test('a container that ends is reported with exit code and last words, its logs can be read and followed', async () => {
  controlPlane.want([web(4), workload('broken', 1, { image: 'broken:1', healthCheck: null })])
  const failed = (report: Report) => tasksOf(report, idOf('broken', 1)).find(({ logTail }) => logTail.length === 2)
  const report = await waitFor(() => controlPlane.latest((report) => failed(report) !== undefined), {
    what: 'the failed container',
  })
  expect(failed(report)).toMatchObject({ state: 'failed', exitCode: 1 })
  expect(failed(report)?.logTail.toSorted()).toEqual([
    'fatal: the database address is missing',
    'reading the configuration',
  ])

  const tail = await controlPlane.ask({ kind: 'service-logs', serviceId: idOf('broken', 0), tail: 2, follow: false })
  await waitFor(() => tail.isDone, { what: 'the logs to end' })
  expect(tail.lines.map(({ line }) => line)).toHaveLength(2)
  expect(tail.lines[0]).toMatchObject({
    at: expect.stringMatching(/^\d{4}-/),
    taskId: expect.stringMatching(/^\w{20,}$/),
  })

  const followed = await controlPlane.ask({ kind: 'service-logs', serviceId: idOf('broken', 0), tail: 0, follow: true })
  await waitFor(() => followed.lines.length > 1, { what: 'lines as they are written' })
  followed.cancel()
})

test('planning says what would happen and changes nothing', async () => {
  const before = await serviceNames()
  const desired = controlPlane.desiredOf([workload('new', 1, { image: 'web:1' })])
  const planned = await controlPlane.ask({ kind: 'plan', desired })
  await waitFor(() => planned.isDone, { what: 'the plan' })
  expect(planned.steps).toContain('Create service new-r1 (1 replica) from web:1.')
  expect(planned.steps).toContain('Remove service web-r4: it is not desired any more.')
  expect(await serviceNames()).toEqual(before)
})

test('an engine that is gone is said while the link stays, and once it is back all is as desired', async () => {
  controlPlane.want([web(4)])
  await waitFor(() => controlPlane.latest(isPassing('web:4')), { what: 'revision 4 to pass' })
  const links = controlPlane.linkCount()
  await dockerd.kill9()
  await waitFor(() => controlPlane.latest(({ engineProblem }) => engineProblem?.includes('does not answer') === true), {
    what: 'the engine to be missed',
    timeoutMs: 90_000,
  })
  await dockerd.start()
  await waitFor(() => controlPlane.latest(({ engineProblem, cluster }) => engineProblem === null && cluster !== null), {
    what: 'the engine to be found again',
  })
  controlPlane.want([web(5)])
  await waitFor(() => controlPlane.latest(isPassing('web:5')), { what: 'revision 5 to pass' })
  expect(controlPlane.linkCount()).toBe(links)
})

test('an agent that is restarted is the same node, and removes what is not desired any more', async () => {
  const nodes = controlPlane.nodeCount()
  await agent.restart()
  controlPlane.want([])
  await waitFor(() => serviceNames().then((names) => names.length === 0), { what: 'all services to be gone' })
  expect(controlPlane.nodeCount()).toBe(nodes)
})

function startAgent(): Promise<Service> {
  return startService({
    entry: 'packages/cluster-agent/src/main.ts',
    env: {
      PATH: process.env.PATH,
      CLOUDLY_URL: controlPlane.url,
      JUMPCODE: jumpCode,
      DOCKER_HOST: dockerd.dockerHost,
      FREEHOLD_AGENT_DIR: join(folder.path, 'state'),
      FREEHOLD_AGENT_NAME: 'node-of-the-test',
    },
  })
}

function idOf(service: string, revision: number): string {
  return `00000000-0000-7000-8000-${Buffer.from(`${service}${revision}`).toString('hex').padStart(12, '0').slice(-12)}`
}

function workload(name: string, revision: number, spec: Partial<Workload['spec']>): Workload {
  return {
    serviceId: idOf(name, 0),
    serviceName: name,
    revisionId: idOf(name, revision),
    revisionNumber: revision,
    replicas: 1,
    startAfterRevisionId: null,
    spec: {
      image: 'web:1',
      mode: 'replicated',
      replicas: 1,
      maxReplicasPerNode: 0,
      environment: { GREETING: 'hello' },
      command: null,
      ports: [],
      cpuLimit: 0.5,
      memorySizeMB: 64,
      volumes: [{ name: `data-of-${name}`, path: '/data', readOnly: false }],
      healthCheck: { type: 'http', path: '/', port: 8080, timeoutSeconds: 2 },
      stopGraceSeconds: 1,
      ...spec,
    },
  }
}

function web(revision: number): Workload {
  return workload('web', revision, {
    image: revision === 2 ? 'web:2' : 'web:1',
    ports: [{ target: 8080, published: webPort, protocol: 'tcp' }],
  })
}

/** `name:revision`, every task of which runs and passes, with nothing else left to do. */
function isPassing(revision: string) {
  const [name = '', number] = revision.split(':')
  return (report: Report): boolean => {
    const running = tasksOf(report, idOf(name, Number(number))).filter(({ state }) => state === 'running')
    const passing = new Set(report.probes.filter(({ health }) => health === 'passing').map(({ taskId }) => taskId))
    return (
      running.length > 0 && running.every(({ taskId }) => passing.has(taskId)) && report.cluster?.pending.length === 0
    )
  }
}

function tasksOf(report: Report, revisionId: string) {
  return report.cluster?.workloads.find((each) => each.revisionId === revisionId)?.tasks ?? []
}

function driftIn(cluster: Report['cluster']): string {
  return cluster?.drift.map(({ found }) => found).join(' ') ?? ''
}

async function answer(): Promise<string> {
  const response = await fetch(`http://127.0.0.1:${webPort}/`, { signal: AbortSignal.timeout(2_000) })
  return await response.text()
}

async function serviceNames(): Promise<string[]> {
  const services = await dockerd.engine.listServices()
  return services.map(({ Spec }) => Spec?.Name ?? '').sort()
}

interface LiveService {
  Version: { Index: number }
  Spec: { TaskTemplate: { ContainerSpec: { Env: string[] } } }
}

function inspect(name: string): Promise<LiveService> {
  return dockerd.engine.getService(name).inspect() as Promise<LiveService>
}

async function changeByHand(name: string, change: (spec: LiveService['Spec']) => void): Promise<void> {
  const live = await inspect(name)
  change(live.Spec)
  await dockerd.engine.getService(name).update({ ...live.Spec, version: live.Version.Index })
}
