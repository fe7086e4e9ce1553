import type { FactWrite, Reader, StoreLog } from './engine.ts'
import type { Facts } from './store.ts'
import type { Writer } from './writer.ts'
import { joinKey } from './writes.ts'

export interface FactKeeper extends Facts {
  /** Drops what is not written yet about a deleted resource. */
  forget(resource: { kind: string; id: string }): void
  /** Ends the periodic writing, after a last one. */
  close(): Promise<void>
}

type Pending = Map<string, Map<string, FactWrite>>

/** More waiting facts than this are written at once, not at the next tick. */
const pendingResources = 50_000

/**
 * Facts wait in memory, newest value only, and are written together. What could not be written waits for the next
 * time, unless a newer value has come.
 */
export function createFacts(options: { reader: Reader; writer: Writer; log: StoreLog; flushMs: number }): FactKeeper {
  let pending: Pending = new Map()
  let writing: Pending = new Map()
  let current: Promise<void> = Promise.resolve()
  let writingNow = false
  const timer = setInterval(flushQuietly, options.flushMs)
  timer.unref()

  function flush(): Promise<void> {
    current = current.then(writePending, writePending)
    return current
  }

  function flushQuietly(): void {
    if (pending.size === 0 || writingNow) return
    flush().catch((error: unknown) => options.log.warn({ err: error }, 'facts could not be written; trying again'))
  }

  async function writePending(): Promise<void> {
    if (pending.size === 0) return
    writing = pending
    pending = new Map()
    writingNow = true
    try {
      const facts = [...writing.values()].flatMap((values) => [...values.values()])
      await options.writer.maintain((session) => session.writeFacts(facts))
    } catch (error) {
      pending = layered(writing, pending)
      throw error
    } finally {
      writing = new Map()
      writingNow = false
    }
  }

  function waiting(kind: string, id: string): FactWrite[] {
    const key = joinKey(kind, id)
    return [...(writing.get(key)?.values() ?? []), ...(pending.get(key)?.values() ?? [])]
  }

  async function getMany(
    kind: string,
    ids: readonly string[],
    names: readonly string[] | undefined,
  ): Promise<Map<string, Record<string, unknown>>> {
    const isNothing = writing.size === 0 && pending.size === 0
    const unwritten = isNothing
      ? []
      : ids.flatMap((id) => waiting(kind, id).filter(({ name }) => names === undefined || names.includes(name)))
    const stored = ids.length === 0 ? [] : await options.reader.facts(kind, ids, names)
    const answer = new Map<string, Record<string, unknown>>(ids.map((id) => [id, {}]))
    for (const fact of [...stored, ...unwritten]) {
      const facts = answer.get(fact.id)
      if (facts) facts[fact.name] = JSON.parse(fact.value)
    }
    return answer
  }

  return {
    set(kind, id, name, value) {
      const text = JSON.stringify(value)
      if (text === undefined) throw new TypeError(`The fact ${name} of a ${kind.name} has no JSON form.`)
      const key = joinKey(kind.name, id)
      const facts = pending.get(key) ?? new Map<string, FactWrite>()
      facts.set(name, { kind: kind.name, id, name, value: text })
      pending.set(key, facts)
      if (pending.size >= pendingResources) flushQuietly()
    },
    get: async (kind, id, names) => (await getMany(kind.name, [id], names)).get(id) ?? {},
    getMany: (kind, ids, names) => getMany(kind.name, ids, names),
    flush,
    forget({ kind, id }) {
      pending.delete(joinKey(kind, id))
    },
    async close() {
      clearInterval(timer)
      await flush()
    },
  }
}

function layered(lower: Pending, upper: Pending): Pending {
  const both: Pending = new Map(lower)
  for (const [key, facts] of upper) both.set(key, new Map([...(lower.get(key) ?? []), ...facts]))
  return both
}
