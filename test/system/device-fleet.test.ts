import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Client, createClient } from '@freehold/client'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { playLocalMode } from '../../packages/device-agent/src/supervisor/local-mode.testing.ts'
import {
  type FakeSupervisor,
  startFakeSupervisor,
} from '../../packages/device-agent/src/supervisor/supervisor.testing.ts'
import {
  answerOf,
  type BuiltImage,
  buildImage,
  type Dockerd,
  type Freehold,
  freePort,
  labAdministrator,
  loadImage,
  pushImage,
  type Service,
  startDockerd,
  startFreehold,
  startService,
  type TemporaryFolder,
  temporaryFolder,
  waitFor,
  webImage,
} from './lab/index.ts'

/**
 * A fleet of two, with everything real but the Supervisors: the control plane, its registry, an engine, and an agent for
 * each device. `kiosk` belongs to nobody else, so its containers are set; `owned` belongs to another cloud, which has the
 * same releases under commits of its own.
 */
interface Device {
  agent: Service
  id: string
  supervisor: FakeSupervisor
  /** As it lies on its disk now. */
  nodeToken(): string
}
const commitLabel = 'io.freehold.supervisor-commit'

let dockerd: Dockerd
let freehold: Freehold
let client: Client
let folder: TemporaryFolder
let port: number
let kiosk: Device
let owned: Device
let channelId: string
const groups: Record<string, string> = {}
const releases: Record<string, string> = {}
const joinTokens: string[] = []

beforeAll(async () => {
  dockerd = await startDockerd()
  freehold = await startFreehold()
  const { token } = await createClient({ url: freehold.url }).auth.login({ body: labAdministrator() })
  client = createClient({ url: freehold.url, token })
  folder = await temporaryFolder('device-fleet')
  port = await freePort()
  ;({ id: channelId } = await client.channels.create({ body: { data: { name: 'stable' } } }))
  for (const name of ['kiosk', 'owned']) {
    const data = { name, selector: { kind: name }, appChannelId: channelId }
    groups[name] = (await client.deviceGroups.create({ body: { data } })).id
  }
  const localMode = playLocalMode({ socketPath: dockerd.socket, lockRoot: join(folder.path, 'locks') })
  kiosk = await startDevice('kiosk', { localMode, dockerHost: dockerd.dockerHost })
  owned = await startDevice('owned', { dockerHost: `unix://${folder.path}/no-engine.sock` })
})

afterAll(async () => {
  for (const device of [kiosk, owned]) {
    await device?.agent.stop()
    await device?.supervisor.stop()
  }
  await freehold?.stop()
  await dockerd?.stop()
  await folder?.remove()
})

test('a pushed image becomes a release, a rollout brings it phase by phase, and the devices themselves say so', async () => {
  await release('1.0.0', await webImage({ name: 'web:1', version: 'version 1' }), 'bbbb')
  owned.supervisor.target = 'bbbb'
  const { id } = await rollOut('1.0.0')
  await rolloutIs(id, 'succeeded')
  await answers('version 1')
  expect(owned.supervisor.commit).toBe('bbbb')

  for (const { id: deviceId } of [kiosk, owned]) {
    const { report } = await client.devices.report({ params: { id: deviceId } })
    expect(report?.problems).toEqual([])
    expect(report?.releases).toMatchObject({
      app: {
        releaseId: releases['1.0.0'],
        version: '1.0.0',
        attempt: 1,
        state: 'succeeded',
        running: releases['1.0.0'],
      },
      host: null,
      refusal: null,
    })
    const told = await client.devices.releases({ params: { id: deviceId } })
    expect(told.app).toMatchObject({ releaseId: releases['1.0.0'], version: '1.0.0' })
  }
  const channel = await client.channels.get({ params: { id: channelId } })
  expect(channel.status).toMatchObject({ releaseId: releases['1.0.0'], rolloutId: null })
  // The Supervisor that another cloud owns was asked for its update, and for nothing else.
  const asked = owned.supervisor.seen.map(({ call }) => call).filter((call) => call.startsWith('POST'))
  expect(asked).toEqual(['POST /v1/update'])
  expect(kiosk.supervisor.seen.map(({ call }) => call)).not.toContain('POST /v1/update')
})

test('a release that crashes is left again: the rollout stops, the failure is shown with its log, the old one answers', async () => {
  await release('2.0.0', await needyImage({ name: 'web:2', version: 'version 2' }), 'cccc')
  owned.supervisor.target = 'cccc'
  const { id } = await rollOut('2.0.0')
  const stopped = await rolloutIs(id, 'stopped')
  expect(stopped.status.counts).toMatchObject({ 'rolled-back': 1, waiting: 1 })
  await answers('version 1')

  const failure = await waitFor(async () => (await updateFailure()) ?? undefined, { what: 'the failure to be shown' })
  expect(failure).toMatchObject({ releaseId: releases['2.0.0'], version: '2.0.0', state: 'rolled-back' })
  const { report } = await client.devices.report({ params: { id: kiosk.id } })
  expect(report?.releases?.app).toMatchObject({ attempt: 2, state: 'rolled-back', running: releases['1.0.0'] })
  expect(report?.releases?.app?.log).toContain('fatal: the database address is missing')
  const { items } = await client.releaseRollouts.members({ params: { id }, query: { state: 'rolled-back' } })
  expect(items).toMatchObject([{ deviceId: kiosk.id, message: expect.stringMatching(/web/) }])
  // Its gate never opened.
  expect(owned.supervisor.commit).toBe('bbbb')
})

test('another rollout of the same release is another attempt: with its cause gone it succeeds, and the failure is over', async () => {
  const { items } = await client.releaseRollouts.list({ query: { state: 'stopped' } })
  await client.releaseRollouts.abort({ params: { id: items[0]?.id ?? '' }, body: { devices: 'keep' } })
  await putIntoVolume('database')
  const { id } = await rollOut('2.0.0')
  await rolloutIs(id, 'succeeded')
  await answers('version 2')
  expect(owned.supervisor.commit).toBe('cccc')

  const { report } = await client.devices.report({ params: { id: kiosk.id } })
  // The third was to have again what it had before, which the abort gave back to it.
  expect(report?.releases?.app).toMatchObject({ releaseId: releases['2.0.0'], attempt: 4, state: 'succeeded' })
  await waitFor(async () => (await updateFailure()) === null, { what: 'the failure to be over' })
})

test('a device holds its lock over a rollout, which waits and says so, and over a restart of both sides', async () => {
  await release('3.0.0', await webImage({ name: 'web:3', version: 'version 3' }), 'dddd')
  owned.supervisor.target = 'dddd'
  const container = await serviceContainer()
  await inContainer(container, ['touch', '/tmp/balena/updates.lock'])
  const { id } = await rollOut('3.0.0')
  const isStaged = async () => {
    const { report } = await client.devices.report({ params: { id: kiosk.id } })
    const app = report?.releases?.app
    return app?.version === '3.0.0' && app.state === 'staged' && app.message?.includes('update lock')
  }
  await waitFor(isStaged, { what: () => `the device to wait for its lock\n${kiosk.agent.logs().slice(-2000)}` })
  await kiosk.agent.kill9()
  await freehold.kill9()
  await freehold.restart()
  await kiosk.agent.restart()
  await waitFor(isStaged, { what: () => `the device to wait for its lock again\n${kiosk.agent.logs().slice(-2000)}` })
  await answers('version 2')
  await inContainer(container, ['rm', '/tmp/balena/updates.lock'])
  await rolloutIs(id, 'succeeded')
  await answers('version 3')
})

test('a device that was shut out gets nothing more, and what runs on it goes on', async () => {
  const nodeToken = kiosk.nodeToken()
  expect(await pullToken(nodeToken)).toBe(200)
  await client.devices.revoke({ params: { id: kiosk.id } })
  expect(await pullToken(nodeToken)).toBe(401)
  await waitFor(() => kiosk.agent.logs().includes('revoked'), { what: 'the agent to say that it was shut out' })
  await release('4.0.0', await webImage({ name: 'web:4', version: 'version 4' }), 'eeee')
  owned.supervisor.target = 'eeee'
  const { id } = await client.releaseRollouts.create({
    body: { data: { channelId, releaseId: releases['4.0.0'] ?? '', soakSeconds: 1 } },
  })
  const { data } = await rolloutIs(id, 'succeeded')
  expect(data.memberCount).toBe(1)
  await answers('version 3')

  const everything = freehold.logs() + kiosk.agent.logs() + owned.agent.logs()
  for (const secret of [...joinTokens, nodeToken, owned.nodeToken()]) expect(everything).not.toContain(secret)
})

/** What an alert hangs on; written with the next of the coalesced writes. */
async function updateFailure() {
  return (await client.devices.get({ params: { id: kiosk.id } })).status.updateFailure
}

async function startDevice(
  name: string,
  options: { localMode?: ReturnType<typeof playLocalMode>; dockerHost: string },
): Promise<Device> {
  const { localMode, dockerHost } = options
  const place = join(folder.path, name)
  const supervisor = await startFakeSupervisor({ lockDirectory: place, ...(localMode ? { localMode } : {}) })
  const { joinToken } = await client.joinTokens.create({ body: { data: { name, deviceLabels: { kind: name } } } })
  joinTokens.push(joinToken)
  const agent = await startService({
    entry: 'packages/device-agent/src/main.ts',
    env: {
      BASEOS_CLOUDLY_URL: freehold.url,
      BASEOS_JOIN_TOKEN: joinToken,
      BASEOS_NODE_ID: name,
      BASEOS_STATE_PATH: join(place, 'state.json'),
      BASEOS_LOCK_DIR: join(place, 'balena'),
      BASEOS_HEARTBEAT_INTERVAL_MS: '1000',
      BALENA_SUPERVISOR_ADDRESS: supervisor.url.href,
      BALENA_SUPERVISOR_API_KEY: supervisor.key,
      DOCKER_HOST: dockerHost,
    },
  })
  const device = await waitFor(
    async () => (await client.devices.list({ query: {} })).items.find(({ data }) => data.nodeId === name),
    { what: () => `${name} to enrol\n${agent.logs()}` },
  )
  const nodeToken = () => JSON.parse(readFileSync(join(place, 'state.json'), 'utf8')).nodeToken
  return { agent, id: device.id, supervisor, nodeToken }
}

/** Pushes the image as `docker push` does, takes it out of the engine again, and makes a release of its tag. */
async function release(version: string, image: BuiltImage, commit: string): Promise<void> {
  const reference = `127.0.0.1:${freehold.port}/shop/web:${version}`
  await loadImage(dockerd.engine, image, { as: reference })
  await pushImage(dockerd.engine, reference, labAdministrator())
  for (const name of [reference, image.name]) await dockerd.engine.getImage(name).remove({ force: true })
  const { id } = await client.releases.create({
    body: {
      data: {
        product: 'shop',
        version,
        type: 'app',
        services: [
          {
            name: 'web',
            image: `shop/web:${version}`,
            ports: [{ host: port, container: 8080 }],
            volumes: [{ name: 'data', path: '/data' }],
            labels: { [commitLabel]: commit },
          },
        ],
      },
    },
  })
  releases[version] = id
  await waitFor(async () => (await client.releases.get({ params: { id } })).status.state === 'signed', {
    what: `release ${version} to be signed`,
  })
}

function rollOut(version: string) {
  const phases = [{ groupId: groups.kiosk ?? '', percent: 100 }, {}]
  return client.releaseRollouts.create({
    body: { data: { channelId, releaseId: releases[version] ?? '', phases, soakSeconds: 1 } },
  })
}

function rolloutIs(id: string, state: string) {
  return waitFor(
    async () => {
      const rollout = await client.releaseRollouts.get({ params: { id } })
      if (rollout.status.state === state) return rollout
      throw new Error(`It is ${JSON.stringify(rollout.status)}.`)
    },
    { what: `the rollout to be ${state}`, timeoutMs: 120_000, everyMs: 250 },
  ).catch((error: Error) => {
    throw new Error(`${error.message}\n${kiosk.agent.logs().slice(-4000)}\n${owned.agent.logs().slice(-2000)}`)
  })
}

async function answers(version: string): Promise<void> {
  await waitFor(async () => (await answerOf(port)) === version, { what: `${version} to answer`, timeoutMs: 30_000 })
}

/** Serves its version only where its volume has a file `database`; fails with two lines otherwise. */
function needyImage(options: { name: string; version: string }): Promise<BuiltImage> {
  const script = [
    'test -e /data/database || { echo "fatal: the database address is missing" >&2; exit 1; }',
    'exec /bin/busybox httpd -f -p 8080 -h /www',
  ]
  return buildImage({
    name: options.name,
    files: [
      { path: 'www/index.html', content: `${options.version}\n` },
      { path: 'start', content: `${script.join('\n')}\n` },
    ],
    entrypoint: ['/bin/busybox', 'sh', '/start'],
    stopSignal: 'SIGKILL',
  })
}

async function putIntoVolume(name: string): Promise<void> {
  await inContainer(await serviceContainer(), ['touch', `/data/${name}`])
}

async function serviceContainer(): Promise<string> {
  const [container] = await dockerd.engine.listContainers({
    filters: { label: ['io.balena.service-name=web'] },
  })
  if (container === undefined) throw new Error('The service does not run.')
  return container.Id
}

async function inContainer(id: string, argv: string[]): Promise<void> {
  const execution = await dockerd.engine.getContainer(id).exec({ Cmd: ['/bin/busybox', ...argv] })
  await execution.start({ Detach: true })
  await waitFor(async () => (await execution.inspect()).ExitCode === 0, {
    what: () => `${argv.join(' ')} to end with 0`,
  })
}

/** How the registry answers a device that wants to pull. */
async function pullToken(nodeToken: string): Promise<number> {
  const url = `${freehold.url}/v2/token?service=registry&scope=repository:shop/web:pull`
  const authorization = `Basic ${Buffer.from(`device:${nodeToken}`).toString('base64')}`
  const response = await fetch(url, { headers: { authorization } })
  await response.arrayBuffer()
  return response.status
}
