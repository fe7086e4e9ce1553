import type { DeviceSpan } from '@freehold/contracts'
import type { Machine } from './read-heartbeat.ts'

/**
 * A device's history: the last day by quarters of an hour, the last month by six hours. It is a fixed number of bytes
 * whatever the device sends, and one text in the store.
 *
 * Two rings of spans. A span's place in its ring follows from the time alone, so that writing one needs no shifting,
 * and a span that belongs to an earlier turn of the ring is recognised by its number and counts as empty.
 */
const quarterMs = 15 * 60_000
const sixHoursMs = 6 * 60 * 60_000
const rings = [
  { spanMs: quarterMs, spans: 96 },
  { spanMs: sixHoursMs, spans: 120 },
] as const
/** Number of the span (4), heartbeats, load in tenths (2), memory, storage, temperature + 101. */
const spanBytes = 10
const sizeBytes = rings.reduce((sum, ring) => sum + ring.spans * spanBytes, 0)

/** How long a device's finest span is. */
export const finestSpanMs = quarterMs

/** What is kept of a machine, beside that it was heard. */
export const measures = ['load', 'memory', 'storage', 'temperature'] as const

/** What came since it was last written down; sums, so that spans hold averages. */
export interface Tally {
  heartbeats: number
  load: Sum
  memory: Sum
  storage: Sum
  temperature: Sum
}
interface Sum {
  count: number
  total: number
}

export function emptyTally(): Tally {
  const sum = () => ({ count: 0, total: 0 })
  return { heartbeats: 0, load: sum(), memory: sum(), storage: sum(), temperature: sum() }
}

/** Adds one report. What a device says that cannot be is left out. */
export function count(tally: Tally, machine: Machine | null): void {
  tally.heartbeats += 1
  if (machine === null) return
  add(tally.load, machine.load, 0, 6_000)
  add(tally.memory, percentUsed(machine.memoryBytes, machine.memoryFreeBytes), 0, 100)
  add(tally.storage, percentUsed(machine.storageBytes, machine.storageFreeBytes), 0, 100)
  add(tally.temperature, machine.temperatureCelsius, -100, 150)
}

function percentUsed(all: number | null, free: number | null): number | null {
  return all === null || free === null || all <= 0 ? null : (100 * (all - free)) / all
}

function add(sum: Sum, value: number | null, least: number, most: number): void {
  if (value === null || !(value >= least && value <= most)) return
  sum.count += 1
  sum.total += value
}

/** The history with a tally added to the spans of this moment; `text` is what this function gave before, if anything. */
export function withTally(text: string | undefined, tally: Tally, atMs: number): string {
  const bytes = bytesOf(text)
  let offset = 0
  for (const ring of rings) {
    const number = Math.floor(atMs / ring.spanMs)
    merge(bytes, { at: offset + (number % ring.spans) * spanBytes, number, tally })
    offset += ring.spans * spanBytes
  }
  return bytes.toString('base64')
}

/** The spans that hold something, oldest first. A text that is none of ours reads as an empty history. */
export function readHistory(text: string | undefined, nowMs: number): { day: DeviceSpan[]; month: DeviceSpan[] } {
  const bytes = bytesOf(text)
  const [day, month] = rings
  return { day: spansOf(bytes, 0, day, nowMs), month: spansOf(bytes, day.spans * spanBytes, month, nowMs) }
}

function bytesOf(text: string | undefined): Buffer {
  const bytes = text === undefined ? undefined : Buffer.from(text, 'base64')
  return bytes?.length === sizeBytes ? bytes : Buffer.alloc(sizeBytes)
}

/** Where a value stands in a span. Zero means "nothing was said", so every value is kept moved up by `shift`. */
const fields = [
  { name: 'load', place: 5, bytes: 2, factor: 10, shift: 1 },
  { name: 'memory', place: 7, bytes: 1, factor: 1, shift: 1 },
  { name: 'storage', place: 8, bytes: 1, factor: 1, shift: 1 },
  { name: 'temperature', place: 9, bytes: 1, factor: 1, shift: 101 },
] as const

/** Averages weigh by heartbeats, as far as a byte counts them. */
function merge(bytes: Buffer, { at, number, tally }: { at: number; number: number; tally: Tally }): void {
  if (bytes.readUInt32LE(at) !== number) bytes.fill(0, at, at + spanBytes).writeUInt32LE(number, at)
  const before = bytes[at + 4] ?? 0
  bytes[at + 4] = Math.min(255, before + tally.heartbeats)
  for (const { name, place, bytes: size, factor, shift } of fields) {
    const sum = tally[name]
    if (sum.count === 0) continue
    const stored = bytes.readUIntLE(at + place, size)
    const weight = stored === 0 ? 0 : before
    const total = sum.total * factor + sum.count * shift + stored * weight
    const most = 2 ** (8 * size) - 1
    bytes.writeUIntLE(Math.min(most, Math.round(total / (sum.count + weight))), at + place, size)
  }
}

function spansOf(bytes: Buffer, offset: number, ring: { spanMs: number; spans: number }, nowMs: number): DeviceSpan[] {
  const newest = Math.floor(nowMs / ring.spanMs)
  const found: DeviceSpan[] = []
  for (let number = Math.max(0, newest - ring.spans + 1); number <= newest; number += 1) {
    const at = offset + (number % ring.spans) * spanBytes
    const heartbeats = bytes[at + 4] ?? 0
    if (bytes.readUInt32LE(at) !== number || heartbeats === 0) continue
    const [load, memory, storage, temperature] = fields.map(({ place, bytes: size, factor, shift }) => {
      const stored = bytes.readUIntLE(at + place, size)
      return stored === 0 ? null : (stored - shift) / factor
    })
    found.push({
      at: new Date(number * ring.spanMs).toISOString(),
      heartbeats,
      load: load ?? null,
      memoryPercent: memory ?? null,
      storagePercent: storage ?? null,
      temperatureCelsius: temperature ?? null,
    })
  }
  return found
}
