import { rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type Client, createClient } from '@freehold/client'
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import {
  type FakeSupervisor,
  startFakeSupervisor,
} from '../../packages/device-agent/src/supervisor/supervisor.testing.ts'
import {
  type Freehold,
  labAdministrator,
  type Service,
  startFreehold,
  startService,
  type TemporaryFolder,
  temporaryFolder,
  waitFor,
} from './lab/index.ts'

/**
 * What operators see of a device and its Supervisor: the real agent, the real control plane, and a Supervisor that is
 * played as it was measured. Each test is a device that enrols anew.
 */
let freehold: Freehold
let client: Client
let folder: TemporaryFolder
let supervisor: FakeSupervisor
let agent: Service | undefined
let nodeId = ''
let devices = 0

beforeAll(async () => {
  freehold = await startFreehold()
  const { token } = await createClient({ url: freehold.url }).auth.login({ body: labAdministrator() })
  client = createClient({ url: freehold.url, token })
})
afterAll(async () => {
  await freehold?.stop()
})
beforeEach(async () => {
  devices += 1
  nodeId = `device-${devices}`
  folder = await temporaryFolder('device-supervisor')
  supervisor = await startFakeSupervisor({ lockDirectory: folder.path })
})
afterEach(async () => {
  await agent?.stop()
  agent = undefined
  await supervisor.stop()
  await folder.remove()
})

test('the Supervisor is reported as it is: available, slow, away, found again, and with a key that it refuses', async () => {
  await startAgent()
  await reports({
    supervisor: { state: 'available', version: '19.0.5', problem: null },
    device: { osVersion: 'balenaOS 6.1.2', commit: 'aaaa', status: 'Idle' },
    apps: { state: 'applied', containers: [{ serviceName: 'main', status: 'Running' }] },
    problems: [],
  })
  const device = await theDevice()
  expect(device.status.summary).toMatchObject({
    osVersion: 'balenaOS 6.1.2',
    release: 'aaaa',
    supervisorVersion: '19.0.5',
  })

  // Its engine hangs: what does not need that is told all the same, and heartbeats go on.
  supervisor.isEngineStuck = true
  await reports({
    supervisor: { state: 'available', problem: expect.any(String) },
    device: { commit: 'aaaa' },
    apps: null,
  })
  supervisor.isEngineStuck = false
  supervisor.isAway = true
  await reports({ supervisor: { state: 'unavailable' }, device: null, apps: null })
  expect((await theDevice()).status.state).toBe('online')
  supervisor.isAway = false
  await reports({ supervisor: { state: 'available', problem: null }, device: { commit: 'aaaa' } })
  supervisor.key = 'anotherkey0123456789'
  await reports({ supervisor: { state: 'unauthorized' }, device: null })
  const { status } = await theDevice()
  expect([status.state, status.summary?.supervisorState]).toEqual(['online', 'unauthorized'])
})

test('a Supervisor that takes its key only in the address is used all the same, and the key stands nowhere', async () => {
  supervisor.refusesHeader = true
  await startAgent()
  await reports({ supervisor: { state: 'available' }, device: { commit: 'aaaa' } })
  expect(supervisor.seen.some(({ call }) => call.includes(`apikey=${supervisor.key}`))).toBe(true)
  const { report } = await client.devices.report({ params: { id: (await theDevice()).id } })
  expect(JSON.stringify(report) + agent?.logs() + freehold.logs()).not.toContain(supervisor.key)
})

test('an update that an operator asks for: applied, nothing new, and locked although the Supervisor answered 204', async () => {
  await startAgent()
  await reports({ device: { commit: 'aaaa' } })
  supervisor.target = 'bbbb'
  await ask('update')
  await reports({
    update: { requestedBy: 'control-plane', outcome: 'applied', commitBefore: 'aaaa', commitAfter: 'bbbb' },
  })
  await ask('update')
  await reports({ update: { outcome: 'nothing-new' }, device: { commit: 'bbbb' } })

  supervisor.target = 'cccc'
  await writeFile(join(folder.path, 'updates.lock'), '')
  await ask('update')
  // While it waits for the lock the Supervisor tells no commit; the device has not lost its application.
  await reports({ update: { outcome: 'locked' }, device: { commit: null, updateFailed: true, updateDownloaded: true } })
  expect((await theDevice()).status.state).toBe('online')
  await rm(join(folder.path, 'updates.lock'))
  await reports({ update: { outcome: 'applied', commitAfter: 'cccc' }, device: { commit: 'cccc' } })
  const asked = supervisor.seen.filter(({ call }) => call.startsWith('POST /v1/update'))
  expect(asked).toHaveLength(3)
})

test('instant updates that are off, a download that fails, and a reboot that a lock holds up are told, and force goes over', async () => {
  await startAgent()
  await reports({ device: { commit: 'aaaa' } })
  supervisor.isPassive = true
  await actionIs(await ask('update'), 'ignored')
  supervisor.isPassive = false
  supervisor.target = 'bbbb'
  supervisor.failsDownload = true
  await ask('update')
  await reports({ update: { outcome: 'failed' }, device: { commit: 'aaaa' } })
  await writeFile(join(folder.path, 'updates.lock'), '')
  await actionIs(await ask('reboot'), 'locked')
  await actionIs(await ask('reboot', { force: true }), 'done')
  supervisor.isAway = true
  await actionIs(await ask('reboot'), 'failed')
})

test('an agent that dies in the middle of an update goes on to watch it, and says what came of it', async () => {
  const running = await startAgent()
  await reports({ device: { commit: 'aaaa' } })
  supervisor.target = 'bbbb'
  await writeFile(join(folder.path, 'updates.lock'), '')
  await ask('update')
  await reports({ update: { outcome: 'locked' } })
  await running.kill9()
  await rm(join(folder.path, 'updates.lock'))
  await running.restart()
  await reports({ update: { outcome: 'applied', commitBefore: 'aaaa', commitAfter: 'bbbb' } })
  expect(supervisor.seen.filter(({ call }) => call.startsWith('POST /v1/update'))).toHaveLength(1)
})

async function startAgent(): Promise<Service> {
  const { joinToken } = await client.joinTokens.create({ body: { data: { name: nodeId, uses: 1 } } })
  agent = await startService({
    entry: 'packages/device-agent/src/main.ts',
    env: {
      BASEOS_CLOUDLY_URL: freehold.url,
      BASEOS_JOIN_TOKEN: joinToken,
      BASEOS_NODE_ID: nodeId,
      BASEOS_STATE_PATH: join(folder.path, 'state', 'state.json'),
      BASEOS_LOCK_DIR: join(folder.path, 'locks'),
      BASEOS_HEARTBEAT_INTERVAL_MS: '1000',
      BALENA_SUPERVISOR_ADDRESS: supervisor.url.href,
      BALENA_SUPERVISOR_API_KEY: supervisor.key,
    },
  })
  return agent
}

async function theDevice() {
  const device = (await client.devices.list({ query: {} })).items.find(({ data }) => data.nodeId === nodeId)
  if (device === undefined) throw new Error(`${nodeId} has not enrolled.`)
  return device
}

/** Waits until what the device last reported has at least these fields. */
async function reports(expected: object): Promise<void> {
  await waitFor(
    async () => {
      const { report } = await client.devices.report({ params: { id: (await theDevice()).id } })
      expect(report).toMatchObject(expected)
      return true
    },
    { what: () => `such a report\n${agent?.logs().slice(-2000)}`, everyMs: 100 },
  )
}

/** Returns the id of the action. */
async function ask(kind: 'update' | 'reboot', options: { force?: boolean } = {}): Promise<string> {
  const { id } = await theDevice()
  const { data } = await client.devices.act({ params: { id }, body: { kind, ...options } })
  const action = data.actions.at(-1)
  if (action === undefined) throw new Error('The action is not on the device.')
  return action.id
}

function actionIs(id: string, outcome: string): Promise<void> {
  return reports({ actions: expect.arrayContaining([expect.objectContaining({ id, outcome })]) })
}
