import type { Device } from '@freehold/contracts'
import type { Basis } from '../releases/index.ts'
import type { Boots } from './boots.ts'
import { count, emptyTally, finestSpanMs, measures, type Tally } from './history.ts'
import { updateFailureKey } from './kind.ts'
import { type Known, nothingKnown } from './known.ts'
import type { Machine } from './read-heartbeat.ts'
import { createRecords, type Records } from './records.ts'
import type { Room } from './rooms.ts'

/** Where the numbers of a device stand in its record; a tally is its heartbeats, and a count and a total a measure. */
const tallyWidth = 1 + 2 * measures.length
const field = {
  intervalMs: 0,
  lastAtMs: 1,
  sequence: 2,
  counter: 3,
  offeredAtMs: 4,
  generation: 5,
  changesAtMs: 6,
  place: 7,
  bytes: 8,
  span: 9,
  tally: 10,
  closedSpan: 10 + tallyWidth,
  closedTally: 11 + tallyWidth,
} as const
const width = 11 + 2 * tallyWidth

/** What came in a span of the history that is over. */
export interface ClosedSpan {
  tally: Tally
  atMs: number
}

/** What a device last said of its releases. */
export interface Said {
  readonly app: string | null
  readonly host: string | null
}

/**
 * A device that was heard since the start, or since it was last forgotten. There are a hundred thousand of them, so its
 * numbers lie in a record, and what many have alike is shared.
 */
export class Live implements Known, Room {
  readonly id: string
  readonly nodeId: string
  /** State as it is written in the store. */
  storedState: Device['status']['state']
  hasClone = false
  /** What it shall be came from this. */
  basis: Basis
  /** The failed update that its status tells of; null: none. */
  updateFailure: string | null = null
  /** What it last said of its releases; undefined: not heard yet. */
  progress: Said | undefined = undefined
  boots: Boots | undefined = undefined
  /** By what its tokens are remembered. */
  tokens: readonly string[] = []
  /** Spans that are over beside the one in the record: only where nothing could be written for long. */
  #older: ClosedSpan[] | undefined = undefined
  #records: Records
  #at: number

  constructor(device: Device, { records, now }: { records: Records; now: number }) {
    this.#records = records
    this.#at = records.take()
    this.id = device.id
    this.nodeId = device.data.nodeId
    this.storedState = device.status.state
    // The numbers of one of which nothing is known are 0.
    this.basis = nothingKnown.basis
    this.intervalMs = device.status.intervalMs ?? 60_000
    this.lastAtMs = now
    this.sequence = -1
    this.place = -1
    this.#write(field.span, Math.floor(now / finestSpanMs))
  }

  get intervalMs(): number {
    return this.#read(field.intervalMs)
  }
  set intervalMs(value: number) {
    this.#write(field.intervalMs, value)
  }
  get lastAtMs(): number {
    return this.#read(field.lastAtMs)
  }
  set lastAtMs(value: number) {
    this.#write(field.lastAtMs, value)
  }
  /** Of its newest heartbeat; -1: it said none. */
  get sequence(): number {
    return this.#read(field.sequence)
  }
  set sequence(value: number) {
    this.#write(field.sequence, value)
  }
  /** Counter of the last assignment it was sent. */
  get counter(): number {
    return this.#read(field.counter)
  }
  set counter(value: number) {
    this.#write(field.counter, value)
  }
  /** When a new token was last offered; that costs a write. */
  get offeredAtMs(): number {
    return this.#read(field.offeredAtMs)
  }
  set offeredAtMs(value: number) {
    this.#write(field.offeredAtMs, value)
  }
  get generation(): number {
    return this.#read(field.generation)
  }
  set generation(value: number) {
    this.#write(field.generation, value)
  }
  get changesAtMs(): number {
    return this.#read(field.changesAtMs)
  }
  set changesAtMs(value: number) {
    this.#write(field.changesAtMs, value)
  }
  /** Where the body of its last heartbeat lies, as it came; nowhere where it is in the facts already. */
  get place(): number {
    return this.#read(field.place)
  }
  set place(value: number) {
    this.#write(field.place, value)
  }
  get bytes(): number {
    return this.#read(field.bytes)
  }
  set bytes(value: number) {
    this.#write(field.bytes, value)
  }

  /** Takes over what it shall be. */
  know({ generation, changesAtMs, basis }: Known): void {
    this.generation = generation
    this.changesAtMs = changesAtMs
    this.basis = basis
  }

  /** Takes over what the store says of it. */
  refresh({ status }: Device): void {
    this.storedState = status.state
    this.hasClone = status.clone !== null
    this.updateFailure = updateFailureKey(status.updateFailure)
  }

  /** Adds a report to the tally of the span of this moment. */
  tally(nowMs: number, machine: Machine | null): void {
    const span = Math.floor(nowMs / finestSpanMs)
    if (span !== this.#read(field.span)) {
      this.closeSpan()
      this.#write(field.span, span)
    }
    const tally = this.#tallyAt(field.tally)
    count(tally, machine)
    this.#keepTally(field.tally, tally)
  }

  /** The present span of the history is over; what comes from now on is counted anew. */
  closeSpan(): void {
    if (this.#read(field.tally) === 0) return
    if (this.closedSpans > 0) {
      this.#older ??= []
      this.#older.push(this.#closed())
    }
    this.#keepTally(field.closedTally, this.#tallyAt(field.tally))
    this.#write(field.closedSpan, this.#read(field.span))
    this.#keepTally(field.tally, emptyTally())
  }

  /** How many spans are over and not written down. */
  get closedSpans(): number {
    return this.#read(field.closedTally) === 0 ? 0 : 1 + (this.#older?.length ?? 0)
  }

  /** Spans that are over, oldest first; from here on they are the caller's to write. */
  takeClosed(): ClosedSpan[] {
    if (this.closedSpans === 0) return []
    const taken = [...(this.#older ?? []), this.#closed()]
    this.#older = undefined
    this.#keepTally(field.closedTally, emptyTally())
    return taken
  }

  /** Lets go of its record; whoever still holds this device goes on with numbers of its own. */
  leave(): void {
    const own = createRecords({ width, atFirst: 1 })
    const at = own.take()
    for (let each = 0; each < width; each += 1) own.write(at, each, this.#read(each))
    this.#records.give(this.#at)
    this.#records = own
    this.#at = at
  }

  #closed(): ClosedSpan {
    return { tally: this.#tallyAt(field.closedTally), atMs: this.#read(field.closedSpan) * finestSpanMs }
  }

  #tallyAt(from: number): Tally {
    const tally = emptyTally()
    tally.heartbeats = this.#read(from)
    for (let at = 0; at < measures.length; at += 1) {
      const sum = tally[measures[at] ?? 'load']
      sum.count = this.#read(from + 1 + 2 * at)
      sum.total = this.#read(from + 2 + 2 * at)
    }
    return tally
  }

  #keepTally(from: number, tally: Tally): void {
    this.#write(from, tally.heartbeats)
    for (let at = 0; at < measures.length; at += 1) {
      const sum = tally[measures[at] ?? 'load']
      this.#write(from + 1 + 2 * at, sum.count)
      this.#write(from + 2 + 2 * at, sum.total)
    }
  }

  #read(which: number): number {
    return this.#records.read(this.#at, which)
  }

  #write(which: number, value: number): void {
    this.#records.write(this.#at, which, value)
  }
}

/** Makes devices whose records lie together. */
export function createLives(): (device: Device, now: number) => Live {
  const records = createRecords({ width, atFirst: 1024 })
  return (device, now) => new Live(device, { records, now })
}
