import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type ReleaseManifest, releaseManifestSchema } from '@freehold/contracts'
import { systemClock } from '@freehold/reconcile'
import { createLog } from '../../log.ts'
import { createRedactor, Secret } from '../../secret.ts'
import { SupervisorClient } from '../../supervisor/client.ts'
import { playLocalMode } from '../../supervisor/local-mode.testing.ts'
import { startFakeSupervisor } from '../../supervisor/supervisor.testing.ts'
import { startFakeEngine } from './engine.testing.ts'
import { createEngine } from './engine.ts'
import { openMemoryFile } from './memory.ts'
import { createSupervisorDriver } from './supervisor-driver.ts'

export const registry = 'cloud.example.com'
export const token = 'fhn_tokenofthisdevice'

/** A device without a cloud: a fake Supervisor, a fake engine, and the driver between them. */
export async function startWorld(options: { apps?: Record<string, unknown> } = {}) {
  const folder = await mkdtemp(join(tmpdir(), 'freehold-apps-'))
  const fakeEngine = await startFakeEngine()
  fakeEngine.wants = { username: 'device', password: token }
  for (const image of Object.values(agentApp.services)) {
    fakeEngine.images.set(image.image, { id: image.image, tags: new Set([image.image]), digests: new Set() })
  }
  const localMode = playLocalMode({
    socketPath: fakeEngine.socketPath,
    ...(options.apps ? { apps: options.apps } : {}),
  })
  const supervisor = await startFakeSupervisor({ lockDirectory: folder, localMode })
  const redactor = createRedactor()
  redactor.remember(new Secret(token))
  const client = new SupervisorClient({ address: supervisor.url, key: null, redactor, timeLimitMs: 5_000 })
  const engine = createEngine({ socketPath: fakeEngine.socketPath, redactor })
  const memory = openMemoryFile(join(folder, 'apps.json'))
  const device = { bootId: 'first' }
  const driver = createSupervisorDriver({
    client,
    engine,
    memory,
    registry,
    credentials: () => ({ username: 'device', password: new Secret(token) }),
    redactor,
    log: createLog({ write: () => undefined, redactor, level: 'silent' }),
    clock: systemClock,
    monotonicMs: () => performance.now(),
    bootId: async () => device.bootId,
    limits: { totalMs: 20_000, failedMs: 50, lookEveryMs: 2 },
  })
  const signal = AbortSignal.timeout(60_000)
  return {
    ...{ folder, fakeEngine, localMode, supervisor, client, engine, memory, driver, device, signal, redactor },
    /** Lets the Supervisor come to rest. */
    async settle() {
      for (let look = 0; look < 20; look++) await client.device()
    },
    /** Downloads and applies, as an agent would. */
    async bring(manifest: ReleaseManifest, force = false) {
      publish(fakeEngine, manifest)
      await driver.download(manifest, { signal, onProgress: () => undefined })
      return driver.apply(manifest, { force, signal })
    },
    containers: () =>
      [...fakeEngine.containers.values()].map(({ name, status }) => `${name.split('_')[0]} ${status}`).sort(),
    containerOf(service: string) {
      const found = [...fakeEngine.containers.values()].find(
        ({ labels }) => labels['io.balena.service-name'] === service,
      )
      if (!found) throw new Error(`There is no container of ${service}.`)
      return found
    },
    async stop() {
      await supervisor.stop()
      await fakeEngine.stop()
      await rm(folder, { recursive: true, force: true })
    },
  }
}

export type World = Awaited<ReturnType<typeof startWorld>>

/** An application of somebody else: the agent itself, as a person would install it. */
export const agentApp = {
  name: 'basement',
  commit: 'localrelease',
  releaseId: 1,
  services: {
    '7': {
      serviceName: 'baserunner',
      serviceId: 7,
      imageId: 3,
      image: 'local_image_baserunner:latest',
      environment: { BASEOS_CLOUDLY_URL: 'https://cloud.example.com' },
      labels: { 'io.balena.features.balena-socket': '1' },
      volumes: ['baseos-data:/data/baseos'],
      ports: ['8080:80/tcp'],
      cap_add: ['NET_ADMIN'],
      mem_limit: '64000000',
      stop_grace_period: '20s',
      healthcheck: { test: ['CMD', 'true'], interval: '5000ms' },
      running: true,
    },
  },
  volumes: { 'baseos-data': {} },
  networks: {},
}

export function manifestOf(options: {
  id: number
  services?: { name: string; digit: string; labels?: Record<string, string>; restart?: 'always' | 'no' }[]
}): ReleaseManifest {
  const { id, services = [{ name: 'main', digit: String(id) }] } = options
  return releaseManifestSchema.parse({
    schemaVersion: 1,
    releaseId: `01920000-0000-7000-8000-${String(id).padStart(12, '0')}`,
    product: 'kiosk',
    version: `1.${id}.0`,
    type: 'app',
    deviceTypes: [],
    services: services.map(({ name, digit, labels = {}, restart = 'always' }) => ({
      ...{ name, labels, restart, image: { repository: `kiosk/${name}`, digest: digestOf(digit) } },
      volumes: [{ name: 'data', path: '/data' }],
    })),
    host: null,
  })
}

export function digestOf(digit: string): string {
  return `sha256:${digit.repeat(64).slice(0, 64)}`
}

/** Puts the images of a release into the registry. */
export function publish(
  fakeEngine: World['fakeEngine'],
  manifest: ReleaseManifest,
  behaviour: { exits?: number; log?: string } = {},
): void {
  for (const { image } of manifest.services) {
    const name = `${registry}/${image.repository}@${image.digest}`
    if (!fakeEngine.registry.has(name)) fakeEngine.registry.set(name, behaviour)
  }
}
