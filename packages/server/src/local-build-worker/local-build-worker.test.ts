import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pino } from 'pino'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { createLocalBuildWorker, type LocalBuildWorker } from './index.ts'

let directory = ''
let worker: LocalBuildWorker
let lines: string[] = []

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'freehold-worker-'))
  lines = []
})
afterEach(async () => {
  await worker.stop()
  await rm(directory, { recursive: true, force: true })
})

/** A worker that says its port, answers with what it was told, and writes its starts down. */
const listens = `
import { appendFileSync } from 'node:fs'
import { createServer } from 'node:http'
const { env, argv, pid } = process
appendFileSync(env.COREBUILD_WORKDIR + '/starts', pid + '\\n')
const server = createServer((request, response) => {
  if (request.url === '/die') process.exit(7)
  response.end(JSON.stringify({ env, argv, pid }))
})
server.listen(Number(env.COREBUILD_PORT), env.COREBUILD_HOST, () => {
  console.log('a line before')
  console.log(JSON.stringify({ listening: { port: server.address().port } }))
  console.error('a line after')
})
process.on('SIGTERM', () => process.exit(0))
`

async function create(
  program: string,
  change: { idleMs?: number; answerLimitMs?: number } = {},
): Promise<LocalBuildWorker> {
  const entry = join(directory, 'worker.mjs')
  await writeFile(entry, program)
  worker = createLocalBuildWorker({
    entry,
    directory,
    log: pino({ level: 'silent' }),
    passOn: (line) => lines.push(line),
    ...change,
  })
  return worker
}

const starts = async () => (await readFile(join(directory, 'starts'), 'utf8')).trim().split('\n').map(Number)

function isAlive(pid = 0): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}

test('nothing runs before it is acquired; then it has what it needs and nothing of ours', async () => {
  process.env.APP_SECRET = 'must not be passed on'
  try {
    await create(listens)
    expect(worker.state()).toMatchObject({ state: 'stopped', leases: 0 })
    await expect(starts()).rejects.toThrow('ENOENT')
    const { url, token, release } = await worker.acquire()
    expect(worker.state()).toMatchObject({ state: 'running', leases: 1 })
    const { env, argv } = (await (await fetch(url)).json()) as { env: Record<string, string>; argv: string[] }
    expect(env).toMatchObject({
      COREBUILD_HOST: '127.0.0.1',
      COREBUILD_TOKEN: token,
      COREBUILD_WORKDIR: directory,
      COREBUILD_MAX_JOBS: '1',
      COREBUILD_ALLOW_PRIVATE_SOURCES: 'on',
    })
    expect(token.length).toBeGreaterThan(40)
    expect(argv.join(' ')).not.toContain(token)
    expect(JSON.stringify(env)).not.toContain('must not be passed on')
    await expect.poll(() => lines).toEqual(['a line before', 'a line after'])
    release()
  } finally {
    delete process.env.APP_SECRET
  }
})

test('those who come together share one, and it goes once nobody has had it for a while', async () => {
  await create(listens, { idleMs: 10 })
  const [one, two] = await Promise.all([worker.acquire(), worker.acquire()])
  expect(one.url).toBe(two.url)
  const [pid] = await starts()
  one.release()
  one.release()
  expect(worker.state()).toMatchObject({ state: 'running', leases: 1 })
  expect((await fetch(two.url)).status).toBe(200)
  two.release()
  await expect.poll(() => isAlive(pid)).toBe(false)
  expect(worker.state()).toMatchObject({ state: 'stopped', message: 'It is started when there is a build for it.' })
  const again = await worker.acquire()
  expect((await fetch(again.url)).status).toBe(200)
  expect(again.token).not.toBe(one.token)
  again.release()
})

test('one that is acquired again in time stays', async () => {
  await create(listens, { idleMs: 60_000 })
  const first = await worker.acquire()
  first.release()
  const second = await worker.acquire()
  expect(second.url).toBe(first.url)
  expect(await starts()).toHaveLength(1)
})

test('one that died is replaced when it is needed the next time, and until then that is said', async () => {
  await create(listens)
  const first = await worker.acquire()
  await fetch(`${first.url}/die`).catch(() => undefined)
  await expect
    .poll(() => worker.state())
    .toMatchObject({
      state: 'stopped',
      message: expect.stringContaining('exit code 7'),
    })
  const second = await worker.acquire()
  expect((await fetch(second.url)).status).toBe(200)
  first.release()
  expect(worker.state()).toMatchObject({ state: 'running', leases: 1 })
  second.release()
})

test('one that hangs is ended by its pid and replaced when it is needed the next time', async () => {
  await create(listens, { answerLimitMs: 3_000 })
  const first = await worker.acquire()
  const [pid = 0] = await starts()
  process.kill(pid, 'SIGSTOP')
  // Those that come together wait for the same.
  const [second, third] = await Promise.all([worker.acquire(), worker.acquire()])
  expect(isAlive(pid)).toBe(false)
  expect(second.url).toBe(third.url)
  expect(second.token).not.toBe(first.token)
  expect((await fetch(second.url)).status).toBe(200)
  expect(await starts()).toHaveLength(2)
  first.release()
  expect(worker.state()).toMatchObject({ state: 'running', leases: 2 })
  second.release()
  third.release()
}, 60_000)

test('one that does not start is an error that says why, and the next who asks has another try', async () => {
  await create('console.error("no such module"); process.exit(3)')
  await expect(worker.acquire()).rejects.toMatchObject({
    code: 'unavailable',
    message: expect.stringContaining('it ended (exit code 3)'),
  })
  expect(lines).toEqual(['no such module'])
  await writeFile(join(directory, 'worker.mjs'), listens)
  const lease = await worker.acquire()
  expect((await fetch(lease.url)).status).toBe(200)
})

test('stopping ends it, and no other is started', async () => {
  await create(listens)
  await worker.acquire()
  const [pid] = await starts()
  await worker.stop()
  expect(isAlive(pid)).toBe(false)
  await expect(worker.acquire()).rejects.toMatchObject({ code: 'unavailable' })
})
