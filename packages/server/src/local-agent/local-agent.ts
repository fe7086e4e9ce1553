import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { FreeholdError } from '@freehold/contracts'
import { inheritedEnvironment, runChildProgram } from '../child-program/index.ts'
import { engineAnswers } from './engine.ts'

const lookAgainMs = 30_000
const firstBackoffMs = 1_000
const longestBackoffMs = 60_000
/** An agent that ran this long was well: its end starts the backoff anew. */
const wellAfterMs = 60_000

export interface LocalAgentOptions {
  /** The program to run with this process's own Node. */
  entry: string
  dockerHost: string
  /** Where the control plane is reached from this machine. */
  controlPlaneUrl: string
  /** The agent's own state. */
  directory: string
  logLevel: string
  /** Makes the cluster `local`, if it is missing, and a JUMPCODE for it. Asked only while the agent has not joined. */
  enrol: () => Promise<{ jumpCode: string }>
  /** A sentence for the person at the terminal. */
  say: (sentence: string) => void
  /** A line the agent wrote. */
  passOn: (line: string) => void
}

export interface LocalAgent {
  /** Ends the agent and stops looking. */
  stop(): Promise<void>
}

/**
 * Looks for the engine until one answers, then keeps the agent running: when it dies it is started again, later each
 * time, at most a minute later. Everything it needs to know goes through its environment, and nothing of ours besides.
 */
export function createLocalAgent(options: LocalAgentOptions): LocalAgent {
  const stopping = new AbortController()
  const { signal } = stopping
  const done = run(options, signal)
  return {
    async stop() {
      stopping.abort()
      await done
    },
  }
}

async function run(options: LocalAgentOptions, signal: AbortSignal): Promise<void> {
  await waitForEngine(options, signal)
  let backoffMs = firstBackoffMs
  while (!signal.aborted) {
    const startedAt = performance.now()
    const end = await runOnce(options, signal)
    if (signal.aborted) return
    if (performance.now() - startedAt >= wellAfterMs) backoffMs = firstBackoffMs
    options.say(`Local cluster: the agent ended (${end}); starting it again in ${Math.round(backoffMs / 1000)} s.`)
    await pause(backoffMs, signal)
    backoffMs = Math.min(longestBackoffMs, backoffMs * 2)
  }
}

async function waitForEngine({ dockerHost, say }: LocalAgentOptions, signal: AbortSignal): Promise<void> {
  let said = false
  while (!signal.aborted && !(await engineAnswers(dockerHost, signal))) {
    if (!said && !signal.aborted) {
      say(
        `Local cluster: no Docker engine answers at ${dockerHost}; looking again every ${lookAgainMs / 1000} s. FREEHOLD_LOCAL_CLUSTER=off turns this off.`,
      )
    }
    said = true
    await pause(lookAgainMs, signal)
  }
  if (!signal.aborted) {
    say(
      `Local cluster: the Docker engine at ${dockerHost} becomes the cluster "local" (a Swarm is initialised where there is none). FREEHOLD_LOCAL_CLUSTER=off turns this off.`,
    )
  }
}

/** Runs the agent once and says in a few words how it ended. */
async function runOnce(options: LocalAgentOptions, signal: AbortSignal): Promise<string> {
  try {
    const jumpCode = (await hasJoined(options.directory)) ? undefined : (await options.enrol()).jumpCode
    if (signal.aborted) return 'stopped'
    return await runChildProgram({
      entry: options.entry,
      environment: environmentOf(options, jumpCode),
      onLine: options.passOn,
      onErrorLine: options.passOn,
      signal,
    })
  } catch (error) {
    return error instanceof Error ? error.message : String(error)
  }
}

/** Whether the agent is registered by its own account: it then looks at no JUMPCODE any more. */
async function hasJoined(directory: string): Promise<boolean> {
  const path = join(directory, 'identity.json')
  try {
    const identity: { node?: unknown } | null = JSON.parse(await readFile(path, 'utf8'))
    return identity?.node != null
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false
    throw new FreeholdError('conflict', `${path} cannot be read. Restore it, or remove it to join anew.`, {
      cause: error,
    })
  }
}

function environmentOf(options: LocalAgentOptions, jumpCode: string | undefined): Record<string, string> {
  return {
    ...inheritedEnvironment(['DOCKER_CERT_PATH', 'DOCKER_TLS_VERIFY']),
    CLOUDLY_URL: options.controlPlaneUrl,
    ...(jumpCode === undefined ? {} : { JUMPCODE: jumpCode }),
    DOCKER_HOST: options.dockerHost,
    FREEHOLD_AGENT_DIR: options.directory,
    FREEHOLD_LOG_LEVEL: options.logLevel,
  }
}

async function pause(ms: number, signal: AbortSignal): Promise<void> {
  try {
    await sleep(ms, undefined, { signal })
  } catch {
    // Woken by the signal, which the caller looks at.
  }
}
