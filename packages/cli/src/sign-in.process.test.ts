import { execFile } from 'node:child_process'
import { mkdtemp, readFile, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { admin, type CliResult, startCli, startTestServer, type TestServer } from './testing.ts'

let server: TestServer
let directory = ''
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'freehold-cli-'))
  server = await startTestServer()
})
afterAll(async () => {
  await server?.stop()
  await rm(directory, { recursive: true, force: true })
})

function freehold(
  commandLine: string[],
  options: { input?: string; environment?: Record<string, string> } = {},
): Promise<CliResult> {
  return startCli(commandLine, { XDG_CONFIG_HOME: directory, ...options.environment }, options.input).finished
}
const signIn = () =>
  freehold(['login', server.url, '--username', admin.username, '--password-stdin'], { input: `${admin.password}\n` })

describe('signing in', () => {
  test('is needed, and the error says how', async () => {
    const result = await freehold(['status'], { environment: { FREEHOLD_URL: server.url } })
    expect(result).toMatchObject({ code: 3, stdout: '' })
    expect(result.stderr).toContain('freehold login')
  })

  test('with a wrong password is refused with 3 and remembers nothing', async () => {
    const result = await freehold(['login', server.url, '--username', 'admin', '--password-stdin'], {
      input: 'wrong password',
    })
    expect(result.code).toBe(3)
    await expect(readFile(join(directory, 'freehold', 'config.json'))).rejects.toThrow(/ENOENT/)
  })

  test('without a terminal says which flags it needs', async () => {
    const result = await freehold(['login', server.url, '--username', 'admin'])
    expect(result.code).toBe(2)
    expect(result.stderr).toContain('--password-stdin')
  })

  test('keeps address and session for the owner alone, and whoami knows', async () => {
    expect(await signIn()).toMatchObject({ code: 0 })
    expect((await stat(join(directory, 'freehold', 'config.json'))).mode & 0o777).toBe(0o600)
    const who = await freehold(['whoami', '--json'])
    expect(JSON.parse(who.stdout)).toMatchObject({ url: server.url, name: 'admin', role: 'admin', subject: 'user' })
  })

  test('with a machine token works in a context of its own', async () => {
    const made = await freehold(['tokens', 'create', 'ci', '--role', 'api'])
    expect(made).toMatchObject({ code: 0, stdout: expect.stringMatching(/^\S{20,}\n$/) })
    const login = await freehold(['login', server.url, '--context', 'ci', '--token-stdin'], { input: made.stdout })
    expect(login).toMatchObject({ code: 0, stderr: expect.not.stringContaining(made.stdout.trim()) })
    const contexts = await freehold(['contexts', 'list', '--json'])
    expect(JSON.parse(contexts.stdout)).toEqual([
      { name: 'default', url: server.url, current: false },
      { name: 'ci', url: server.url, current: true },
    ])
    expect(JSON.parse((await freehold(['whoami', '--json'])).stdout)).toMatchObject({ role: 'api', subject: 'token' })
    const forbidden = await freehold(['users', 'list'])
    expect(forbidden.code).toBe(3)
    expect((await freehold(['contexts', 'use', 'default'])).code).toBe(0)
    expect((await freehold(['contexts', 'use', 'nowhere'])).code).toBe(4)
    expect((await freehold(['whoami', '--context', 'nowhere'])).code).toBe(2)
    const revoked = await freehold(['tokens', 'delete', 'ci'])
    expect(revoked).toMatchObject({ code: 0, stdout: 'Deleted token ci.\n' })
    const late = await freehold(['status'], { environment: { FREEHOLD_TOKEN: made.stdout.trim() } })
    expect(late.code).toBe(3)
  })

  test('a revoked session asks for signing in again, and logout forgets it', async () => {
    expect((await freehold(['logout', '--json'])).code).toBe(0)
    expect((await freehold(['whoami'])).code).toBe(3)
    expect((await freehold(['logout'])).code).toBe(3)
    expect((await signIn()).code).toBe(0)
  })
})

describe('users', () => {
  test('are made, changed and deleted; a password never stands in argv', async () => {
    const input = 'a long enough password'
    const made = await freehold(['users', 'create', 'ann', '--role', 'user', '--password-stdin', '--json'], { input })
    expect(JSON.parse(made.stdout)).toMatchObject({ kind: 'user', data: { name: 'ann', role: 'user' } })
    expect(made.stdout).not.toContain('passwordHash')
    expect((await freehold(['users', 'create', 'ann', '--role', 'user', '--password-stdin'], { input })).code).toBe(5)
    expect((await freehold(['users', 'create', 'bob', '--role', 'user'])).code).toBe(2)
    expect((await freehold(['users', 'create', 'bob', '--role', 'user', '--set', 'password=visible'])).code).toBe(2)
    expect((await freehold(['users', 'update', 'ann', '--disabled'])).stdout).toBe('Updated user ann.\n')
    const listed = await freehold(['users', 'list'])
    expect(listed.stdout).toMatch(/^NAME\s+ROLE\s+TYPE\s+DISABLED\s+AGE$/m)
    expect(listed.stdout).toMatch(/^ann\s+user\s+human\s+yes/m)
    expect((await freehold(['users', 'delete', 'ann'])).code).toBe(0)
    expect(await freehold(['users', 'get', 'ann'])).toMatchObject({ code: 4, stdout: '' })
  })

  test('audit says who did it, the newest first, over pages', async () => {
    const { stdout } = await freehold(['audit', '--kind', 'user', '--json', '--limit', '3'])
    const entries = JSON.parse(stdout) as { operation: string; kind: string; version: number }[]
    expect(entries.map(({ operation }) => operation)).toEqual(['delete', 'update', 'create'])
  })
})

describe('the command itself', () => {
  test('says how everything stands', async () => {
    expect(JSON.parse((await freehold(['status', '--json'])).stdout)).toMatchObject({ store: 'sqlite', problems: [] })
    expect((await freehold(['status'])).stdout).toContain('All is well.')
  })

  test.each([
    [[]],
    [['nosuch']],
    [['services', 'nosuch']],
    [['services', 'list', '--nosuch']],
    [['services', 'get']],
    [['services', 'list', '--limit', 'many']],
    [['services', 'list', '--selector', 'novalue']],
    [['deploy', 'web', '--revision', '1', '--image-version', '2']],
    [['status', '--timeout', 'soon']],
    [['plan', '/nowhere/at/all']],
    [['completion', 'tcsh']],
  ])('answers 2 and writes no data for %j', async (commandLine) => {
    const result = await freehold(commandLine)
    expect(result).toMatchObject({ code: 2, stdout: '' })
    expect(result.stderr).not.toBe('')
  })

  test('answers 6 where no server is, and says so as JSON when asked', async () => {
    const environment = { FREEHOLD_URL: 'http://127.0.0.1:9', FREEHOLD_TOKEN: 'x' }
    const result = await freehold(['status', '--json'], { environment })
    expect(result.code).toBe(6)
    expect(JSON.parse(result.stderr)).toMatchObject({
      error: { code: 'unavailable', exitCode: 6, action: expect.any(String) },
    })
  })

  test('runs by its linked name from any folder, on the pinned Node', async () => {
    const linked = join(import.meta.dirname, '../bin/freehold.mjs')
    const { stdout } = await promisify(execFile)(process.execPath, [linked, 'contexts', '--help'], { cwd: directory })
    expect(stdout).toContain('freehold contexts')
  })

  test('says in one glance how everything stands', async () => {
    const { stdout } = await freehold(['status'])
    expect(stdout).toMatch(/^Freehold \S+ at http:\S+ on SQLite, up for \d+[sm]\n0 clusters, 0 nodes, 0 services, /)
    expect(stdout).toContain('0 rollouts under way')
  })

  test('shows help on standard output with 0', async () => {
    expect(await freehold(['services', '--help'])).toMatchObject({
      code: 0,
      stdout: expect.stringContaining('push-help'),
      stderr: '',
    })
  })

  test('ends watching by Ctrl-C with 130 and by its time limit with 0', async () => {
    const watch = startCli(['users', 'watch', '--json', '--since', '0'], { XDG_CONFIG_HOME: directory })
    await watch.said(/\n/)
    watch.child.kill('SIGINT')
    const result = await watch.finished
    expect(result.code).toBe(130)
    for (const line of result.stdout.trim().split('\n')) expect(JSON.parse(line)).toMatchObject({ kind: 'user' })
    expect(await freehold(['users', 'watch', '--timeout', '0.5'])).toMatchObject({ code: 0 })
  })

  test('goes quietly when the reader of its output does', async () => {
    const watch = startCli(['users', 'watch', '--json', '--since', '0'], { XDG_CONFIG_HOME: directory })
    await watch.said(/\n/)
    watch.child.stdout?.destroy()
    await freehold(['users', 'create', 'eve', '--role', 'user', '--password-stdin'], {
      input: 'a long enough password',
    })
    expect(await watch.finished).toMatchObject({ code: 141, stderr: '' })
  })
})
