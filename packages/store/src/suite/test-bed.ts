import { defineKind } from '@freehold/contracts'
import { onTestFinished } from 'vitest'
import { z } from 'zod'
import type { CommonOptions } from '../engine.ts'
import type { Actor, Store } from '../store.ts'

/** A place for one store: it can be opened, closed and opened again, and its tables reached behind its back. */
export interface TestBed {
  open(options?: Partial<CommonOptions>): Promise<Store>
  sql(text: string): Promise<void>
  rows(query: string): Promise<object[]>
  /** Closes every store opened here and removes the data. */
  remove(): Promise<void>
}

export type MakeTestBed = () => Promise<TestBed>

export const service = defineKind({
  name: 'service',
  plural: 'services',
  data: z.object({
    name: z.string(),
    cluster: z.string().optional(),
    image: z.string().optional(),
    replicas: z.number().optional(),
  }),
  status: z.object({ phase: z.string() }),
  initialStatus: { phase: 'new' },
  indexes: { cluster: ({ data }) => data.cluster, phase: ({ status }) => status.phase },
  unique: { name: ({ data }) => data.name },
})

export const user = defineKind({
  name: 'user',
  plural: 'users',
  data: z.object({ name: z.string(), passwordHash: z.string() }),
  status: z.object({}),
  initialStatus: {},
  unique: { name: ({ data }) => data.name },
  redact: ['passwordHash'],
})

export const note = defineKind({
  name: 'note',
  plural: 'notes',
  data: z.unknown(),
  status: z.unknown(),
  initialStatus: null,
})

export const kinds = [service, user, note]
export const alice: Actor = { type: 'user', id: '0190-alice', name: 'alice' }

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
