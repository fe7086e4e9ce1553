/**
 * Host updates: what switches the operating system below the device agent. `two-roots` does it itself, with two root
 * folders and a boot program; `balena-hostapp` lets balenaOS do it. A host that offers neither is told what it lacks.
 *
 * Not here: what to take and when, signatures (the digests that come here were verified), and boot loaders.
 */
import type { Clock } from '@freehold/reconcile'
import type { UpdateLocks } from '../../locks/update-locks.ts'
import type { Secret } from '../../secret.ts'
import type { ReleaseDriver } from '../driver.ts'
import { createBalenaHostappDriver } from './balena-hostapp.ts'
import { readLayout } from './boot-record.ts'
import { hostAccess } from './host-access.ts'
import type { HostHealth } from './host-health.ts'
import { createHostLocks } from './host-locks.ts'
import { createImageSource } from './image.ts'
import { lastWords, runProgram } from './programs.ts'
import { createTwoRootsDriver } from './two-roots.ts'

export { layOutTwoRoots } from './two-roots.ts'

export interface HostDriverOptions {
  /** The control plane, whose registry images are pulled from. */
  registry: URL
  /** The node token as it is now; it rotates. */
  token: () => Secret | null
  locks: UpdateLocks
  clock: Clock
  /** A file of its own, beside the agent's state. */
  statePath: string
  /** Where a host with two roots is laid out; null: nowhere. */
  twoRootsDirectory: string | null
  /** The argument array that restarts a host with two roots. */
  restartCommand: readonly string[]
  /** Where the host's root is mounted; null: it is reached through its processes. */
  hostRoot: string | null
  /** Argument array of a program that exits with 0 where the host is well; null: none. */
  healthCommand: readonly string[] | null
}

/**
 * The driver for what is there: two roots where they are laid out, balenaOS otherwise. Update locks that an agent before
 * this one held for its switch are released, so they are to be adopted first.
 */
export async function createHostDriver(options: HostDriverOptions): Promise<ReleaseDriver> {
  const { registry, token, clock, statePath, twoRootsDirectory, restartCommand, hostRoot, healthCommand } = options
  const source = createImageSource({ registry, token })
  const locks = createHostLocks(options.locks)
  await locks.release()
  const checkHealth = healthCommand && ((signal: AbortSignal) => healthBy(healthCommand, signal))
  if (twoRootsDirectory !== null && (await readLayout(twoRootsDirectory)).current !== null) {
    const restart = () => restartBy(restartCommand)
    return createTwoRootsDriver({ directory: twoRootsDirectory, source, checkHealth, restart, locks })
  }
  const access = hostRoot === null ? hostAccess.namespaces : hostAccess.mounted(hostRoot)
  return createBalenaHostappDriver({
    access,
    registry,
    token,
    source,
    run: runProgram,
    locks,
    clock,
    statePath,
    checkHealth,
  })
}

const commandLimitMs = 60_000

async function healthBy(argv: readonly string[], signal: AbortSignal): Promise<HostHealth> {
  const { exitCode, log } = await runProgram(argv, { timeLimitMs: commandLimitMs, signal })
  const isHealthy = exitCode === 0
  return {
    isHealthy,
    message: lastWords(log) || `The health check ended with ${exitCode ?? 'a signal'}.`,
    log: isHealthy ? '' : log,
  }
}

async function restartBy(argv: readonly string[]): Promise<void> {
  const { exitCode, log } = await runProgram(argv, {
    timeLimitMs: commandLimitMs,
    signal: new AbortController().signal,
  })
  if (exitCode !== 0) throw new Error(`The host cannot be restarted (${exitCode ?? 'killed'}): ${lastWords(log)}`)
}
