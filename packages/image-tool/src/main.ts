#!/usr/bin/env node
import { runCli } from './cli.ts'

/** The command `image-tool`. A signal ends the build and what it wrote is removed; a second one ends the process. */
const cancelled = new AbortController()
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.once(signal, () => cancelled.abort(new Error(`cancelled by ${signal}`)))
}
process.exitCode = await runCli(process.argv.slice(2), {
  env: process.env,
  signal: cancelled.signal,
  out: (text) => void process.stdout.write(text),
  err: (text) => void process.stderr.write(text),
})
