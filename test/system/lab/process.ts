import { type ChildProcess, spawn } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { systemPath } from './parts.ts'
import { waitFor } from './wait.ts'

const outputLimitCharacters = 4 * 1024 * 1024

/** A program under test: its output is kept (the newest 4 MiB), and it is ended by its own pid only. */
export interface Program {
  pid: number
  /** Both streams as they came. */
  output(): string
  /** Undefined while it runs. */
  ended(): { code: number | null; signal: NodeJS.Signals | null } | undefined
  signal(signal: NodeJS.Signals): void
  /** TERM, then KILL after `graceMs` (default 20 s). */
  stop(options?: { graceMs?: number }): Promise<void>
}

/** Starts a program; throws if it cannot be started at all. */
export async function startProgram(
  argv: readonly string[],
  options: { env?: NodeJS.ProcessEnv; folder?: string; input?: string } = {},
): Promise<Program> {
  const [command, ...args] = argv
  if (command === undefined) throw new Error('There is no program to start.')
  const child = spawn(command, args, {
    stdio: ['pipe', 'pipe', 'pipe'],
    env: { ...process.env, PATH: systemPath, ...options.env },
    ...(options.folder === undefined ? {} : { cwd: options.folder }),
  })
  // A program that reads no input may end before it was written.
  child.stdin.on('error', () => undefined)
  child.stdin.end(options.input ?? '')
  let output = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8')
    stream.on('data', (text: string) => {
      output = (output + text).slice(-outputLimitCharacters)
    })
  }
  const pid = await started(child)
  const ended = () =>
    child.exitCode === null && child.signalCode === null
      ? undefined
      : { code: child.exitCode, signal: child.signalCode }
  const program: Program = {
    pid,
    output: () => output,
    ended,
    signal: (signal) => void child.kill(signal),
    async stop({ graceMs = 20_000 } = {}) {
      if (ended() !== undefined) return
      const gone = new Promise((resolve) => child.once('exit', resolve))
      const timer = setTimeout(() => child.kill('SIGKILL'), graceMs)
      child.kill('SIGTERM')
      await gone
      clearTimeout(timer)
    },
  }
  return program
}

/** Runs a program to its end and returns its output; throws with that output unless it exits 0. */
export async function run(
  argv: readonly string[],
  options: { env?: NodeJS.ProcessEnv; folder?: string; input?: string; timeoutMs?: number } = {},
): Promise<string> {
  const program = await startProgram(argv, options)
  const what = argv.slice(0, 3).join(' ')
  try {
    const result = await waitFor(() => program.ended(), {
      what: `${what} to end`,
      timeoutMs: options.timeoutMs ?? 60_000,
      everyMs: 5,
    })
    if (result.code !== 0) {
      throw new Error(`${what} ended with ${result.code ?? result.signal}: ${program.output().slice(-2_000)}`)
    }
  } finally {
    await program.stop({ graceMs: 1_000 })
  }
  return program.output()
}

/** Pids whose parent is `pid`, as this process sees them. */
export function childrenOf(pid: number): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && parentOf(name) === pid)
    .map(Number)
}

/** The short name of a process, or undefined once it is gone. */
export function nameOf(pid: number): string | undefined {
  try {
    return readFileSync(`/proc/${pid}/comm`, 'utf8').trim()
  } catch {
    return undefined
  }
}

function parentOf(pid: string): number | undefined {
  try {
    // The name in brackets may itself hold spaces and brackets: fields count from the last one (proc(5), "stat").
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1)
    return Number(fields?.split(' ')[1])
  } catch {
    return undefined
  }
}

function started(child: ChildProcess): Promise<number> {
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('spawn', () => resolve(child.pid ?? 0))
  })
}
