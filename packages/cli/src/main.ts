#!/usr/bin/env node
import { createApi } from './api.ts'
import { CliError, exitCodes } from './exit-codes.ts'
import type { Io } from './io.ts'
import { run } from './program.ts'
import { createPrompts } from './prompts.ts'

const interrupt = new AbortController()

// The first signal lets the command end in order, the second ends it at once.
for (const [signal, code] of [
  ['SIGINT', exitCodes.interrupted],
  ['SIGTERM', exitCodes.terminated],
] as const) {
  process.on(signal, () => {
    if (interrupt.signal.aborted) process.exit(code)
    interrupt.abort(new CliError(code, 'Interrupted.'))
  })
}
for (const stream of [process.stdout, process.stderr]) {
  stream.on('error', (error: NodeJS.ErrnoException) =>
    process.exit(error.code === 'EPIPE' ? exitCodes.brokenPipe : exitCodes.failed),
  )
}

const terminal = {
  stdin: process.stdin.isTTY === true,
  stdout: process.stdout.isTTY === true,
  stderr: process.stderr.isTTY === true,
}
const io: Io = {
  out: (text) => void process.stdout.write(text),
  error: (text) => void process.stderr.write(text),
  stdin: process.stdin,
  environment: process.env,
  terminal,
  // A terminal that does not know its width says 0.
  columns: terminal.stdout && process.stdout.columns > 0 ? process.stdout.columns : undefined,
  prompts: terminal.stdin && terminal.stderr ? createPrompts(process.stdin, process.stderr) : null,
  signal: interrupt.signal,
  now: () => new Date(),
}
process.exitCode = await run(process.argv.slice(2), { io, connect: createApi })
