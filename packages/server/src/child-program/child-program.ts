import { spawn } from 'node:child_process'
import { once } from 'node:events'
import type { Readable } from 'node:stream'

const stopLimitMs = 10_000
const longestLine = 8_192

interface ChildProgram {
  /** The program to run with this process's own Node. */
  entry: string
  /** Flags of Node before it. */
  flags?: readonly string[]
  /** All of its environment. */
  environment: Record<string, string>
  /** A line it wrote to its output, and to its error stream; one that is too long is cut. */
  onLine: (line: string) => void
  onErrorLine: (line: string) => void
  /** Ends it: TERM, and KILL ten seconds later. */
  signal: AbortSignal
}

/** Runs the program once and says in a few words how it ended; throws where it cannot be started. */
export async function runChildProgram({
  entry,
  flags = [],
  environment,
  onLine,
  onErrorLine,
  signal,
}: ChildProgram): Promise<string> {
  const child = spawn(process.execPath, [...flags, entry], {
    // The channel carries nothing: its end tells the program that we are gone, even by kill -9.
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    env: environment,
  })
  if (child.stdout !== null) passLines(child.stdout, onLine)
  if (child.stderr !== null) passLines(child.stderr, onErrorLine)
  let cutOff: NodeJS.Timeout | undefined
  const stop = () => {
    child.kill('SIGTERM')
    cutOff = setTimeout(() => child.kill('SIGKILL'), stopLimitMs)
  }
  signal.addEventListener('abort', stop, { once: true })
  if (signal.aborted) stop()
  try {
    const [code, killedBy] = await once(child, 'exit')
    return killedBy === null ? `exit code ${code}` : `signal ${killedBy}`
  } finally {
    clearTimeout(cutOff)
    signal.removeEventListener('abort', stop)
  }
}

/** What any program may know of our environment, and these variables besides, where they are set. */
export function inheritedEnvironment(names: readonly string[]): Record<string, string> {
  const wanted = ['PATH', 'HOME', 'TZ', 'LANG', 'NODE_EXTRA_CA_CERTS', ...names]
  return Object.fromEntries(
    wanted.flatMap((name) => (process.env[name] === undefined ? [] : [[name, process.env[name]]])),
  )
}

/** A line that grows too long is passed on as far as it goes at once; the rest of it is dropped. */
function passLines(stream: Readable, passOn: (line: string) => void): void {
  let line = ''
  let isCut = false
  const extend = (piece: string): void => {
    if (isCut) return
    line += piece
    if (line.length < longestLine) return
    passOn(line.slice(0, longestLine))
    isCut = true
  }
  const finish = (): void => {
    if (!isCut) passOn(line.replace(/\r$/, ''))
    line = ''
    isCut = false
  }
  stream.setEncoding('utf8')
  stream.on('data', (chunk: string) => {
    const [first = '', ...others] = chunk.split('\n')
    extend(first)
    for (const piece of others) {
      finish()
      extend(piece)
    }
  })
  stream.on('end', () => {
    if (line !== '') finish()
  })
}
