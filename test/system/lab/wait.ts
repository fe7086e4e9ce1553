import { mkdtemp, rm } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

/**
 * Waits until `condition` answers something other than undefined and false, and returns that. A condition that throws
 * counts as "not yet"; the last thing it threw is in the error after `timeoutMs`.
 */
export async function waitFor<T>(
  condition: () => T | undefined | false | Promise<T | undefined | false>,
  options: { what: string; timeoutMs?: number; everyMs?: number },
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
      throw new Error(
        `Waited ${timeoutMs} ms in vain for ${options.what}.${problem === undefined ? '' : ` ${problem}`}`,
        {
          cause: problem,
        },
      )
    }
    await sleep(options.everyMs ?? 50)
  }
}

/** A TCP port of 127.0.0.1 that nothing listens on now. */
export async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(0, '127.0.0.1', resolve)
  })
  const address = server.address()
  await new Promise((resolve) => server.close(resolve))
  if (address === null || typeof address === 'string') throw new Error('The system gave no port.')
  return address.port
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
