import { enableCompileCache } from 'node:module'
import { fileURLToPath } from 'node:url'

// Before anything else is loaded, because only what is loaded afterwards comes from the cache.
enableCompileCache(fileURLToPath(new URL('../../../node_modules/.cache/freehold', import.meta.url)))
const { run } = await import('./run.ts')
await run({
  environment: process.env,
  write: (text) => process.stdout.write(text),
  writeLog: (text) => process.stderr.write(text),
})
