import { randomInt } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

const lowestPort = 20_000
/** Linux: net.ipv4.ip_local_port_range. */
const lowestEphemeralPort = 32_768

/**
 * Waits until `condition` answers something other than undefined and false, and returns that. A condition that throws
 * counts as "not yet"; the last thing it threw is in the error after `timeoutMs`. A `what` that tells the state of things
 * (logs) is a function, so that it tells the one at the end.
 */
export async function waitFor<T>(
  condition: () => T | undefined | false | Promise<T | undefined | false>,
  options: { what: string | (() => string); timeoutMs?: number; everyMs?: number },
): Promise<T> {
  const timeoutMs = options.timeoutMs ?? 60_000
  const startedAt = performance.now()
  let problem: unknown
  for (;;) {
    try {
      const result = await condition()
      if (result !== undefined && result !== false) return result
      problem = undefined
    } catch (error) {
      problem = error
    }
    if (performance.now() - startedAt > timeoutMs) {
      const what = typeof options.what === 'string' ? options.what : options.what()
      throw new Error(`Waited ${timeoutMs} ms in vain for ${what}.${problem === undefined ? '' : ` ${problem}`}`, {
        cause: problem,
      })
    }
    await sleep(options.everyMs ?? 50)
  }
}

/**
 * A TCP port that nothing listens on now. It lies below those the system gives to outgoing connections, which would
 * otherwise take it now and then while what shall listen on it is being replaced.
 */
export async function freePort(): Promise<number> {
  for (let attempt = 0; attempt < 100; attempt += 1) {
    const port = randomInt(lowestPort, lowestEphemeralPort)
    const server = createServer()
    const isFree = await new Promise<boolean>((resolve) => {
      server.once('error', () => resolve(false))
      server.listen(port, '0.0.0.0', () => server.close(() => resolve(true)))
    })
    if (isFree) return port
  }
  throw new Error('A hundred ports were tried and all were taken.')
}

export interface TemporaryFolder {
  path: string
  remove(): Promise<void>
}

/** A new empty folder under the system's temporary one. */
export async function temporaryFolder(name = 'lab'): Promise<TemporaryFolder> {
  const path = await mkdtemp(join(tmpdir(), `freehold-${name}-`))
  return { path, remove: () => rm(path, { recursive: true, force: true, maxRetries: 5 }) }
}
