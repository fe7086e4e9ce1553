import { readFileSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { childrenOf } from '../../test/system/lab/index.ts'

const settleMs = 15_000
const stepMs = 2000
const stillFor = 5
const limitMs = 90_000

/** Proportional set size of a process and all below it, in MB (10^6 bytes), from /proc/PID/smaps_rollup (proc(5)). */
export function memoryOfTree(pid: number): number {
  const own = /^Pss:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8'))?.[1]
  if (own === undefined) throw new Error(`The kernel says nothing of the memory of process ${pid}.`)
  return childrenOf(pid).reduce((sum, child) => sum + memoryOfTree(child), (Number(own) * 1024) / 1_000_000)
}

/** Waits until it moved by less than 1 % for ten seconds (15 s at least, 90 s at most), and answers what it then is. */
export async function settledMemory(pid: number): Promise<number> {
  const startedAt = performance.now()
  await delay(settleMs)
  const last: number[] = []
  for (;;) {
    last.push(memoryOfTree(pid))
    const recent = last.slice(-stillFor)
    const still = recent.length === stillFor && Math.max(...recent) <= Math.min(...recent) * 1.01
    if (still || performance.now() - startedAt > limitMs) return recent.at(-1) ?? Number.NaN
    await delay(stepMs)
  }
}
