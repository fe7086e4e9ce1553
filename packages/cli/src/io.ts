import type { Readable } from 'node:stream'
import { CliError, exitCodes } from './exit-codes.ts'

/** The world around one run of the command: everything it reads and writes, so that tests can hand in their own. */
export interface Io {
  /** Standard output: what was asked for. */
  out(text: string): void
  /** Standard error: progress, questions, failures. */
  error(text: string): void
  stdin: Readable
  environment: Record<string, string | undefined>
  /** Which of the three are a terminal. */
  terminal: { stdin: boolean; stdout: boolean; stderr: boolean }
  /** Width of the terminal in characters; undefined where output is no terminal. */
  columns: number | undefined
  /** Questions to the person at the terminal; null where there is none to ask. */
  prompts: Prompts | null
  /** Aborted by Ctrl-C. */
  signal: AbortSignal
  now(): Date
}

/** Questions; each throws `CliError` (interrupted) when it is left unanswered. */
export interface Prompts {
  text(message: string, initial?: string): Promise<string>
  password(message: string): Promise<string>
  confirm(message: string): Promise<boolean>
}

/** Largest text accepted from standard input or a file, in bytes. */
export const inputLimitBytes = 16 * 1024 * 1024

/** Reads standard input to its end. Throws where there is more than `inputLimitBytes`. */
export async function readStdin(io: Io): Promise<string> {
  if (io.stdin.readableEnded) {
    throw new CliError(exitCodes.usage, 'Standard input has been read already.', 'Use - or a --…-stdin flag only once.')
  }
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of io.stdin) {
    const bytes = Buffer.from(chunk as Buffer | string)
    size += bytes.length
    if (size > inputLimitBytes) {
      throw new CliError(exitCodes.usage, `Standard input holds more than ${inputLimitBytes} bytes.`)
    }
    chunks.push(bytes)
  }
  return Buffer.concat(chunks).toString('utf8')
}

/** Reads a secret from standard input: its first line, without the line's end. */
export async function readSecretLine(io: Io): Promise<string> {
  const text = await readStdin(io)
  return text.split(/\r?\n/, 1)[0] ?? ''
}
