import { randomUUID } from 'node:crypto'
import { type AssignedRelease, deviceHeartbeatRequestSchema } from '@freehold/contracts'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { decide, type Registration, refusalMessages } from './enrolment.ts'
import { count, emptyTally, finestSpanMs, readHistory, withTally } from './history.ts'
import { connectionOf, desiredContentOf, intervalFor, nextCounter, patienceOf } from './kind.ts'
import { readHeartbeat } from './read-heartbeat.ts'

const registrations: fc.Arbitrary<Registration> = fc.record({
  device: fc.option(
    fc.record({ access: fc.constantFrom('waiting', 'allowed', 'revoked'), readoptOpen: fc.boolean() }),
    { nil: undefined },
  ),
  hasProof: fc.boolean(),
  claim: fc.constantFrom('none', 'same', 'other'),
  joinToken: fc.constantFrom('good', 'missing', 'unknown', 'expired', 'used', 'revoked'),
  approval: fc.constantFrom('automatic', 'manual'),
  isQueueFull: fc.boolean(),
})

describe('a registration', () => {
  it('never makes anyone a known device without proof or an operator word', () => {
    fc.assert(
      fc.property(registrations, (registration) => {
        const { kind } = decide(registration)
        const { device, hasProof } = registration
        if (device !== undefined && !hasProof && !device.readoptOpen) expect(kind).toBe('refuse')
        if (kind === 'readopt') expect(device?.readoptOpen).toBe(true)
        if (kind === 'accept') expect([hasProof, device?.access]).toEqual([true, 'allowed'])
      }),
    )
  })

  it('makes a new device for a good join token only, and lets it in only where nobody must approve', () => {
    fc.assert(
      fc.property(registrations, (registration) => {
        const decision = decide(registration)
        if (decision.kind !== 'create') return
        expect([registration.device, registration.joinToken]).toEqual([undefined, 'good'])
        expect(decision.access).toBe(registration.approval === 'manual' ? 'waiting' : 'allowed')
      }),
    )
  })

  it('does not let another in whom nobody saw than the one who claimed the device', () => {
    fc.assert(
      fc.property(registrations, (registration) => {
        const { kind } = decide({ ...registration, hasProof: false, claim: 'other' })
        if (registration.device !== undefined) expect(kind).toBe('refuse')
      }),
    )
  })

  it('tells every refusal in words', () => {
    fc.assert(
      fc.property(registrations, (registration) => {
        const decision = decide(registration)
        if (decision.kind === 'refuse') expect(refusalMessages[decision.reason].length).toBeGreaterThan(20)
      }),
    )
  })
})

describe('the connection of a device', () => {
  const intervals = fc.integer({ min: 1_000, max: 86_400_000 })
  it('follows from its own interval, and only ever gets worse with silence', () => {
    const order = ['online', 'late', 'offline']
    fc.assert(
      fc.property(intervals, fc.nat(300_000_000), fc.nat(300_000_000), (intervalMs, one, other) => {
        const [less, more] = one < other ? [one, other] : [other, one]
        expect(order.indexOf(connectionOf(less, intervalMs))).toBeLessThanOrEqual(
          order.indexOf(connectionOf(more, intervalMs)),
        )
        expect(connectionOf(intervalMs, intervalMs)).toBe('online')
        expect(connectionOf(patienceOf(intervalMs).offlineAfterMs + 1, intervalMs)).toBe('offline')
      }),
    )
  })

  it('is asked for less often where the fleet is too large, and settles there', () => {
    const fleet = { liveDevices: 600_000, heartbeatsPerSecond: 5_000 }
    expect(intervalFor({ ...fleet, intervalMs: 60_000 })).toBe(120_000)
    expect(intervalFor({ ...fleet, intervalMs: 120_000 })).toBe(120_000)
    expect(intervalFor({ ...fleet, intervalMs: 300_000 })).toBeNull()
    expect(intervalFor({ ...fleet, liveDevices: 1_000, intervalMs: 1_000 })).toBeNull()
  })
})

describe('the desired state of a device', () => {
  it('has equal generations for equal contents alone', () => {
    const device = (name: string, labels: Record<string, string>) =>
      ({ id: randomUUID(), data: { name, actions: [] } as never, labels }) as Parameters<typeof desiredContentOf>[0]
    const generation = (name: string, labels: Record<string, string> = {}) =>
      desiredContentOf(device(name, labels), { app: null, host: null, now: 1e12 }).generation
    expect(generation('a', { x: '1', y: '2' })).toBe(generation('a', { y: '2', x: '1' }))
    expect(new Set([generation('a'), generation('b'), generation('a', { x: '1' })]).size).toBe(3)
    expect(Number.isSafeInteger(generation('a'))).toBe(true)
  })

  const dayMs = 86_400_000
  const release: AssignedRelease = {
    releaseId: randomUUID(),
    version: '1.0.0',
    target: 'releases/shop/1.0.0/manifest.json',
    sha256: 'a'.repeat(64),
    rolloutId: null,
    attempt: 1,
    window: null,
    soakSeconds: 60,
    force: false,
    held: false,
  }
  const action = (expiresAtMs: number) => ({
    id: randomUUID(),
    kind: 'reboot' as const,
    force: false,
    expiresAt: new Date(expiresAtMs).toISOString(),
  })
  const asked = (options: { now: number; app?: AssignedRelease | null; actions?: object[]; id?: string }) =>
    desiredContentOf(
      { id: options.id ?? 'f', data: { name: 'a', actions: options.actions ?? [] } as never, labels: {} },
      { app: options.app ?? null, host: null, now: options.now },
    )

  it('changes with everything a release is to be taken by, and is not renewed where nothing is assigned', () => {
    const now = 1_800_000_000_000
    const others: Partial<AssignedRelease>[] = [
      { attempt: 2 },
      { held: true },
      { force: true },
      { soakSeconds: 61 },
      { window: { days: ['mon'], from: '01:00', to: '02:00' } },
      { rolloutId: randomUUID() },
    ]
    const generations = [{}, ...others].map((other) => asked({ now, app: { ...release, ...other } }).generation)
    expect(new Set(generations).size).toBe(others.length + 1)
    expect(asked({ now })).toMatchObject({ assigned: null, changesAtMs: Number.POSITIVE_INFINITY })
    expect(asked({ now }).generation).toBe(asked({ now: now + 30 * dayMs }).generation)
  })

  it('is renewed within three days where something is assigned, at exactly the moment it says', () => {
    fc.assert(
      fc.property(fc.uuid(), fc.integer({ min: 1_700_000_000_000, max: 1_900_000_000_000 }), (id, now) => {
        const { generation, changesAtMs } = asked({ id, now, app: release })
        expect(changesAtMs).toBeGreaterThan(now)
        expect(changesAtMs).toBeLessThanOrEqual(now + 3 * dayMs)
        const before = Math.max(now, Math.ceil(changesAtMs) - 1)
        if (before < changesAtMs) expect(asked({ id, now: before, app: release }).generation).toBe(generation)
        expect(asked({ id, now: Math.ceil(changesAtMs), app: release }).generation).not.toBe(generation)
      }),
    )
  })

  it('holds the actions that have not expired, and changes when the next one does', () => {
    const now = 1_800_000_000_000
    const actions = [action(now - 1), action(now + 1000), action(now + 2000)]
    const content = asked({ now, actions })
    expect(content.assigned?.actions).toEqual(actions.slice(1))
    expect(content.changesAtMs).toBe(now + 1000)
    expect(asked({ now: now + 2000, actions }).assigned).toBeNull()
  })

  it('counts its assignments upwards whatever the clock does', () => {
    fc.assert(
      fc.property(fc.array(fc.record({ now: fc.nat(), reported: fc.option(fc.nat()) })), (steps) => {
        let last = 0
        for (const { now, reported } of steps) {
          const next = nextCounter({ now, last, reported })
          expect(next).toBeGreaterThan(Math.max(last, reported ?? 0))
          last = next
        }
      }),
    )
  })
})

describe('a heartbeat', () => {
  const odd = fc.oneof(fc.string({ maxLength: 80 }), fc.double(), fc.boolean(), fc.constant(null), fc.constant([]))
  const text = fc.oneof(fc.string({ maxLength: 600 }), odd)
  const group = (names: string[]) =>
    fc.oneof({ weight: 5, arbitrary: fc.record(Object.fromEntries(names.map((name) => [name, text]))) }, odd)
  const some = <Value>(item: fc.Arbitrary<Value>, maxLength: number) => fc.oneof(fc.array(item, { maxLength }), odd)
  const progress = fc.oneof(
    fc.record({
      releaseId: fc.oneof({ weight: 5, arbitrary: fc.uuid() }, text),
      version: text,
      attempt: fc.oneof({ weight: 5, arbitrary: fc.nat() }, odd),
      state: fc.oneof({ weight: 5, arbitrary: fc.constantFrom('staged', 'failed', '\u0007\ud800') }, text),
      message: fc.oneof(fc.constant('tab\there'), text),
      downloadProgress: odd,
      running: text,
      log: text,
    }),
    odd,
  )
  const status = fc.record(
    {
      agentVersion: text,
      hostname: text,
      machine: fc.oneof(
        fc.record({ load: odd, memoryBytes: odd, timeZone: text, addresses: some(text, 20) }, { requiredKeys: [] }),
        odd,
      ),
      supervisor: group(['state', 'version', 'problem']),
      device: group(['osVersion', 'commit', 'macAddress', 'ipAddress']),
      apps: fc.oneof(
        fc.record(
          {
            release: text,
            containers: some(group(['serviceName', 'status', 'createdAt']), 70),
            images: some(group(['name', 'serviceName']), 5),
          },
          { requiredKeys: [] },
        ),
        odd,
      ),
      update: group(['outcome', 'message']),
      releases: fc.oneof(
        fc.record({
          app: progress,
          host: progress,
          counter: fc.oneof(fc.nat(), odd),
          refusal: group(['code', 'message']),
        }),
        odd,
      ),
      actions: some(group(['id', 'outcome', 'message']), 18),
      locks: some(text, 34),
      problems: some(text, 18),
    },
    { requiredKeys: [] },
  )
  const bodies = fc.record(
    {
      nodeId: fc.oneof({ weight: 5, arbitrary: fc.uuid() }, odd),
      bootId: fc.oneof(fc.uuid(), odd),
      sequence: fc.oneof(fc.nat(), odd),
      sentAt: fc.oneof(fc.string({ maxLength: 50 }), odd),
      generation: fc.oneof(fc.nat(), odd),
      intervalMs: fc.oneof(fc.integer({ min: 900, max: 86_500_000 }), odd),
      rotateToken: fc.oneof(fc.boolean(), odd),
      protocol: fc.oneof(fc.integer({ min: 0, max: 1001 }), odd),
      status: fc.oneof({ weight: 5, arbitrary: status }, odd),
      other: fc.anything(),
    },
    { requiredKeys: ['nodeId'] },
  )
  /** As it comes from the wire. */
  const sent = fc.oneof({ weight: 10, arbitrary: bodies }, fc.anything()).map((body): unknown => {
    const json = JSON.stringify(body)
    return json === undefined ? null : JSON.parse(json)
  })

  it('is read by hand exactly as the schema of the contract reads it', () => {
    fc.assert(
      fc.property(sent, (body) => {
        const byHand = readHeartbeat(body)
        const bySchema = deviceHeartbeatRequestSchema.safeParse(body)
        expect(typeof byHand === 'string').toBe(!bySchema.success)
        if (typeof byHand === 'string' || !bySchema.success) return
        const { nodeId, generation, intervalMs, rotateToken, bootId, sequence, status: report } = bySchema.data
        expect(byHand).toMatchObject({ nodeId, generation, intervalMs, rotateToken })
        expect([byHand.bootId, byHand.sequence]).toEqual([bootId ?? null, sequence ?? null])
        expect(byHand.machine?.load ?? null).toBe(report.machine?.load ?? null)
        for (const type of ['app', 'host'] as const) {
          const progress = byHand.releases?.[type] ?? null
          if (progress === null) continue
          const said = report.releases?.[type]
          expect(progress).toEqual({ ...said, message: said?.message ?? '' })
        }
      }),
      { numRuns: 400 },
    )
  })
})

describe('history', () => {
  const machine = (load: number, temperatureCelsius: number) => ({
    load,
    memoryBytes: 1_000,
    memoryFreeBytes: 400,
    storageBytes: 1_000,
    storageFreeBytes: 1_000,
    temperatureCelsius,
  })

  it('keeps averages of each quarter of an hour and each six hours', () => {
    const tally = emptyTally()
    count(tally, machine(1, -20))
    count(tally, machine(2, -10))
    count(tally, null)
    const at = Date.parse('2026-03-01T10:00:00Z')
    const { day, month } = readHistory(withTally(undefined, tally, at), at)
    const averages = { heartbeats: 3, load: 1.5, memoryPercent: 60, storagePercent: 0, temperatureCelsius: -15 }
    expect(day).toEqual([{ at: '2026-03-01T10:00:00.000Z', ...averages }])
    expect(month).toEqual([{ at: '2026-03-01T06:00:00.000Z', ...averages }])
  })

  it('is the same few bytes however long a device lives, holds a day and a month, and no future', () => {
    const start = Date.parse('2026-03-01T00:00:00Z')
    let text: string | undefined
    let at = start
    for (; at < start + 45 * 86_400_000; at += finestSpanMs) {
      const tally = emptyTally()
      for (let index = 0; index < 15; index += 1) count(tally, machine(0.5, 50))
      text = withTally(text, tally, at)
    }
    const { day, month } = readHistory(text, at - 1)
    expect([day.length, month.length, text?.length]).toEqual([96, 120, 2880])
    expect(day.at(0)?.at).toBe(new Date(at - 86_400_000).toISOString())
    for (const span of [...day, ...month]) {
      expect(span).toMatchObject({ load: 0.5, memoryPercent: 60, temperatureCelsius: 50 })
    }
    expect(readHistory(text, start - 86_400_000)).toEqual({ day: [], month: [] })
    expect(readHistory(text, at + 40 * 86_400_000).month).toEqual([])
  })

  it('takes no nonsense: values that cannot be are left out, and texts that are none of ours are empty', () => {
    fc.assert(
      fc.property(fc.double(), fc.double(), fc.double(), fc.string(), (load, memoryBytes, degrees, text) => {
        const tally = emptyTally()
        count(tally, { ...machine(load, degrees), memoryBytes })
        const { day } = readHistory(withTally(text, tally, 1e12), 1e12)
        expect(day).toHaveLength(1)
        const [span] = day
        for (const percent of [span?.memoryPercent ?? 0, span?.storagePercent ?? 0]) {
          expect(percent >= 0 && percent <= 100).toBe(true)
        }
        expect((span?.load ?? 0) >= 0).toBe(true)
        expect(Math.abs(span?.temperatureCelsius ?? 0)).toBeLessThanOrEqual(150)
      }),
    )
  })
})
