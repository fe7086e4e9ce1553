import { execFile } from 'node:child_process'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, test } from 'vitest'
import {
  type AgentProcess,
  answerOf,
  type Cloud,
  type Dockerd,
  type DockerRegistry,
  type Freehold,
  freePort,
  labAdministrator,
  loadImage,
  pushImage,
  quickService,
  signIn,
  startCluster,
  startDockerd,
  startDockerRegistry,
  startFreehold,
  until,
  webImage,
} from './lab/index.ts'

/**
 * A private registry of somebody else (Debian's docker-registry, Basic credentials): a real Swarm runs a service from
 * it, a real engine pulls through a mirror of it while it is up and while it is down, and an image is imported from it.
 */
const run = promisify(execFile)
let upstream: DockerRegistry
let dockerd: Dockerd
let freehold: Freehold
let cloud: Cloud
let agent: AgentProcess
let clusterId: string
let registryId: string

beforeAll(async () => {
  upstream = await startDockerRegistry()
  dockerd = await startDockerd({ swarm: true })
  freehold = await startFreehold()
  cloud = await signIn(freehold)
  const cluster = await startCluster({ cloud, url: freehold.url, dockerd })
  agent = cluster.agent
  clusterId = cluster.clusterId
  const made = await cloud.client.externalRegistries.create({
    body: { data: { name: 'partner', url: upstream.url, ...upstream.user } },
  })
  registryId = made.id
})

afterAll(async () => {
  await agent?.stop()
  await freehold?.stop()
  await dockerd?.stop()
  await upstream?.stop()
})

/** Pushes to the registry elsewhere as its own user, then forgets the image in the engine. */
async function publish(repository: string, version: string): Promise<string> {
  const name = `${upstream.host}/${repository}:${version}`
  await loadImage(dockerd.engine, await webImage({ name: `local-${version}:1`, version }), { as: name })
  const digest = await pushImage(dockerd.engine, name, upstream.user)
  for (const one of [name, `local-${version}:1`]) await dockerd.engine.getImage(one).remove({ force: true })
  return digest
}

test('the connection is tested by signing in for real', async () => {
  const test = () => cloud.client.externalRegistries.test({ params: { id: registryId } })
  expect(await test()).toMatchObject({ working: true, message: `Signed in to ${upstream.host} as robot.` })
  await cloud.client.externalRegistries.update({ params: { id: registryId }, body: { data: { password: 'wrong' } } })
  expect(await test()).toMatchObject({ working: false, message: expect.stringContaining('does not accept') })
  const { password } = upstream.user
  await cloud.client.externalRegistries.update({ params: { id: registryId }, body: { data: { password } } })
  expect(await test()).toMatchObject({ working: true })
})

test('a service runs from the private registry, pinned to the digest its tag has, and nobody keeps the password', async () => {
  const digest = await publish('team/app', 'v1')
  const location = {
    internal: false,
    externalImage: `${upstream.host}/team/app`,
    externalRegistryId: registryId,
  } as const
  const image = await cloud.client.images.create({ body: { data: { name: 'partner/app', location } } })
  const published = await freePort()
  const service = await cloud.client.services.create({
    body: {
      data: {
        ...quickService({ name: 'app', clusterId, published }),
        imageId: image.id,
        imageVersion: 'v1',
      },
    },
  })
  const verdict = await cloud.verdict(service.id, 1)
  expect([verdict.status.phase, verdict.status.failure]).toEqual(['succeeded', null])
  expect(await answerOf(published)).toBe('v1')
  const revision = await cloud.client.revisions.get({ params: { id: verdict.data.revisionId } })
  expect(revision.data).toMatchObject({ imageDigest: digest, spec: { image: `${upstream.host}/team/app@${digest}` } })

  const { password } = upstream.user
  // The administrator of the lab has the same password; it is in no file either.
  for (const directory of [agent.directory, freehold.dataDirectory]) {
    for (const entry of await readdir(directory, { recursive: true, withFileTypes: true })) {
      if (!entry.isFile()) continue
      const path = join(entry.parentPath, entry.name)
      expect([path, (await readFile(path)).includes(password)]).toEqual([path, false])
    }
  }
  for (const logs of [agent.logs(), freehold.logs()]) {
    expect(logs).not.toContain(password)
    expect(logs).not.toContain(Buffer.from(`robot:${password}`).toString('base64'))
  }
})

test('where the tag cannot be asked for, the rollout says so and goes on', async () => {
  await upstream.kill9()
  const { items } = await cloud.client.services.list({ query: { search: 'app' } })
  const id = items[0]?.id ?? ''
  const { rolloutId } = await cloud.client.services.deploy({ params: { id }, body: {} })
  const { status } = await cloud.client.rollouts.get({ params: { id: rolloutId } })
  expect(JSON.stringify(status.history)).toMatch(/could not be pinned to a digest.*cannot be reached/)
  await upstream.start()
  await until(() => cloud.client.rollouts.get({ params: { id: rolloutId } }), {
    holds: (rollout) => rollout.status.finishedAt !== null,
    what: 'that rollout to end',
  })
})

test('a real docker pulls through a mirror while its registry is up, and again while it is down', async () => {
  const digest = await publish('team/mirrored', 'v2')
  const location = {
    internal: true,
    mirrorOf: { externalRegistryId: registryId, repository: 'team/mirrored' },
  } as const
  await cloud.client.images.create({ body: { data: { name: 'mirror/mirrored', location } } })
  const host = new URL(freehold.url).host
  const name = `${host}/mirror/mirrored:v2`
  const docker = (...args: string[]) => run('docker', ['--host', dockerd.dockerHost, ...args], { timeout: 120_000 })
  const pull = async () => {
    const stream = await dockerd.engine.pull(name, { authconfig: { ...labAdministrator(), serveraddress: host } })
    await new Promise((resolve, reject) => {
      dockerd.engine.modem.followProgress(stream, (error) => (error ? reject(error) : resolve(undefined)))
    })
    return (await dockerd.engine.getImage(name).inspect()).RepoDigests
  }
  expect(await pull()).toContainEqual(expect.stringContaining(digest))
  await docker('image', 'rm', '--force', name)
  await upstream.kill9()
  expect(await pull()).toContainEqual(expect.stringContaining(digest))
  expect((await docker('run', '--rm', '--entrypoint', '/bin/busybox', name, 'cat', '/www/index.html')).stdout).toBe(
    'v2\n',
  )
  await upstream.start()
})

test('a service runs from a mirror that nobody pulled from before', async () => {
  const digest = await publish('team/fresh', 'v3')
  const location = { internal: true, mirrorOf: { externalRegistryId: registryId, repository: 'team/fresh' } } as const
  const image = await cloud.client.images.create({ body: { data: { name: 'mirror/fresh', location } } })
  const published = await freePort()
  const data = { ...quickService({ name: 'fresh', clusterId, published }), imageId: image.id, imageVersion: 'v3' }
  const service = await cloud.client.services.create({ body: { data } })
  const verdict = await cloud.verdict(service.id, 1)
  expect([verdict.status.phase, verdict.status.failure]).toEqual(['succeeded', null])
  expect(await answerOf(published)).toBe('v3')
  const revision = await cloud.client.revisions.get({ params: { id: verdict.data.revisionId } })
  expect(revision.data.imageDigest).toBe(digest)
})

test('an image is imported bit for bit, and stays when its registry is gone', async () => {
  const digest = await publish('team/imported', 'v4')
  const lines = await Array.fromAsync(
    cloud.client.images.import({ body: { source: `${upstream.host}/team/imported:v4`, repository: 'ours/imported' } }),
  )
  expect(lines.at(-1)?.done).toEqual({ repository: 'ours/imported', tag: 'v4', digest })
  await upstream.kill9()
  const copied = await run(
    'skopeo',
    [
      'inspect',
      '--tls-verify=false',
      '--creds',
      credentials(),
      `docker://${new URL(freehold.url).host}/ours/imported:v4`,
    ],
    { timeout: 60_000 },
  )
  expect(JSON.parse(copied.stdout).Digest).toBe(digest)
})

function credentials(): string {
  const { username, password } = labAdministrator()
  return `${username}:${password}`
}
