import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { get } from 'node:http'
import { corebuildPaths, FreeholdError } from '@freehold/contracts'
import type { Logger } from 'pino'
import { z } from 'zod'
import { inheritedEnvironment, runChildProgram } from '../child-program/index.ts'

const startLimitMs = 60_000
const idleMs = 5 * 60_000
/** A busy machine answers late, a worker that hangs never. */
const answerLimitMs = 15_000
/** What keeps a worker small. One that is started alone replaces itself to have them; with a channel to us it cannot. */
const leanFlags = ['--max-semi-space-size=1', '--heap-growing-percent=30', '--optimize-for-size']
const leanMemory = {
  MALLOC_ARENA_MAX: '1',
  MALLOC_MMAP_THRESHOLD_: '65536',
  MALLOC_TRIM_THRESHOLD_: '131072',
}

export interface LocalBuildWorkerOptions {
  /** The program to run with this process's own Node. */
  entry: string
  /** Its workspaces and its cache of base images. */
  directory: string
  log: Pick<Logger, 'info' | 'warn'>
  /** A line the worker wrote. */
  passOn: (line: string) => void
  /** It is ended when nobody has had it for so long. Default: five minutes. */
  idleMs?: number
  /** It is ended and replaced when it does not answer for so long while it is acquired. Default: 15 s. */
  answerLimitMs?: number
}

interface LocalBuildWorkerState {
  /** `stopped`: nobody needs it now, or the control plane is stopping. */
  state: 'stopped' | 'starting' | 'running'
  /** A sentence for people. */
  message: string
  /** How many have it now. */
  leases: number
}

/** The worker for as long as one needs it. A worker that dies meanwhile is gone: release it, and acquire another. */
interface LocalBuildWorkerLease {
  url: string
  token: string
  /** May be called again, which does nothing. */
  release(): void
}

export interface LocalBuildWorker {
  /** Starts the worker where it does not run, or does not answer any more. Throws `unavailable` where it does not start, or the control plane is stopping. */
  acquire(): Promise<LocalBuildWorkerLease>
  state(): LocalBuildWorkerState
  /** Ends it, and starts none any more. */
  stop(): Promise<void>
}

/** One life of the process. */
interface Life {
  address: Promise<{ url: string; token: string }>
  ended: Promise<string>
  end: AbortController
  isReady: boolean
  leases: number
  /** Asked now; the same for all who acquire it at once. */
  answering: Promise<boolean> | undefined
}

/**
 * Keeps at most one worker: started by the first `acquire`, shared by those that come while it runs, ended when nobody has
 * had it for five minutes. One that died or hangs is replaced when it is acquired the next time; who has one that hangs
 * loses it then.
 */
export function createLocalBuildWorker(options: LocalBuildWorkerOptions): LocalBuildWorker {
  const { log } = options
  let life: Life | undefined
  let idle: NodeJS.Timeout | undefined
  let lastEnd: string | undefined
  let isStopping = false

  function begin(): Life {
    const begun = startLife(options)
    begun.address.then(
      () => {
        begun.isReady = true
      },
      () => begun.end.abort(),
    )
    begun.ended.then((how) => {
      if (life === begun) life = undefined
      const expected = begun.end.signal.aborted
      lastEnd = expected ? undefined : how
      if (!expected) log.warn({ how }, 'the local build worker ended; the next build starts it again')
    })
    return begun
  }

  /** One that was told to end may still hold its folder: the next begins after it. */
  async function living(): Promise<Life> {
    for (;;) {
      while (life?.end.signal.aborted === true) await life.ended
      if (isStopping)
        throw new FreeholdError('unavailable', 'The control plane is stopping; builds go on after its start.')
      life ??= begin()
      const present = life
      if (!present.isReady) return present
      const isAlive = await answers(present)
      // Its idle time may have been over meanwhile.
      if (life !== present || present.end.signal.aborted) continue
      if (isAlive) return present
      log.warn('the local build worker does not answer; it is ended, and another one started')
      present.end.abort()
    }
  }

  async function answers(asked: Life): Promise<boolean> {
    asked.answering ??= isAnswering(await asked.address, options.answerLimitMs ?? answerLimitMs).finally(() => {
      asked.answering = undefined
    })
    return asked.answering
  }

  function release(released: Life): void {
    released.leases -= 1
    if (released.leases > 0) return
    clearTimeout(idle)
    idle = setTimeout(() => {
      if (released.leases === 0) released.end.abort()
    }, options.idleMs ?? idleMs)
    idle.unref()
  }

  return {
    async acquire() {
      const mine = await living()
      mine.leases += 1
      let isReleased = false
      const releaseOnce = () => {
        if (!isReleased) release(mine)
        isReleased = true
      }
      try {
        return { ...(await mine.address), release: releaseOnce }
      } catch (error) {
        releaseOnce()
        throw error
      }
    },
    state: () => stateOf({ life, lastEnd }),
    async stop() {
      isStopping = true
      clearTimeout(idle)
      life?.end.abort()
      await life?.ended
    },
  }
}

function stateOf({ life, lastEnd }: { life: Life | undefined; lastEnd: string | undefined }): LocalBuildWorkerState {
  const leases = life?.leases ?? 0
  if (life === undefined || life.end.signal.aborted) {
    const before = lastEnd === undefined ? '' : ` It ended by itself the last time (${lastEnd}).`
    return { state: 'stopped', message: `It is started when there is a build for it.${before}`, leases }
  }
  if (!life.isReady) return { state: 'starting', message: 'It is starting.', leases }
  return { state: 'running', message: leases === 0 ? 'It waits for a build.' : 'It is in use.', leases }
}

const listeningSchema = z.object({ listening: z.object({ port: z.int().min(1).max(65_535) }) })

function startLife(options: LocalBuildWorkerOptions): Life {
  const token = randomBytes(32).toString('base64url')
  const end = new AbortController()
  const { promise: port, resolve, reject } = Promise.withResolvers<number>()
  const limit = setTimeout(() => reject(new Error(`it said no port for ${startLimitMs / 1000} s`)), startLimitMs)
  let isKnown = false
  const ended = runChildProgram({
    entry: options.entry,
    flags: leanFlags,
    environment: environmentOf(options, token),
    onLine: (line) => {
      const said = isKnown ? undefined : portOf(line)
      if (said === undefined) return options.passOn(line)
      isKnown = true
      resolve(said)
    },
    onErrorLine: options.passOn,
    signal: end.signal,
  })
    .catch((error: unknown) => (error instanceof Error ? error.message : String(error)))
    .then((how) => {
      reject(new Error(`it ended (${how})`))
      return how
    })
  const address = port
    .then((known) => ({ url: `http://127.0.0.1:${known}`, token }))
    .catch((cause: unknown) => {
      const reason = cause instanceof Error ? cause.message : String(cause)
      throw new FreeholdError(
        'unavailable',
        `The build worker of this machine did not start: ${reason}. Its last lines are in the log.`,
        { cause },
      )
    })
    .finally(() => clearTimeout(limit))
  return { address, ended, end, isReady: false, leases: 0, answering: undefined }
}

/** One that has just died does not answer either. */
async function isAnswering({ url }: { url: string }, limitMs: number): Promise<boolean> {
  const asked = get(`${url}${corebuildPaths.health}`, { agent: false, signal: AbortSignal.timeout(limitMs) })
  try {
    await once(asked, 'response')
    return true
  } catch {
    return false
  } finally {
    asked.on('error', () => undefined).destroy()
  }
}

/** One job at a time; it may fetch from this machine, whose owner started it. */
function environmentOf({ directory }: LocalBuildWorkerOptions, token: string): Record<string, string> {
  return {
    ...inheritedEnvironment([
      'TMPDIR',
      'ISO_CREATOR_COMMAND',
      'COREBUILD_AGENT_INSTALL',
      'COREBUILD_UBUNTU_MIRROR',
      'COREBUILD_CACHE_BYTES',
      'COREBUILD_MEMORY_BYTES',
      'COREBUILD_JOB_TIMEOUT_MS',
    ]),
    ...leanMemory,
    COREBUILD_HOST: '127.0.0.1',
    COREBUILD_PORT: '0',
    COREBUILD_TOKEN: token,
    COREBUILD_WORKDIR: directory,
    COREBUILD_WORKER_ID: 'local',
    COREBUILD_MAX_JOBS: '1',
    COREBUILD_ALLOW_PRIVATE_SOURCES: 'on',
  }
}

function portOf(line: string): number | undefined {
  if (!line.startsWith('{"listening"')) return undefined
  try {
    return listeningSchema.safeParse(JSON.parse(line)).data?.listening.port
  } catch {
    return undefined
  }
}
