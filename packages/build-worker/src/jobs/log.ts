import { corebuildLimits } from '@freehold/contracts'
import type { Redact } from '../secret.ts'

/** What is said while a job runs: bounded, one line each, without its secrets. */
export interface JobLog {
  add(text: string): void
  /** The first tenth and the newest, with a line between that counts what was left out. */
  lines(): string[]
}

const firstLines = corebuildLimits.logLines / 10
/** One is the line that counts. */
const newestLines = corebuildLimits.logLines - firstLines - 1

/** `said` hears every line that is kept. */
export function createJobLog(redact: Redact, said: (line: string) => void): JobLog {
  const first: string[] = []
  const newest: string[] = []
  let leftOut = 0
  return {
    add(text) {
      const line = redact(text.replace(/[\p{Cc}\p{Zl}\p{Zp}]+/gu, ' ').trimEnd()).slice(
        0,
        corebuildLimits.lineCharacters,
      )
      if (line === '') return
      if (first.length < firstLines) first.push(line)
      else newest.push(line)
      if (newest.length >= 2 * newestLines) leftOut += newest.splice(0, newestLines).length
      said(line)
    },
    lines() {
      const surplus = Math.max(0, newest.length - newestLines)
      const all = leftOut + surplus
      return [...first, ...(all === 0 ? [] : [`… ${all} lines are left out …`]), ...newest.slice(surplus)]
    },
  }
}
