#!/usr/bin/env node
/**
 * The agent's process. `start` first makes it lean: an agent is to idle below 60 MB, and two things decide that before
 * any code is loaded: V8's flags, and that no TypeScript is stripped, since the stripper alone takes 20 MB. So the
 * process replaces itself (same pid, same streams): once for the flags and a compile cache, and once more where
 * that cache was cold. The other commands end soon and are run as they are.
 */
import { mkdirSync } from 'node:fs'
import { flushCompileCache } from 'node:module'
import { dirname, join } from 'node:path'

/** A small young generation and no optimising compilers: an agent waits far more than it computes. */
const leanFlags = [
  '--max-semi-space-size=1',
  '--no-opt',
  '--no-maglev',
  '--optimize-for-size',
  '--disable-warning=ExperimentalWarning',
]
const stage = Number(process.env.BASEOS_AGENT_STAGE ?? 0)
const argv = process.argv.slice(2)
const staysUp = argv.length === 0 || argv[0] === 'start'

if (staysUp && stage === 0) replaceProcess()
const { runCli } = await import('./cli.ts')
if (staysUp && stage === 1 && hasStrippedTypes()) {
  // What the agent loads at its first use, so that the stripper is not needed then either.
  await Promise.all([import('./releases/app-supervisor/index.ts'), import('./releases/host/index.ts')])
  flushCompileCache()
  replaceProcess()
}
process.exitCode = await runCli(argv)

/** Starts this program anew in this process; returns only where the system cannot do that. */
function replaceProcess(): void {
  process.removeAllListeners('warning')
  // An image brings a filled cache along; elsewhere it lies beside the state, in a folder of the agent's own.
  const state = process.env.BASEOS_STATE_PATH || '/data/baseos/state.json'
  const cache = process.env.NODE_COMPILE_CACHE || join(dirname(state), 'compile-cache')
  const environment = {
    ...process.env,
    BASEOS_AGENT_STAGE: String(stage + 1),
    NODE_COMPILE_CACHE: cache,
    MALLOC_ARENA_MAX: '1',
    MALLOC_TOP_PAD_: '0',
    MALLOC_TRIM_THRESHOLD_: '65536',
  }
  try {
    mkdirSync(cache, { recursive: true, mode: 0o700 })
    process.execve?.(process.execPath, [process.execPath, ...leanFlags, import.meta.filename, ...argv], environment)
  } catch {
    // A read-only folder costs memory; what is wrong with it is said when the state is stored.
  }
}

function hasStrippedTypes(): boolean {
  const { moduleLoadList = [] } = process as { moduleLoadList?: string[] }
  return moduleLoadList.some((name) => name.includes('amaro'))
}
