#!/usr/bin/env node
/**
 * The build worker's process. The first line on standard output is `{"listening":{"port":…}}`; everything else is said on
 * standard error. The first SIGTERM or SIGINT ends all jobs and removes their workspaces, a second one the process. So
 * does the end of a parent that started it with a channel.
 */
import { enableCompileCache } from 'node:module'
import { fileURLToPath } from 'node:url'
import { setFlagsFromString } from 'node:v8'

// Images pass through in buffers that are garbage at once: collected sooner, they need less memory.
setFlagsFromString('--heap-growing-percent=30')
// Before anything else is loaded, because only what is loaded afterwards comes from the cache.
enableCompileCache(fileURLToPath(new URL('../../../node_modules/.cache/freehold', import.meta.url)))
const { run } = await import('./run.ts')
await run()
