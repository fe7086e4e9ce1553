import { hash } from 'node:crypto'
import type { Change, ChangeOperation } from './store.ts'

/** A log entry as both engines keep it; `actor`, `before` and `after` are canonical JSON text. */
export interface LogEntry {
  version: number
  operation: ChangeOperation
  kind: string
  id: string
  actor: string
  at: string
  before: string | null
  after: string | null
  hash: string
}

/** The newest entry: what the next one builds on. */
export interface Head {
  version: number
  hash: string
}

/** The head of an empty log. */
export const genesis: Head = { version: 0, hash: '0'.repeat(64) }

/**
 * SHA-256, in hex, over the hash of the entry before, a line feed, and the canonical JSON of the `Change` without its
 * `hash`. Anyone who has the changes can compute it again.
 */
export function entryHash(previousHash: string, entry: Omit<LogEntry, 'hash'>): string {
  const before = entry.operation === 'status' ? '' : `"before":${entry.before},`
  return hash(
    'sha256',
    `${previousHash}\n{"actor":${entry.actor},"after":${entry.after},"at":"${entry.at}",${before}"id":${JSON.stringify(entry.id)},` +
      `"kind":${JSON.stringify(entry.kind)},"operation":"${entry.operation}","version":${entry.version}}`,
    'hex',
  )
}

export function changeOf(entry: LogEntry): Change {
  return {
    version: entry.version,
    operation: entry.operation,
    kind: entry.kind,
    id: entry.id,
    actor: JSON.parse(entry.actor),
    at: entry.at,
    after: entry.after === null ? null : JSON.parse(entry.after),
    ...(entry.operation !== 'status' && { before: entry.before === null ? null : JSON.parse(entry.before) }),
    hash: entry.hash,
  }
}

/** The first version among `entries` that does not follow from `head`, or the head after all of them. */
export function checkEntries(head: Head, entries: readonly LogEntry[]): { head: Head; firstBroken: number | null } {
  let last = head
  for (const entry of entries) {
    if (entry.version !== last.version + 1) return { head: last, firstBroken: last.version + 1 }
    if (entryHash(last.hash, entry) !== entry.hash) return { head: last, firstBroken: entry.version }
    last = { version: entry.version, hash: entry.hash }
  }
  return { head: last, firstBroken: null }
}
