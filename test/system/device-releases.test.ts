import { mkdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type Client, createClient } from '@freehold/client'
import type { ReleaseManifest } from '@freehold/contracts'
import { afterAll, beforeAll, expect, test } from 'vitest'
import {
  DriverLocked,
  localImage,
  ourAppId,
  startDeviceApps,
} from '../../packages/device-agent/src/releases/app-supervisor/device-apps.testing.ts'
import { playLocalMode } from '../../packages/device-agent/src/supervisor/local-mode.testing.ts'
import {
  type FakeSupervisor,
  startFakeSupervisor,
} from '../../packages/device-agent/src/supervisor/supervisor.testing.ts'
import {
  answerOf,
  type BuiltImage,
  brokenImage,
  type Dockerd,
  type EnrolledDevice,
  enrolDevice,
  type Freehold,
  freePort,
  giveRelease,
  labAdministrator,
  loadImage,
  pushImage,
  startDockerd,
  startFreehold,
  type TemporaryFolder,
  temporaryFolder,
  waitFor,
  webImage,
} from './lab/index.ts'

/**
 * Releases of applications on a device without a cloud: the agent's own driver, a real engine, a whole control plane,
 * and the node token of a device that enrolled. Only the Supervisor is played; it runs what its target state says in that
 * engine.
 */
let dockerd: Dockerd
let freehold: Freehold
let client: Client
let device: EnrolledDevice
let other: EnrolledDevice
let folder: TemporaryFolder
let supervisor: FakeSupervisor
let port: number
/** By number, from 1: their ids, and their manifests as the device was given them. */
const releaseIds: string[] = []
const manifests = new Map<number, ReleaseManifest>()
const signal = AbortSignal.timeout(170_000)

beforeAll(async () => {
  dockerd = await startDockerd()
  freehold = await startFreehold()
  const { token } = await createClient({ url: freehold.url }).auth.login({ body: labAdministrator() })
  client = createClient({ url: freehold.url, token })
  device = await enrolDevice(client, freehold.url, 'kiosk-7')
  other = await enrolDevice(client, freehold.url, 'kiosk-8')
  folder = await temporaryFolder('device-releases')
  port = await freePort()
  const localMode = playLocalMode({ socketPath: dockerd.socket, lockRoot: join(folder.path, 'locks') })
  supervisor = await startFakeSupervisor({ lockDirectory: folder.path, localMode })
  for (const [index, image] of [
    await webImage({ name: 'web:1', version: 'version 1' }),
    await brokenImage({ name: 'web:2' }),
    await webImage({ name: 'web:3', version: 'version 3' }),
  ].entries()) {
    await push(image)
    releaseIds.push(await makeRelease(index + 1, image.name.replace('web:', '')))
  }
  for (const { Id } of await dockerd.engine.listImages()) await dockerd.engine.getImage(Id).remove({ force: true })
  await loadImage(dockerd.engine, await webImage({ name: 'of-somebody-else:1', version: 'other' }))
})

afterAll(async () => {
  await supervisor?.stop()
  await freehold?.stop()
  await dockerd?.stop()
  await folder?.remove()
})

test('a release is pulled by digest, run, and answers; to another device nothing of it is given', async () => {
  await give(1)
  for (const token of ['not-a-token', other.nodeToken]) {
    const stranger = await driverOf(token)
    await expect(stranger.download(release(1), progress())).rejects.toThrow('refused')
  }
  expect(await namesOfImages()).toEqual(['of-somebody-else:1'])

  const driver = await driverOf()
  expect(await driver.choice()).toMatchObject({ name: 'supervisor' })
  expect(await driver.unsupported(release(1), signal)).toBeNull()
  const percents: number[] = []
  await driver.download(release(1), progress(percents))
  expect(percents.at(-1)).toBe(100)
  expect(await driver.apply(release(1), { force: false, signal })).toBe('applied')
  await answers('version 1')
  expect(await driver.health(release(1), signal)).toMatchObject({ isHealthy: true })
  await driver.commit(release(1), signal)
  expect(await driver.running(signal)).toBe(release(1).releaseId)
})

test('one that fails says so with its last lines, and the one before answers again, from a new process too', async () => {
  await give(2)
  const driver = await driverOf()
  await driver.download(release(2), progress())
  await driver.apply(release(2), { force: false, signal })
  const health = await waitFor(
    async () => {
      const seen = await driver.health(release(2), signal)
      return seen.isHealthy || !seen.log.includes('missing') ? undefined : seen
    },
    { what: 'the broken release to be found out' },
  )
  expect(health.log).toContain('web | fatal: the database address is missing')
  const later = await driverOf()
  expect(await later.rollBack(signal)).toBe('returned')
  await answers('version 1')
  expect(await later.running(signal)).toBe(release(1).releaseId)
})

test('an update lock in the folder of the service holds a release up, and force goes over it', async () => {
  await give(3)
  const driver = await driverOf()
  await driver.download(release(3), progress())
  const locks = join(folder.path, 'locks', String(ourAppId), 'web')
  await mkdir(locks, { recursive: true })
  await writeFile(join(locks, 'updates.lock'), '')
  await expect(driver.apply(release(3), { force: false, signal })).rejects.toBeInstanceOf(DriverLocked)
  expect(await answerOf(port)).toBe('version 1')
  expect(await driver.apply(release(3), { force: true, signal })).toBe('applied')
  await rm(join(locks, 'updates.lock'))
  await answers('version 3')
})

test('what earlier releases needed is gone once the new one is to stay; volumes and images of others are there', async () => {
  const driver = await driverOf()
  await driver.commit(release(3), signal)
  expect(await namesOfImages()).toEqual([nameOf(3), 'of-somebody-else:1'])
  const { Volumes } = await dockerd.engine.listVolumes()
  expect(Volumes.map(({ Name }) => Name)).toEqual([`${ourAppId}_data`])
})

function driverOf(nodeToken: string = device.nodeToken) {
  return startDeviceApps({
    supervisorUrl: supervisor.url,
    dockerHost: dockerd.dockerHost,
    cloudlyUrl: freehold.url,
    nodeToken,
    memoryPath: join(folder.path, 'apps.json'),
  })
}

async function give(number: number): Promise<void> {
  const releaseId = releaseIds[number - 1] ?? ''
  manifests.set(number, await giveRelease(client, { url: freehold.url, device, releaseId }))
}

function release(number: number): ReleaseManifest {
  const manifest = manifests.get(number)
  if (manifest === undefined) throw new Error(`The device was not given release ${number}.`)
  return manifest
}

async function makeRelease(number: number, tag: string): Promise<string> {
  const web = {
    name: 'web',
    image: `kiosk/web:${tag}`,
    ports: [{ host: port, container: 8080 }],
    volumes: [{ name: 'data', path: '/data' }],
  }
  const data = { product: 'kiosk', version: `1.${number}.0`, type: 'app' as const, services: [web] }
  return (await client.releases.create({ body: { data } })).id
}

async function push(image: BuiltImage): Promise<void> {
  const reference = `127.0.0.1:${freehold.port}/kiosk/${image.name}`
  await loadImage(dockerd.engine, image, { as: reference })
  await pushImage(dockerd.engine, reference, labAdministrator())
}

function progress(percents: number[] = []) {
  return { signal, onProgress: (percent: number) => void percents.push(percent) }
}

function nameOf(number: number): string {
  return localImage(release(number).services[0]?.image.digest ?? '')
}

async function namesOfImages(): Promise<string[]> {
  const images = await dockerd.engine.listImages()
  return images.flatMap(({ RepoTags }) => RepoTags ?? []).sort()
}

async function answers(version: string): Promise<void> {
  await waitFor(async () => (await answerOf(port)) === version, {
    what: `${version} to answer`,
    timeoutMs: 30_000,
  })
}
