import { FreeholdError } from '@freehold/contracts/lean'

/** What a program left when it ended. */
export interface ProgramResult {
  /** Null: it was killed. */
  exitCode: number | null
  /** The last lines of both its streams, at most 8,000 characters. */
  log: string
}

export type RunProgram = (
  argv: readonly string[],
  options: { environment?: Record<string, string>; timeLimitMs: number; signal: AbortSignal },
) => Promise<ProgramResult>

const logCharacters = 8_000
const readableControls = new Set(['\n', '\t'])

/**
 * Starts a program by its argument array and waits for its end; it is killed when `timeLimitMs` are over or `signal`
 * says so, and then this throws. Throws `not-found` where there is no such program. It gets `environment` and a search
 * path, nothing of this process's own.
 */
export const runProgram: RunProgram = (argv, { environment = {}, timeLimitMs, signal }) => {
  const [file = '', ...others] = argv
  const { spawn } = process.getBuiltinModule('node:child_process')
  return new Promise((resolve, reject) => {
    const child = spawn(file, others, {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', ...environment },
      // A group of its own, so that what it started ends with it.
      detached: true,
    })
    const limits = AbortSignal.any([signal, AbortSignal.timeout(timeLimitMs)])
    const stop = () => {
      reject(
        new Error(
          `${file} was stopped: ${signal.aborted ? 'it was no longer wanted' : `it did not end within ${timeLimitMs} ms`}.`,
        ),
      )
      if (child.pid !== undefined && child.exitCode === null) process.kill(-child.pid, 'SIGKILL')
    }
    limits.addEventListener('abort', stop, { once: true })
    if (limits.aborted) stop()
    let log = ''
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8')
      stream.on('data', (text: string) => {
        log = (log + text).slice(-logCharacters)
      })
    }
    child.once('error', (error: NodeJS.ErrnoException) => {
      limits.removeEventListener('abort', stop)
      if (error.code === 'ENOENT') reject(new FreeholdError('not-found', `There is no program ${file}.`))
      else reject(new Error(`${file} cannot be started: ${error.code}.`, { cause: error }))
    })
    child.once('close', (exitCode) => {
      limits.removeEventListener('abort', stop)
      resolve({ exitCode, log: readable(log) })
    })
  })
}

/** The last three lines, as one. */
export function lastWords(log: string): string {
  const lines = log.split('\n').filter((line) => line.trim() !== '')
  return lines.slice(-3).join(' / ').slice(-500)
}

function readable(log: string): string {
  let text = ''
  for (const character of log) {
    const code = character.charCodeAt(0)
    text += (code < 0x20 && !readableControls.has(character)) || code === 0x7f ? ' ' : character
  }
  return text.toWellFormed()
}
