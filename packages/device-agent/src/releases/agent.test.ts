import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { canonicalSignedJson } from '@freehold/contracts/lean'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { BaseRunner } from '../base-runner.ts'
import { type FakeControlPlane, startFakeControlPlane } from '../control-plane/control-plane.testing.ts'
import { type FakeSupervisor, startFakeSupervisor } from '../supervisor/supervisor.testing.ts'
import {
  signAssignment,
  startRepository,
  type TestRepository,
  testAssignment,
  testManifest,
  testReleaseId,
} from '../updates/repository.testing.ts'
import { createFakeDriver, createFakeMachine } from './plan.testing.ts'

/** The whole agent: heartbeats, the process that verifies, the state file, and a driver in memory. */
let directory: string
let cloud: FakeControlPlane
let supervisor: FakeSupervisor
let repository: TestRepository
const machine = createFakeMachine()
const runners: BaseRunner[] = []

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'freehold-device-releases-'))
  cloud = await startFakeControlPlane()
  supervisor = await startFakeSupervisor({ lockDirectory: join(directory, 'balena') })
  repository = await startRepository({ nowMs: Date.now() })
  repository.publish({ 'releases/kiosk/1.4.0/manifest.json': canonicalSignedJson(testManifest()) })
  cloud.updates = repository.files
  Object.assign(machine, createFakeMachine())
})
afterEach(async () => {
  for (const runner of runners.splice(0)) await runner.stop()
  await Promise.all([cloud.stop(), supervisor.stop(), repository.stop()])
  await rm(directory, { recursive: true, force: true })
})

async function start(): Promise<BaseRunner> {
  const environment = {
    BASEOS_CLOUDLY_URL: cloud.url.href,
    BASEOS_JOIN_TOKEN: 'join-token-0123456789',
    BASEOS_NODE_ID: 'kiosk-7',
    BASEOS_HEARTBEAT_INTERVAL_MS: '1000',
    BASEOS_STATE_PATH: join(directory, 'state.json'),
    BASEOS_LOCK_DIR: join(directory, 'balena'),
    BALENA_SUPERVISOR_ADDRESS: supervisor.url.href,
    BALENA_SUPERVISOR_API_KEY: supervisor.key,
  }
  const releaseDrivers = { app: createFakeDriver(machine), host: null }
  const runner = BaseRunner.fromEnv(environment, { writeLog: () => undefined, releaseDrivers })
  runners.push(runner)
  await runner.start()
  return runner
}
const assign = (generation: number, change: Parameters<typeof testAssignment>[1] = {}) => {
  const { app } = testAssignment(Date.now())
  const assignment = testAssignment(Date.now(), { app: app && { ...app, soakSeconds: 1 }, ...change })
  cloud.desired = { generation, assignment: signAssignment(assignment, [repository.assignmentKey]) }
}
const reported = () => cloud.nodes.get('kiosk-7')?.lastStatus as { releases?: unknown; actions?: unknown } | undefined

test('from the heartbeat that brings an assignment to the one that reports success, and over a restart', async () => {
  assign(1)
  const runner = await start()
  await expect
    .poll(() => reported()?.releases)
    .toMatchObject({
      app: { releaseId: testReleaseId, version: '1.4.0', attempt: 1, state: 'succeeded', running: testReleaseId },
      host: null,
      refusal: null,
      trusted: { root: 1, timestamp: 2, snapshot: 2, targets: 2 },
    })
  expect(machine.calls).toEqual([`download ${testReleaseId}`, `apply ${testReleaseId}`, `commit ${testReleaseId}`])
  await runner.stop()
  await start()
  const heartbeats = cloud.nodes.get('kiosk-7')?.heartbeats ?? 0
  await expect.poll(() => cloud.nodes.get('kiosk-7')?.heartbeats).toBeGreaterThan(heartbeats + 1)
  expect(reported()?.releases).toMatchObject({ app: { state: 'succeeded' } })
  expect(machine.calls).toHaveLength(3)
  // An older agent reads the same file: what it needs is where it was.
  const stored = JSON.parse(await readFile(join(directory, 'state.json'), 'utf8'))
  expect(stored).toMatchObject({ nodeId: 'kiosk-7', generation: 1, releases: { app: { phase: 'succeeded' } } })
})

test('an assignment for another device is refused and reported, and the next right one is taken', async () => {
  assign(1, { nodeId: 'kiosk-8' })
  await start()
  await expect.poll(() => reported()?.releases).toMatchObject({ app: null, refusal: { code: 'other-device' } })
  expect(machine.calls).toEqual([])
  assign(2)
  await expect.poll(() => reported()?.releases).toMatchObject({ app: { state: 'succeeded' }, refusal: null })
})

test('an update and a reboot that operators asked for are carried out once and reported', async () => {
  const expiresAt = new Date(Date.now() + 60 * 60_000).toISOString()
  const update = { id: '01890a5d-ac96-774b-bcce-b302099a8001', kind: 'update', force: false, expiresAt } as const
  const reboot = { id: '01890a5d-ac96-774b-bcce-b302099a8002', kind: 'reboot', force: true, expiresAt } as const
  assign(1, { app: null, actions: [update, reboot] })
  await start()
  await expect
    .poll(() => reported()?.actions)
    .toMatchObject([
      { id: update.id, outcome: 'done' },
      { id: reboot.id, outcome: expect.stringMatching(/done|locked/) },
    ])
  assign(2, { app: null, actions: [update, reboot] })
  const heartbeats = cloud.nodes.get('kiosk-7')?.heartbeats ?? 0
  await expect.poll(() => cloud.nodes.get('kiosk-7')?.heartbeats).toBeGreaterThan(heartbeats + 3)
  expect(reported()?.actions).toHaveLength(2)
  const asked = supervisor.seen.map(({ call }) => call).filter((call) => /reboot|update/.test(call))
  expect(asked).toEqual(['POST /v1/update', 'POST /v1/reboot'])
})
