import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { performance } from 'node:perf_hooks'
import { defineKind } from '@freehold/contracts'
import { type Actor, openSqliteStore, type Store } from '@freehold/store'
import { openPostgresStore } from '@freehold/store/postgres'
import { z } from 'zod'
import { startPostgres } from '../postgres.ts'

export interface StoreFigures {
  /** `SQLite 3.x` or `PostgreSQL 15`. */
  engine: string
  writers: number
  /** Transactions a second, each with one create or update and its audit entry, on disk when counted. */
  writesPerSecond: number
  /** Milliseconds, among `resources` resources. */
  getP50Ms: number
  getP99Ms: number
  pageP50Ms: number
  pageP99Ms: number
  searchP50Ms: number
  searchP99Ms: number
  resources: number
}

const resources = 10_000
const reads = 1000
const actor: Actor = { type: 'system', id: 'bench', name: 'bench' }
const service = defineKind({
  name: 'service',
  plural: 'services',
  data: z.object({
    name: z.string(),
    cluster: z.string(),
    image: z.string(),
    environment: z.record(z.string(), z.string()),
  }),
  status: z.object({ phase: z.string() }),
  initialStatus: { phase: 'new' },
  indexes: { cluster: ({ data }) => data.cluster },
  unique: { name: ({ data }) => data.name },
})

/**
 * Measures both engines with the same work, one after the other: `resources` creates and `updates` updates by `writers`
 * concurrent writers, then reads one at a time. PostgreSQL is left out where it is not installed; `skipped` says why.
 */
export async function benchStore({ writers = 64, updates = 30_000, directory = tmpdir() } = {}): Promise<{
  rows: StoreFigures[]
  skipped: string | undefined
}> {
  const folder = mkdtempSync(join(directory, 'freehold-bench-'))
  const rows: StoreFigures[] = []
  try {
    const store = await openSqliteStore({ directory: folder, kinds: [service] })
    rows.push(await measure(store, `SQLite ${process.versions.sqlite}`, { writers, updates }))
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
  const server = await startPostgres()
  if ('skipped' in server) return { rows, skipped: server.skipped }
  try {
    const store = await openPostgresStore({ url: server.url, kinds: [service] })
    rows.push(await measure(store, `PostgreSQL ${server.version}`, { writers, updates }))
  } finally {
    await server.stop()
  }
  return { rows, skipped: undefined }
}

async function measure(
  store: Store,
  engine: string,
  { writers, updates }: { writers: number; updates: number },
): Promise<StoreFigures> {
  try {
    const ids: string[] = []
    const startMs = performance.now()
    await inParallel(writers, resources, async (index) => {
      const { id } = await store.transaction(actor, (t) => t.create(service, { data: dataOf(index, 0) }))
      ids[index] = id
    })
    await inParallel(writers, updates, async (index) => {
      const place = index % resources
      const data = dataOf(place, index + 1)
      await store.transaction(actor, (t) => t.update(service, ids[place] ?? '', { data }))
    })
    const seconds = (performance.now() - startMs) / 1000
    const get = await timeEach(reads, (index) => store.get(service, ids[(index * 7919) % resources] ?? ''))
    const { nextCursor } = await store.list(service, { limit: 100 })
    const page = await timeEach(reads, (index) =>
      store.list(service, { limit: 100, ...(index % 2 === 1 && nextCursor !== null && { cursor: nextCursor }) }),
    )
    const search = await timeEach(reads / 10, (index) => store.list(service, { search: `service-${index}99` }))
    return {
      engine,
      writers,
      writesPerSecond: Math.round((resources + updates) / seconds),
      ...{ getP50Ms: get.p50, getP99Ms: get.p99, pageP50Ms: page.p50, pageP99Ms: page.p99 },
      ...{ searchP50Ms: search.p50, searchP99Ms: search.p99, resources },
    }
  } finally {
    await store.close()
  }
}

function dataOf(index: number, revision: number) {
  return {
    name: `service-${index}`,
    cluster: `cluster-${index % 10}`,
    image: `registry.example/workloads/service-${index}:${revision}`,
    environment: { LOG_LEVEL: 'info', REVISION: String(revision) },
  }
}

async function inParallel(writers: number, count: number, work: (index: number) => Promise<void>): Promise<void> {
  let next = 0
  const run = async () => {
    while (next < count) await work(next++)
  }
  await Promise.all(Array.from({ length: writers }, run))
}

async function timeEach(
  count: number,
  work: (index: number) => Promise<unknown>,
): Promise<{ p50: number; p99: number }> {
  const timesMs: number[] = []
  for (let index = 0; index < count; index++) {
    const startMs = performance.now()
    await work(index)
    timesMs.push(performance.now() - startMs)
  }
  timesMs.sort((a, b) => a - b)
  const at = (share: number) => Math.round((timesMs[Math.floor(count * share)] ?? 0) * 1000) / 1000
  return { p50: at(0.5), p99: at(0.99) }
}
