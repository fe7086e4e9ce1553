import { enableCompileCache } from 'node:module'
import { availableParallelism } from 'node:os'
import { fileURLToPath } from 'node:url'

/**
 * V8's flags, which hold only from the start of a process; docs/benchmarks.md says what they were seen to do.
 *
 * - A smaller young generation: of its own it grows to several times as much, and each collection of it stops all for longer.
 * - Garbage goes once the heap has grown by so much, not when it is several times as large. Much less than this, and the
 *   old generation has no room for what a collection of the young one may hand over: then everything is collected each time.
 * - No more threads that collect garbage than there are processors: beyond that they only stand in the way of the one
 *   thread that answers.
 */
const ourFlags = [
  '--max-semi-space-size=8',
  '--heap-growing-percent=60',
  `--v8-pool-size=${Math.min(4, availableParallelism())}`,
]

/** Whoever gives one of these decides it. */
const missing = ourFlags.filter((flag) => !process.execArgv.some((given) => nameOf(given) === nameOf(flag)))

if (missing.length > 0) replaceProcess()
// Before anything else is loaded, because only what is loaded afterwards comes from the cache.
enableCompileCache(fileURLToPath(new URL('../../../node_modules/.cache/freehold', import.meta.url)))
const { run } = await import('./run.ts')
await run({
  environment: process.env,
  write: (text) => process.stdout.write(text),
  writeLog: (text) => process.stderr.write(text),
})

/** Starts this program anew in this process (same id, same streams); returns only where the system cannot do that. */
function replaceProcess(): void {
  // Of what happens here, that the call is experimental, nobody needs to know.
  process.removeAllListeners('warning')
  const argv = [...missing, ...process.execArgv, import.meta.filename, ...process.argv.slice(2)]
  try {
    process.execve?.(process.execPath, [process.execPath, ...argv], process.env)
  } catch {
    // Without them it runs as well, and takes more memory.
  }
}

function nameOf(flag: string): string {
  return flag.split('=')[0] ?? ''
}
