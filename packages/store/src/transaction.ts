import { FreeholdError } from '@freehold/contracts'
import { canonicalJson } from './canonical.ts'
import { entryHash, type Head } from './chain.ts'
import type { Awaitable, Lookups, Session } from './engine.ts'
import { unpagedQueryOf } from './query.ts'
import { checkUnique, listAll, listPage } from './reads.ts'
import { type Key, type Keys, keysOf, keyText, type Row, resourceOf, resourceText, searchName } from './row.ts'
import type { Actor, AnyKind, ChangeOperation, ListOptions, Page, Stored, Transaction } from './store.ts'
import { UniqueClaims } from './unique-claims.ts'
import { createWrites, isEmpty, joinKey, mergeInto, type Writes } from './writes.ts'

/** What the transactions of one commit share. */
export interface Batch {
  session: Session
  /** Of transactions that are through, not yet applied. */
  writes: Writes
  head: Head
  /** Set when the engine failed: then nothing of the batch may be committed. */
  failure: unknown
}

export interface TransactionTools {
  cursorKey: string
  now: () => number
  newId: () => string
  /** Throws a `TypeError` for a kind the store was not opened with. */
  checkKind: (kind: AnyKind) => void
}

const noKeys: Keys = { unique: [], entries: [] }

/**
 * One transaction of a batch. Invariants:
 * - its operations run one after another, even when the caller does not await them;
 * - its writes stay in its own layer until `accept`, so `abandon` has nothing to undo unless a list had to see them;
 * - a unique key held by another resource is waited for: two resources may swap keys, and only who still waits at the
 *   end is refused.
 */
export class BatchedTransaction implements Transaction {
  readonly #batch: Batch
  readonly #tools: TransactionTools
  readonly #actor: Actor
  #actorText: string | undefined
  #at: string | undefined
  #head: Head
  #writes = createWrites()
  readonly #deleted: { kind: string; id: string }[] = []
  readonly #claims: UniqueClaims
  #savepoint = false
  #open = true
  #last: Promise<unknown> = Promise.resolve()

  constructor(batch: Batch, tools: TransactionTools, actor: Actor) {
    this.#batch = batch
    this.#tools = tools
    this.#actor = actor
    this.#head = batch.head
    this.#claims = new UniqueClaims({
      holder: (kind, name, key) => this.#holder(kind, name, key),
      give: (held) => this.#writes.unique.set(joinKey(held.kind, held.name, held.key), held),
    })
  }

  get<K extends AnyKind>(kind: K, id: string): Promise<Stored<K> | undefined> {
    return this.#run(async () => {
      const row = await this.#row(kind, id)
      return row && (resourceOf(row) as Stored<K>)
    })
  }

  find<K extends AnyKind>(kind: K, unique: string, key: string): Promise<Stored<K> | undefined> {
    return this.#run(async () => {
      checkUnique(kind, unique)
      const id = await this.#holder(kind.name, unique, keyText(key))
      const row = id === undefined ? undefined : await this.#row(kind, id)
      return row && (resourceOf(row) as Stored<K>)
    })
  }

  list<K extends AnyKind>(kind: K, options: ListOptions = {}): Promise<Page<K>> {
    return this.#search(kind, (lookups) => listPage(lookups, this.#tools.cursorKey, kind, options))
  }

  all<K extends AnyKind>(kind: K, options: Omit<ListOptions, 'limit' | 'cursor' | 'order'> = {}): Promise<Stored<K>[]> {
    return this.#search(kind, (lookups) => listAll(lookups, kind, options))
  }

  count<K extends AnyKind>(kind: K, options: Omit<ListOptions, 'limit' | 'cursor' | 'order'> = {}): Promise<number> {
    return this.#search(kind, (lookups) => lookups.count(unpagedQueryOf(kind, options)))
  }

  version(): Promise<number> {
    return this.#run(() => this.#head.version)
  }

  create<K extends AnyKind>(kind: K, input: Parameters<Transaction['create']>[1]): Promise<Stored<K>> {
    return this.#run(async () => {
      this.#tools.checkKind(kind)
      const id = input.id ?? this.#tools.newId()
      if (input.id !== undefined && (await this.#row(kind, id))) {
        throw new FreeholdError('already-exists', `There is a ${kind.name} with the id ${id} already.`)
      }
      const at = this.#time()
      const data = canonicalJson(input.data)
      const row: Row = {
        kind: kind.name,
        id,
        version: this.#head.version + 1,
        generation: 1,
        name: searchName(input.data, id),
        createdAt: at,
        updatedAt: at,
        labels: canonicalJson(input.labels ?? {}),
        status: canonicalJson(input.status ?? kind.initialStatus),
        data,
      }
      return this.#write('create', kind, undefined, row) as Promise<Stored<K>>
    })
  }

  update<K extends AnyKind>(
    kind: K,
    id: string,
    change: { data?: unknown; labels?: Record<string, string>; expectedVersion?: number },
  ): Promise<Stored<K>> {
    return this.#run(async () => {
      const row = await this.#rowToChange(kind, id, change.expectedVersion)
      const data = change.data === undefined ? row.data : canonicalJson(change.data)
      const labels = change.labels === undefined ? row.labels : canonicalJson(change.labels)
      if (data === row.data && labels === row.labels) return resourceOf(row) as Stored<K>
      const name = data === row.data ? row.name : searchName(change.data, id)
      const generation = row.generation + (data === row.data ? 0 : 1)
      const next = { ...row, data, labels, name, generation, version: this.#head.version + 1, updatedAt: this.#time() }
      return this.#write('update', kind, row, next) as Promise<Stored<K>>
    })
  }

  setStatus<K extends AnyKind>(
    kind: K,
    id: string,
    value: unknown,
    options: { expectedVersion?: number } = {},
  ): Promise<Stored<K>> {
    return this.#run(async () => {
      const row = await this.#rowToChange(kind, id, options.expectedVersion)
      const status = canonicalJson(value)
      if (status === row.status) return resourceOf(row) as Stored<K>
      const next = { ...row, status, version: this.#head.version + 1, updatedAt: this.#time() }
      return this.#write('status', kind, row, next) as Promise<Stored<K>>
    })
  }

  delete<K extends AnyKind>(kind: K, id: string, options: { expectedVersion?: number } = {}): Promise<void> {
    return this.#run(async () => {
      const row = await this.#rowToChange(kind, id, options.expectedVersion)
      await this.#write('delete', kind, row, undefined)
    })
  }

  /** The callback is through: waits for what it left unawaited, checks the unique keys, and hands over to the batch. */
  async accept(): Promise<{ deleted: readonly { kind: string; id: string }[] }> {
    await this.#last
    this.#open = false
    this.#claims.check()
    if (this.#savepoint) await this.#engine(() => this.#batch.session.release())
    mergeInto(this.#batch.writes, this.#writes)
    this.#batch.head = this.#head
    return { deleted: this.#deleted }
  }

  /** Drops everything the transaction did; later calls to it throw. */
  async abandon(): Promise<void> {
    this.#open = false
    await this.#last
    if (this.#savepoint) await this.#engine(() => this.#batch.session.rollbackToSavepoint())
  }

  #run<T>(operation: () => Awaitable<T>): Promise<T> {
    const result = this.#last.then(() => {
      if (!this.#open) throw new FreeholdError('conflict', 'This transaction is over; nothing more can be done in it.')
      return operation()
    })
    this.#last = result.then(ignore, ignore)
    return result
  }

  /** A failure of the engine, unlike one of the rules, ends the whole batch: what it left behind is unknown. */
  async #engine<T>(call: () => Awaitable<T>): Promise<T> {
    try {
      return await call()
    } catch (error) {
      this.#batch.failure ??= error
      throw error
    }
  }

  #search<T>(kind: AnyKind, search: (lookups: Lookups) => Awaitable<T>): Promise<T> {
    return this.#run(async () => {
      this.#tools.checkKind(kind)
      await this.#engine(() => this.#applyWrites())
      const { session } = this.#batch
      return search({
        get: (kindName, id) => this.#engine(() => session.get(kindName, id)),
        page: async (query) => {
          const { rows } = await this.#engine(() => session.page(query))
          return { rows, version: this.#head.version }
        },
        count: (query) => this.#engine(() => session.count(query)),
      })
    })
  }

  /** Searches run in the engine, so it must have seen the writes before them; ours go behind a savepoint. */
  async #applyWrites(): Promise<void> {
    const batch = this.#batch
    if (!isEmpty(batch.writes)) {
      await batch.session.apply(batch.writes)
      batch.writes = createWrites()
    }
    if (isEmpty(this.#writes)) return
    if (!this.#savepoint) await batch.session.savepoint()
    this.#savepoint = true
    await batch.session.apply(this.#writes)
    this.#writes = createWrites()
  }

  async #row(kind: AnyKind, id: string): Promise<Row | undefined> {
    this.#tools.checkKind(kind)
    const key = joinKey(kind.name, id)
    const written = this.#writes.rows.get(key) ?? this.#batch.writes.rows.get(key)
    if (written) return written.row ?? undefined
    return this.#engine(() => this.#batch.session.get(kind.name, id))
  }

  async #rowToChange(kind: AnyKind, id: string, expectedVersion: number | undefined): Promise<Row> {
    const row = await this.#row(kind, id)
    if (!row) throw new FreeholdError('not-found', `There is no ${kind.name} with the id ${id}.`)
    if (expectedVersion !== undefined && expectedVersion !== row.version) {
      throw new FreeholdError(
        'stale-version',
        `The ${kind.name} ${id} is at version ${row.version}, not ${expectedVersion}; read it again and repeat the change.`,
      )
    }
    return row
  }

  async #holder(kind: string, name: string, key: string): Promise<string | undefined> {
    const joined = joinKey(kind, name, key)
    const written = this.#writes.unique.get(joined) ?? this.#batch.writes.unique.get(joined)
    if (written) return written.id ?? undefined
    return this.#engine(() => this.#batch.session.holder(kind, name, key))
  }

  async #write(operation: ChangeOperation, kind: AnyKind, before: Row | undefined, after: Row | undefined) {
    const row = after ?? before
    if (!row) throw new TypeError('A change needs the resource before or after it.')
    const stored = after && resourceOf(after)
    const oldKeys = before && mayHaveKeys(kind, before) ? keysOf(kind, resourceOf(before)) : noKeys
    const newKeys = stored && after && mayHaveKeys(kind, after) ? keysOf(kind, stored) : noKeys
    await this.#moveKeys(kind, row.id, oldKeys, newKeys)
    this.#writes.rows.set(joinKey(kind.name, row.id), { kind: kind.name, id: row.id, row: after ?? null })
    if (!after) {
      this.#writes.deleted.set(joinKey(kind.name, row.id), { kind: kind.name, id: row.id })
      this.#deleted.push({ kind: kind.name, id: row.id })
    }
    this.#log(operation, kind, row.id, {
      before: before && operation !== 'status' ? resourceText(kind, before) : null,
      after: after ? resourceText(kind, after) : null,
    })
    return stored
  }

  #log(operation: ChangeOperation, kind: AnyKind, id: string, texts: { before: string | null; after: string | null }) {
    this.#actorText ??= canonicalJson(this.#actor)
    const version = this.#head.version + 1
    const entry = { version, operation, kind: kind.name, id, actor: this.#actorText, at: this.#time(), ...texts }
    const hash = entryHash(this.#head.hash, entry)
    this.#writes.log.push({ ...entry, hash })
    this.#head = { version, hash }
  }

  async #moveKeys(kind: AnyKind, id: string, before: Keys, after: Keys): Promise<void> {
    for (const key of missingFrom(after.entries, before.entries)) this.#setEntry(kind, id, key, false)
    for (const key of missingFrom(before.entries, after.entries)) this.#setEntry(kind, id, key, true)
    for (const key of missingFrom(after.unique, before.unique)) this.#claims.release(kind, id, key)
    for (const key of missingFrom(before.unique, after.unique)) await this.#claims.claim(kind, id, key)
  }

  #setEntry(kind: AnyKind, id: string, { name, key }: Key, present: boolean): void {
    this.#writes.entries.set(joinKey(kind.name, name, key, id), { kind: kind.name, name, key, id, present })
  }

  #time(): string {
    this.#at ??= new Date(this.#tools.now()).toISOString()
    return this.#at
  }
}

function ignore(): void {}

function mayHaveKeys(kind: AnyKind, row: Row): boolean {
  if (row.labels !== '{}') return true
  for (const _ in kind.unique) return true
  for (const _ in kind.indexes) return true
  return false
}

/** The keys in `keys` that `others` lacks. */
function missingFrom(others: readonly Key[], keys: readonly Key[]): Key[] {
  return keys.filter((key) => !others.some((other) => other.name === key.name && other.key === key.key))
}
