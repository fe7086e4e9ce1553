import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import type { Store } from '../store.ts'
import { bedFor, type MakeTestBed, service, type TestBed } from './test-bed.ts'

const program = fileURLToPath(new URL('./crash-child.ts', import.meta.url))
const rounds = Number(process.env.FREEHOLD_CRASH_ROUNDS ?? 8)
const limitMs = 120_000 + rounds * 30_000

export function describeCrashes(make: MakeTestBed): void {
  describe('kill -9 under concurrent writers', () => {
    it(
      'loses nothing that was acknowledged, halves nothing, and leaves feed and chain whole',
      async () => {
        const bed = await bedFor(make)
        const acknowledged = new Map<string, number>()
        for (let round = 0; round < rounds; round++) {
          await killAfter(bed, 20 + Math.floor(Math.random() * 600), acknowledged)
          const store = await bed.open()
          await check(store, acknowledged)
          await store.close()
        }
        expect(acknowledged.size).toBeGreaterThan(rounds * 10)
      },
      limitMs,
    )
  })
}

/** Runs the child until it has acknowledged so many changes, kills it, and adds all it acknowledged. */
async function killAfter(bed: TestBed, acknowledgements: number, acknowledged: Map<string, number>): Promise<void> {
  const child = spawn(process.execPath, [program, ...bed.target], { stdio: ['ignore', 'pipe', 'pipe'] })
  let complaint = ''
  child.stderr.on('data', (chunk: Buffer) => {
    complaint += chunk
  })
  const ended = once(child, 'close')
  let seen = 0
  for await (const line of createInterface({ input: child.stdout })) {
    const [pair, count] = line.split(' ')
    // The last line may be cut by the kill; a whole one has two words, and the count is the end of it.
    if (pair && count) acknowledged.set(pair, Math.max(Number(count), acknowledged.get(pair) ?? 0))
    if (++seen === acknowledgements) child.kill('SIGKILL')
  }
  const [, signal] = await ended
  expect({ complaint, signal }).toEqual({ complaint: '', signal: 'SIGKILL' })
}

async function check(store: Store, acknowledged: ReadonlyMap<string, number>): Promise<void> {
  const stored = await store.all(service)
  const pairs = new Map<string, (number | undefined)[]>()
  for (const { data } of stored)
    pairs.set(data.cluster ?? '', [...(pairs.get(data.cluster ?? '') ?? []), data.replicas])
  const broken = [...pairs].filter(([, counts]) => counts.length !== 2 || counts[0] !== counts[1])
  expect(broken).toEqual([])
  const lost = [...acknowledged].filter(([pair, count]) => (pairs.get(pair)?.[0] ?? 0) < count)
  expect(lost).toEqual([])

  const replayed = new Map<string, unknown>()
  let version = 0
  for (;;) {
    const changes = await store.changes(version)
    for (const change of changes) {
      expect(change.version).toBe(++version)
      replayed.set(change.id, change.after)
    }
    if (changes.length === 0) break
  }
  expect(version).toBe(await store.version())
  expect(replayed).toEqual(new Map(stored.map((resource) => [resource.id, resource])))
  expect(await store.verifyAudit()).toEqual({ checked: version, firstBroken: null })
}
