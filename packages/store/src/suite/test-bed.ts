import { onTestFinished } from 'vitest'
import type { CommonOptions } from '../engine.ts'
import type { Change, Store } from '../store.ts'
import { alice, kinds, note, service, user } from './test-bed-kinds.ts'

/** A place for one store: it can be opened, closed and opened again, and its tables reached behind its back. */
export interface TestBed {
  /** Engine and place, as the arguments of `crash-child.ts`. */
  target: [engine: 'sqlite' | 'postgres', place: string]
  open(options?: Partial<CommonOptions>): Promise<Store>
  sql(text: string): Promise<void>
  rows(query: string): Promise<object[]>
  /** Closes every store opened here and removes the data. */
  remove(): Promise<void>
}

export type MakeTestBed = () => Promise<TestBed>

export { alice, kinds, note, service, user }

/** A bed that is removed when the test ends. */
export async function bedFor(make: MakeTestBed): Promise<TestBed> {
  const bed = await make()
  onTestFinished(() => bed.remove())
  return bed
}

/** An open store that is closed and removed when the test ends. */
export async function storeFor(make: MakeTestBed, options?: Partial<CommonOptions>): Promise<Store> {
  return (await bedFor(make)).open(options)
}

export function createService(store: Store, data: { name: string; cluster?: string; image?: string }) {
  return store.transaction(alice, (transaction) => transaction.create(service, { data }))
}

/** Waits until a condition holds; the test's own time limit ends it otherwise. */
export async function until(holds: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await holds())) await new Promise((resolve) => setTimeout(resolve, 5))
}

/** The whole log after a version, read in pages of `limit`. */
export async function readLog(store: Store, since: number, limit: number): Promise<Change[]> {
  const changes: Change[] = []
  for (;;) {
    const next = await store.changes(changes.at(-1)?.version ?? since, { limit })
    if (next.length === 0) return changes
    changes.push(...next)
  }
}
