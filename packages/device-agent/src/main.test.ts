import { type ChildProcess, spawn } from 'node:child_process'
import { copyFile, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { deviceHeartbeatPath, deviceRegisterPath } from '@freehold/contracts'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { type FakeControlPlane, startFakeControlPlane } from './control-plane/control-plane.testing.ts'
import { send } from './http.ts'
import { type FakeSupervisor, startFakeSupervisor } from './supervisor/supervisor.testing.ts'

/** The real process against a fake Supervisor and a fake control plane; each test tells one story. */
const joinToken = 'join-token-0123456789'
const patience = { timeout: 25_000 }

let directory: string
let supervisor: FakeSupervisor
let cloud: FakeControlPlane
const children: ChildProcess[] = []

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'freehold-device-'))
  supervisor = await startFakeSupervisor({ lockDirectory: join(directory, 'balena') })
  cloud = await startFakeControlPlane()
  await mkdir(join(directory, 'balena'))
})
afterEach(async () => {
  for (const child of children.splice(0)) {
    if (child.exitCode !== null || child.signalCode !== null) continue
    const ended = new Promise((resolve) => child.once('close', resolve))
    child.kill('SIGKILL')
    await ended
  }
  await Promise.all([supervisor.stop(), cloud.stop()])
  await rm(directory, { recursive: true, force: true })
})

const statePath = (name = 'device') => join(directory, name, 'state.json')
const storedState = async (name?: string) => JSON.parse(await readFile(statePath(name), 'utf8'))

function run(argv: string[], options: { name?: string; environment?: Record<string, string | undefined> } = {}) {
  const child = spawn(process.execPath, [join(import.meta.dirname, 'main.ts'), ...argv], {
    env: {
      PATH: process.env.PATH,
      NODE_COMPILE_CACHE: join(directory, 'cache'),
      BASEOS_CLOUDLY_URL: cloud.url.href,
      BASEOS_JOIN_TOKEN: joinToken,
      BASEOS_HEARTBEAT_INTERVAL_MS: '1000',
      BASEOS_STATE_PATH: statePath(options.name),
      BASEOS_LOCK_DIR: join(directory, 'balena'),
      BALENA_SUPERVISOR_ADDRESS: supervisor.url.href,
      BALENA_SUPERVISOR_API_KEY: supervisor.key,
      ...options.environment,
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  children.push(child)
  const written = { out: '', error: '' }
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    written.out += text
  })
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    written.error += text
  })
  const ended = new Promise<number | null>((resolve) => child.once('close', resolve))
  return { child, written, ended }
}
const heartbeats = () => [...cloud.nodes.values()].reduce((sum, node) => sum + node.heartbeats, 0)
const seen = (outcome: string) => cloud.seen.filter((request) => request.outcome === outcome)

test('enrolment: it registers with its join token, stores its node token, reports, and after a restart needs no join token', async () => {
  cloud.desired = { generation: 4, later: { web: 'x' } }
  const first = run([])
  await expect.poll(heartbeats, patience).toBeGreaterThan(1)
  const stored = await storedState()
  const [[nodeId, node] = []] = [...cloud.nodes]
  expect(stored).toMatchObject({ nodeId, nodeToken: node?.tokens[0], generation: 4, desiredState: cloud.desired })
  expect(cloud.seen[0]).toMatchObject({ path: deviceRegisterPath, bearer: joinToken, body: { joinToken } })
  expect(node?.lastStatus).toMatchObject({
    agentVersion: '0.1.0',
    machine: { cpuCores: expect.any(Number), memoryBytes: expect.any(Number) },
    supervisor: { state: 'available', version: '19.0.5', problem: null },
    device: { osVersion: 'balenaOS 6.1.2', commit: 'aaaa' },
    apps: { state: 'applied', containers: [{ serviceName: 'main', status: 'Running' }] },
    problems: [],
  })
  first.child.kill('SIGKILL')
  await first.ended
  cloud.joinTokens.clear()
  cloud.seen.length = 0
  const second = run(['start'], { environment: { BASEOS_JOIN_TOKEN: undefined } })
  await expect.poll(() => seen('200').length, patience).toBeGreaterThan(0)
  expect(cloud.seen.every(({ path, body }) => path === deviceHeartbeatPath && body.generation === 4)).toBe(true)
  expect(cloud.nodes.size).toBe(1)
  second.child.kill('SIGTERM')
  expect(await second.ended).toBe(0)
})

test('a device that is given id and node token reports at once, without a join token; a token that was stored since wins', async () => {
  const nodeToken = 'node-token-0123456789'
  const environment = { BASEOS_NODE_ID: 'kiosk-7', BASEOS_NODE_TOKEN: nodeToken, BASEOS_JOIN_TOKEN: undefined }
  cloud.nodes.set('kiosk-7', { secret: null, tokens: [nodeToken], heartbeats: 0, bootIds: new Set(), lastStatus: {} })
  cloud.rotatesAlways = true
  const first = run([], { environment })
  await expect.poll(heartbeats, patience).toBeGreaterThan(2)
  first.child.kill('SIGKILL')
  await first.ended
  cloud.rotatesAlways = false
  cloud.seen.length = 0
  run([], { environment })
  await expect.poll(() => seen('200').length, patience).toBeGreaterThan(1)
  expect(cloud.seen.every(({ path, bearer }) => path === deviceHeartbeatPath && bearer !== nodeToken)).toBe(true)
})

test('a product on the same device shakes hands, reads the status, and holds an update off by the socket of the agent', async () => {
  const place = join(directory, 'run')
  run([], { environment: { BASEOS_LOCAL_API: `unix://${place}/agent.sock` } })
  await expect.poll(heartbeats, patience).toBeGreaterThan(0)
  const token = (await readFile(join(place, 'agent.sock.token'), 'utf8')).trim()
  const ask = async (method: 'GET' | 'POST' | 'PUT' | 'DELETE', path: string, body?: object) => {
    const answer = await send({
      url: new URL(`/baseos/v1/${path}`, 'http://agent'),
      socketPath: join(place, 'agent.sock'),
      method,
      headers: { authorization: `Bearer ${token}` },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      timeLimitMs: 20_000,
      answerLimitBytes: 100_000,
    })
    return { status: answer.status, body: JSON.parse(answer.body) }
  }
  const { nodeId } = await storedState()
  expect(await ask('GET', 'runtime')).toMatchObject({ status: 200, body: { runtime: 'baseos', protocol: 1, nodeId } })
  expect((await ask('GET', 'status')).body).toMatchObject({
    nodeId,
    cloudly: { state: 'connected' },
    runtime: { supervisor: { state: 'available' }, device: { commit: 'aaaa' } },
  })
  expect((await ask('PUT', 'locks/backup', {})).status).toBe(200)
  supervisor.target = 'bbbb'
  expect((await ask('POST', 'update', {})).status).toBe(202)
  const outcome = async () => (await ask('GET', 'update')).body.update.outcome
  await expect.poll(outcome, patience).toBe('locked')
  expect((await ask('DELETE', 'locks/backup')).status).toBe(200)
  await expect.poll(outcome, patience).toBe('applied')
})

test('an accepted registration whose answer is lost is asked for again, although the join token is used up', async () => {
  cloud.next.push({ status: 0, body: '', cut: true })
  run([])
  await expect.poll(() => cloud.nodes.size, patience).toBe(1)
  cloud.joinTokens.clear()
  await expect.poll(heartbeats, patience).toBeGreaterThan(0)
  expect(seen('accepted')).toHaveLength(2)
})

test('a device that must be approved waits, and a wiped one is refused until an operator lets it in', async () => {
  cloud.approval = true
  const waiting = run([])
  await expect.poll(() => seen('waiting').length, patience).toBeGreaterThan(1)
  cloud.approved.add((await storedState()).nodeId)
  await expect.poll(heartbeats, patience).toBeGreaterThan(0)
  const { nodeId } = await storedState()
  waiting.child.kill('SIGTERM')
  await waiting.ended
  await rm(join(directory, 'device'), { recursive: true })
  const wiped = run([], { environment: { BASEOS_NODE_ID: nodeId } })
  await expect.poll(() => seen('refused').length, patience).toBeGreaterThan(0)
  await expect.poll(() => wiped.written.out, patience).toContain('known-node')
  cloud.nodes.delete(nodeId)
  const before = seen('200').length
  await expect.poll(() => seen('200').length, patience).toBeGreaterThan(before)
})

test('tokens rotate under it, a busy control plane is waited for, and one that is away is found again', async () => {
  cloud.rotatesAlways = true
  run([])
  await expect.poll(heartbeats, patience).toBeGreaterThan(2)
  expect(new Set(cloud.seen.map(({ bearer }) => bearer)).size).toBeGreaterThan(2)
  cloud.next.push({
    status: 503,
    body: '{"error":{"code":"unavailable","message":"Starting."}}',
    headers: { 'retry-after': '1' },
  })
  cloud.next.push({ status: 200, body: '<html>a proxy speaks</html>' })
  await expect.poll(() => cloud.next.length, patience).toBe(0)
  cloud.isAway = true
  const before = heartbeats()
  await new Promise((resolve) => setTimeout(resolve, 1_500))
  cloud.isAway = false
  await expect.poll(heartbeats, patience).toBeGreaterThan(before)
  expect(cloud.seen.filter(({ path }) => path === deviceRegisterPath)).toHaveLength(1)
})

test('a cloned card: two devices with one identity both report, and the control plane can see that there are two', async () => {
  const first = run([])
  await expect.poll(heartbeats, patience).toBeGreaterThan(0)
  first.child.kill('SIGTERM')
  await first.ended
  await mkdir(join(directory, 'clone'))
  await copyFile(statePath(), statePath('clone'))
  const [node] = cloud.nodes.values()
  node?.bootIds.clear()
  run([])
  run([], { name: 'clone' })
  await expect.poll(() => node?.bootIds.size, patience).toBe(2)
  expect(cloud.nodes.size).toBe(1)
})

test('an update asked for by command says what really happened, by its words and its exit code', async () => {
  const update = async (...rest: string[]) => {
    const { ended, written } = run(['request-update', ...rest])
    const code = await ended
    return { code, ...JSON.parse(written.out) }
  }
  supervisor.target = 'bbbb'
  expect(await update()).toMatchObject({ code: 0, outcome: 'applied', commitBefore: 'aaaa', commitAfter: 'bbbb' })
  supervisor.isPassive = true
  expect(await update()).toMatchObject({ code: 1, outcome: 'ignored' })
  supervisor.target = 'cccc'
  await writeFile(join(directory, 'balena', 'updates.lock'), '')
  expect(await update('--force')).toMatchObject({ code: 0, outcome: 'applied', commitAfter: 'cccc' })
  supervisor.isPassive = false
  supervisor.target = 'dddd'
  expect(await update()).toMatchObject({ code: 1, outcome: 'locked' })
  supervisor.isAway = true
  expect(await update()).toMatchObject({ code: 1, outcome: 'failed', reason: 'unavailable' })
})

test('the commands: not configured is said, wrong ones and wrong settings are refused', async () => {
  const bare = { BASEOS_CLOUDLY_URL: undefined, BALENA_SUPERVISOR_ADDRESS: undefined }
  const result = async (argv: string[], environment: Record<string, string | undefined> = {}) => {
    const { ended, written } = run(argv, { environment })
    return { code: await ended, ...written }
  }
  const status = await result(['status'], bare)
  expect(JSON.parse(status.out)).toMatchObject({
    nodeId: null,
    cloudly: { state: 'not-configured' },
    appsBy: { name: 'none', message: expect.stringContaining('BALENA_SUPERVISOR_ADDRESS') },
    runtime: { supervisor: { state: 'not-configured' } },
  })
  expect(status.code).toBe(0)
  expect(await result(['check-supervisor'], bare)).toMatchObject({ code: 3 })
  expect(await result(['request-update'], bare)).toMatchObject({
    code: 3,
    out: expect.stringContaining('not-configured'),
  })
  const checked = await result(['check-supervisor'])
  expect([checked.code, JSON.parse(checked.out)]).toMatchObject([
    0,
    { apiKey: 'set', supervisor: { state: 'available' } },
  ])
  expect(await result(['check-supervisor'], { BALENA_SUPERVISOR_API_KEY: 'wrong' })).toMatchObject({ code: 1 })
  expect(await result(['help'])).toMatchObject({ code: 0, out: expect.stringContaining('request-update [--force]') })
  expect(await result(['toString'])).toMatchObject({ code: 2, error: expect.stringContaining('Usage') })
  expect(await result(['status', '--now'])).toMatchObject({ code: 2 })
  expect(await result(['start'], { BASEOS_NODE_ID: 'a b' })).toMatchObject({
    code: 2,
    error: expect.stringContaining('BASEOS_NODE_ID'),
  })
})

test('no token or key is ever printed, whatever peers answer, nor is one in the arguments', async () => {
  const secrets = [joinToken, supervisor.key]
  const agent = run([], { environment: { BASEOS_LOCAL_API: `unix://${directory}/run/agent.sock` } })
  await expect.poll(heartbeats, patience).toBeGreaterThan(0)
  const stored = await storedState()
  secrets.push(stored.nodeToken, stored.deviceSecret)
  const echo = JSON.stringify({ error: { code: 'internal', message: `You sent ${secrets.join(' and ')}` } })
  cloud.next.push({ status: 500, body: echo })
  await expect.poll(() => agent.written.out, patience).toContain('answered 500')
  cloud.next.push({ status: 403, body: echo })
  supervisor.next.push(...Array(3).fill({ status: 500, body: `Wrong: ${secrets.join(' ')}` }))
  await expect.poll(() => agent.written.out, patience).toContain('refused')
  supervisor.next.push({ status: 500, body: `Wrong: ${secrets.join(' ')}` })
  const status = run(['status'])
  await status.ended
  supervisor.next.push({ status: 500, body: `Wrong: ${secrets.join(' ')}` })
  const update = run(['request-update'])
  await update.ended
  const commandLine = await readFile(`/proc/${agent.child.pid}/cmdline`, 'utf8')
  expect(commandLine).toContain('--max-semi-space-size=1')
  const everything = [agent, status, update].map(({ written }) => written.out + written.error).join('') + commandLine
  expect(everything).toContain('[redacted]')
  // This one never leaves the device, so no peer can repeat it.
  secrets.push((await readFile(join(directory, 'run', 'agent.sock.token'), 'utf8')).trim())
  for (const secret of secrets) expect(everything).not.toContain(secret)
})

test('a second process that asks for the status looks like no second device and writes nothing', async () => {
  const status = run(['status'])
  expect(await status.ended).toBe(0)
  expect(JSON.parse(status.written.out)).toMatchObject({ nodeId: null, cloudly: { state: 'not-registered' } })
  await expect(readFile(statePath())).rejects.toThrow('ENOENT')
  expect(cloud.seen).toEqual([])
})
