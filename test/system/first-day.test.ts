import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createClient } from '@freehold/client'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type CliResult, startCli } from '../../packages/cli/src/testing.ts'
import {
  answerOf,
  type BuiltImage,
  brokenImage,
  type Cloud,
  type Dockerd,
  type Freehold,
  freePort,
  labAdministrator,
  requireParts,
  run,
  signIn,
  startDockerd,
  startFreehold,
  type TemporaryFolder,
  temporaryFolder,
  until,
  waitFor,
  webImage,
} from './lab/index.ts'

/** From nothing to a service that survived its first bad day: one control plane, its own agent, the real clients. */
let dockerd: Dockerd
let freehold: Freehold
let folder: TemporaryFolder
let cloud: Cloud
let serviceId: string
let target: string
let published: number

beforeAll(async () => {
  requireParts(['docker'])
  dockerd = await startDockerd()
  folder = await temporaryFolder('first-day')
  published = await freePort()
  freehold = await startFreehold({
    env: {
      FREEHOLD_LOCAL_CLUSTER: 'on',
      DOCKER_HOST: dockerd.dockerHost,
      SERVEZONE_ADMINACCOUNT: undefined,
    },
  })
})

afterAll(async () => {
  await freehold?.stop()
  await dockerd?.stop()
  await folder?.remove()
})

test('the first start prints a link, and the link makes the first administrator once', async () => {
  const link = await waitFor(() => /http\S+\/setup\?token=\S+/.exec(freehold.logs())?.[0], { what: 'the setup link' })
  const token = new URL(link).searchParams.get('token') ?? ''
  const client = createClient({ url: freehold.url })
  expect(await client.auth.setupState()).toEqual({ needed: true })
  const { identity } = await client.auth.setup({ body: { token, ...labAdministrator() } })
  expect(identity).toMatchObject({ name: labAdministrator().username, role: 'admin' })
  await expect(
    client.auth.setup({ body: { token, username: 'second', password: 'another-password' } }),
  ).rejects.toThrow(/administrator already/)
  cloud = await signIn(freehold)
})

test("this machine's engine becomes the cluster local by itself", async () => {
  const page = await until(() => cloud.client.clusters.list(), {
    holds: ({ items }) => items[0]?.status.state === 'online',
    what: 'the cluster local to be online',
  })
  expect(page.items.map(({ data }) => data.name)).toEqual(['local'])
  expect(page.items[0]?.status.swarmNodes).toHaveLength(1)
})

test('the command line signs in, makes a service and says where to push', async () => {
  const { username, password } = labAdministrator()
  const signedIn = await cli(['login', freehold.url, '--username', username, '--password-stdin'], `${password}\n`)
  expect(signedIn).toMatchObject({ code: 0 })
  const created = await cli([
    ...['services', 'create', 'hello', '--cluster', 'local', '--web-port', '8080', '--port', `8080:${published}`],
    ...['--health-path', '/', '--settle', '1', '--stop-grace-seconds', '1', '--json'],
  ])
  expect(created).toMatchObject({ code: 0 })
  const service = JSON.parse(created.stdout)
  serviceId = service.id
  expect(service.status).toMatchObject({ state: 'waiting-for-image' })
  const help = await cli(['services', 'push-help', 'hello', '--json'])
  target = JSON.parse(help.stdout).target
  expect(target).toMatch(new RegExp(`^127\\.0\\.0\\.1:${freehold.port}/workloads/hello-[0-9a-f]+:latest$`))
})

test('docker push of version 1, and version 1 answers', async () => {
  const { username, password } = labAdministrator()
  await docker(['login', '--username', username, '--password-stdin', registryHost()], `${password}\n`)
  await dockerPush(await webImage({ name: 'hello:1', version: 'version 1' }))
  expect((await cloud.verdict(serviceId, 1)).status).toMatchObject({ phase: 'succeeded', healthy: 1, wanted: 1 })
  expect(await answerOf(published)).toBe('version 1')
  const service = await cloud.service(serviceId, ({ status }) => status.state === 'running', 'the service to run')
  expect(service.status).toMatchObject({ currentRevisionNumber: 1, replicas: { wanted: 1, running: 1, healthy: 1 } })
})

test('docker push of version 2, and version 2 answers', async () => {
  await dockerPush(await webImage({ name: 'hello:2', version: 'version 2' }))
  expect((await cloud.verdict(serviceId, 2)).status.phase).toBe('succeeded')
  expect(await answerOf(published)).toBe('version 2')
})

test('a broken version fails with its reason and last words, and version 2 answers again', async () => {
  await dockerPush(await brokenImage({ name: 'hello:3' }))
  const failed = await cloud.verdict(serviceId, 3)
  expect(failed.status).toMatchObject({
    phase: 'failed',
    previousServes: true,
    failure: { outcome: 'failed', reason: expect.stringContaining('exit code 1') },
  })
  expect(failed.status.failure?.logTail.toSorted()).toEqual([
    'fatal: the database address is missing',
    'reading the configuration',
  ])
  expect(failed.status.message).toContain('Revision 2 serves.')
  expect(await answerOf(published)).toBe('version 2')
  const { status } = await cloud.service(serviceId, ({ status }) => status.state === 'running', 'the truth to be told')
  expect(status).toMatchObject({ currentRevisionNumber: 2, replicas: { wanted: 1, healthy: 1 } })
  expect(status.message).toMatch(/^Revision 2 serves .* The rollout of revision 3 failed: .*exit code 1/)
})

test('deploying the broken version by hand says so and does not exit 0', async () => {
  const deployed = await cli(['deploy', 'hello'])
  expect(deployed.code).toBe(1)
  expect(deployed.stderr).toContain('fatal: the database address is missing')
  expect(deployed.stderr).toContain('Revision 2 serves.')
  expect(await answerOf(published)).toBe('version 2')
})

test('going back to revision 1, and version 1 answers', async () => {
  const back = await cli(['deploy', 'hello', '--revision', '1'])
  expect(back).toMatchObject({ code: 0, stderr: '' })
  expect(await answerOf(published)).toBe('version 1')
  const logs = await cli(['logs', 'hello', '--tail', '5'])
  expect(logs.code).toBe(0)
  expect(logs.stdout).toContain('response:200')
})

test('no secret of this day stands in a log', () => {
  expect(freehold.logs()).not.toContain(labAdministrator().password)
  expect(freehold.logs()).not.toContain(cloud.token)
})

function cli(words: string[], input = ''): Promise<CliResult> {
  return startCli(words, { HOME: folder.path, XDG_CONFIG_HOME: join(folder.path, 'cli'), NO_COLOR: '1' }, input)
    .finished
}

function docker(words: string[], input = ''): Promise<string> {
  const argv = ['docker', '--config', join(folder.path, 'docker'), '--host', dockerd.dockerHost, ...words]
  return run(argv, { input, env: { HOME: folder.path }, timeoutMs: 120_000 })
}

async function dockerPush(image: BuiltImage): Promise<void> {
  const archive = join(folder.path, 'image.tar')
  await writeFile(archive, image.archive)
  await docker(['load', '--input', archive])
  await docker(['tag', image.name, target])
  await docker(['push', target])
}

function registryHost(): string {
  return target.split('/')[0] ?? ''
}
