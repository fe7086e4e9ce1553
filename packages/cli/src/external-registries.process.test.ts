import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { admin, commandsOf, startTestServer, type TestServer } from './testing.ts'

/** One control plane that signs in to another as its external registry. */
let server: TestServer
let other: TestServer
let directory = ''
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'freehold-cli-'))
  server = await startTestServer()
  other = await startTestServer()
  await signIn(server, 'default')
})
afterAll(async () => {
  await server?.stop()
  await other?.stop()
  await rm(directory, { recursive: true, force: true })
})

const { freehold, json, signIn } = commandsOf(() => directory)
const create = (name: string, more: string[], input?: string) =>
  freehold(['external-registries', 'create', name, '--url', other.url, ...more], input === undefined ? {} : { input })

test('a password comes by standard input, never by the line, and only where it is needed', async () => {
  const made = await create('partner', ['--username', admin.username, '--password-stdin'], `${admin.password}\n`)
  expect(made).toMatchObject({
    code: 0,
    stdout: 'Created external-registry partner.\n',
    stderr: expect.stringContaining('external-registries test partner'),
  })
  expect((await create('open', [])).code).toBe(0)
  expect(await create('nobody', ['--username', 'ada'])).toMatchObject({
    code: 2,
    stderr: expect.stringContaining('--password-stdin'),
  })
  expect((await create('told', ['--set', 'password=x'])).code).toBe(2)
  expect((await freehold(['external-registries', 'list'])).stdout).toMatch(
    /^NAME\s+TYPE\s+URL\s+USER\s+PASSWORD\s+STATE\s+MESSAGE\npartner\s+docker\s+http\S+\s+admin\s+yes\s+untested/,
  )
})

test('a test says in a sentence what works, and its exit code says it too', async () => {
  expect(await freehold(['external-registry', 'test', 'partner'])).toMatchObject({
    code: 0,
    stdout: expect.stringMatching(/^Signed in to \S+ as admin\.\n$/),
  })
  expect(await freehold(['external-registry', 'test', 'open'])).toMatchObject({
    code: 1,
    stdout: expect.stringContaining('asks for credentials'),
  })
})

test('mirrors, external images and imports name a registry by its name', async () => {
  expect(
    (await freehold(['images', 'create', 'mirror/app', '--mirror', 'team/app', '--registry', 'partner'])).code,
  ).toBe(0)
  expect(await json(['images', 'get', 'mirror/app'])).toMatchObject({
    data: { location: { internal: true, mirrorOf: { repository: 'team/app' } } },
  })
  expect((await freehold(['images', 'list'])).stdout).toContain('mirror of team/app')
  expect((await freehold(['images', 'overview'])).stdout).toContain('mirror of partner/team/app')
  expect(await freehold(['images', 'update', 'mirror/app', '--quota-bytes', '10GB'])).toEqual({
    code: 2,
    stdout: '',
    stderr: 'error: --quota-bytes 10GB: a number is expected.\n  → Write digits alone, without a unit.\n',
  })
  expect((await freehold(['images', 'create', 'x', '--mirror', 'a'])).code).toBe(2)
  expect((await freehold(['images', 'create', 'x', '--mirror', 'a', '--external', 'b'])).code).toBe(2)
  const host = new URL(other.url).host
  const imported = ['images', 'import', `${host}/team/app:v1`, '--as', 'ours/app', '--registry', 'partner']
  expect(await freehold(imported)).toMatchObject({
    code: 4,
    stderr: expect.stringContaining(`${host} has no team/app:v1`),
  })
  expect(await freehold(['external-registries', 'delete', 'partner', '--yes'])).toMatchObject({
    code: 5,
    stderr: expect.stringContaining('mirror/app'),
  })
})

test('an exported registry holds no password, and applying it changes nothing', async () => {
  const output = join(directory, 'documents')
  expect((await freehold(['export', '-o', output])).code).toBe(0)
  const text = await readFile(join(output, 'external-registries', 'partner.yaml'), 'utf8')
  expect(text).toBe(
    `kind: external-registry\nname: partner\nspec:\n  type: docker\n  url: ${other.url}\n  username: admin\n`,
  )
  expect((await freehold(['plan', output, '--exit-code'])).code).toBe(0)
})
