/**
 * The agent's process. Stages: become lean, load, run.
 *
 * An agent is to idle below 60 MB. Two things decide that, and both must be settled before the code is loaded: V8's
 * flags, and that no TypeScript has to be stripped, since the stripper alone takes 20 MB. So the process replaces itself
 * (same pid, same streams): once to have the flags and a compile cache, and once more where that cache was cold.
 */
import { mkdirSync } from 'node:fs'
import { flushCompileCache } from 'node:module'
import { join } from 'node:path'

/** A small young generation and no optimising compilers: an agent waits far more than it computes. */
const leanFlags = ['--max-semi-space-size=1', '--no-opt', '--no-maglev', '--disable-warning=ExperimentalWarning']
const stage = Number(process.env.FREEHOLD_AGENT_STAGE ?? 0)

if (stage === 0) replaceProcess()
const { run } = await import('./run.ts')
if (stage === 1 && hasStrippedTypes()) {
  flushCompileCache()
  replaceProcess()
}
await run()

/** Starts this program anew in this process; returns only where the system cannot do that. */
function replaceProcess(): void {
  process.removeAllListeners('warning')
  const directory = join(process.env.FREEHOLD_AGENT_DIR ?? '/var/lib/freehold-agent', 'compile-cache')
  const environment = {
    ...process.env,
    FREEHOLD_AGENT_STAGE: String(stage + 1),
    // In a folder of the agent's own: whoever could write there could run code as the agent.
    NODE_COMPILE_CACHE: directory,
    MALLOC_ARENA_MAX: '1',
  }
  try {
    mkdirSync(directory, { recursive: true, mode: 0o700 })
    process.execve?.(process.execPath, [process.execPath, ...leanFlags, import.meta.filename], environment)
  } catch {
    // A read-only folder costs memory; what is wrong with it is said when the state is opened.
  }
}

function hasStrippedTypes(): boolean {
  const { moduleLoadList = [] } = process as { moduleLoadList?: string[] }
  return moduleLoadList.some((name) => name.includes('amaro'))
}
