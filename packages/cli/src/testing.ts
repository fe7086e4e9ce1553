import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** For tests only: a real control plane and the real command, each a process of its own. */

const serverMain = fileURLToPath(new URL('../../server/src/main.ts', import.meta.url))
const cliMain = fileURLToPath(new URL('./main.ts', import.meta.url))
export const admin = { username: 'admin', password: 'correct horse battery' }
const startLimitMs = 60_000
const longestOutput = 16 * 1024 * 1024

export interface TestServer {
  url: string
  stop(): Promise<void>
}

/** Starts a control plane with SQLite in a folder of its own, on a free port, with `admin` as its administrator. */
export async function startTestServer(): Promise<TestServer> {
  const directory = await mkdtemp(join(tmpdir(), 'freehold-server-'))
  const child = spawn(process.execPath, [serverMain], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: {
      PATH: process.env.PATH,
      FREEHOLD_DATA_DIR: directory,
      FREEHOLD_BIND: '127.0.0.1',
      SERVEZONE_PORT: '0',
      SERVEZONE_ADMINACCOUNT: `${admin.username}:${admin.password}`,
      FREEHOLD_LOCAL_CLUSTER: 'off',
      FREEHOLD_LOCAL_BUILD_WORKER: 'off',
    },
  })
  const stop = async () => {
    if (child.exitCode === null && child.signalCode === null) {
      const exited = once(child, 'exit')
      child.kill('SIGTERM')
      await exited
    }
    await rm(directory, { recursive: true, force: true })
  }
  try {
    const url = await addressOf(child)
    return { url, stop }
  } catch (error) {
    await stop()
    throw error
  }
}

async function addressOf(child: ChildProcess): Promise<string> {
  let said = ''
  const limit = AbortSignal.timeout(startLimitMs)
  child.stderr?.on('data', (chunk) => {
    said += String(chunk)
  })
  return new Promise((resolve, reject) => {
    const fail = () => reject(new Error(`The control plane did not start:\n${said}`))
    child.stdout?.on('data', (chunk) => {
      said += String(chunk)
      const url = /is running at (http:\/\/\S+)/.exec(said)?.[1]
      if (url !== undefined) resolve(`http://127.0.0.1:${new URL(url).port}`)
    })
    child.once('exit', fail)
    limit.addEventListener('abort', fail)
  })
}

export interface CliResult {
  code: number | null
  stdout: string
  stderr: string
}

export interface RunningCli {
  child: ChildProcess
  /** Resolves once standard output matches. */
  said(pattern: RegExp): Promise<void>
  finished: Promise<CliResult>
}

/** Starts the command as a process; standard input is `input`, or empty. */
export function startCli(commandLine: string[], environment: Record<string, string>, input = ''): RunningCli {
  const child = spawn(process.execPath, [cliMain, ...commandLine], {
    stdio: ['pipe', 'pipe', 'pipe'],
    env: { PATH: process.env.PATH, ...environment },
  })
  let stdout = ''
  let stderr = ''
  const waiting = new Set<() => void>()
  child.stdout.on('data', (chunk) => {
    stdout = `${stdout}${chunk}`.slice(0, longestOutput)
    for (const check of waiting) check()
  })
  child.stderr.on('data', (chunk) => {
    stderr = `${stderr}${chunk}`.slice(0, longestOutput)
  })
  // A command that reads no input may end before it was written.
  child.stdin.on('error', () => undefined)
  child.stdin.end(input)
  const finished = once(child, 'close').then(([code]) => ({ code: code as number | null, stdout, stderr }))
  const said = (pattern: RegExp) =>
    new Promise<void>((resolve, reject) => {
      const check = () => {
        if (!pattern.test(stdout)) return
        waiting.delete(check)
        resolve()
      }
      waiting.add(check)
      check()
      void finished.then(() => reject(new Error(`It ended without saying ${pattern}:\n${stdout}${stderr}`)))
    })
  return { child, said, finished }
}

interface CommandOptions {
  input?: string
  environment?: Record<string, string>
}

/** Commands that keep their contexts in `folder`. */
export function commandsOf(folder: () => string) {
  const freehold = (commandLine: string[], options: CommandOptions = {}): Promise<CliResult> =>
    startCli(commandLine, { XDG_CONFIG_HOME: folder(), ...options.environment }, options.input).finished

  /** What a command with --json answers; anything but exit code 0 throws what it said. */
  async function json<T = CliResource>(commandLine: string[], options: CommandOptions = {}): Promise<T> {
    const { code, stdout, stderr } = await freehold([...commandLine, '--json'], options)
    if (code !== 0) throw new Error(`freehold ${commandLine.join(' ')} ended with ${code}: ${stderr}`)
    return JSON.parse(stdout) as T
  }

  async function signIn({ url }: TestServer, context: string): Promise<void> {
    const line = ['login', url, '--context', context, '--username', admin.username, '--password-stdin']
    await json(line, { input: admin.password })
  }
  return { freehold, json, signIn }
}

export interface CliResource {
  id: string
  version: number
  generation: number
  data: Record<string, unknown>
  status: Record<string, unknown>
  labels: Record<string, string>
}
