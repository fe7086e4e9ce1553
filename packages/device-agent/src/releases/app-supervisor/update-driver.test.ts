import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { systemClock } from '@freehold/reconcile'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { createLog } from '../../log.ts'
import { createRedactor, Secret } from '../../secret.ts'
import { SupervisorClient } from '../../supervisor/client.ts'
import { type FakeSupervisor, startFakeSupervisor } from '../../supervisor/supervisor.testing.ts'
import { createUpdater } from '../../supervisor/updater.ts'
import { DriverLocked, type ReleaseDriver } from '../driver.ts'
import { openMemoryFile } from './memory.ts'
import { commitLabel, createUpdateDriver } from './update-driver.ts'
import { manifestOf } from './world.testing.ts'

let folder: string
let supervisor: FakeSupervisor
let driver: ReleaseDriver
let stop: () => Promise<void>
const signal = AbortSignal.timeout(60_000)
const known = manifestOf({ id: 1, services: [{ name: 'main', digit: '1', labels: { [commitLabel]: 'bbbb' } }] })

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'freehold-update-'))
  supervisor = await startFakeSupervisor({ lockDirectory: folder })
  const client = new SupervisorClient({ address: supervisor.url, key: new Secret(supervisor.key) })
  const updater = createUpdater({
    client,
    clock: systemClock,
    monotonicMs: () => performance.now(),
    log: createLog({ write: () => undefined, redactor: createRedactor(), level: 'silent' }),
    remember: async () => undefined,
    limits: { idleMs: 20, stuckMs: 20, totalMs: 60_000 },
    lookEveryMs: { first: 5, later: 5 },
  })
  stop = () => updater.stop()
  driver = createUpdateDriver({ client, updater, memory: openMemoryFile(join(folder, 'apps.json')) })
})
afterEach(async () => {
  await stop()
  await supervisor.stop()
  await rm(folder, { recursive: true, force: true })
})

test('a release whose commit at the other owner is not known is not supported, and nothing is asked', async () => {
  expect(await driver.unsupported(manifestOf({ id: 1 }), signal)).toContain(commitLabel)
  const labels = (commit: string) => ({ [commitLabel]: commit })
  const services = ['aaaa', 'bbbb'].map((commit, index) => ({
    name: commit,
    digit: `${index}`,
    labels: labels(commit),
  }))
  expect(await driver.unsupported(manifestOf({ id: 1, services }), signal)).toContain('several')
  expect(await driver.unsupported(known, signal)).toBeNull()
  expect(supervisor.seen).toEqual([])
})

test('the update that becomes the expected commit is the release', async () => {
  supervisor.target = 'bbbb'
  expect(await driver.running(signal)).toBeNull()
  expect(await driver.apply(known, { force: false, signal })).toBe('applied')
  expect(await driver.running(signal)).toBe(known.releaseId)
  expect(await driver.health(known, signal)).toEqual({ isHealthy: true, message: 'All run.', log: '' })
  await driver.commit(known, signal)
  supervisor.commit = 'cccc'
  expect(await driver.running(signal)).toBeNull()
  expect(await driver.health(known, signal)).toMatchObject({ isHealthy: false, message: 'cccc runs, not bbbb.' })
})

test.each([
  ['cccc', 'brought cccc'],
  ['aaaa', 'had nothing newer'],
])('an update that becomes %s is said: %s', async (target, sentence) => {
  supervisor.target = target
  await expect(driver.apply(known, { force: false, signal })).rejects.toThrow(sentence)
  expect(await driver.running(signal)).toBeNull()
})

test('the one that was there already is the release without anything new', async () => {
  Object.assign(supervisor, { commit: 'bbbb', target: 'bbbb' })
  expect(await driver.apply(known, { force: false, signal })).toBe('applied')
})

test('a lock is waited for', async () => {
  supervisor.target = 'bbbb'
  await writeFile(join(folder, 'updates.lock'), '')
  await expect(driver.apply(known, { force: false, signal })).rejects.toBeInstanceOf(DriverLocked)
})

test('a failure is said', async () => {
  Object.assign(supervisor, { target: 'bbbb', failsDownload: true })
  await expect(driver.apply(known, { force: false, signal })).rejects.toThrow('failed')
})

test('a device that ignores updates is said, and there is no way back', async () => {
  supervisor.isPassive = true
  await expect(driver.apply(known, { force: false, signal })).rejects.toThrow('Instant updates are off')
  await expect(driver.rollBack(signal)).rejects.toThrow('only by who owns')
})
