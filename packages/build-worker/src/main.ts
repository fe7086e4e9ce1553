#!/usr/bin/env node
/**
 * The build worker's process. The first line on standard output is `{"listening":{"port":…}}`; everything else is said on
 * standard error. The first SIGTERM or SIGINT ends all jobs and removes their workspaces, a second one the process. So
 * does the end of a parent that started it with a channel.
 *
 * It first replaces itself (same pid, same streams), because some of what keeps it below 200 MB is decided before any code
 * runs: images pass through in buffers that are garbage at once, which V8 and the allocator are told not to gather.
 */
import { enableCompileCache } from 'node:module'
import { fileURLToPath } from 'node:url'

const leanFlags = ['--max-semi-space-size=1', '--heap-growing-percent=30', '--optimize-for-size']
const isLean = process.env.COREBUILD_STAGE === '1'

// A channel to a parent would not survive.
if (!isLean && process.channel === undefined) replaceProcess()
// Before anything else is loaded, because only what is loaded afterwards comes from the cache.
enableCompileCache(fileURLToPath(new URL('../../../node_modules/.cache/freehold', import.meta.url)))
const { run } = await import('./run.ts')
await run()

/** Starts this program anew in this process; goes on where the system cannot do that, and takes more memory. */
function replaceProcess(): void {
  const environment = {
    ...process.env,
    COREBUILD_STAGE: '1',
    MALLOC_ARENA_MAX: '1',
    MALLOC_MMAP_THRESHOLD_: '65536',
    MALLOC_TRIM_THRESHOLD_: '131072',
  }
  process.removeAllListeners('warning')
  try {
    process.execve?.(process.execPath, [process.execPath, ...leanFlags, import.meta.filename], environment)
  } catch {
    // Not possible here: memory is all that it costs.
  }
}
