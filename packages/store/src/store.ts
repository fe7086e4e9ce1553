import type { KeyOf, Kind, Resource } from '@freehold/contracts'

/** Anything with `defineKind`'s shape, whatever its data; the store needs no more of a kind than this. */
export type AnyKind = Pick<Kind, 'name' | 'plural' | 'data' | 'status' | 'initialStatus' | 'redact'> & {
  indexes: Record<string, KeyOf<never, never>>
  unique: Record<string, KeyOf<never, never>>
}
type DataOf<K extends AnyKind> = K['data']['_zod']['output']
type StatusOf<K extends AnyKind> = K['status']['_zod']['output']
export type Stored<K extends AnyKind> = Resource<DataOf<K>, StatusOf<K>>

/** Who made a change; written to the audit log. `id` is a resource id, or a reconciler's name. */
export interface Actor {
  type: 'user' | 'token' | 'agent' | 'system'
  id: string
  /** For people: a user name, a token's name. */
  name: string
}

export interface ListOptions {
  /** Exact matches on declared indexes or unique keys of the kind; all must hold. */
  where?: Record<string, string>
  label?: { key: string; value: string }
  /** Only resources whose `data.name` (or, without one, the id) contains this text, ignoring case. */
  search?: string
  /** 1 to 500; default 100. */
  limit?: number
  /** From `nextCursor` of the page before; anything else is `invalid-cursor`. */
  cursor?: string
  /**
   * `created` (the default): in order of id, the oldest first. `changed`: what changed last first; what changes while
   * one reads page after page is met at the front again, or not at all where it had not been read yet.
   */
  order?: 'created' | 'changed'
}

export interface Page<K extends AnyKind> {
  /** In order of id, which is the order of creation, unless asked for otherwise. */
  items: Stored<K>[]
  nextCursor: string | null
  /** The store version the page was read at: `changes(version)` misses nothing after it. */
  version: number
}

export interface Reads {
  get<K extends AnyKind>(kind: K, id: string): Promise<Stored<K> | undefined>
  /** The resource holding a unique key. */
  find<K extends AnyKind>(kind: K, unique: string, key: string): Promise<Stored<K> | undefined>
  list<K extends AnyKind>(kind: K, options?: ListOptions): Promise<Page<K>>
  /** Every resource that matches, page after page; for small sets such as "nodes of a cluster". */
  all<K extends AnyKind>(kind: K, options?: Omit<ListOptions, 'limit' | 'cursor' | 'order'>): Promise<Stored<K>[]>
  count<K extends AnyKind>(kind: K, options?: Omit<ListOptions, 'limit' | 'cursor' | 'order'>): Promise<number>
  /** The version of the newest committed change, 0 for an empty store. */
  version(): Promise<number>
}

/**
 * Inside a transaction reads see its own writes. Await nothing but these methods in it: a transaction that takes longer
 * than the store's bound is aborted with `timeout`. A unique key held by another resource is `already-exists` when the
 * transaction ends, not before, so that two resources may swap keys in one. Data and status are trusted to fit their
 * kind's schema: the edge parses them.
 */
export interface Transaction extends Reads {
  /** Makes a resource; `id` only where the caller must know it beforehand (UUIDv7). */
  create<K extends AnyKind>(
    kind: K,
    input: { id?: string; data: DataOf<K>; status?: StatusOf<K>; labels?: Record<string, string> },
  ): Promise<Stored<K>>
  /**
   * Replaces `data` and/or `labels`. `expectedVersion` other than the stored one is `stale-version`.
   * `generation` grows only if `data` really differs; an update that changes nothing writes nothing.
   */
  update<K extends AnyKind>(
    kind: K,
    id: string,
    change: { data?: DataOf<K>; labels?: Record<string, string>; expectedVersion?: number },
  ): Promise<Stored<K>>
  /** Replaces `status`; writes nothing if it is equal to the stored one. */
  setStatus<K extends AnyKind>(
    kind: K,
    id: string,
    status: StatusOf<K>,
    options?: { expectedVersion?: number },
  ): Promise<Stored<K>>
  delete<K extends AnyKind>(kind: K, id: string, options?: { expectedVersion?: number }): Promise<void>
}

export type ChangeOperation = 'create' | 'update' | 'status' | 'delete'

/** One entry of the log: the change feed and the audit trail are the same entries. */
export interface Change {
  /** The version of the resource after this change; for a delete, the version of the delete itself. */
  version: number
  operation: ChangeOperation
  kind: string
  id: string
  actor: Actor
  /** RFC 3339, UTC. */
  at: string
  /** The whole resource after the change, fields in `redact` removed; null after a delete. */
  after: Resource | null
  /** The whole resource before the change, redacted; null for a create. Absent for `status`, where only the new one is kept. */
  before?: Resource | null
  /** SHA-256 over the previous entry's hash and this entry's canonical content, hex. */
  hash: string
}

/** A small, frequent fact about a resource (last seen, metrics): latest value only, no version, no audit, no feed. */
export interface Facts {
  /** Keeps the value in memory and writes it with others in one batch; at most `factFlushMs` old when the process dies. */
  set(kind: AnyKind, id: string, name: string, value: unknown): void
  /** All facts of a resource, or those with these names; unflushed ones included. */
  get(kind: AnyKind, id: string, names?: readonly string[]): Promise<Record<string, unknown>>
  getMany(
    kind: AnyKind,
    ids: readonly string[],
    names?: readonly string[],
  ): Promise<Map<string, Record<string, unknown>>>
  flush(): Promise<void>
}

export interface KeyListOptions {
  /** Only keys that begin with this. */
  prefix?: string
  /** Only keys after `prefix` and this; it need not be a key itself. */
  after?: string
  /** 1 to 500. */
  limit: number
}

/** The resource store. Acknowledged means on disk. */
export interface Store extends Reads {
  readonly engine: 'sqlite' | 'postgres'
  readonly facts: Facts
  /**
   * Resources in order of one of their unique keys, compared byte by byte in UTF-8. It reads no more rows than it
   * answers, however many there are. For keys of at most 512 characters: longer ones are kept as hashes.
   */
  listByKey<K extends AnyKind>(kind: K, unique: string, options: KeyListOptions): Promise<Stored<K>[]>
  /**
   * Runs `work` atomically; its promise settles after the commit is durable. A throw rolls everything back and is
   * passed on. Concurrent transactions share one commit (group commit), and are serial to one another.
   */
  transaction<T>(actor: Actor, work: (transaction: Transaction) => Promise<T>): Promise<T>
  /**
   * The entries after `since`, oldest first, at most `limit` (1 to 500, default 500). No gaps and no repeats, across restarts
   * and replicas. A `since` older than what is kept, or newer than the store (it was restored), is `feed-expired`.
   */
  changes(since: number, options?: { limit?: number; kinds?: readonly string[] }): Promise<Change[]>
  /** Newest first, for the audit page; `limit` is 1 to 500, default 100. */
  audit(options?: { kind?: string; id?: string; before?: number; limit?: number }): Promise<Change[]>
  /** Calls `listener` after commits of this or another process; it carries no data. Returns the unsubscribe. */
  onChange(listener: () => void): () => void
  /** Walks the hash chain; answers the first version whose entry does not fit, or null when the log is whole. */
  verifyAudit(): Promise<{ checked: number; firstBroken: number | null }>
  /** Drops log entries up to this version; the hash of the last one dropped is kept, so the rest still verifies. */
  pruneLog(upTo: number): Promise<void>
  /** Finishes what was accepted, flushes facts, releases the lock. */
  close(): Promise<void>
}
