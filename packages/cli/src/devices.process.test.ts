import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { deviceRegisterPath } from '@freehold/contracts'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { commandsOf, startTestServer, type TestServer } from './testing.ts'

let server: TestServer
let directory = ''
const { freehold, json, signIn } = commandsOf(() => directory)

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'freehold-cli-'))
  server = await startTestServer()
  await signIn(server, 'default')
})
afterAll(async () => {
  await server?.stop()
  await rm(directory, { recursive: true, force: true })
})

/** A device that is let in; answers its id. */
async function enrol(nodeId: string, hostname: string): Promise<string> {
  const { joinToken } = await json<{ joinToken: string }>(['join-tokens', 'create', `for-${nodeId}`])
  const response = await fetch(server.url + deviceRegisterPath, {
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization: `Bearer ${joinToken}` },
    body: JSON.stringify({ nodeId, status: { hostname } }),
  })
  expect(response.status).toBe(200)
  const devices = await json<{ id: string; data: { nodeId: string } }[]>(['devices', 'list'])
  return devices.find(({ data }) => data.nodeId === nodeId)?.id ?? ''
}

test('devices of one name are told apart by the end of their ids, and none is taken for another', async () => {
  const [first, second] = [await enrol('one', 'raspberrypi'), await enrol('two', 'raspberrypi')]
  const { stdout } = await freehold(['devices', 'list'])
  expect(stdout).toMatch(new RegExp(`raspberrypi +${first.slice(-8)} `))
  expect(stdout).toMatch(new RegExp(`raspberrypi +${second.slice(-8)} `))
  for (const line of [
    ['devices', 'get'],
    ['devices', 'revoke'],
    ['devices', 'reboot'],
    ['devices', 'delete', '--yes'],
  ]) {
    const refused = await freehold([...line, 'raspberrypi'])
    expect(refused).toMatchObject({ code: 2, stdout: '' })
    expect(refused.stderr).toContain('2 devices are called "raspberrypi"')
    expect(refused.stderr).toContain(`${first} (enrolled)`)
    expect(refused.stderr).toContain(`${second} (enrolled)`)
  }
  expect((await json(['devices', 'get', second.slice(-8)])).id).toBe(second)
  expect((await freehold(['devices', 'get', '00000000'])).code).toBe(4)
})

test('what comes of an action is said by how the thing stands now', async () => {
  const id = await enrol('three', 'till')
  const done = async (...line: string[]) => (await freehold(line)).stdout
  expect(await done('devices', 'revoke', id)).toBe('The device till is revoked now: Shut out by an operator.\n')
  expect(await done('devices', 'readopt', id)).toMatch(
    /^The device till may register anew, once, until \d{4}-.*; its earlier/,
  )
  expect(await done('join-tokens', 'revoke', 'for-three')).toBe(
    'No device enrols with the join token for-three any more. The one that did stays.\n',
  )
  expect((await freehold(['join-tokens', 'delete', 'for-three', '--yes'])).code).toBe(0)
  expect((await freehold(['join-tokens', 'get', 'for-three'])).code).toBe(4)
  expect(await json(['devices', 'get', id])).toMatchObject({ id })
})

test.each([
  [['devices', 'list', '--attention', 'nonsense'], 'approve, clone, claim, update-failed'],
  [['devices', 'list', '--state', 'nonsense'], 'waiting, enrolled, online, late, offline, revoked'],
  [['devices', 'list', '--update', 'nonsense'], 'failed'],
  [['releases', 'list', '--state', 'nonsense'], 'unsigned, signed, withdrawn'],
  [['channels', 'list', '--type', 'nonsense'], 'app, host'],
  [['release-rollouts', 'list', '--state', 'nonsense'], 'running, soaking'],
  [['users', 'list', '--role', 'nonsense'], 'admin, user'],
  [['services', 'list', '--state', 'nonsense'], 'waiting-for-image, deploying'],
])('%j is refused with what may stand there', async (line, allowed) => {
  const refused = await freehold(line)
  expect(refused).toMatchObject({ code: 2, stdout: '' })
  expect(refused.stderr).toContain(`Allowed choices are ${allowed}`)
})

test('the API refuses a filter it does not know as well', async () => {
  const { token } = await json<{ token: string }>(['tokens', 'create', 'reader'])
  const ask = (query: string) =>
    fetch(`${server.url}/api/v1/devices?${query}`, { headers: { authorization: `Bearer ${token}` } })
  expect((await ask('attention=approve')).status).toBe(200)
  const refused = await ask('attention=nonsense')
  expect([refused.status, await refused.text()]).toEqual([400, expect.stringContaining('update-failed')])
})

test('a group without devices says so in a sentence', async () => {
  await json(['device-groups', 'create', 'nowhere', '--selector', 'site=moon'])
  expect(await freehold(['device-groups', 'members', 'nowhere'])).toMatchObject({
    code: 0,
    stdout: 'No device belongs to it.\n',
  })
})

test('what a device calls itself cannot turn the line around', async () => {
  const id = await enrol('four', 'photo\u202egpj.exe\u200b\u2066')
  const { stdout } = await freehold(['devices', 'list'])
  expect(stdout).toContain('photo gpj.exe')
  expect(stdout).not.toMatch(/\p{Bidi_C}|\u200b/u)
  expect((await json(['devices', 'get', id])).data.name).toMatch(/^photo gpj\.exe *$/)
})
