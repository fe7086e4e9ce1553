import { buildKind, type buildLogLineSchema, corebuildLimits } from '@freehold/contracts'
import type { Store } from '@freehold/store'
import type { z } from 'zod'

export type BuildLogLine = z.output<typeof buildLogLineSchema>

interface Log {
  /** The first ones, which never go. */
  first: BuildLogLine[]
  /** The newest ones. */
  newest: BuildLogLine[]
  /** Of `newest`. */
  characters: number
  /** How many came in all. */
  count: number
  dirty: boolean
}

/** Kept of a build: the first tenth and the newest, and no more characters than one fact may well hold. */
const linesAtMost = 1000
const firstAtMost = linesAtMost / 10
const charactersAtMost = 256 * 1024
/** Of one of the first lines. */
const firstCharacters = 500
const fact = 'log'

/**
 * What workers said, build by build. Open builds have theirs in memory, from where followers get lines as they come; a
 * fact of the build keeps them for later. Bounded: what is in the middle of a long log goes, and says so.
 */
export function createBuildLogs({ store, now }: { store: Store; now: () => number }) {
  const logs = new Map<string, Log>()
  const waiting = new Map<string, Set<() => void>>()

  async function logOf(buildId: string): Promise<Log> {
    const known = logs.get(buildId)
    if (known !== undefined) return known
    const log = fromFact((await store.facts.get(buildKind, buildId))[fact])
    return logs.get(buildId) ?? log
  }

  function keep(buildId: string): void {
    const log = logs.get(buildId)
    if (log === undefined || !log.dirty) return
    store.facts.set(buildKind, buildId, fact, { first: log.first, newest: log.newest, count: log.count })
    log.dirty = false
  }

  function tell(buildId: string): void {
    for (const wake of waiting.get(buildId) ?? []) wake()
  }

  return {
    /** Reads what there is of a build, so that lines can be added. */
    async open(buildId: string): Promise<void> {
      logs.set(buildId, await logOf(buildId))
    },
    add(buildId: string, { attempt, text }: { attempt: number; text: string }): void {
      const log = logs.get(buildId)
      if (log === undefined) return
      const line = { at: new Date(now()).toISOString(), attempt, text: printable(text) }
      if (log.newest.length === 0 && log.first.length < firstAtMost && line.text.length <= firstCharacters) {
        log.first.push(line)
      } else {
        log.newest.push(line)
        log.characters += line.text.length
      }
      log.count += 1
      log.dirty = true
      if (log.newest.length > linesAtMost || log.characters > charactersAtMost) shorten(log)
      tell(buildId)
    },
    /** The line that came last to an open build. */
    newestOf(buildId: string): string | undefined {
      const log = logs.get(buildId)
      return (log?.newest.at(-1) ?? log?.first.at(-1))?.text
    },
    /** Hands it to the facts. */
    keep,
    /** The attempt has ended; what was said is read from the facts from now on. */
    close(buildId: string): void {
      keep(buildId)
      logs.delete(buildId)
      tell(buildId)
    },
    /** Something about the build changed: followers look whether it has ended. */
    tell,
    async read(buildId: string): Promise<BuildLogLine[]> {
      return linesOf(await logOf(buildId))
    },
    /** The lines as they come, until `hasEnded` says that none will come any more, or the signal aborts. */
    async *follow(
      buildId: string,
      { hasEnded, signal }: { hasEnded: () => Promise<boolean>; signal: AbortSignal },
    ): AsyncGenerator<BuildLogLine> {
      let told = 0
      while (!signal.aborted) {
        const next = waitFor(buildId, signal)
        const ended = await hasEnded()
        const log = await logOf(buildId)
        const missing = Math.max(0, log.count - told)
        const lines = linesOf(log)
        // Before the lines are handed on: what is added meanwhile is told the next time.
        told = log.count
        for (const line of lines.slice(Math.max(0, lines.length - missing))) yield line
        if (ended) {
          next.cancel()
          return
        }
        await next.promise
      }
    },
  }

  function waitFor(buildId: string, signal: AbortSignal): { promise: Promise<void>; cancel: () => void } {
    const { promise, resolve } = Promise.withResolvers<void>()
    const set = waiting.get(buildId) ?? new Set()
    waiting.set(buildId, set)
    const end = () => {
      set.delete(end)
      if (set.size === 0 && waiting.get(buildId) === set) waiting.delete(buildId)
      signal.removeEventListener('abort', end)
      resolve()
    }
    set.add(end)
    signal.addEventListener('abort', end, { once: true })
    if (signal.aborted) end()
    return { promise, cancel: end }
  }
}
export type BuildLogs = ReturnType<typeof createBuildLogs>

function fromFact(value: unknown): Log {
  const kept = (value ?? {}) as Partial<Pick<Log, 'first' | 'newest' | 'count'>>
  const newest = kept.newest ?? []
  const characters = newest.reduce((sum, { text }) => sum + text.length, 0)
  return { first: kept.first ?? [], newest, characters, count: kept.count ?? 0, dirty: false }
}

function linesOf({ first, newest, count }: Log): BuildLogLine[] {
  const left = count - first.length - newest.length
  const last = first.at(-1)
  if (left <= 0 || last === undefined) return [...first, ...newest]
  return [...first, { at: last.at, attempt: last.attempt, text: `… ${left} lines are left out …` }, ...newest]
}

/** A tenth goes at once, so that a long log costs no more than a short one. */
function shorten(log: Log): void {
  while (log.newest.length > linesAtMost - firstAtMost || log.characters > charactersAtMost * 0.9) {
    const gone = log.newest.splice(0, Math.ceil(log.newest.length / 10))
    log.characters -= gone.reduce((sum, { text }) => sum + text.length, 0)
  }
}

/** One line without what terminals obey. */
function printable(text: string): string {
  return text
    .slice(0, corebuildLimits.lineCharacters)
    .replaceAll(/\p{Cc}/gu, ' ')
    .toWellFormed()
}
