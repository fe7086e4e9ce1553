import { join } from 'node:path'
import type { Machine } from './machine.ts'
import { childrenOf, type Program, startProgram } from './process.ts'
import { freePort, temporaryFolder, waitFor } from './wait.ts'

const repository = join(import.meta.dirname, '../../..')

/** One of our programs as a process of its own, which can die and come back on the same data. */
export interface Service {
  /** Everything it wrote, over all its lives. */
  logs(): string
  /** KILL, at once. */
  kill9(): Promise<void>
  /** Starts it again with the same settings, after `kill9` or in place of the running one. */
  restart(): Promise<void>
  stop(): Promise<void>
}

export interface Freehold extends Service {
  url: string
  port: number
  dataDirectory: string
}

const administrator = { username: 'admin', password: 'a-password-of-the-lab' }

/**
 * Starts the control plane and waits until /health answers. Unless `env` says otherwise: a free port, a new data
 * directory (removed by `stop`), no local cluster, and the administrator of `labAdministrator`.
 */
export async function startFreehold(options: { env?: NodeJS.ProcessEnv } = {}): Promise<Freehold> {
  const folder = await temporaryFolder('data')
  const port = Number(options.env?.SERVEZONE_PORT ?? (await freePort()))
  const url = `http://127.0.0.1:${port}`
  const env = {
    SERVEZONE_PORT: String(port),
    FREEHOLD_DATA_DIR: folder.path,
    FREEHOLD_LOCAL_CLUSTER: 'off',
    SERVEZONE_ADMINACCOUNT: `${administrator.username}:${administrator.password}`,
    ...options.env,
  }
  const service = await startService({
    entry: 'packages/server/src/main.ts',
    env,
    ready: () => answersHealth(url),
  }).catch(async (error) => {
    await folder.remove()
    throw error
  })
  return {
    ...service,
    url,
    port,
    dataDirectory: env.FREEHOLD_DATA_DIR,
    async stop() {
      await service.stop()
      await folder.remove()
    },
  }
}

/** Who `startFreehold` makes the first administrator. */
export function labAdministrator(): { username: string; password: string } {
  return { ...administrator }
}

/**
 * Starts one of our TypeScript programs on this Node, in a machine if one is given. With `ready` it waits for that;
 * a program that ends before throws with what it wrote.
 */
export async function startService(options: {
  /** Path from the repository's root. */
  entry: string
  env: NodeJS.ProcessEnv
  machine?: Machine
  ready?: () => Promise<boolean>
}): Promise<Service> {
  const argv = [process.execPath, join(repository, options.entry)]
  const earlier: string[] = []
  let program: Program | undefined
  const start = async () => {
    const started = await startProgram(options.machine?.inside(argv) ?? argv, { env: options.env, folder: repository })
    program = started
    await waitFor(async () => started.ended() !== undefined || options.ready === undefined || (await options.ready()), {
      what: () => `${options.entry} to be ready\n${started.output().slice(-3_000)}`,
    })
    if (started.ended() !== undefined) throw new Error(`${options.entry} ended at once:\n${started.output()}`)
  }
  const end = async (signal: 'SIGKILL' | 'SIGTERM') => {
    const ending = program
    if (ending === undefined) return
    program = undefined
    // In a machine `nsenter` stands between, which does not pass signals on.
    const pids = options.machine === undefined ? [ending.pid] : childrenOf(ending.pid)
    if (ending.ended() === undefined) for (const pid of pids) process.kill(pid, signal)
    await waitFor(() => ending.ended(), { what: `${options.entry} to end after ${signal}`, timeoutMs: 30_000 }).finally(
      () => ending.stop({ graceMs: 0 }),
    )
    earlier.push(ending.output())
  }
  const service: Service = {
    logs: () => earlier.join('') + (program?.output() ?? ''),
    kill9: () => end('SIGKILL'),
    async restart() {
      await end('SIGTERM')
      await start()
    },
    stop: () => end('SIGTERM'),
  }
  try {
    await start()
  } catch (error) {
    await end('SIGKILL')
    throw error
  }
  return service
}

async function answersHealth(url: string): Promise<boolean> {
  const response = await fetch(`${url}/health`, { signal: AbortSignal.timeout(2_000) })
  await response.arrayBuffer()
  return response.status === 200
}
