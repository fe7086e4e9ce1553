import { type Device, deviceKind } from '@freehold/contracts'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { createFeed } from '../changes/index.ts'
import type { DeviceFacts } from './keeper.ts'
import { createDeviceHandlers } from './service.ts'
import { type DeviceWorld, minuteMs, openDeviceWorld } from './world.testing.ts'

let world: DeviceWorld
beforeEach(async () => {
  world = await openDeviceWorld()
})
afterEach(() => world.close())

describe('who falls silent', () => {
  it('is offline after three of its intervals, and online with its next heartbeat: one event each', async () => {
    const plane = world.controlPlane()
    const devices = await world.fleet(plane, 3)
    const [gone, ...others] = devices
    if (gone === undefined) throw new Error('There is no device.')
    await world.pass(plane, 10 * minuteMs, others)
    expect(await world.states()).toEqual({ online: 2, offline: 1 })
    const before = await world.store.version()
    await world.pass(plane, 10 * minuteMs, others)
    expect(await world.store.version()).toBe(before)
    await world.hear(plane, [gone])
    await plane.statuses.write()
    expect(await world.states()).toEqual({ online: 3 })
    const device = await world.store.find(deviceKind, 'nodeId', gone.nodeId)
    const events = await world.store.audit({ kind: 'device', id: device?.id ?? '' })
    expect(events.map(({ after }) => (after as { status: { state: string } }).status.state)).toEqual([
      'online',
      'offline',
      'online',
      'enrolled',
    ])
    expect((events[1] as { after: object }).after).toMatchObject({
      status: { lastHeartbeatAt: '2026-03-01T00:00:00.000Z', intervalMs: minuteMs },
    })
  })

  it('is late meanwhile, which lists show by page and nothing writes down', async () => {
    const plane = world.controlPlane()
    const devices = await world.fleet(plane, 5)
    const handlers = createDeviceHandlers({
      store: world.store,
      presence: plane.presence,
      releases: {} as never,
      now: world.now,
    })
    const list = async (query: object) => {
      const page = (await handlers.list({ query: { limit: 100, ...query } } as never)) as {
        items: Device[]
        nextCursor: string | null
      }
      return {
        ...page,
        ids: page.items.map(({ data }) => data.nodeId),
        states: page.items.map((one) => one.status.state),
      }
    }
    const [heard, ...silent] = devices
    if (heard === undefined) throw new Error('There is no device.')
    world.nowMs += 1000
    await world.hear(plane, devices)
    const before = await world.store.version()
    world.nowMs += 1.5 * minuteMs + 10_000
    expect((await list({ state: 'late' })).ids).toEqual([])
    world.nowMs += 1
    await world.hear(plane, [heard])
    const first = await list({ state: 'late', limit: 3 })
    const second = await list({ state: 'late', limit: 3, cursor: first.nextCursor })
    expect([...first.ids, ...second.ids].toSorted()).toEqual(silent.map(({ nodeId }) => nodeId).toSorted())
    expect([first.ids.length, second.nextCursor]).toEqual([3, null])
    expect(new Set([...first.states, ...second.states])).toEqual(new Set(['late']))
    expect((await list({})).states.toSorted()).toEqual(['late', 'late', 'late', 'late', 'online'])
    expect(await world.store.version()).toBe(before)
  })

  it('is told to who follows the changes, as are updates that fail and succeed: what alerts hang on', async () => {
    const plane = world.controlPlane()
    const [device] = await world.fleet(plane, 1)
    if (device === undefined) throw new Error('There is no device.')
    const feed = await createFeed({ store: world.store, onError: () => undefined })
    const stop = new AbortController()
    const changes = await feed.watch({ since: undefined, kinds: ['device'], signal: stop.signal })
    const releaseId = '01900000-0000-7000-8000-00000000000a'
    const say = async (state: string, message: string | null) => {
      const app = { releaseId, version: '2.0.0', attempt: 1, state, message, running: null }
      await world.hear(plane, [device], { status: { releases: { app, host: null, refusal: null } } })
      while (await plane.statuses.write());
    }
    await world.pass(plane, 10 * minuteMs)
    await world.hear(plane, [device])
    while (await plane.statuses.write());
    await say('downloading', null)
    await say('rolled-back', 'The till did not answer.')
    await say('rolled-back', 'The till did not answer.')
    await say('succeeded', null)
    const told: unknown[] = []
    for await (const { operation, after } of changes) {
      const { status } = after as Device
      told.push([operation, status.state, status.updateFailure?.state ?? null, status.updateFailure?.message ?? null])
      if (told.length === 4) break
    }
    expect(told).toEqual([
      ['status', 'offline', null, null],
      ['status', 'online', null, null],
      ['status', 'online', 'rolled-back', 'The till did not answer.'],
      ['status', 'online', null, null],
    ])
    const id = (await world.store.find(deviceKind, 'nodeId', device.nodeId))?.id ?? ''
    const audit = await world.store.audit({ kind: 'device', id, limit: 4 })
    expect(audit.map(({ after }) => (after as Device).status.updateFailure?.version ?? null)).toEqual([
      null,
      '2.0.0',
      null,
      null,
    ])
    stop.abort()
    await feed.close()
  })

  it('is written rarely of a device that flips between failed and succeeded, and what it said last in the end', async () => {
    const plane = world.controlPlane()
    const [device] = await world.fleet(plane, 1)
    if (device === undefined) throw new Error('There is no device.')
    const say = async (state: string) => {
      const app = { releaseId: '01900000-0000-7000-8000-00000000000a', version: '2', attempt: 1, state }
      await world.hear(plane, [device], { status: { releases: { app, host: null, refusal: null } } })
      while (await plane.statuses.write());
      plane.follower.wake()
      await plane.follower.settled()
    }
    const stored = async () => (await world.store.find(deviceKind, 'nodeId', device.nodeId))?.status.updateFailure
    const before = await world.store.version()
    for (let second = 0; second < 3600; second += 1) {
      world.nowMs += 1000
      await say(second % 2 === 0 ? 'failed' : 'succeeded')
      if (second === 0) expect(await stored()).toMatchObject({ state: 'failed' })
    }
    const written = (await world.store.version()) - before
    expect(written).toBeGreaterThan(6)
    expect(written).toBeLessThanOrEqual(7 + 6)
    for (const last of ['failed', 'succeeded', 'rolled-back']) {
      await say('downloading')
      await say(last)
      await world.pass(plane, 11 * minuteMs, [device])
      const failure = await stored()
      expect(failure?.state ?? 'succeeded').toBe(last)
    }
  })

  it('is not judged by a process that just started: a restart writes nothing for those who come back', async () => {
    const first = world.controlPlane()
    const devices = await world.fleet(first, 30)
    const [gone, ...others] = devices
    await first.keeper.finish()
    world.nowMs += 60 * minuteMs
    const before = await world.store.version()
    const second = world.controlPlane()
    await world.pass(second, 2 * minuteMs, others)
    expect(await world.store.version()).toBe(before)
    await world.pass(second, 30 * minuteMs, others)
    expect(await world.states()).toEqual({ online: 29, offline: 1 })
    expect((await world.store.find(deviceKind, 'nodeId', gone?.nodeId ?? ''))?.status.state).toBe('offline')
    expect(await world.store.version()).toBe(before + 1)
  })

  it('is not judged when nobody at all is heard: then it is us who are cut off', async () => {
    const plane = world.controlPlane()
    const devices = await world.fleet(plane, 30)
    await world.pass(plane, minuteMs, devices)
    const before = await world.store.version()
    await world.pass(plane, 60 * minuteMs)
    await world.pass(plane, 3 * minuteMs, devices)
    expect(await world.store.version()).toBe(before)
    expect(await world.states()).toEqual({ online: 30 })
  })
})

describe('two devices under one identity', () => {
  const cloneOf = async (plane: ReturnType<typeof world.controlPlane>, nodeId: string) => {
    while (await plane.statuses.write());
    return (await world.store.find(deviceKind, 'nodeId', nodeId))?.status.clone
  }

  it('are said to be two once they have taken turns for longer than a request may be under way', async () => {
    const plane = world.controlPlane()
    const devices = await world.fleet(plane, 1)
    for (let sequence = 0; sequence < 40; sequence += 1) {
      for (const bootId of ['a', 'b']) await world.hear(plane, devices, { bootId, sequence })
      world.nowMs += minuteMs
    }
    expect(await cloneOf(plane, 'device-0')).toMatchObject({ message: expect.stringContaining('take turns') })
  })

  it('are not what a device is that lost power while several of its requests were held up', async () => {
    const plane = world.controlPlane()
    const devices = await world.fleet(plane, 1)
    await world.hear(plane, devices, { bootId: 'a', sequence: 1 })
    await world.hear(plane, devices, { bootId: 'b', sequence: 1 })
    for (const sequence of [2, 3, 4, 5]) {
      world.nowMs += 5 * minuteMs
      await world.hear(plane, devices, { bootId: 'a', sequence })
      await world.hear(plane, devices, { bootId: 'b', sequence })
    }
    expect(await cloneOf(plane, 'device-0')).toBeNull()
  })
})

describe('what heartbeats write', () => {
  it('is nothing in the log, and reports and history once a quarter of an hour', async () => {
    const plane = world.controlPlane()
    world.nowMs = Date.parse('2026-03-02T00:00:00Z')
    const [device] = await world.fleet(plane, 1)
    if (device === undefined) throw new Error('There is no device.')
    const before = await world.store.version()
    await world.pass(plane, 45 * minuteMs, [device])
    expect(await world.store.version()).toBe(before)
    const stored = await world.store.find(deviceKind, 'nodeId', device.nodeId)
    const facts = (await world.store.facts.get(deviceKind, stored?.id ?? '')) as DeviceFacts
    expect(facts.report?.at.startsWith('2026-03-02T00:')).toBe(true)
    expect(facts.history).toHaveLength(2880)
  })

  it('is told to a fleet that is too large: speak less often', async () => {
    const plane = world.controlPlane({ heartbeatsPerSecond: 0.1 })
    const devices = await world.fleet(plane, 10)
    const [answer] = await world.hear(plane, devices)
    expect(answer).toMatchObject({ heartbeatIntervalMs: 100_000 })
    expect((await world.hear(plane, devices, { intervalMs: 100_000 }))[0]).toMatchObject({
      heartbeatIntervalMs: 100_000,
    })
    expect((await world.hear(plane, devices, { intervalMs: 200_000 }))[0]).not.toHaveProperty('heartbeatIntervalMs')
  })
})
