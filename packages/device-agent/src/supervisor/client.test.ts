import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { inspect } from 'node:util'
import { deviceStatusSchema } from '@freehold/contracts'
import { systemClock } from '@freehold/reconcile'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { createLog } from '../log.ts'
import { boundedStatus } from '../machine.ts'
import { createRedactor, Secret } from '../secret.ts'
import { SupervisorClient, SupervisorError } from './client.ts'
import { createSupervisorReader } from './reader.ts'
import { type FakeSupervisor, startFakeSupervisor } from './supervisor.testing.ts'
import type { PendingUpdate } from './update.ts'
import { createUpdater } from './updater.ts'

let directory: string
let supervisor: FakeSupervisor

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'freehold-supervisor-'))
  supervisor = await startFakeSupervisor({ lockDirectory: directory })
})
afterEach(async () => {
  await supervisor.stop()
  await rm(directory, { recursive: true, force: true })
})

const clientOf = (options: { key?: string | null; timeLimitMs?: number } = {}) => {
  const { key = supervisor.key, timeLimitMs = 10_000 } = options
  return new SupervisorClient({ address: supervisor.url, key: key === null ? null : new Secret(key), timeLimitMs })
}
const failureOf = async (asked: Promise<unknown>): Promise<SupervisorError> => {
  const error = await asked.then(
    () => undefined,
    (reason: unknown) => reason,
  )
  if (error instanceof SupervisorError) return error
  throw new Error(`It did not fail as it should: ${String(error)}`)
}

test('reads device, applications and version, with the key in a header and never in an address', async () => {
  const client = clientOf()
  expect(await client.ping()).toBe(true)
  expect(await client.device()).toMatchObject({ osVersion: 'balenaOS 6.1.2', commit: 'aaaa', updatePending: false })
  expect(await client.apps()).toMatchObject({ state: 'applied', containers: [{ serviceName: 'main' }] })
  expect(await client.version()).toBe('19.0.5')
  expect(supervisor.seen.every(({ call }) => !call.includes('apikey'))).toBe(true)
  expect(supervisor.seen.at(-1)?.authorization).toBe(`Bearer ${supervisor.key}`)
})

test('only where the header is refused the key goes into the address, and stays there', async () => {
  supervisor.refusesHeader = true
  const client = clientOf()
  await client.device()
  await client.version()
  expect(supervisor.seen.map(({ call }) => call.includes('apikey='))).toEqual([false, true, true])
})

test('a wrong key is tried in both forms once, then in the header alone, and is never part of what is said', async () => {
  const key = 'wrongkey0123456789'
  const client = clientOf({ key })
  for (let time = 0; time < 3; time++) {
    const error = await failureOf(client.device())
    expect(error.reason).toBe('unauthorized')
    expect(inspect(error, { depth: 9, showHidden: true })).not.toContain(key)
  }
  expect(supervisor.seen.filter(({ call }) => call.includes('apikey='))).toHaveLength(1)
  expect(inspect(client, { depth: 9, showHidden: true }) + JSON.stringify(client)).not.toContain(key)
})

test('a Supervisor that repeats the key in its error does not get it into ours', async () => {
  supervisor.next.push({ status: 500, body: `bad key ${supervisor.key}` })
  const error = await failureOf(clientOf().device())
  expect(error.message).toContain('bad key [redacted]')
})

test.each([
  [
    423,
    '{"Data":"","Error":"Locks for app 1 are being held by another supervisor operation"}',
    'locked',
    'Locks for app 1',
  ],
  [423, 'Lockfile exists for { appId: 1, service: main }', 'locked', 'Lockfile exists'],
  [503, '{"status":"failed","message":"Supervisor is starting"}', 'failed', 'Supervisor is starting'],
  [200, 'not json', 'failed', 'without JSON'],
])('an answer %i %s is understood', async (status, body, reason, sentence) => {
  supervisor.next.push({ status, body })
  expect(await failureOf(clientOf().device())).toMatchObject({ reason, message: expect.stringContaining(sentence) })
})

test('an answer too large, none in time, and none at all are "unavailable"', async () => {
  supervisor.next.push({ status: 200, body: `"${'x'.repeat(1_100_000)}"` })
  expect(await failureOf(clientOf().device())).toMatchObject({ reason: 'unavailable' })
  supervisor.isEngineStuck = true
  expect(await failureOf(clientOf({ timeLimitMs: 100 }).apps())).toMatchObject({ reason: 'unavailable' })
  supervisor.isAway = true
  expect(await clientOf().ping()).toBe(false)
  expect(await failureOf(clientOf().device())).toMatchObject({ reason: 'unavailable' })
})

test('a reboot begins, or says what holds it up', async () => {
  await clientOf().reboot({ force: false })
  await writeFile(join(directory, 'updates.lock'), '')
  expect(await failureOf(clientOf().reboot({ force: false }))).toMatchObject({
    reason: 'locked',
    message: 'Lockfile exists for { appId: 1, service: main }',
  })
  await clientOf().reboot({ force: true })
})

test('a picture tells a wrong key, a slow engine, an absent Supervisor and none at all apart', async () => {
  const pictureOf = (client: SupervisorClient | null) =>
    createSupervisorReader({ client, monotonicMs: () => performance.now() }).read()
  expect(await pictureOf(null)).toMatchObject({ supervisor: { state: 'not-configured', problem: null } })
  expect(await pictureOf(clientOf())).toMatchObject({
    supervisor: { state: 'available', version: '19.0.5', problem: null },
  })
  expect(await pictureOf(clientOf({ key: 'wrongkey0123456789' }))).toMatchObject({
    supervisor: { state: 'unauthorized' },
  })
  supervisor.isEngineStuck = true
  expect(await pictureOf(clientOf({ timeLimitMs: 300 }))).toMatchObject({
    supervisor: { state: 'available', problem: expect.stringContaining('300 ms') },
    device: { commit: 'aaaa' },
    apps: null,
  })
  supervisor.isAway = true
  expect(await pictureOf(clientOf())).toMatchObject({ supervisor: { state: 'unavailable' }, device: null })
})

test('a picture costs two calls, and three where the version is not known; /ping is asked where nothing answers', async () => {
  const reader = createSupervisorReader({ client: clientOf(), monotonicMs: () => 0 })
  const calls = async () => {
    supervisor.seen.length = 0
    await reader.read()
    return supervisor.seen.map(({ call }) => call).sort()
  }
  expect(await calls()).toEqual(['GET /v1/device', 'GET /v2/state/status', 'GET /v2/version'])
  expect(await calls()).toEqual(['GET /v1/device', 'GET /v2/state/status'])
  // A container that ended shows in one of them alone, a lock in the other.
  supervisor.isAway = true
  const away = await reader.read()
  expect(away.supervisor).toMatchObject({ state: 'unavailable', problem: 'The Supervisor does not answer /ping.' })
})

test('however much a Supervisor tells, a status stays within what the control plane takes', async () => {
  const huge = (character: string) => character.repeat(1_000)
  const many = Array.from({ length: 40 }, () => ({ name: huge('ä'), serviceName: huge('語'), status: huge('x') }))
  const device = {
    os_version: huge('o'),
    commit: huge('c'),
    ip_address: 7,
    update_failed: 'yes',
    download_progress: '1',
  }
  supervisor.next.push({ status: 200, body: JSON.stringify(device) })
  const told = await clientOf().device()
  expect(told).toMatchObject({ ipAddress: null, updateFailed: null, downloadProgress: null })
  const apps = { appState: {}, containers: many.slice(0, 5), images: many.slice(0, 35) }
  supervisor.next.push({ status: 200, body: JSON.stringify(apps) })
  const status = deviceStatusSchema.parse({ device: told, apps: await clientOf().apps() })
  expect(status.apps?.images).toHaveLength(32)
  expect(boundedStatus(status)).toMatchObject({ apps: null, problems: [expect.stringContaining('too large')] })
  expect(boundedStatus({ ...status, apps: null }).problems).toEqual([])
})

const updaterOf = (remembered: (PendingUpdate | null)[] = []) =>
  createUpdater({
    client: clientOf(),
    clock: systemClock,
    monotonicMs: () => performance.now(),
    log: createLog({ write: () => undefined, redactor: createRedactor(), level: 'silent' }),
    remember: async (pending) => void remembered.push(pending),
    limits: { idleMs: 20, stuckMs: 20, totalMs: 60_000 },
    lookEveryMs: { first: 10, later: 10 },
  })

test('204 with a newer release: watched until it is applied, and remembered until then', async () => {
  supervisor.target = 'bbbb'
  const remembered: (PendingUpdate | null)[] = []
  const updater = updaterOf(remembered)
  expect(await updater.request({ force: false, requestedBy: 'command' })).toMatchObject({ outcome: 'requested' })
  expect(await updater.settled(AbortSignal.timeout(20_000))).toMatchObject({
    outcome: 'applied',
    commitBefore: 'aaaa',
    commitAfter: 'bbbb',
  })
  expect(remembered).toMatchObject([{ commitBefore: 'aaaa' }, null])
})

test('204 although locked: said to be locked, and applied after the lock is gone', async () => {
  supervisor.target = 'bbbb'
  await writeFile(join(directory, 'updates.lock'), '')
  const updater = updaterOf()
  await updater.request({ force: false, requestedBy: 'command' })
  expect(await updater.settled(AbortSignal.timeout(20_000))).toMatchObject({ outcome: 'locked', commitAfter: null })
  await rm(join(directory, 'updates.lock'))
  await expect.poll(() => updater.status()?.outcome, { timeout: 20_000 }).toBe('applied')
})

test('204 with nothing newer, a download that fails, instant updates that are off', async () => {
  const updater = updaterOf()
  await updater.request({ force: false, requestedBy: 'command' })
  expect(await updater.settled(AbortSignal.timeout(20_000))).toMatchObject({ outcome: 'nothing-new' })
  supervisor.target = 'bbbb'
  supervisor.failsDownload = true
  await updater.request({ force: false, requestedBy: 'command' })
  await expect.poll(() => updater.status()?.outcome, { timeout: 20_000 }).toBe('failed')
  supervisor.isPassive = true
  expect(await updater.request({ force: false, requestedBy: 'command' })).toMatchObject({ outcome: 'ignored' })
  await updater.stop()
})

test('an update that was asked for before a restart is gone on with', async () => {
  supervisor.target = 'bbbb'
  const first = updaterOf()
  await first.request({ force: false, requestedBy: 'local-api' })
  await first.stop()
  const second = updaterOf()
  second.resume({ id: 'u1', requestedBy: 'local-api', commitBefore: 'aaaa' })
  expect(await second.settled(AbortSignal.timeout(20_000))).toMatchObject({ id: 'u1', outcome: 'applied' })
})
