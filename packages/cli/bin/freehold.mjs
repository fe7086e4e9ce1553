#!/usr/bin/env node
/**
 * The command `freehold` wherever it is linked to. Plain JavaScript, because it is started by whichever Node is in the
 * search path; the clone's own setup then runs the command on the pinned one.
 */
import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'

const pathOf = (path) => fileURLToPath(new URL(path, import.meta.url))
const setup = [pathOf('../../../tools/setup.mjs'), '--run', 'node', pathOf('../src/main.ts')]
const child = spawn(process.execPath, [...setup, ...process.argv.slice(2)], { stdio: 'inherit' })

// A terminal's Ctrl-C reaches the command by itself; every other signal comes to this process alone.
process.on('SIGINT', () => (process.stdin.isTTY ? undefined : child.kill('SIGINT')))
for (const signal of ['SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal))
child.on('exit', (code, signal) => {
  if (signal === null) process.exit(code)
  process.removeAllListeners(signal)
  process.kill(process.pid, signal)
})
