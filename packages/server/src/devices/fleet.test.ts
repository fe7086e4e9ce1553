import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  type Device,
  deviceCredentialKind,
  deviceKind,
  deviceRegisterRequestSchema,
  FreeholdError,
  joinTokenKind,
  kinds,
} from '@freehold/contracts'
import { openSqliteStore, type Store } from '@freehold/store'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { createFeed } from '../changes/index.ts'
import { Secret } from '../secrets/index.ts'
import { createRuntimeSettings } from '../settings/index.ts'
import { createDesiredKeeper } from './desired.ts'
import { createHeartbeats } from './heartbeat.ts'
import { createJoinTokenHandlers } from './join-tokens.ts'
import { createKeeper, type DeviceFacts, snapshotOf } from './keeper.ts'
import { nodeTokenLifeMs } from './kind.ts'
import { createPresence } from './presence.ts'
import { createRegister } from './register.ts'
import { createStatusWriter } from './status-writer.ts'
import { createFollower, createWatcher } from './watcher.ts'

const actor = { type: 'user', id: 'ada', name: 'ada' } as const
const minuteMs = 60_000
const noBasis = { groupId: null, appReleaseId: null, hostReleaseId: null, appRolloutId: null, hostRolloutId: null }
let directory: string
let store: Store
let nowMs = Date.parse('2026-03-01T00:00:00Z')
const now = () => nowMs

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'freehold-devices-'))
  store = await openSqliteStore({ directory, kinds: Object.values(kinds), now })
})
afterEach(async () => {
  await store.close()
  await rm(directory, { recursive: true, force: true })
})

/** The parts of one control plane on the store, driven by hand. */
function controlPlane(options: { heartbeatsPerSecond?: number; whileComputing?: () => Promise<void> } = {}) {
  const desired = createDesiredKeeper({
    releases: {
      desiredFor: async () => {
        await options.whileComputing?.()
        return { app: null, host: null, basis: noBasis }
      },
    },
    sign: async (signed) => ({ signed, signatures: [] }),
    now,
    onProblem: (error) => {
      throw error
    },
  })
  const presence = createPresence({ now, desired })
  const statuses = createStatusWriter({ store, snapshot: (id) => snapshotOf(presence, presence.get(id)) })
  const heartbeats = createHeartbeats({ store, presence, statuses, desired, now, ...options })
  const keeper = createKeeper({ store, presence, now })
  const watcher = createWatcher({ store, presence, statuses, keeper, now })
  const follower = createFollower({
    store,
    presence,
    onError: (error) => {
      throw error
    },
  })
  const settings = createRuntimeSettings({ store, key: new Secret(Buffer.alloc(32)) })
  const register = createRegister({ store, settings, now })
  return { presence, statuses, heartbeats, keeper, watcher, follower, register }
}
type ControlPlane = ReturnType<typeof controlPlane>

async function makeJoinToken(uses: number | null = null): Promise<string> {
  const handlers = createJoinTokenHandlers({ store, publicUrl: () => 'http://localhost', now })
  const data = { name: `t${Math.random().toString(36).slice(2, 10)}`, uses, expiresInSeconds: 3600, deviceLabels: {} }
  const input = { body: { data }, caller: { actor, identity: null } }
  const made = (await handlers.create(input as never)) as { joinToken: string }
  return made.joinToken
}

const registration = (nodeId: string) =>
  deviceRegisterRequestSchema.parse({ nodeId, deviceSecret: `secret-of-${nodeId}` })

/** Enrols so many devices and hears each once. */
async function fleet(plane: ControlPlane, size: number): Promise<{ nodeId: string; token: string }[]> {
  const joinToken = await makeJoinToken()
  const devices: { nodeId: string; token: string }[] = []
  for (let index = 0; index < size; index += 1) {
    const nodeId = `device-${index}`
    const { answer } = await plane.register(registration(nodeId), { bearer: joinToken, address: '::1' })
    if (answer.state !== 'accepted') throw new Error(JSON.stringify(answer))
    devices.push({ nodeId, token: answer.nodeToken })
  }
  await hear(plane, devices)
  while (await plane.statuses.write());
  return devices
}

async function hear(plane: ControlPlane, devices: readonly { nodeId: string; token: string }[], body: object = {}) {
  const answers: string[] = []
  for (const { nodeId, token } of devices) {
    answers.push(await plane.heartbeats.answer(token, Buffer.from(JSON.stringify({ nodeId, ...body }))))
  }
  return answers.map((answer) => JSON.parse(answer) as Record<string, unknown>)
}

/** Lets time pass as the process would: a look every five seconds, whoever is heard once a minute. */
async function pass(plane: ControlPlane, forMs: number, heard: readonly { nodeId: string; token: string }[] = []) {
  const endMs = nowMs + forMs
  let nextMs = nowMs + minuteMs
  while (nowMs < endMs) {
    nowMs += 5_000
    if (nowMs >= nextMs) {
      await hear(plane, heard)
      nextMs += minuteMs
    }
    await plane.watcher.look()
    await plane.statuses.write()
    await plane.keeper.write()
  }
}

const states = async () => {
  const counts: Record<string, number> = {}
  for (const { status } of await store.all(deviceKind)) counts[status.state] = (counts[status.state] ?? 0) + 1
  return counts
}

describe('who falls silent', () => {
  it('is offline after three of its intervals, and online with its next heartbeat: one event each', async () => {
    const plane = controlPlane()
    const devices = await fleet(plane, 3)
    const [gone, ...others] = devices
    if (gone === undefined) throw new Error('There is no device.')
    await pass(plane, 10 * minuteMs, others)
    expect(await states()).toEqual({ online: 2, offline: 1 })
    const before = await store.version()
    await pass(plane, 10 * minuteMs, others)
    expect(await store.version()).toBe(before)
    await hear(plane, [gone])
    await plane.statuses.write()
    expect(await states()).toEqual({ online: 3 })
    const device = await store.find(deviceKind, 'nodeId', gone.nodeId)
    const events = await store.audit({ kind: 'device', id: device?.id ?? '' })
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

  it('is told to who follows the changes, as are updates that fail and succeed: what alerts hang on', async () => {
    const plane = controlPlane()
    const [device] = await fleet(plane, 1)
    if (device === undefined) throw new Error('There is no device.')
    const feed = await createFeed({ store, onError: () => undefined })
    const stop = new AbortController()
    const changes = await feed.watch({ since: undefined, kinds: ['device'], signal: stop.signal })
    const releaseId = '01900000-0000-7000-8000-00000000000a'
    const say = async (state: string, message: string | null) => {
      const app = { releaseId, version: '2.0.0', attempt: 1, state, message, running: null }
      await hear(plane, [device], { status: { releases: { app, host: null, refusal: null } } })
      while (await plane.statuses.write());
    }
    await pass(plane, 10 * minuteMs)
    await hear(plane, [device])
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
    const id = (await store.find(deviceKind, 'nodeId', device.nodeId))?.id ?? ''
    const audit = await store.audit({ kind: 'device', id, limit: 4 })
    expect(audit.map(({ after }) => (after as Device).status.updateFailure?.version ?? null)).toEqual([
      null,
      '2.0.0',
      null,
      null,
    ])
    stop.abort()
    await feed.close()
  })

  it('is not judged by a process that just started: a restart writes nothing for those who come back', async () => {
    const first = controlPlane()
    const devices = await fleet(first, 30)
    const [gone, ...others] = devices
    await first.keeper.finish()
    nowMs += 60 * minuteMs
    const before = await store.version()
    const second = controlPlane()
    await pass(second, 2 * minuteMs, others)
    expect(await store.version()).toBe(before)
    await pass(second, 30 * minuteMs, others)
    expect(await states()).toEqual({ online: 29, offline: 1 })
    expect((await store.find(deviceKind, 'nodeId', gone?.nodeId ?? ''))?.status.state).toBe('offline')
    expect(await store.version()).toBe(before + 1)
  })

  it('is not judged when nobody at all is heard: then it is us who are cut off', async () => {
    const plane = controlPlane()
    const devices = await fleet(plane, 30)
    await pass(plane, minuteMs, devices)
    const before = await store.version()
    await pass(plane, 60 * minuteMs)
    await pass(plane, 3 * minuteMs, devices)
    expect(await store.version()).toBe(before)
    expect(await states()).toEqual({ online: 30 })
  })
})

describe('two devices under one identity', () => {
  const cloneOf = async (plane: ControlPlane, nodeId: string) => {
    while (await plane.statuses.write());
    return (await store.find(deviceKind, 'nodeId', nodeId))?.status.clone
  }

  it('are said to be two once they have taken turns for longer than a request may be under way', async () => {
    const plane = controlPlane()
    const devices = await fleet(plane, 1)
    for (let sequence = 0; sequence < 40; sequence += 1) {
      for (const bootId of ['a', 'b']) await hear(plane, devices, { bootId, sequence })
      nowMs += minuteMs
    }
    expect(await cloneOf(plane, 'device-0')).toMatchObject({ message: expect.stringContaining('take turns') })
  })

  it('are not what a device is that lost power while several of its requests were held up', async () => {
    const plane = controlPlane()
    const devices = await fleet(plane, 1)
    await hear(plane, devices, { bootId: 'a', sequence: 1 })
    await hear(plane, devices, { bootId: 'b', sequence: 1 })
    for (const sequence of [2, 3, 4, 5]) {
      nowMs += 5 * minuteMs
      await hear(plane, devices, { bootId: 'a', sequence })
      await hear(plane, devices, { bootId: 'b', sequence })
    }
    expect(await cloneOf(plane, 'device-0')).toBeNull()
  })
})

describe('what heartbeats write', () => {
  it('is nothing in the log, and reports and history once a quarter of an hour', async () => {
    const plane = controlPlane()
    nowMs = Date.parse('2026-03-02T00:00:00Z')
    const [device] = await fleet(plane, 1)
    if (device === undefined) throw new Error('There is no device.')
    const before = await store.version()
    await pass(plane, 45 * minuteMs, [device])
    expect(await store.version()).toBe(before)
    const stored = await store.find(deviceKind, 'nodeId', device.nodeId)
    const facts = (await store.facts.get(deviceKind, stored?.id ?? '')) as DeviceFacts
    expect(facts.report?.at.startsWith('2026-03-02T00:')).toBe(true)
    expect(facts.history).toHaveLength(2880)
  })

  it('is told to a fleet that is too large: speak less often', async () => {
    const plane = controlPlane({ heartbeatsPerSecond: 0.1 })
    const devices = await fleet(plane, 10)
    const [answer] = await hear(plane, devices)
    expect(answer).toMatchObject({ heartbeatIntervalMs: 100_000 })
    expect((await hear(plane, devices, { intervalMs: 100_000 }))[0]).toMatchObject({ heartbeatIntervalMs: 100_000 })
    expect((await hear(plane, devices, { intervalMs: 200_000 }))[0]).not.toHaveProperty('heartbeatIntervalMs')
  })
})

describe('tokens and time', () => {
  it('a join token that expired lets nobody in, and the log of changes says so', async () => {
    const plane = controlPlane()
    const joinToken = await makeJoinToken()
    nowMs += 3600_000
    const { status, answer } = await plane.register(registration('late'), { bearer: joinToken, address: '::1' })
    expect([status, answer]).toMatchObject([403, { reason: 'join-token-expired' }])
    const [token] = await store.all(joinTokenKind)
    expect(token?.status.lastRefusal).toMatchObject({ reason: 'join-token-expired', nodeId: 'late' })
  })

  it('refusals without end do not fill the log', async () => {
    const plane = controlPlane()
    const joinToken = await makeJoinToken()
    nowMs += 3600_000
    const before = await store.version()
    for (let index = 0; index < 300; index += 1) {
      await plane.register(registration(`node-${index}`), { bearer: joinToken, address: '::1' })
    }
    expect((await store.version()) - before).toBe(120)
  })

  it('a node token is replaced before it ends, and proves the device even when it has', async () => {
    const plane = controlPlane()
    const [device] = await fleet(plane, 1)
    if (device === undefined) throw new Error('There is no device.')
    nowMs += 0.7 * nodeTokenLifeMs
    const [answer] = await hear(plane, [device])
    expect(answer?.nodeToken).toMatch(/^fhn_/)
    nowMs += 0.4 * nodeTokenLifeMs
    await expect(hear(plane, [device])).rejects.toMatchObject({ code: 'token-expired' })
    const request = deviceRegisterRequestSchema.parse({ nodeId: device.nodeId })
    const again = await plane.register(request, { bearer: device.token, address: '::1' })
    expect(again.answer.state).toBe('accepted')
    const kept = await store.all(deviceCredentialKind)
    expect(kept.filter(({ data }) => data.purpose === 'token')).toHaveLength(2)
  })

  it('what another process changes about a device holds here too', async () => {
    const plane = controlPlane()
    const [device] = await fleet(plane, 1)
    if (device === undefined) throw new Error('There is no device.')
    plane.follower.wake()
    await plane.follower.settled()
    const stored = await store.find(deviceKind, 'nodeId', device.nodeId)
    if (stored === undefined) throw new Error('The device is not stored.')
    await store.transaction(actor, (t) =>
      t.update(deviceKind, stored.id, { data: { ...stored.data, access: 'revoked' } }),
    )
    plane.follower.wake()
    await plane.follower.settled()
    await expect(hear(plane, [device])).rejects.toSatisfy(
      (error) => error instanceof FreeholdError && error.code === 'forbidden',
    )
  })

  it('that is revoked while it is looked up is refused from its next heartbeat on', async () => {
    const [device] = await fleet(controlPlane(), 1)
    if (device === undefined) throw new Error('There is no device.')
    let isRevoked = false
    const plane = controlPlane({
      async whileComputing() {
        if (isRevoked) return
        isRevoked = true
        const stored = await store.find(deviceKind, 'nodeId', device.nodeId)
        if (stored === undefined) throw new Error('The device is not stored.')
        await store.transaction(actor, (t) =>
          t.update(deviceKind, stored.id, { data: { ...stored.data, access: 'revoked' } }),
        )
        plane.presence.distrust(stored.id)
      },
    })
    await hear(plane, [device])
    expect(isRevoked).toBe(true)
    await expect(hear(plane, [device])).rejects.toSatisfy(
      (error) => error instanceof FreeholdError && error.code === 'forbidden',
    )
  })
})
