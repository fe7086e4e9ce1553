import { randomBytes } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import {
  type AgentProcess,
  answerOf,
  type BuiltImage,
  buildImage,
  type Cloud,
  type Dockerd,
  type Freehold,
  freePort,
  labAdministrator,
  quickService,
  run,
  signIn,
  startCluster,
  startDockerd,
  startFreehold,
  type TemporaryFolder,
  temporaryFolder,
  until,
  webImage,
} from './lab/index.ts'

/** What is under us fails: the container engine, the room on the disk, and somebody who starts a second server. */
const mebibyte = 1024 * 1024
const roomMiB = 48
let dockerd: Dockerd
let folder: TemporaryFolder
let disk: string
let freehold: Freehold
let cloud: Cloud
let agent: AgentProcess
let clusterId: string
let serviceId: string
let published: number

beforeAll(async () => {
  dockerd = await startDockerd({ swarm: true })
  folder = await temporaryFolder('engine')
  disk = (await temporaryFolder('disk')).path
  await run(['mount', '-t', 'tmpfs', '-o', `size=${roomMiB}m`, 'tmpfs', disk])
  freehold = await startFreehold({ env: { FREEHOLD_DATA_DIR: disk } })
  cloud = await signIn(freehold)
  const cluster = await startCluster({ cloud, url: freehold.url, dockerd })
  agent = cluster.agent
  clusterId = cluster.clusterId
  published = await freePort()
  const data = quickService({ name: 'web', clusterId, published })
  serviceId = (await cloud.client.services.create({ body: { data } })).id
  await push(await webImage({ name: 'web:1', version: 'version 1' }), await targetOf(serviceId))
  expect((await cloud.verdict(serviceId, 1)).status.phase).toBe('succeeded')
})

afterAll(async () => {
  await agent?.stop()
  await freehold?.stop()
  await run(['umount', disk])
  await dockerd?.stop()
  await folder?.remove()
})

test('an engine that is gone is said; what is pushed meanwhile waits, and is rolled out once it is back', async () => {
  await dockerd.kill9()
  const broken = await until(() => cloud.client.clusters.get({ params: { id: clusterId } }), {
    holds: ({ status }) => status.state === 'degraded' && status.message.includes('does not answer'),
    what: 'the cluster to say that its engine is gone',
  })
  expect(broken.status.message).toContain('first')
  const unknown = await cloud.service(
    serviceId,
    ({ status }) => status.state === 'unknown',
    'the service to be unknown',
  )
  expect(unknown.status.message).toContain('what runs is not known')
  const { problems } = await cloud.client.status.get()
  expect(problems.map(({ kind, name }) => `${kind} ${name}`).sort()).toEqual(['cluster main', 'service web'])

  await push(await webImage({ name: 'web:2', version: 'version 2' }), await targetOf(serviceId))
  await cloud.rollout(serviceId, 2, ({ status }) => status.message.includes('does not count'), 'the rollout to wait')

  await dockerd.start()
  expect((await cloud.verdict(serviceId, 2)).status.phase).toBe('succeeded')
  expect(await answerOf(published)).toBe('version 2')
  await until(() => cloud.client.status.get(), { holds: (now) => now.problems.length === 0, what: 'all to be well' })
})

test('an image that does not fit on the disk is refused with a reason, and nothing that was there is lost', async () => {
  const { registry } = await cloud.client.services.registryTarget({ params: { id: serviceId } })
  const tooBig = await buildImage({
    name: 'big:1',
    files: [{ path: 'noise', content: randomBytes((roomMiB + 16) * mebibyte) }],
    entrypoint: ['/bin/busybox', 'sleep', '1000'],
  })
  const target = `${registry}/team/big:1`
  await expect(push(tooBig, target)).rejects.toThrow(/507 Insufficient Storage/)

  expect(await answerOf(published)).toBe('version 2')
  await pull(await targetOf(serviceId))
  const { name } = (
    await cloud.client.services.update({ params: { id: serviceId }, body: { labels: { disk: 'full' } } })
  ).data
  expect(name).toBe('web')
  await push(await webImage({ name: 'small:1', version: 'small' }), `${registry}/team/small:1`)

  await run(['mount', '-o', `remount,size=${8 * roomMiB}m`, disk])
  await push(tooBig, target)
  await pull(target)
})

test('a disk that is filled by others stops writes with a reason, and nothing else', async () => {
  await run(['mount', '-o', `remount,size=${8 * roomMiB}m`, disk])
  await fill(join(disk, 'somebody-elses'))
  const { registry } = await cloud.client.services.registryTarget({ params: { id: serviceId } })
  const image = await buildImage({
    name: 'late:1',
    files: [{ path: 'noise', content: randomBytes(4 * mebibyte) }],
    entrypoint: ['/bin/busybox', 'sleep', '1000'],
  })
  await expect(push(image, `${registry}/team/late:1`)).rejects.toThrow(/507 Insufficient Storage/)
  const written = await writeUntilRefused()
  const service = await cloud.client.services.get({ params: { id: serviceId } })
  expect(service.labels).toEqual(written)
  expect(await answerOf(published)).toBe('version 2')
  await run(['rm', join(disk, 'somebody-elses')])
  await cloud.client.services.update({ params: { id: serviceId }, body: { labels: {} } })
  await push(image, `${registry}/team/late:1`)
  await cloud.service(serviceId, ({ status }) => status.state === 'running', 'the service to be shown running')
})

test('a second server on the same data directory is refused and harms nothing', async () => {
  const second = startFreehold({ env: { FREEHOLD_DATA_DIR: disk } })
  await expect(second).rejects.toThrow(/Freehold cannot start: .*(another|already|in use)/i)
  expect((await cloud.client.services.get({ params: { id: serviceId } })).status.state).toBe('running')
  await push(await webImage({ name: 'web:3', version: 'version 3' }), await targetOf(serviceId))
  expect((await cloud.verdict(serviceId, 3)).status.phase).toBe('succeeded')
  expect(await answerOf(published)).toBe('version 3')
})

async function targetOf(id: string): Promise<string> {
  return (await cloud.client.services.registryTarget({ params: { id } })).target
}

/** By skopeo, which needs no engine and says what the registry said. */
async function push(image: BuiltImage, target: string): Promise<void> {
  const archive = join(folder.path, 'image.tar')
  await writeFile(archive, image.archive)
  const { username, password } = labAdministrator()
  const access = ['--dest-tls-verify=false', '--dest-creds', `${username}:${password}`]
  await run(['skopeo', 'copy', '--insecure-policy', ...access, `docker-archive:${archive}`, `docker://${target}`])
}

async function pull(reference: string): Promise<void> {
  const { username, password } = labAdministrator()
  const access = ['--src-tls-verify=false', '--src-creds', `${username}:${password}`]
  await run([
    ...['skopeo', 'copy', '--insecure-policy', ...access],
    ...[`docker://${reference}`, `dir:${join(folder.path, `pulled-${randomBytes(4).toString('hex')}`)}`],
  ])
}

/** Writes to the store until it has no room left; answers what was acknowledged last. */
async function writeUntilRefused(): Promise<Record<string, string>> {
  let written = (await cloud.client.services.get({ params: { id: serviceId } })).labels
  for (let round = 0; round < 2_000; round += 1) {
    const labels = Object.fromEntries(Array.from({ length: 60 }, (_, at) => [`note-${at}`, `${round} `.repeat(50)]))
    try {
      await cloud.client.services.update({ params: { id: serviceId }, body: { labels } })
    } catch (error) {
      expect(error).toMatchObject({ code: 'storage-full' })
      return written
    }
    written = labels
  }
  throw new Error('The disk never became full.')
}

/** Takes all the room there is. */
async function fill(path: string): Promise<void> {
  await expect(writeFile(path, Buffer.alloc(8 * roomMiB * mebibyte))).rejects.toMatchObject({ code: 'ENOSPC' })
}
