import { deviceHeartbeatPath, deviceRegisterPath } from '@freehold/contracts'
import { createDriver, createFakeClock, createRandom } from '@freehold/reconcile'
import { expect, test } from 'vitest'
import { createLog } from '../log.ts'
import { createRedactor, Secret } from '../secret.ts'
import type { DeviceState } from '../state/index.ts'
import { openStateStore } from '../state/store.ts'
import { readHeartbeatAnswer, readRegisterAnswer } from './answers.ts'
import type { Asked } from './connector.ts'
import { createFakeControlPlane } from './control-plane.testing.ts'
import { createLink } from './link.ts'
import { firstPauseMs } from './rules.ts'

const minute = 60_000
const year = 365 * 24 * 60 * minute

/** Real links on a simulated clock and network, each with a wrong wall clock of its own. */
async function fleetOf(size: number, options: { seed: number; intervalMs?: number }) {
  const { seed, intervalMs = minute } = options
  const clock = createFakeClock({ startMs: Date.parse('2026-06-01T00:00:00Z') })
  const random = createRandom(seed)
  const cloud = createFakeControlPlane()
  cloud.nowMs = () => clock.now()
  const calls: { atMs: number; device: number; isAnswered: boolean }[] = []
  const sentAway = { forMs: 0 }
  const redactor = createRedactor()
  const log = createLog({ write: () => undefined, redactor, level: 'silent' })

  const deviceOf = async (index: number) => {
    const disk: { state: DeviceState | null; broken: boolean; writes: number } = {
      state: null,
      broken: false,
      writes: 0,
    }
    const file = {
      load: async () => ({ state: disk.state, problem: null }),
      save: async (state: DeviceState) => {
        if (disk.broken) throw new Error('The disk is read-only.')
        disk.writes += 1
        disk.state = state
      },
    }
    const ask = async <Value>(
      path: string,
      body: unknown,
      bearer: Secret | null,
      read: (value: unknown) => Value | null,
    ): Promise<Asked<Value>> => {
      calls.push({ atMs: clock.now(), device: index, isAnswered: !cloud.isAway })
      if (cloud.isAway) return { kind: 'failed', message: 'ECONNREFUSED' }
      if (sentAway.forMs > 0) return { kind: 'busy', retryAfterMs: sentAway.forMs, message: '429' }
      const told = cloud.answer(path, bearer?.reveal() ?? null, JSON.stringify(body))
      const answer = read(told.body)
      if (answer) return { kind: 'answered', answer }
      return { kind: told.status === 401 || told.status === 404 ? 'unknown' : 'failed', message: String(told.status) }
    }
    const anew = { isWanted: false }
    const wall = { offsetMs: (index % 2 ? 1 : -1) * year }
    const link = createLink({
      connector: {
        register: (request, bearer) => ask(deviceRegisterPath, request, bearer, readRegisterAnswer),
        heartbeat: (request, bearer) => ask(deviceHeartbeatPath, request, bearer, readHeartbeatAnswer),
      },
      store: await openStateStore({ file, nodeId: `device-${index}` }),
      joinToken: new Secret('join-token-0123456789'),
      intervalMs,
      bootId: `boot-${index}`,
      collectStatus: async () => ({}) as never,
      random,
      monotonicMs: () => clock.now(),
      wallMs: () => clock.now() + wall.offsetMs,
      redactor,
      log,
      onStorageProblem: () => undefined,
      askAnew: () => ({ isWanted: () => anew.isWanted, noteAsked: () => Object.assign(anew, { isWanted: false }) }),
    })
    const driver = createDriver({
      run: (signal) => link.beat(signal),
      clock,
      random,
      periodMs: 36 * 60 * minute,
      backoff: link.backoff,
    })
    clock.after(firstPauseMs(intervalMs, random), () => driver.start())
    return { link, driver, disk, wall, anew }
  }
  const devices = await Promise.all(Array.from({ length: size }, (_, index) => deviceOf(index)))
  const states = () => new Set(devices.map(({ link }) => link.status().state))
  return {
    clock,
    cloud,
    calls,
    sentAway,
    devices,
    states,
    stop: () => Promise.all(devices.map(({ driver }) => driver.stop())),
  }
}

const busiestSecond = (calls: { atMs: number }[]) => {
  const seconds = new Map<number, number>()
  for (const { atMs } of calls) seconds.set(Math.floor(atMs / 1000), (seconds.get(Math.floor(atMs / 1000)) ?? 0) + 1)
  return Math.max(0, ...seconds.values())
}

test('with the control plane away for an hour and clocks a year off, all are back within a minute, spread out', async () => {
  const fleet = await fleetOf(300, { seed: 7 })
  const { clock, cloud, calls, devices } = fleet
  cloud.tokenLifeMs = 30 * minute
  await clock.advance(5 * minute)
  expect(fleet.states()).toEqual(new Set(['connected']))
  const known = new Set(cloud.nodes.keys())

  cloud.isAway = true
  calls.length = 0
  // Clocks jump while nobody hears it.
  for (const { wall } of devices) wall.offsetMs = -wall.offsetMs
  await clock.advance(60 * minute)
  expect(fleet.states()).toEqual(new Set(['unreachable']))
  // No storm while it is away: about a call a minute from each, and no second takes more than a few times its share.
  expect(calls.length).toBeLessThan(300 * 60 * 2.5)
  expect(calls.length).toBeGreaterThan(300 * 60 * 0.9)
  const settledCalls = calls.filter(({ atMs }) => atMs > clock.now() - 30 * minute)
  expect(busiestSecond(settledCalls)).toBeLessThan(40)

  cloud.isAway = false
  calls.length = 0
  await clock.advance(minute + 6_000)
  expect(fleet.states()).toEqual(new Set(['connected']))
  // Registering anew, since every token had expired, and the heartbeat after it: still no crowd.
  expect(busiestSecond(calls)).toBeLessThan(60)
  expect(new Set(cloud.nodes.keys())).toEqual(known)
  await fleet.stop()
})

test('a fleet that is sent away stays away for as long as it was told, and comes back spread out, before and after it registered', async () => {
  const fleet = await fleetOf(200, { seed: 17 })
  const { clock, calls, sentAway } = fleet
  for (const isRegistered of [false, true]) {
    if (isRegistered) {
      sentAway.forMs = 0
      await clock.advance(20 * minute)
      expect(fleet.states()).toEqual(new Set(['connected']))
    }
    sentAway.forMs = 5 * minute
    await clock.advance(4 * minute)
    calls.length = 0
    await clock.advance(60 * minute)
    expect(fleet.states()).toEqual(new Set(['busy']))
    for (let device = 0; device < 200; device += 1) {
      const times = calls.filter((call) => call.device === device).map(({ atMs }) => atMs)
      const pauses = times.slice(1).map((atMs, index) => atMs - (times[index] ?? 0))
      expect(Math.min(...pauses)).toBeGreaterThanOrEqual(5 * minute)
      expect(Math.max(...pauses)).toBeLessThanOrEqual(7.5 * minute)
    }
    expect(busiestSecond(calls)).toBeLessThan(20)
  }
  await fleet.stop()
})

test('tokens are rotated before they expire, each device stores each once, and none has to register again', async () => {
  const fleet = await fleetOf(20, { seed: 3 })
  fleet.cloud.tokenLifeMs = 30 * minute
  await fleet.clock.advance(5 * 60 * minute)
  expect(fleet.states()).toEqual(new Set(['connected']))
  expect(fleet.cloud.seen.filter(({ path }) => path === deviceRegisterPath)).toHaveLength(20)
  expect(fleet.cloud.seen.every(({ outcome }) => outcome === '200' || outcome === 'accepted')).toBe(true)
  for (const { disk } of fleet.devices) {
    // About one rotation in 20 minutes, two writes each; flash wears out.
    expect(disk.writes).toBeGreaterThan(20)
    expect(disk.writes).toBeLessThan(45)
  }
  await fleet.stop()
})

test('a device whose disk cannot be written does not register; one that is registered goes on, and its token is kept', async () => {
  const fleet = await fleetOf(2, { seed: 5 })
  const [broken, breaking] = fleet.devices
  if (!broken || !breaking) throw new Error('There are two devices.')
  broken.disk.broken = true
  await fleet.clock.advance(5 * minute)
  expect([...fleet.cloud.nodes.keys()]).toEqual(['device-1'])
  breaking.disk.broken = true
  fleet.cloud.rotatesAlways = true
  await fleet.clock.advance(10 * minute)
  expect(breaking.link.status().state).toBe('connected')
  expect(fleet.cloud.nodes.get('device-1')?.tokens).toContain(breaking.disk.state?.nodeToken)
  broken.disk.broken = false
  await fleet.clock.advance(5 * minute)
  expect(broken.link.status().state).toBe('connected')
  await fleet.stop()
})

test('the server slows the fleet down and lets it go back to its own interval', async () => {
  const fleet = await fleetOf(50, { seed: 11 })
  await fleet.clock.advance(3 * minute)
  fleet.cloud.intervalMs = 10 * minute
  await fleet.clock.advance(2 * minute)
  fleet.calls.length = 0
  await fleet.clock.advance(60 * minute)
  expect(fleet.calls.length).toBeGreaterThan(50 * 5)
  expect(fleet.calls.length).toBeLessThan(50 * 8)
  expect(fleet.cloud.seen.at(-1)?.body.intervalMs).toBe(10 * minute)
  fleet.cloud.intervalMs = null
  await fleet.clock.advance(12 * minute)
  expect(new Set(fleet.devices.map(({ link }) => link.status().intervalMs))).toEqual(new Set([minute]))
  await fleet.stop()
})

test('a control plane that forgot its nodes has them back, known by their join token', async () => {
  const fleet = await fleetOf(30, { seed: 13 })
  await fleet.clock.advance(3 * minute)
  fleet.cloud.nodes.clear()
  fleet.calls.length = 0
  await fleet.clock.advance(3 * minute)
  expect(fleet.cloud.nodes.size).toBe(30)
  expect(fleet.states()).toEqual(new Set(['connected']))
  await fleet.stop()
})

test('a device asks for all of its desired state again without forgetting what it holds, once for each answer', async () => {
  const { clock, cloud, devices, stop } = await fleetOf(1, { seed: 3 })
  const [device] = devices
  if (!device) throw new Error('There is no device.')
  cloud.desired = { generation: 4, assignment: 'first' }
  await clock.advance(2 * minute)
  cloud.desired = { generation: 4, assignment: 'second' }
  await clock.advance(5 * minute)
  expect(device.disk.state?.desiredState).toMatchObject({ assignment: 'first' })
  cloud.isAway = true
  device.anew.isWanted = true
  await clock.advance(5 * minute)
  expect([device.anew.isWanted, device.disk.state?.generation]).toEqual([true, 4])
  cloud.isAway = false
  cloud.seen.length = 0
  await clock.advance(10 * minute)
  expect(device.disk.state).toMatchObject({ generation: 4, desiredState: { assignment: 'second' } })
  expect(cloud.seen.map(({ body }) => body.generation).filter((generation) => generation === 0)).toHaveLength(1)
  await stop()
})
