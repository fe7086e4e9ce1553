import type { ProbeResult } from './prober.ts'

/** What is known of a container's health: unknown until there is reason to say either. */
export interface Verdict {
  health: 'unknown' | 'passing' | 'failing'
  message: string
  successes: number
  failures: number
  /** Since when it has not passed, in milliseconds. */
  failingSinceMs: number
}

const successesNeeded = 2
const failuresNeeded = 3
/** Looks follow each other quickly at first; failing takes at least this long all the same. */
const failingAfterMs = 2_000
const eagerForMs = 3_000
const eagerIntervalMs = 150
const watchfulIntervalMs = 1_000
const calmIntervalMs = 5_000

export function firstVerdict(nowMs: number): Verdict {
  return { health: 'unknown', message: '', successes: 0, failures: 0, failingSinceMs: nowMs }
}

/** Two successes in a row: passing. Three failures in a row over two seconds: failing. Between them nothing changes. */
export function nextVerdict(verdict: Verdict, result: ProbeResult, nowMs: number): Verdict {
  if (result.passing) {
    const successes = verdict.successes + 1
    const health = successes >= successesNeeded ? 'passing' : verdict.health
    return { health, message: result.message, successes, failures: 0, failingSinceMs: nowMs }
  }
  const failures = verdict.failures + 1
  const isFailing = failures >= failuresNeeded && nowMs - verdict.failingSinceMs >= failingAfterMs
  return {
    ...verdict,
    health: isFailing ? 'failing' : verdict.health,
    message: result.message,
    successes: 0,
    failures,
  }
}

/** When to look again: quickly while a container is young, calmly once it passes. */
export function nextLookInMs(verdict: Verdict, ageMs: number): number {
  if (verdict.health === 'passing' && verdict.failures === 0) return calmIntervalMs
  return ageMs < eagerForMs ? eagerIntervalMs : watchfulIntervalMs
}
