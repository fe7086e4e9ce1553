import { writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { createRedactor, Secret } from '../../secret.ts'
import { type FakeEngine, startFakeEngine } from './engine.testing.ts'
import { createEngine, type Engine, findEngineSocket } from './engine.ts'
import { EngineError } from './engine-http.ts'
import { createPullWatch } from './pull-progress.ts'
import { digestOf } from './world.testing.ts'

const password = new Secret('fhn_secretofthedevice')
const repository = 'cloud.example.com/kiosk/main'
let fake: FakeEngine
let engine: Engine

beforeEach(async () => {
  fake = await startFakeEngine()
  const redactor = createRedactor()
  redactor.remember(password)
  engine = createEngine({ socketPath: fake.socketPath, redactor, timeLimitMs: 5_000, quietMs: 5_000 })
  fake.registry.set(`${repository}@${digestOf('1')}`, {})
})
afterEach(() => fake.stop())

const pull = (digit = '1', credentials: Parameters<Engine['pull']>[0]['credentials'] = null) =>
  engine.pull({ repository, digest: digestOf(digit), credentials, onProgress: () => undefined })
const failureOf = async (failing: Promise<unknown>): Promise<EngineError> => {
  const error = await failing.then(
    () => undefined,
    (reason: unknown) => reason,
  )
  if (error instanceof EngineError) return error
  throw new Error(`It did not fail as it should: ${String(error)}`)
}

test('signs in as it is told, and a refusal is said without the password', async () => {
  fake.wants = { username: 'device', password: password.reveal() }
  await pull('1', { username: 'device', password })
  fake.wants = { username: 'device', password: 'another' }
  const error = await failureOf(pull('1', { username: 'device', password }))
  expect(error).toMatchObject({ reason: 'unauthorized', message: expect.stringContaining('[redacted]') })
  expect(error.message).not.toContain(password.reveal())
})

test.each([
  ['write /var/lib/docker/x: no space left on device', 'no-space'],
  ['unauthorized: authentication required', 'unauthorized'],
  ['manifest unknown', 'not-found'],
  ['unexpected EOF', 'failed'],
])('an error inside the stream, %s, is a failure: %s', async (said, reason) => {
  fake.pullFails = said
  expect(await failureOf(pull())).toMatchObject({ reason, message: expect.stringContaining(said) })
  expect(await engine.image(`${repository}@${digestOf('1')}`)).toBeNull()
})

test('what the registry does not have is not found', async () => {
  expect(await failureOf(pull('2'))).toMatchObject({ reason: 'not-found' })
})

test('an engine that says nothing, or is gone, is unavailable; a call that is not wanted any more ends', async () => {
  const impatient = createEngine({ socketPath: fake.socketPath, redactor: createRedactor(), timeLimitMs: 50 })
  fake.isStuck = true
  expect(await failureOf(impatient.ping())).toMatchObject({ reason: 'unavailable' })
  expect(await failureOf(engine.ping(AbortSignal.timeout(20)))).toMatchObject({ reason: 'unavailable' })
  const gone = createEngine({ socketPath: '/nowhere/engine.sock', redactor: createRedactor() })
  expect(await failureOf(gone.ping())).toMatchObject({ reason: 'unavailable' })
})

test('the socket is where DOCKER_HOST says, and only where one is', async () => {
  expect(await findEngineSocket(`unix://${fake.socketPath}`)).toBe(fake.socketPath)
  const plain = `${fake.socketPath}.txt`
  await writeFile(plain, '')
  expect(await findEngineSocket(`unix://${plain}`)).toBeNull()
  expect(await findEngineSocket('unix:///nowhere/engine.sock')).toBeNull()
})

test('however an engine cuts its lines, progress never falls and is each time another whole percent', () => {
  const status = fc.constantFrom(
    'Pulling fs layer',
    'Downloading',
    'Extracting',
    'Pull complete',
    'Already exists',
    'x',
  )
  const line = fc.record({
    id: fc.constantFrom('a', 'b', 'c'),
    status,
    progressDetail: fc.oneof(
      fc.constant({}),
      fc.record({ current: fc.integer({ min: -5, max: 200 }), total: fc.integer({ min: -5, max: 100 }) }),
    ),
  })
  fc.assert(
    fc.property(fc.array(line, { maxLength: 40 }), fc.integer({ min: 1, max: 90 }), (lines, size) => {
      const told: number[] = []
      const watch = createPullWatch({ onProgress: (percent) => told.push(percent), onError: () => undefined })
      const text = Buffer.from(lines.map((each) => JSON.stringify(each)).join('\r\n'))
      for (let at = 0; at < text.length; at += size) watch.take(text.subarray(at, at + size))
      watch.end()
      expect(told).toEqual([...new Set(told)].sort((a, b) => a - b))
      expect(told.every((percent) => Number.isInteger(percent) && percent >= 0 && percent <= 99)).toBe(true)
    }),
    { numRuns: 300 },
  )
})

test('what is no JSON, and lines without end, are borne', () => {
  const errors: string[] = []
  const watch = createPullWatch({ onProgress: () => undefined, onError: (message) => void errors.push(message) })
  watch.take(Buffer.from(`not json\n[]\nnull\n${'x'.repeat(200_000)}`))
  watch.take(Buffer.from('\n{"error":"broken"}\n'))
  watch.end()
  expect(errors).toEqual(['broken'])
})

test('logs are read with and without a terminal, and an answer that is cut off is a failure', async () => {
  const base = { labels: {}, status: 'exited', exitCode: 1, restartCount: 0, startedAt: '', health: null }
  const container = {
    ...base,
    id: 'c1',
    name: 'c1',
    image: '',
    restart: 'no',
    log: 'größer\nzwei',
    files: new Set<string>(),
  }
  for (const hasTerminal of [true, false]) {
    fake.containers.set('c1', { ...container, hasTerminal })
    const detail = await engine.container('c1')
    if (detail === null) throw new Error('It is gone.')
    expect(await engine.logs(detail, 10)).toContain('zwei')
    expect(await engine.logs({ ...detail, id: 'gone' }, 10)).toBe('')
  }
  const path = join(`${fake.socketPath}.cut`)
  const cutting = createServer((socket) => {
    socket.on('error', () => undefined).resume()
    socket.end('HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n[{')
  })
  await new Promise<void>((resolve) => cutting.listen(path, resolve))
  const cut = createEngine({ socketPath: path, redactor: createRedactor() })
  expect(await failureOf(cut.imagesNamed('*'))).toMatchObject({ reason: 'unavailable' })
  await new Promise((resolve) => cutting.close(resolve))
})
