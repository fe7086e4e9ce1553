import type { LogEntry } from './chain.ts'
import type { Row } from './row.ts'

/**
 * Writes not yet handed to the engine: a layer over what is stored. A transaction fills its own; when its callback is
 * through it is merged into the batch's, and when it throws it is dropped. So nothing has to be undone, and however
 * often a resource changes in a batch, its row is written once.
 */
export interface Writes {
  rows: Map<string, { kind: string; id: string; row: Row | null }>
  unique: Map<string, { kind: string; name: string; key: string; id: string | null }>
  entries: Map<string, { kind: string; name: string; key: string; id: string; present: boolean }>
  /** Resources whose facts are to be dropped because they were deleted. */
  deleted: Map<string, { kind: string; id: string }>
  log: LogEntry[]
}

export function createWrites(): Writes {
  return { rows: new Map(), unique: new Map(), entries: new Map(), deleted: new Map(), log: [] }
}

export function isEmpty(writes: Writes): boolean {
  return writes.log.length === 0
}

/** Lays `upper` over `lower`. */
export function mergeInto(lower: Writes, upper: Writes): void {
  for (const [key, value] of upper.rows) lower.rows.set(key, value)
  for (const [key, value] of upper.unique) lower.unique.set(key, value)
  for (const [key, value] of upper.entries) lower.entries.set(key, value)
  for (const [key, value] of upper.deleted) lower.deleted.set(key, value)
  for (const entry of upper.log) lower.log.push(entry)
}

/** Joins the parts of a key so that no two lists of parts give the same text. */
export function joinKey(...parts: string[]): string {
  return parts.join('\0')
}
