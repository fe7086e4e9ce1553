#!/usr/bin/env node
/**
 * The command `freehold` wherever it is linked to. Plain JavaScript, because it is started by whichever Node is in the
 * search path; the command itself runs on the pinned one.
 */
import { fileURLToPath } from 'node:url'

process.argv.splice(2, 0, '--run', 'node', fileURLToPath(new URL('../src/main.ts', import.meta.url)))
await import('../../../tools/setup.mjs')
