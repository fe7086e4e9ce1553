import { type ChildProcess, spawn } from 'node:child_process'
import type { Readable } from 'node:stream'
import { FreeholdError } from '@freehold/contracts'
import { killGroup } from '../jobs/workspace.ts'

export interface ExternalToolOptions {
  /** The program and its first arguments; `build --config FILE` is put behind them. */
  command: readonly string[]
  configPath: string
  environment: Record<string, string | undefined>
  signal: AbortSignal
  /** Hears each line that the program prints, cut where it is very long. */
  said: (line: string) => void
  /** Hears the id of its process group before it has done anything worth mentioning. */
  started: (groupId: number) => Promise<void>
}

const longestLineCharacters = 16 * 1024
const longestOutputBytes = 64 * 1024 * 1024

/**
 * Runs an image tool of the command shape `… build --config FILE` to its end, in a process group of its own, which ends whole
 * with it. Throws `unavailable` where it cannot be started, `conflict` where it fails or prints more than 64 MiB, `internal`
 * where somebody else ends it, and the signal's reason.
 */
export async function runExternalTool(options: ExternalToolOptions): Promise<void> {
  const { signal } = options
  signal.throwIfAborted()
  const [program = '', ...args] = options.command
  const child = spawn(program, [...args, 'build', '--config', options.configPath], {
    env: options.environment,
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  })
  let fault: { error: unknown } | undefined
  const end = (error: unknown) => {
    fault ??= { error }
    if (child.pid !== undefined) killGroup(child.pid)
  }
  const cancel = () => end(signal.reason)
  signal.addEventListener('abort', cancel, { once: true })
  try {
    const closed = closing(child, program)
    watchOutput(child, { said: options.said, end })
    if (child.pid !== undefined) await options.started(child.pid)
    const { code, killedBy } = await closed
    if (fault !== undefined) throw fault.error
    if (killedBy !== null) {
      // That says nothing about the job: another try may go well.
      const why = killedBy === 'SIGKILL' ? ', for want of memory perhaps' : ''
      throw new FreeholdError(
        'internal',
        `The image tool ${program} was ended by ${killedBy}${why}. Try again, or elsewhere.`,
      )
    }
    if (code !== 0) {
      throw new FreeholdError('conflict', `The image tool ${program} failed (${code}). The log has what it said.`)
    }
  } finally {
    signal.removeEventListener('abort', cancel)
    // What it started may have outlived it.
    if (child.pid !== undefined) killGroup(child.pid)
  }
}

interface Exit {
  code: number | null
  killedBy: NodeJS.Signals | null
}

/**
 * Resolves with how it ended. Not with the end of its streams alone: what it left running may hold them open, so
 * the group is ended first.
 */
function closing(child: ChildProcess, program: string): Promise<Exit> {
  const { promise, resolve, reject } = Promise.withResolvers<Exit>()
  child.on('error', (error: NodeJS.ErrnoException) => {
    const why = error.code === 'ENOENT' ? 'it is not installed' : (error.code ?? 'it cannot be started')
    reject(
      new FreeholdError('unavailable', `The image tool ${program} cannot be run: ${why}. See ISO_CREATOR_COMMAND.`),
    )
  })
  child.on('exit', () => {
    if (child.pid !== undefined) killGroup(child.pid)
  })
  child.on('close', (code, killedBy) => resolve({ code, killedBy }))
  // Whoever waits for it asks a little later.
  promise.catch(() => undefined)
  return promise
}

function watchOutput(
  child: ChildProcess,
  { said, end }: { said: (line: string) => void; end: (error: unknown) => void },
): void {
  let sizeBytes = 0
  const watch = (stream: Readable | null) => {
    let line = ''
    stream?.setEncoding('utf8')
    stream?.on('data', (text: string) => {
      sizeBytes += text.length
      if (sizeBytes > longestOutputBytes) {
        stream.destroy()
        end(new FreeholdError('conflict', 'The image tool prints without end; it was stopped.'))
        return
      }
      const pieces = text.split(/\r?\n|\r/)
      for (const [index, piece] of pieces.entries()) {
        line += piece.slice(0, longestLineCharacters - line.length)
        if (index === pieces.length - 1) break
        said(line)
        line = ''
      }
    })
    stream?.on('end', () => said(line))
  }
  watch(child.stdout)
  watch(child.stderr)
}
