import { type Device, deviceKind } from '@freehold/contracts'
import { expect, it } from 'vitest'
import { finestSpanMs } from './history.ts'
import { createLives } from './live.ts'

const minute = 60_000
const start = 2_000_000 * finestSpanMs

function device(index: number): Device {
  const at = new Date(start).toISOString()
  return {
    kind: 'device',
    id: `00000000-0000-7000-8000-${String(index).padStart(12, '0')}`,
    version: 1,
    generation: 1,
    createdAt: at,
    updatedAt: at,
    labels: {},
    data: {
      name: `device-${index}`,
      description: '',
      nodeId: `node-${index}`,
      access: 'allowed',
      readoptUntil: null,
      pinnedAppReleaseId: null,
      pinnedHostReleaseId: null,
      actions: [],
    },
    status: { ...deviceKind.initialStatus, intervalMs: 30_000 },
  }
}

const machine = (load: number) => ({
  load,
  memoryBytes: 100,
  memoryFreeBytes: 25,
  storageBytes: null,
  storageFreeBytes: null,
  temperatureCelsius: -5,
})

it('counts by spans, and hands out each span once, oldest first', () => {
  const live = createLives()(device(1), start)
  expect(live.takeClosed()).toEqual([])
  live.tally(start, machine(0.25))
  live.tally(start + minute, machine(0.5))
  live.tally(start + 2 * minute, null)
  expect(live.closedSpans).toBe(0)
  live.tally(start + finestSpanMs, machine(1))
  expect(live.closedSpans).toBe(1)
  live.tally(start + 3 * finestSpanMs, null)
  live.closeSpan()
  live.closeSpan()
  expect(live.closedSpans).toBe(3)
  expect(live.takeClosed()).toEqual([
    {
      atMs: start,
      tally: {
        heartbeats: 3,
        load: { count: 2, total: 0.75 },
        memory: { count: 2, total: 150 },
        storage: { count: 0, total: 0 },
        temperature: { count: 2, total: -10 },
      },
    },
    expect.objectContaining({ atMs: start + finestSpanMs, tally: expect.objectContaining({ heartbeats: 1 }) }),
    expect.objectContaining({ atMs: start + 3 * finestSpanMs, tally: expect.objectContaining({ heartbeats: 1 }) }),
  ])
  expect(live.closedSpans).toBe(0)
  expect(live.takeClosed()).toEqual([])
})

it('keeps the numbers of one apart from those of all others, also after it was let go of', () => {
  const create = createLives()
  const lives = Array.from({ length: 3_000 }, (_, index) => create(device(index), start + index))
  const [first, second] = lives
  if (first === undefined || second === undefined) throw new Error('There are none.')
  first.know({ generation: 7, changesAtMs: Number.POSITIVE_INFINITY, basis: second.basis })
  first.leave()
  const heir = create(device(9_999), start)
  first.lastAtMs = 1
  first.counter = 5
  first.tally(start, machine(1))
  expect([heir.lastAtMs, heir.counter, heir.generation, heir.sequence, heir.place]).toEqual([start, 0, 0, -1, -1])
  heir.closeSpan()
  expect(heir.takeClosed()).toEqual([])
  expect([first.generation, first.changesAtMs, first.intervalMs]).toEqual([7, Number.POSITIVE_INFINITY, 30_000])
  expect(lives.slice(1).map(({ lastAtMs }) => lastAtMs)).toEqual(lives.slice(1).map((_, index) => start + index + 1))
})
