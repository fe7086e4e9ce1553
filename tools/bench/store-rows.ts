import type { Part, Row } from './row.ts'
import { benchStore, type StoreFigures } from './store.ts'

/** Durable writes a second on SQLite beside the same on PostgreSQL, and reads of both. */
export const storePart: Part = {
  name: 'store',
  async run(): Promise<Row[]> {
    const { rows, skipped } = await benchStore()
    const [ours, peer] = rows
    if (ours === undefined) throw new Error('The store was not measured.')
    const beside = (value: (row: StoreFigures) => number) =>
      peer === undefined ? {} : { peer: { name: peer.engine, value: value(peer) } }
    return [
      {
        measure: `durable writes, ${ours.writers} writers`,
        unit: 'writes/s',
        ours: ours.writesPerSecond,
        ...beside((row) => row.writesPerSecond),
        target: { of: 'ours', atLeast: 15_000 },
        note: `${ours.engine}, each write with its audit entry${skipped === undefined ? '' : `; no peer: ${skipped}`}`,
      },
      { measure: 'store get, p99', unit: 'ms', ours: ours.getP99Ms, ...beside((row) => row.getP99Ms) },
      { measure: 'store page of 100, p99', unit: 'ms', ours: ours.pageP99Ms, ...beside((row) => row.pageP99Ms) },
    ]
  },
}
