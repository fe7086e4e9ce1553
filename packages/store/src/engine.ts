import type { Head, LogEntry } from './chain.ts'
import type { KeyQuery, Query } from './query.ts'
import type { Row } from './row.ts'
import type { AnyKind } from './store.ts'
import type { Writes } from './writes.ts'

/** SQLite answers at once, PostgreSQL later; the shared parts await both. */
export type Awaitable<T> = T | Promise<T>

/** What every read comes down to. */
export interface Lookups {
  get(kind: string, id: string): Awaitable<Row | undefined>
  /** Rows and store version of one snapshot. */
  page(query: Query): Awaitable<{ rows: Row[]; version: number }>
  count(query: Query): Awaitable<number>
}

export interface FactWrite {
  kind: string
  id: string
  name: string
  /** JSON text. */
  value: string
}

/** Reads of what is committed, and of nothing else. */
export interface Reader extends Lookups {
  byKey(query: KeyQuery): Awaitable<Row[]>
  clock(): Awaitable<{ head: Head; pruned: Head }>
  changes(since: number, limit: number, kinds: readonly string[] | undefined): Awaitable<LogEntry[]>
  /** Entries older than version `before`, newest first. */
  audit(filter: { kind?: string; id?: string; before: number; limit: number }): Awaitable<LogEntry[]>
  /** `names`: only these; undefined: all there are. */
  facts(
    kind: string,
    ids: readonly string[],
    names: readonly string[] | undefined,
  ): Awaitable<Omit<FactWrite, 'kind'>[]>
}

/** The one write transaction of a batch. Reads see what was applied in it. */
export interface Session extends Lookups {
  begin(): Awaitable<Head>
  holder(kind: string, name: string, key: string): Awaitable<string | undefined>
  apply(writes: Writes): Awaitable<void>
  savepoint(): Awaitable<void>
  release(): Awaitable<void>
  rollbackToSavepoint(): Awaitable<void>
  /** Keeps facts of resources that exist, drops the others. */
  writeFacts(facts: readonly FactWrite[]): Awaitable<void>
  prune(upTo: number): Awaitable<void>
  /** Durable when it returns. `changed` tells whether the log grew, so that others are woken. */
  commit(head: Head, options: { changed: boolean }): Awaitable<void>
  rollback(): Awaitable<void>
}

/** What an engine supplies; everything the `Store` promises beyond it is built once, over these. */
export interface Engine {
  name: 'sqlite' | 'postgres'
  /** Seals cursors; made once for a store, the same for all its replicas. */
  cursorKey: string
  reader: Reader
  session: Session
  /** Calls `wake` when another process has committed. */
  watch(wake: () => void): void
  close(): Awaitable<void>
}

/** The part of a logger the store needs. */
export interface StoreLog {
  warn(fields: object, message: string): void
}

export interface CommonOptions {
  /** Every kind the store is used with. Their keys are computed anew at the start when their definition has changed. */
  kinds: readonly AnyKind[]
  log?: StoreLog
  /** Milliseconds between two batches of facts; default 1000. */
  factFlushMs?: number
  /** Milliseconds a transaction's callback may take before it is aborted; default 5000. */
  transactionTimeoutMs?: number
  /** Milliseconds since 1970; default the system's clock. */
  now?: () => number
}
