import { enableCompileCache } from 'node:module'
import { fileURLToPath } from 'node:url'
import { setFlagsFromString } from 'node:v8'

// Garbage goes once the heap has grown by a third, not when it is three times as large: a little processor time for much memory.
setFlagsFromString('--heap-growing-percent=30')
// Before anything else is loaded, because only what is loaded afterwards comes from the cache.
enableCompileCache(fileURLToPath(new URL('../../../node_modules/.cache/freehold', import.meta.url)))
const { run } = await import('./run.ts')
await run({
  environment: process.env,
  write: (text) => process.stdout.write(text),
  writeLog: (text) => process.stderr.write(text),
})
