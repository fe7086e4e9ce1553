import { FreeholdError } from '@freehold/contracts'
import { changeOf, checkEntries, type LogEntry } from './chain.ts'
import type { CommonOptions, Engine, StoreLog } from './engine.ts'
import { createFacts } from './facts.ts'
import { checkLimit, keyQueryOf, maxPage, unpagedQueryOf } from './query.ts'
import { checkUnique, listAll, listPage, uniqueQuery } from './reads.ts'
import { resourceOf } from './row.ts'
import type { AnyKind, KeyListOptions, Reads, Store, Stored } from './store.ts'
import { createIdSource } from './uuid.ts'
import { createWriter } from './writer.ts'

const pruneStep = 2000
const quiet: StoreLog = { warn: () => {} }

/** Builds the store over an open engine: what both engines have in common is here and below, once. */
export function createStore(engine: Engine, options: CommonOptions): Store {
  const now = options.now ?? Date.now
  const log = options.log ?? quiet
  const checkKind = createKindCheck(options.kinds)
  const listeners = createListeners(log)
  const writer = createWriter({
    session: engine.session,
    tools: { cursorKey: engine.cursorKey, now, newId: createIdSource(now), checkKind },
    transactionTimeoutMs: options.transactionTimeoutMs ?? 5000,
    onCommit: ({ changed }) => changed && listeners.wake(),
    onDelete: (resource) => facts.forget(resource),
  })
  const facts = createFacts({ reader: engine.reader, writer, log, flushMs: options.factFlushMs ?? 1000 })
  engine.watch(listeners.wake)
  let closing: Promise<void> | undefined

  return {
    engine: engine.name,
    facts,
    ...createReads(engine, checkKind),
    async listByKey<K extends AnyKind>(kind: K, unique: string, listOptions: KeyListOptions) {
      checkKind(kind)
      checkUnique(kind, unique)
      const rows = await engine.reader.byKey(keyQueryOf(kind, unique, listOptions))
      return rows.map((row) => resourceOf(row) as Stored<K>)
    },
    ...createLogReads(engine),
    transaction: writer.transaction,
    onChange: listeners.add,
    async pruneLog(upTo) {
      const { head, pruned } = await engine.reader.clock()
      const last = Math.min(upTo, head.version)
      // In steps, so that dropping a long log does not hold up other writes.
      for (let version = pruned.version; version < last; ) {
        version = Math.min(version + pruneStep, last)
        await writer.maintain((session) => session.prune(version))
      }
    },
    close() {
      closing ??= closeAll()
      return closing
    },
  }

  async function closeAll(): Promise<void> {
    try {
      await facts.close()
    } finally {
      await writer.close()
      await engine.close()
    }
  }
}

function createReads({ reader, cursorKey }: Engine, checkKind: (kind: AnyKind) => void): Reads {
  return {
    async get<K extends AnyKind>(kind: K, id: string) {
      checkKind(kind)
      const row = await reader.get(kind.name, id)
      return row && (resourceOf(row) as Stored<K>)
    },
    async find<K extends AnyKind>(kind: K, unique: string, key: string) {
      checkKind(kind)
      const [row] = (await reader.page(uniqueQuery(kind, unique, key))).rows
      return row && (resourceOf(row) as Stored<K>)
    },
    async list(kind, listOptions = {}) {
      checkKind(kind)
      return listPage(reader, cursorKey, kind, listOptions)
    },
    async all(kind, listOptions = {}) {
      checkKind(kind)
      return listAll(reader, kind, listOptions)
    },
    async count(kind, listOptions = {}) {
      checkKind(kind)
      return reader.count(unpagedQueryOf(kind, listOptions))
    },
    version: async () => (await reader.clock()).head.version,
  }
}

function createLogReads({ reader }: Engine): Pick<Store, 'changes' | 'audit' | 'verifyAudit'> {
  return {
    async changes(since, { limit = maxPage, kinds } = {}) {
      const entries = await reader.changes(since, checkLimit(limit), kinds)
      // The clock is read after the entries: what was dropped or written meanwhile can only make the answer stricter.
      const { head, pruned } = await reader.clock()
      if (since < pruned.version || since > head.version) {
        throw new FreeholdError(
          'feed-expired',
          `Changes are kept after version ${pruned.version} and up to ${head.version}, not from ${since} on; list again and watch from there.`,
        )
      }
      return entries.map(changeOf)
    },
    async audit({ kind, id, before = Number.MAX_SAFE_INTEGER, limit = 100 } = {}) {
      const filter = {
        ...(kind !== undefined && { kind }),
        ...(id !== undefined && { id }),
        before,
        limit: checkLimit(limit),
      }
      return (await reader.audit(filter)).map(changeOf)
    },
    async verifyAudit() {
      const { head: newest, pruned } = await reader.clock()
      let head = pruned
      while (head.version < newest.version) {
        const entries: LogEntry[] = await reader.changes(head.version, maxPage, undefined)
        const checked = checkEntries(head, entries)
        const firstBroken = entries.length === 0 ? head.version + 1 : checked.firstBroken
        if (firstBroken !== null) return { checked: checked.head.version - pruned.version, firstBroken }
        const atNewest = entries.find((entry) => entry.version === newest.version)
        if (atNewest && atNewest.hash !== newest.hash) {
          return { checked: newest.version - pruned.version, firstBroken: newest.version }
        }
        head = checked.head
        await new Promise((resolve) => setImmediate(resolve))
      }
      return { checked: head.version - pruned.version, firstBroken: null }
    },
  }
}

function createKindCheck(kinds: readonly AnyKind[]): (kind: AnyKind) => void {
  const names = new Set(kinds.map((kind) => kind.name))
  return (kind) => {
    if (!names.has(kind.name)) throw new TypeError(`The store was opened without the kind ${kind.name}.`)
  }
}

function createListeners(log: StoreLog) {
  const listeners = new Set<() => void>()
  return {
    add(listener: () => void): () => void {
      // A wrapper of its own, so that the same function may be added twice and removed once.
      const entry = () => listener()
      listeners.add(entry)
      return () => listeners.delete(entry)
    },
    wake(): void {
      for (const listener of listeners) {
        try {
          listener()
        } catch (error) {
          log.warn({ err: error }, 'a change listener failed')
        }
      }
    },
  }
}
