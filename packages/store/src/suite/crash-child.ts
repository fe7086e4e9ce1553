/**
 * A process to be killed: `crash-child.ts <sqlite|postgres> <place>`. Writers change pairs of resources, both halves in
 * one transaction, and write the pair and its new count to standard output once the change is acknowledged.
 */
import { writeSync } from 'node:fs'
import { argv, exit } from 'node:process'
import { openSqliteStore } from '../index.ts'
import { openPostgresStore } from '../postgres/open.ts'
import type { Store } from '../store.ts'
import { alice, kinds, service } from './test-bed-kinds.ts'

const writers = 24

async function open(engine: string | undefined, place: string): Promise<Store> {
  return engine === 'sqlite' ? openSqliteStore({ directory: place, kinds }) : openPostgresStore({ url: place, kinds })
}

async function write(store: Store, writer: number): Promise<never> {
  const pairs: { pair: string; ids: string[] }[] = []
  for (let count = 1; ; count++) {
    const known = count % 3 === 0 ? pairs[count % pairs.length] : undefined
    const pair = known?.pair ?? `${process.pid}-${writer}-${count}`
    const ids = await store.transaction(alice, async (t) => {
      const made: string[] = []
      for (const half of ['left', 'right']) {
        const data = { name: `${pair}-${half}`, cluster: pair, replicas: count }
        const id = known?.ids[made.length]
        const resource = id ? await t.update(service, id, { data }) : await t.create(service, { data })
        made.push(resource.id)
      }
      return made
    })
    if (!known) pairs.push({ pair, ids })
    // A stream waits where the pipe is full for a moment; a bare write to the descriptor would fail with EAGAIN.
    process.stdout.write(`${pair} ${count}\n`)
  }
}

try {
  const store = await open(argv[2], argv[3] ?? '')
  await Promise.all(Array.from({ length: writers }, (_, writer) => write(store, writer)))
} catch (error) {
  writeSync(2, String(error))
  exit(1)
}
