import { dirname, join } from 'node:path'
import type { Clock } from '@freehold/reconcile'
import type { Config } from '../config.ts'
import type { UpdateLocks } from '../locks/update-locks.ts'
import { type Log, sentenceOf } from '../log.ts'
import { type Redactor, Secret } from '../secret.ts'
import type { StateStore } from '../state/store.ts'
import type { SupervisorClient } from '../supervisor/client.ts'
import type { Updater } from '../supervisor/updater.ts'
import type { AppDriver } from './app-supervisor/index.ts'
import type { ReleaseDriver } from './driver.ts'
import type { ReleaseDrivers } from './loop.ts'

/** How applications come onto this device, and why that way, for people. */
export type AppsBy = Awaited<ReturnType<AppDriver['choice']>>

export interface DeviceDrivers {
  drivers: ReleaseDrivers
  /** What the Supervisor and the engine offer now. */
  choice(signal?: AbortSignal): Promise<AppsBy>
  /** Takes up a host update that was under way when the agent ended. */
  resume(): Promise<void>
}

/**
 * The drivers of this device, by its settings. Each is loaded at its first use: a device at rest, without releases, keeps
 * none of them in memory. The update locks are to be adopted before.
 */
export function createReleaseDrivers(options: {
  config: Config
  client: SupervisorClient | null
  updater: Updater | undefined
  store: StateStore
  locks: UpdateLocks
  redactor: Redactor
  log: Log
  clock: Clock
  monotonicMs: () => number
}): DeviceDrivers {
  const { config, client, updater, store, locks, redactor, log, clock, monotonicMs } = options
  const { cloudlyUrl, statePath } = config
  const nodeToken = () => {
    const { nodeToken: newest, previousNodeToken } = store.current()
    const text = newest ?? previousNodeToken
    return text === null ? null : new Secret(text)
  }
  const app = once(async () => {
    const { createAppSupervisor } = await import('./app-supervisor/index.ts')
    const memoryPath = join(dirname(statePath), 'apps.json')
    const { dockerHost } = config
    const parts = { client, updater, dockerHost, cloudlyUrl, nodeToken, memoryPath }
    return createAppSupervisor({ ...parts, redactor, log, clock, monotonicMs })
  })
  const host = once(async () => {
    if (cloudlyUrl === null) throw new Error('There is no control plane whose registry has the images.')
    const { createHostDriver } = await import('./host/index.ts')
    const { twoRootsDirectory, restartCommand, hostRoot, healthCommand } = config
    const settings = { twoRootsDirectory, restartCommand, hostRoot, healthCommand }
    const path = join(dirname(statePath), 'host-update.json')
    return createHostDriver({ registry: cloudlyUrl, token: nodeToken, locks, clock, statePath: path, ...settings })
  })
  return {
    drivers: { app: loadedByUse('app', app), host: loadedByUse('host', host) },
    choice: async (signal) => (await app()).choice(signal),
    resume: async () => {
      if (store.current().releases.host === null) return
      await host().catch((error: unknown) => log.warn('Hosts cannot be updated now.', { reason: sentenceOf(error) }))
    },
  }
}

function loadedByUse(name: string, load: () => Promise<ReleaseDriver>): ReleaseDriver {
  return {
    name,
    unsupported: async (manifest, signal, asked) => (await load()).unsupported(manifest, signal, asked),
    running: async (signal) => (await load()).running(signal),
    download: async (manifest, how) => (await load()).download(manifest, how),
    apply: async (manifest, how) => (await load()).apply(manifest, how),
    health: async (manifest, signal) => (await load()).health(manifest, signal),
    commit: async (manifest, signal) => (await load()).commit(manifest, signal),
    rollBack: async (signal) => (await load()).rollBack(signal),
  }
}

/** What failed is tried again at the next call. */
function once<Value>(make: () => Promise<Value>): () => Promise<Value> {
  let made: Promise<Value> | undefined
  return () => {
    made ??= make().catch((error: unknown) => {
      made = undefined
      throw error
    })
    return made
  }
}
