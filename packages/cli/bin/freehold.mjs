#!/usr/bin/env node
/**
 * The command `freehold` wherever it is linked to. Plain JavaScript, because it is started by whichever Node is in the
 * search path; the clone's own setup then runs the command on the pinned one.
 */
import { fileURLToPath } from 'node:url'

const setup = new URL('../../../tools/setup.mjs', import.meta.url)
process.argv.splice(2, 0, '--run', 'node', fileURLToPath(new URL('../src/main.ts', import.meta.url)))
await import(setup.href)
