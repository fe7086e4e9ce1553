import { type ChildProcess, spawn } from 'node:child_process'
import type { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { FreeholdError } from '@freehold/contracts'
import { missingProgramError, type Program } from './programs.ts'

/** What every program of one build runs with. */
export interface ToolSetting {
  /** The workspace: programs run in it, so that no name given to them holds more than its own characters. */
  folder: string
  searchPath: string
  /** Seconds since 1970 that programs take as the present, so that equal input gives equal output. */
  epochSeconds: number
  signal: AbortSignal
  /** A program that is not done after this long is ended. */
  timeoutMs: number
  /** A program that streams and says nothing for this long is ended. */
  stallMs: number
}

export interface ToolCall {
  program: Program
  args: readonly string[]
}

const longestCaptureBytes = 4 * 1024 * 1024
const keptMessageBytes = 4096

/**
 * Runs a program to its end and gives what it printed on standard output. Throws `unavailable` where it is not
 * installed, `timeout` where it hangs, `conflict` where it fails or prints more than 4 MiB, `internal` where a signal ends it
 * that is not ours, and the signal's reason.
 */
export async function runTool(call: ToolCall, setting: ToolSetting): Promise<string> {
  const child = start(call, setting, ['ignore', 'pipe', 'pipe'])
  const timer = setTimeout(() => child.end(timeoutError(call, setting.timeoutMs)), setting.timeoutMs)
  const chunks: Buffer[] = []
  let sizeBytes = 0
  child.process.stdout?.on('data', (chunk: Buffer) => {
    sizeBytes += chunk.length
    if (sizeBytes <= longestCaptureBytes) chunks.push(chunk)
    else child.end(new FreeholdError('conflict', `${call.program} prints without end; it was stopped.`))
  })
  try {
    await child.done
    return Buffer.concat(chunks).toString()
  } finally {
    clearTimeout(timer)
  }
}

/**
 * Runs a program and yields what it writes to standard output, or to file descriptor 3 where `channel` says so. What
 * `input` yields is written to its standard input. Ends the program when the consumer stops early.
 * Throws as `runTool` does; silence counts only while the consumer waits for it.
 */
export async function* streamTool(
  call: ToolCall & { channel: 'stdout' | 'descriptor-3'; input?: AsyncIterable<Buffer> },
  setting: ToolSetting,
): AsyncGenerator<Buffer> {
  const input = call.input === undefined ? 'ignore' : 'pipe'
  const child = start(
    call,
    setting,
    call.channel === 'stdout' ? [input, 'pipe', 'pipe'] : [input, 'ignore', 'pipe', 'pipe'],
  )
  const output = child.process.stdio[call.channel === 'stdout' ? 1 : 3] as Readable
  const feeding = call.input === undefined ? undefined : feed(child, call.input)
  // It is asked for below; where it fails before, nobody listens yet.
  feeding?.catch(() => undefined)
  const stall = () => child.end(timeoutError(call, setting.stallMs))
  let timer = setTimeout(stall, setting.stallMs)
  try {
    for await (const chunk of output) {
      clearTimeout(timer)
      yield chunk
      timer = setTimeout(stall, setting.stallMs)
    }
    await child.done
    await feeding
  } finally {
    clearTimeout(timer)
    child.end(new FreeholdError('conflict', `${call.program} was stopped.`))
    await child.closed
    await feeding?.catch(() => undefined)
  }
}

interface RunningTool {
  process: ChildProcess
  /** Resolves when the program ended well, rejects with the reason otherwise. */
  done: Promise<void>
  /** Resolves when the process is gone, however it ended. */
  closed: Promise<void>
  /** Kills the program and all it started; the first reason given is what `done` rejects with. */
  end(reason: unknown): void
}

function start(call: ToolCall, setting: ToolSetting, stdio: ('ignore' | 'pipe')[]): RunningTool {
  setting.signal.throwIfAborted()
  const child = spawn(call.program, call.args, {
    cwd: setting.folder,
    env: environmentOf(setting),
    stdio,
    // A group of its own, so that what the program starts ends with it.
    detached: true,
  })
  let fault: { reason: unknown } | undefined
  const end = (reason: unknown) => {
    if (child.exitCode !== null || child.signalCode !== null) return
    fault ??= { reason }
    killGroup(child)
  }
  const messages = lastMessagesOf(child)
  const cancel = () => end(setting.signal.reason)
  setting.signal.addEventListener('abort', cancel, { once: true })
  const { promise: closed, resolve: close } = Promise.withResolvers<void>()
  const done = new Promise<void>((resolve, reject) => {
    child.on('error', (error: NodeJS.ErrnoException) => {
      reject(error.code === 'ENOENT' ? missingProgramError([call.program]) : error)
      close()
    })
    child.on('close', (code, signal) => {
      setting.signal.removeEventListener('abort', cancel)
      if (fault !== undefined) reject(fault.reason)
      else if (code === 0) resolve()
      else if (signal !== null) reject(killedError(call, signal))
      else reject(new FreeholdError('conflict', `${call.program} failed (${code}): ${messages()}`))
      close()
    })
  })
  // A caller that left early no longer asks; who still asks gets the rejection all the same.
  done.catch(() => undefined)
  return { process: child, done, closed, end }
}

/** A fault of the input is what went wrong; that the program then found its input short is not. */
async function feed(child: RunningTool, input: AsyncIterable<Buffer>): Promise<void> {
  const { stdin } = child.process
  if (stdin === null) return
  try {
    await pipeline(input, stdin)
  } catch (error) {
    if (isBrokenPipe(error)) return
    child.end(error)
    throw error
  }
}

function isBrokenPipe(error: unknown): boolean {
  const code = error instanceof Error ? (error as NodeJS.ErrnoException).code : undefined
  return code === 'EPIPE' || code === 'ECONNRESET' || code === 'ERR_STREAM_PREMATURE_CLOSE'
}

/** Nothing of our own environment reaches the programs but the search path. */
function environmentOf(setting: ToolSetting): NodeJS.ProcessEnv {
  return {
    PATH: setting.searchPath,
    HOME: setting.folder,
    TMPDIR: setting.folder,
    LC_ALL: 'C',
    TZ: 'UTC',
    SOURCE_DATE_EPOCH: String(setting.epochSeconds),
    MTOOLSRC: '/dev/null',
    DEBUGFS_PAGER: 'cat',
    PAGER: 'cat',
  }
}

function lastMessagesOf(child: ChildProcess): () => string {
  let kept = ''
  child.stderr?.on('data', (chunk: Buffer) => {
    kept = (kept + chunk.toString()).slice(-keptMessageBytes)
  })
  return () => {
    const lines = kept
      .split(/[\r\n]+/)
      .map((line) => line.replace(/[^\x20-\x7e]/g, '?').trim())
      .filter((line) => line !== '' && !/ : (NOTE|UPDATE|HINT) : /.test(line))
    return lines.slice(-3).join(' | ').slice(-500) || 'it gave no reason'
  }
}

function killGroup(child: ChildProcess): void {
  if (child.pid === undefined) return
  try {
    process.kill(-child.pid, 'SIGKILL')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
  }
}

/** Not by us: that says nothing about what it was given, and another try may go well. */
function killedError(call: ToolCall, signal: string): FreeholdError {
  const why = signal === 'SIGKILL' ? ', for want of memory perhaps' : ''
  return new FreeholdError('internal', `${call.program} was ended by ${signal}${why}. Try again, or elsewhere.`)
}

function timeoutError(call: ToolCall, limitMs: number): FreeholdError {
  return new FreeholdError(
    'timeout',
    `${call.program} did nothing for ${Math.round(limitMs / 1000)} s and was stopped. Try again; if it stays, look at the disk it works on.`,
  )
}
