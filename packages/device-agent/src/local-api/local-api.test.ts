import { access, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { systemClock } from '@freehold/reconcile'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { LocalApiAddress } from '../config.ts'
import { send } from '../http.ts'
import { createUpdateLocks, type UpdateLocks } from '../locks/update-locks.ts'
import { createLog } from '../log.ts'
import { createRedactor } from '../secret.ts'
import { SupervisorError } from '../supervisor/client.ts'
import type { LocalAgent } from './routes.ts'
import { type LocalApi, startLocalApi } from './server.ts'

let directory: string
let locks: UpdateLocks
let api: LocalApi
let token: string
const redactor = createRedactor()
const log = createLog({ write: () => undefined, redactor, level: 'silent' })
const update = {
  id: 'u1',
  requestedBy: 'local-api',
  outcome: 'requested',
  message: '',
  commitBefore: null,
  commitAfter: null,
  elapsedMs: 0,
}
const asked: { force: boolean; requestedBy: string }[] = []
let refusal: SupervisorError | undefined

const agentOf = (): LocalAgent => ({
  handshake: () => ({ nodeId: 'kiosk-7', agentVersion: '0.1.0' }),
  status: async () => ({ nodeId: 'kiosk-7' }),
  requestUpdate: async (options) => {
    asked.push(options)
    if (refusal) throw refusal
    return update
  },
  lastUpdate: () => update,
  locks,
})

async function start(address: LocalApiAddress): Promise<void> {
  const tokenPath = join(directory, 'run', 'token')
  api = await startLocalApi({ address, tokenPath, agent: agentOf(), redactor, log })
  token = (await readFile(tokenPath, 'utf8')).trim()
}

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'freehold-local-'))
  locks = createUpdateLocks({ directory: join(directory, 'balena'), clock: systemClock, log })
  asked.length = 0
  refusal = undefined
  await start({ kind: 'socket', path: join(directory, 'run', 'agent.sock') })
})
afterEach(async () => {
  await api.stop()
  await locks.stop()
  await rm(directory, { recursive: true, force: true })
})

async function call(
  method: 'GET' | 'POST' | 'PUT' | 'DELETE',
  path: string,
  options: { body?: unknown; token?: string | null } = {},
) {
  const bearer = options.token === undefined ? token : options.token
  const answer = await send({
    url: new URL(path, 'http://agent'),
    socketPath: join(directory, 'run', 'agent.sock'),
    method,
    headers: bearer === null ? {} : { authorization: `Bearer ${bearer}` },
    ...(options.body === undefined
      ? {}
      : { body: typeof options.body === 'string' ? options.body : JSON.stringify(options.body) }),
    timeLimitMs: 20_000,
    answerLimitBytes: 100_000,
  })
  return { status: answer.status, body: JSON.parse(answer.body) }
}
const lockFile = () => join(directory, 'balena', 'updates.lock')
const isLocked = () =>
  access(lockFile()).then(
    () => true,
    () => false,
  )

test('the socket and the token are for their owner; without the token nothing is told', async () => {
  expect((await stat(join(directory, 'run', 'token'))).mode & 0o777).toBe(0o600)
  expect((await stat(join(directory, 'run', 'agent.sock'))).mode & 0o007).toBe(0)
  for (const wrong of [null, '', 'guess', `${token}x`]) {
    const { status, body } = await call('GET', '/baseos/v1/runtime', { token: wrong })
    expect([status, body.error.code]).toEqual([401, 'unauthenticated'])
  }
  expect((await call('GET', '/baseos/v1/runtime')).body).toEqual({
    runtime: 'baseos',
    protocol: 1,
    nodeId: 'kiosk-7',
    agentVersion: '0.1.0',
    capabilities: ['status', 'update', 'locks'],
  })
})

test('a product asks for an update, and is told why the Supervisor would not', async () => {
  expect(await call('POST', '/baseos/v1/update')).toEqual({ status: 202, body: { update } })
  await call('POST', '/baseos/v1/update', { body: { force: true } })
  expect(asked).toEqual([
    { force: false, requestedBy: 'local-api' },
    { force: true, requestedBy: 'local-api' },
  ])
  expect((await call('GET', '/baseos/v1/update')).body).toEqual({ update })
  refusal = new SupervisorError('locked', 'Lockfile exists for { appId: 1, service: main }')
  expect(await call('POST', '/baseos/v1/update')).toMatchObject({
    status: 409,
    body: { error: { message: refusal.message } },
  })
  refusal = new SupervisorError('unavailable', 'The Supervisor cannot be asked.')
  expect(await call('POST', '/baseos/v1/update')).toMatchObject({ status: 503 })
})

test('update locks are taken, listed and released by name', async () => {
  expect(await call('PUT', '/baseos/v1/locks/backup', { body: { leaseSeconds: 60 } })).toEqual({
    status: 200,
    body: { owner: 'backup', leaseSeconds: 60 },
  })
  expect(await isLocked()).toBe(true)
  expect((await call('GET', '/baseos/v1/locks')).body).toEqual({ owners: ['backup'] })
  expect((await call('DELETE', '/baseos/v1/locks/backup')).status).toBe(200)
  expect(await isLocked()).toBe(false)
  expect((await call('DELETE', '/baseos/v1/locks/backup')).status).toBe(404)
  await writeFile(lockFile(), '')
  expect((await call('PUT', '/baseos/v1/locks/backup')).status).toBe(409)
})

test('a lock that is held by a connection goes when its owner does', async () => {
  const holding = request({
    socketPath: join(directory, 'run', 'agent.sock'),
    method: 'PUT',
    path: '/baseos/v1/locks/migration',
    headers: { authorization: `Bearer ${token}` },
  })
  const first = await new Promise<string>((resolve, reject) => {
    holding.once('error', reject)
    holding.once('response', (response) => response.once('data', (chunk: Buffer) => resolve(chunk.toString())))
    holding.end(JSON.stringify({ hold: true }))
  })
  expect(JSON.parse(first)).toEqual({ owner: 'migration', leaseSeconds: 300 })
  expect(await isLocked()).toBe(true)
  holding.on('error', () => undefined)
  holding.destroy()
  await expect.poll(isLocked, { timeout: 20_000 }).toBe(false)
})

test.each([
  ['GET', '/baseos/v1/nothing', undefined, 404],
  ['GET', '/', undefined, 404],
  ['DELETE', '/baseos/v1/status', undefined, 405],
  ['PUT', '/baseos/v1/locks/..%2f..', undefined, 404],
  ['PUT', `/baseos/v1/locks/${'a'.repeat(65)}`, undefined, 404],
  ['PUT', '/baseos/v1/locks/a', { leaseSeconds: 0 }, 400],
  ['PUT', '/baseos/v1/locks/a', { leaseSeconds: 1e9 }, 400],
  ['POST', '/baseos/v1/update', 'not json', 400],
  ['POST', '/baseos/v1/update', '[]', 400],
  ['POST', '/baseos/v1/update', { padding: 'x'.repeat(20_000) }, 413],
] as const)('%s %s with %j is answered %i', async (method, path, body, status) => {
  expect((await call(method, path, { body })).status).toBe(status)
  expect(await isLocked()).toBe(false)
})

test('on loopback it listens there alone, with the token it had before', async () => {
  const before = token
  await api.stop()
  await start({ kind: 'loopback', host: '127.0.0.1', port: 0 })
  expect(token).toBe(before)
  expect(api.url).toMatch(/^http:\/\/127\.0\.0\.1:\d+$/)
  const answer = await fetch(`${api.url}/baseos/v1/runtime`, { headers: { authorization: `Bearer ${token}` } })
  expect(answer.status).toBe(200)
})
