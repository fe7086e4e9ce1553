import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, expect, test } from 'vitest'

/** The real process, from its first line to its end. */
const main = fileURLToPath(new URL('main.ts', import.meta.url))
const node = fileURLToPath(new URL('../../../node_modules/.bin/node', import.meta.url))
let directory = ''
let started: Process[] = []

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'freehold-run-'))
  started = []
})
afterEach(async () => {
  for (const process of started)
    if (process.child.exitCode === null && process.child.signalCode === null) process.child.kill('SIGKILL')
  await Promise.all(started.map((process) => process.ended))
  await rm(directory, { recursive: true, force: true })
})

interface Process {
  child: ChildProcess
  output: () => string
  ended: Promise<number | null>
}

function start(environment: Record<string, string> = {}, flags: string[] = []): Process {
  const child = spawn(node, [...flags, main], {
    env: {
      PATH: process.env.PATH ?? '',
      FREEHOLD_DATA_DIR: directory,
      SERVEZONE_PORT: '0',
      FREEHOLD_BIND: '127.0.0.1',
      FREEHOLD_LOCAL_CLUSTER: 'off',
      ...environment,
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let output = ''
  child.stdout?.on('data', (data) => {
    output += data
  })
  child.stderr?.on('data', (data) => {
    output += data
  })
  const result = { child, output: () => output, ended: once(child, 'close').then(([code]) => code as number | null) }
  started.push(result)
  return result
}

async function urlOf(process: Process): Promise<string> {
  for (;;) {
    const [, url] = /is running at (http:\S+)/.exec(process.output()) ?? []
    if (url !== undefined) return url
    if (process.child.exitCode !== null) throw new Error(`It ended: ${process.output()}`)
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

test('wrong settings stop the start and are all named, without secrets', async () => {
  const process = start({ SERVEZONE_PORT: 'x', APP_SECRET: 'hunter2', FREEHOLD_LOG_LEVEL: 'loud', FREEHOLD_TYPO: '1' })
  expect(await process.ended).toBe(1)
  for (const name of ['SERVEZONE_PORT', 'APP_SECRET', 'FREEHOLD_LOG_LEVEL', 'FREEHOLD_TYPO'])
    expect(process.output()).toContain(name)
  expect(process.output()).not.toContain('hunter2')
})

test('it runs with flags of V8 that can only be given at the start, and keeps those it was given', async () => {
  const process = start({}, ['--stack-trace-limit=20', '--heap-growing-percent=90'])
  await urlOf(process)
  const commandLine = await readFile(`/proc/${process.child.pid}/cmdline`, 'utf8')
  expect(commandLine.split('\0').slice(1, 6)).toEqual([
    '--max-semi-space-size=8',
    expect.stringMatching(/^--v8-pool-size=[1-4]$/),
    '--stack-trace-limit=20',
    '--heap-growing-percent=90',
    main,
  ])
})

test('a second server on the same data directory is refused, and the first goes on', async () => {
  const first = start()
  const url = await urlOf(first)
  const second = start()
  expect(await second.ended).toBe(1)
  expect(second.output()).toMatch(/cannot start: .*in use/)
  expect(second.output()).not.toContain('    at ')
  expect((await fetch(`${url}/health`)).status).toBe(200)
})

test('a port that is taken stops the start with what to do', async () => {
  const port = new URL(await urlOf(start())).port
  const second = start({ SERVEZONE_PORT: port, FREEHOLD_DATA_DIR: join(directory, 'other') })
  expect(await second.ended).toBe(1)
  expect(second.output()).toMatch(/already in use\. .*SERVEZONE_PORT/)
})

test('the setup link is the same at every start until it is used, even after kill -9', async () => {
  const linkOf = (process: Process) => /\/setup\?token=(\S+)/.exec(process.output())?.[1]
  const first = start()
  await urlOf(first)
  const link = linkOf(first)
  expect(link).toMatch(/^fhsetup_.{43}$/)
  first.child.kill('SIGKILL')
  await first.ended
  const second = start()
  const url = await urlOf(second)
  expect(linkOf(second)).toBe(link)
  const made = await fetch(`${url}/api/v1/setup`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ token: link, username: 'admin', password: 'correct horse battery' }),
  })
  expect(made.status).toBe(200)
  second.child.kill('SIGKILL')
  await second.ended
  const third = start()
  await urlOf(third)
  expect(linkOf(third)).toBeUndefined()
})

test.each(['SIGTERM', 'SIGINT'] as const)(
  '%s ends streams, finishes what is under way and leaves with 0',
  async (signal) => {
    const server = start({ SERVEZONE_ADMINACCOUNT: 'admin:correct horse battery' })
    const url = await urlOf(server)
    const login = await fetch(`${url}/api/v1/login`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ username: 'admin', password: 'correct horse battery' }),
    })
    const { token } = (await login.json()) as { token: string }
    const authorization = `Bearer ${token}`
    const stream = await fetch(`${url}/api/v1/changes`, { headers: { authorization } })
    const streamed = stream.text()
    const before = (
      (await (await fetch(`${url}/api/v1/status`, { headers: { authorization } })).json()) as { storeVersion: number }
    ).storeVersion
    const underWay = fetch(`${url}/api/v1/users`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', authorization },
      body: JSON.stringify({ data: { name: 'late', role: 'user', password: 'long enough for this' } }),
    })
    // Its password is being hashed when the log shows nothing of it yet; the answer decides whether it was in time.
    await new Promise((resolve) => setImmediate(resolve))
    server.child.kill(signal)
    const outcome = await underWay.then(
      (response) => response.status,
      () => 'refused' as const,
    )
    expect(await server.ended).toBe(0)
    expect(await streamed).toContain('retry:')
    expect([201, 503, 'refused']).toContain(outcome)
    expect(server.output()).not.toContain(token)
    const again = start()
    const reopened = await urlOf(again)
    const status = (await (await fetch(`${reopened}/api/v1/status`, { headers: { authorization } })).json()) as {
      storeVersion: number
    }
    expect(status.storeVersion).toBe(outcome === 201 ? before + 1 : before)
  },
)

test('another secret than the one the store was made with stops the start, unless it is accepted', async () => {
  const first = start()
  await urlOf(first)
  first.child.kill('SIGTERM')
  expect(await first.ended).toBe(0)
  const other = { APP_SECRET: 'another-secret-of-more-than-32-characters' }
  const refused = start(other)
  expect(await refused.ended).toBe(1)
  expect(refused.output()).toMatch(/cannot start: APP_SECRET.*FREEHOLD_ACCEPT_NEW_SECRET=on/)
  await urlOf(start({ ...other, FREEHOLD_ACCEPT_NEW_SECRET: 'on' }))
})
