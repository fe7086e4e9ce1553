import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { SignedMetadata, UpdatesState } from '@freehold/contracts'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { commandsOf, startTestServer, type TestServer } from './testing.ts'

/** Keys are taken out of the control plane by the real command against a real server. */
let server: TestServer
let directory = ''
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'freehold-cli-'))
  server = await startTestServer()
  await signIn(server, 'default')
})
afterAll(async () => {
  await server?.stop()
  await rm(directory, { recursive: true, force: true })
})

const { freehold, json, signIn } = commandsOf(() => directory)
const file = (name: string) => join(directory, name)
const state = () => json<UpdatesState>(['updates', 'status'])

test('a key is for its owner alone, may have a passphrase, and overwrites nothing', async () => {
  await writeFile(file('passphrase'), 'correct horse battery\n', { mode: 0o600 })
  const line = ['updates', 'key', 'create', '--out', file('a.pem'), '--passphrase-file', file('passphrase')]
  const { keyid, publicKey } = await json<{ keyid: string; publicKey: string }>(line)
  expect(keyid).toMatch(/^[0-9a-f]{64}$/)
  expect((await stat(file('a.pem'))).mode & 0o777).toBe(0o600)
  const pem = await readFile(file('a.pem'), 'utf8')
  expect(pem).toContain('BEGIN ENCRYPTED PRIVATE KEY')
  expect(await readFile(file('a.pem.pub'), 'utf8')).toBe(`${publicKey}\n`)
  expect(await freehold(line)).toMatchObject({
    code: 2,
    stdout: '',
    stderr: expect.stringContaining('is there already'),
  })
  expect(await readFile(file('a.pem'), 'utf8')).toBe(pem)
  await json(['updates', 'key', 'create', '--out', file('b.pem')])
  await json(['updates', 'key', 'create', '--out', file('c.pem')])
  await writeFile(file('short'), 'short')
  const short = ['updates', 'key', 'create', '--out', file('d.pem'), '--passphrase-file', file('short')]
  expect(await freehold(short)).toMatchObject({ code: 2, stderr: expect.stringContaining('12 characters') })
})

test('the root is handed over to two keys, signed one after the other without a server', async () => {
  const [server] = (await state()).roles.root.keys
  const draft = await freehold([
    ...['updates', 'root', 'sign', '--role', 'root', '--threshold', '2', '--remove-key', server?.keyid ?? ''],
    ...['--add-key', file('a.pem.pub'), '--add-key', (await readFile(file('b.pem.pub'), 'utf8')).trim()],
    ...['--out', file('root.json')],
  ])
  expect(draft).toMatchObject({ code: 0, stderr: expect.stringMatching(/root: 2 of .*\n.*targets: 1 of/) })
  const unsigned: SignedMetadata = JSON.parse(await readFile(file('root.json'), 'utf8'))
  expect(unsigned.signatures).toEqual([])
  const nowhere = { environment: { XDG_CONFIG_HOME: file('nobody') } }
  const one = ['--in', file('root.json'), '--key', file('a.pem'), '--out', file('root1.json')]
  expect(await freehold(['updates', 'root', 'sign', ...one], nowhere)).toMatchObject({ code: 2 })
  const open = ['--passphrase-file', file('passphrase')]
  expect(await freehold(['updates', 'root', 'sign', ...one, ...open], nowhere)).toMatchObject({ code: 0 })
  const early = await freehold(['updates', 'root', 'sign', '--in', file('root1.json'), '--publish'])
  expect(early).toMatchObject({ code: 5, stderr: expect.stringContaining('1 of the 2 signatures') })
  const two = ['updates', 'root', 'sign', '--in', file('root1.json'), '--key', file('b.pem'), '--publish']
  expect(await freehold(two)).toMatchObject({ code: 0, stdout: expect.stringMatching(/root +2 .*2 of 2/) })
  expect(await freehold(['updates', 'drop-root-key'])).toMatchObject({
    code: 0,
    stdout: expect.stringContaining('All is well.'),
  })
  expect((await state()).roles.root.keys.map(({ isHere }) => isHere)).toEqual([false, false])
})

test('targets are signed by a key elsewhere: added beside the old one, used, and then alone', async () => {
  const keys = ['--key', file('a.pem'), '--key', file('b.pem'), '--passphrase-file', file('passphrase'), '--publish']
  const [old] = (await state()).roles.targets.keys
  const role = ['updates', 'root', 'sign', '--role', 'targets']
  const tooEarly = [...role, '--add-key', file('c.pem.pub'), '--remove-key', old?.keyid.slice(0, 12) ?? '', ...keys]
  expect(await freehold(tooEarly)).toMatchObject({
    code: 5,
    stderr: expect.stringContaining('would refuse the targets'),
  })
  expect(await freehold([...role, '--add-key', file('c.pem.pub'), ...keys])).toMatchObject({ code: 0 })
  const sign = ['updates', 'targets', 'sign', '--key', file('c.pem'), '--publish']
  expect(await freehold(sign)).toMatchObject({ code: 0, stderr: expect.stringContaining('keys/assignments.json') })
  expect(await freehold([...role, '--remove-key', old?.keyid ?? '', ...keys])).toMatchObject({ code: 0 })
  const { roles, problems } = await state()
  expect(roles.targets.keys).toMatchObject([{ isHere: false }])
  expect(problems).toEqual([])
  expect(await freehold(['updates', 'rotate', 'targets'])).toMatchObject({ code: 5 })
  const rotated = await freehold(['updates', 'rotate', 'snapshot'])
  expect(rotated).toMatchObject({ code: 0, stdout: expect.stringMatching(/root sign --role snapshot --add-key/) })
})

test.each([
  [['updates', 'root', 'sign', '--key', 'x'], /Where to put it/],
  [['updates', 'root', 'sign', '--publish', '--threshold', '9'], /ask for 9 signatures/],
  [['updates', 'root', 'sign', '--publish', '--remove-key', 'abc'], /is not one key of root/],
  [['updates', 'root', 'sign', '--publish', '--add-key', 'nothing-here'], /cannot be read/],
  [['updates', 'root', 'sign', '--publish', '--in', '-', '--threshold', '1'], /signed as it is/],
  [['updates', 'root', 'sign', '--publish', '--in', '-'], /holds no metadata/],
])('%j is refused with a sentence', async (line, message) => {
  expect(await freehold(line)).toMatchObject({ code: 2, stdout: '', stderr: expect.stringMatching(message) })
})
