import { mkdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type ReleaseManifest, releaseManifestSchema } from '@freehold/contracts'
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
import { password, startTestRegistry, type TestRegistry } from '../../packages/server/src/registry/testing.ts'
import {
  answerOf,
  type BuiltImage,
  brokenImage,
  type Dockerd,
  freePort,
  loadImage,
  pushImage,
  startDockerd,
  type TemporaryFolder,
  temporaryFolder,
  waitFor,
  webImage,
} from './lab/index.ts'

/**
 * Releases of applications on a device without a cloud: the agent's own driver, a real engine, our real registry. Only
 * the Supervisor is played; it runs what its target state says in that engine.
 */
let dockerd: Dockerd
let registry: TestRegistry
let folder: TemporaryFolder
let supervisor: FakeSupervisor
let port: number
const releases: ReleaseManifest[] = []
const signal = AbortSignal.timeout(170_000)

beforeAll(async () => {
  dockerd = await startDockerd()
  registry = await startTestRegistry()
  folder = await temporaryFolder('device-releases')
  port = await freePort()
  const localMode = playLocalMode({ socketPath: dockerd.socket, lockRoot: join(folder.path, 'locks') })
  supervisor = await startFakeSupervisor({ lockDirectory: folder.path, localMode })
  for (const [index, image] of [
    await webImage({ name: 'web:1', version: 'version 1' }),
    await brokenImage({ name: 'web:2' }),
    await webImage({ name: 'web:3', version: 'version 3' }),
  ].entries()) {
    releases.push(manifestOf(index + 1, await push(image)))
  }
  for (const { Id } of await dockerd.engine.listImages()) await dockerd.engine.getImage(Id).remove({ force: true })
  await loadImage(dockerd.engine, await webImage({ name: 'of-somebody-else:1', version: 'other' }))
})

afterAll(async () => {
  await supervisor?.stop()
  await registry?.remove()
  await dockerd?.stop()
  await folder?.remove()
})

test('a release is pulled by digest, run, and answers; without access nothing of it arrives', async () => {
  const stranger = await driverOf('not-the-password')
  await expect(stranger.download(release(1), progress())).rejects.toThrow('refused')
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

/** Until the registry knows devices by their tokens, the agent signs in as the administrator. */
function driverOf(secret: string = password) {
  return startDeviceApps({
    supervisorUrl: supervisor.url,
    dockerHost: dockerd.dockerHost,
    registryUrl: registry.url,
    user: { username: 'admin', password: secret },
    memoryPath: join(folder.path, 'apps.json'),
  })
}

function release(number: number): ReleaseManifest {
  const manifest = releases[number - 1]
  if (manifest === undefined) throw new Error(`There is no release ${number}.`)
  return manifest
}

function manifestOf(number: number, digest: string): ReleaseManifest {
  return releaseManifestSchema.parse({
    schemaVersion: 1,
    releaseId: `01920000-0000-7000-8000-${String(number).padStart(12, '0')}`,
    product: 'kiosk',
    version: `1.${number}.0`,
    type: 'app',
    deviceTypes: [],
    services: [
      {
        name: 'web',
        image: { repository: 'kiosk/web', digest },
        ports: [{ host: port, container: 8080 }],
        volumes: [{ name: 'data', path: '/data' }],
      },
    ],
    host: null,
  })
}

async function push(image: BuiltImage): Promise<string> {
  const reference = `${registry.host}/kiosk/${image.name}`
  await loadImage(dockerd.engine, image, { as: reference })
  return pushImage(dockerd.engine, reference, { username: 'admin', password })
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
