import { readdir, readFile } from 'node:fs/promises'
import { FreeholdError } from '@freehold/contracts'

/** Sees to it that the worker, and every program that it started, together take no more memory than they may. */
export interface MemoryGuard {
  /** `end` hears why this job must go; what is returned is called when the job has ended. */
  enter(end: (reason: FreeholdError) => void): () => void
}

export interface MemoryGuardOptions {
  /** Null: whatever there is. */
  limitBytes: number | null
  /** Gives the bytes that are taken now; without it `/proc` is asked. */
  usedBytes?: () => Promise<number>
  /** Hears of a failure to look. */
  say: (sentence: string) => void
}

/** So often that a program which fills memory as fast as it can takes some hundred megabytes too much, for a moment. */
const lookMs = 250

interface GuardedJob {
  end: (reason: FreeholdError) => void
  isEnded: boolean
}

/** While there are jobs it looks again and again; the job that began last is ended first. */
export function createMemoryGuard({
  limitBytes,
  usedBytes = createMemoryReader(),
  say,
}: MemoryGuardOptions): MemoryGuard {
  const jobs: GuardedJob[] = []
  let timer: NodeJS.Timeout | undefined
  const look = async (limit: number) => {
    const used = await usedBytes()
    const newest = jobs.at(-1)
    // One that was told goes as fast as it can: the others need not.
    if (used <= limit || newest === undefined || newest.isEnded) return
    newest.isEnded = true
    newest.end(tooMuch({ used, limit, jobs: jobs.length }))
  }
  const lookAgain = (limit: number) => {
    timer = setTimeout(() => {
      look(limit)
        .catch((error) => say(`Memory cannot be looked at: ${error instanceof Error ? error.message : error}`))
        .finally(() => {
          if (jobs.length === 0) timer = undefined
          else lookAgain(limit)
        })
    }, lookMs)
  }
  return {
    enter(end) {
      const job = { end, isEnded: false }
      jobs.push(job)
      if (limitBytes !== null && timer === undefined) lookAgain(limitBytes)
      return () => {
        const index = jobs.indexOf(job)
        if (index !== -1) jobs.splice(index, 1)
      }
    },
  }
}

/** Elsewhere there may be more: another try is worth it. */
function tooMuch({ used, limit, jobs }: { used: number; limit: number; jobs: number }): FreeholdError {
  const who = jobs === 1 ? 'The job' : `The ${jobs} jobs that ran`
  return new FreeholdError(
    'internal',
    `${who} took ${megabytes(used)} MB of memory with the build worker, which may take ${megabytes(limit)} MB (COREBUILD_MEMORY_BYTES); this one was ended. Give the worker more, or use another one.`,
  )
}

function megabytes(sizeBytes: number): number {
  return Math.ceil(sizeBytes / 1_000_000)
}

interface ProcessOfTree {
  pid: number
  parent: number
  session: number
}

/**
 * Gives a function that adds up what this process and those it started hold and nobody else could have: anonymous and
 * shared memory, and what of it was swapped out (proc_pid_status(5)); pages of files are the system's to take back. A program
 * whose parent has ended is still known by its session, once it was seen.
 */
export function createMemoryReader(root = process.pid): () => Promise<number> {
  const sessions = new Set<number>()
  return async () => {
    const all = await readProcesses()
    const own = all.find(({ pid }) => pid === root)
    if (own === undefined) throw new Error('/proc does not show this process')
    const tree = new Set([root])
    // Parents mostly have smaller ids than what they start, but ids begin anew some day.
    for (let size = 0; size !== tree.size; ) {
      size = tree.size
      for (const { pid, parent, session } of all) if (tree.has(parent) || sessions.has(session)) tree.add(pid)
    }
    sessions.clear()
    for (const { pid, session } of all) if (tree.has(pid) && session !== own.session) sessions.add(session)
    const sizes = await Promise.all([...tree].map(heldBytes))
    return sizes.reduce((sum, size) => sum + size, 0)
  }
}

async function readProcesses(): Promise<ProcessOfTree[]> {
  const processes: ProcessOfTree[] = []
  for (const name of await readdir('/proc')) {
    if (!/^\d+$/.test(name)) continue
    // It may be gone by now.
    const text = await readFile(`/proc/${name}/stat`, 'latin1').catch(() => '')
    // The name of the program stands in parentheses and may hold anything (proc_pid_stat(5)).
    const [, parent, , session] = text.slice(text.lastIndexOf(')') + 2).split(' ')
    if (text !== '') processes.push({ pid: Number(name), parent: Number(parent), session: Number(session) })
  }
  return processes
}

async function heldBytes(pid: number): Promise<number> {
  const text = await readFile(`/proc/${pid}/status`, 'latin1').catch(() => '')
  const kilobytes = [...text.matchAll(/^(?:RssAnon|RssShmem|VmSwap):\s+(\d+) kB$/gm)].map(([, size]) => Number(size))
  return kilobytes.reduce((sum, size) => sum + size, 0) * 1024
}
