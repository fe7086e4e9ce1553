/**
 * Brings application releases onto a device: by the Supervisor's local target state and the host's container engine
 * where nothing else owns what runs (`supervisor`), by asking the Supervisor for an update where something does
 * (`app-update`). Which of the two fits is found out, not configured. Not here: when to take a release, whether it is
 * to be trusted, and whether to give it up.
 */
import type { Clock } from '@freehold/reconcile'
import type { Log } from '../../log.ts'
import type { Redactor, Secret } from '../../secret.ts'
import type { SupervisorClient } from '../../supervisor/client.ts'
import type { Updater } from '../../supervisor/updater.ts'
import { type AppDriver, createAppDriver, lookAtHost } from './choose.ts'
import { createEngine, findEngineSocket } from './engine.ts'
import { openMemoryFile } from './memory.ts'
import { createSupervisorDriver, type SwitchLimits } from './supervisor-driver.ts'
import { createUpdateDriver } from './update-driver.ts'

export type { AppDriver } from './choose.ts'

export interface AppSupervisorOptions {
  /** Null: none is configured. */
  client: SupervisorClient | null
  updater: Updater | undefined
  /** `DOCKER_HOST`. */
  dockerHost: string | undefined
  /** Of the control plane, whose registry has the images; null: none is configured. */
  cloudlyUrl: URL | null
  /** The present one; null: none yet. */
  nodeToken: () => Secret | null
  /** Beside the state file. */
  memoryPath: string
  redactor: Redactor
  log: Log
  clock: Clock
  monotonicMs: () => number
  limits?: SwitchLimits
}

/** The driver of `app` releases, for any device. */
export async function createAppSupervisor(options: AppSupervisorOptions): Promise<AppDriver> {
  const { client, updater, cloudlyUrl, nodeToken, redactor } = options
  const socketPath = await findEngineSocket(options.dockerHost)
  const engine = socketPath === null ? null : createEngine({ socketPath, redactor })
  const memory = openMemoryFile(options.memoryPath)
  const credentials = () => {
    const password = nodeToken()
    // The registry knows a device by its token.
    return password && { username: 'device', password }
  }
  const local =
    client && engine && cloudlyUrl
      ? [createSupervisorDriver({ ...options, client, engine, memory, registry: cloudlyUrl.host, credentials })]
      : []
  const update = client && updater ? [createUpdateDriver({ client, updater, memory })] : []
  return createAppDriver({
    drivers: [...local, ...update],
    memory,
    look: (signal) => lookAtHost({ client, engine, hasRegistry: cloudlyUrl !== null, signal }),
  })
}
