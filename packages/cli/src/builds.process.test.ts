import { createHash, randomBytes } from 'node:crypto'
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { baseImageContentPath, partialUploadType } from '@freehold/contracts'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { admin, commandsOf, startCli, startTestServer, type TestServer } from './testing.ts'

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

test('a base image is uploaded with its digest, from where an earlier upload broke off', async () => {
  const bytes = randomBytes(9_000_000)
  const file = join(directory, 'pi.img')
  await writeFile(file, bytes)
  const { token } = await login()
  const created = await fetch(`${server.url}/api/v1/base-images`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization: `Bearer ${token}` },
    body: JSON.stringify({ data: { name: 'pi-os', imageKind: 'balena-raw', architecture: 'rpi' } }),
  })
  const { id } = (await created.json()) as { id: string }
  const headers = { 'content-type': partialUploadType, 'upload-offset': '0', 'upload-complete': '?0' }
  const part = await fetch(`${server.url}${baseImageContentPath(id)}`, {
    method: 'PATCH',
    headers: { ...headers, authorization: `Bearer ${token}` },
    body: Uint8Array.from(bytes.subarray(0, 4_000_000)),
  })
  expect(part.status).toBe(204)

  const added = await freehold(['base-images', 'add', 'pi-os', file, '--architecture', 'rpi'])
  expect(added).toMatchObject({ code: 0, stdout: 'Added base-image pi-os.\n' })
  expect(added.stderr).toMatch(/^Uploading pi-os .* 44 % /)
  const { status } = await json(['base-images', 'get', 'pi-os'])
  const digest = `sha256:${createHash('sha256').update(bytes).digest('hex')}`
  expect(status).toMatchObject({ state: 'ready', blob: { digest, sizeBytes: bytes.length } })
  expect((await freehold(['base-images', 'list'])).stdout).toMatch(/pi-os +balena-raw +rpi +ready +8\.6 MiB +uploaded/)
  const again = ['base-images', 'add', 'pi-os', file, '--architecture', 'rpi']
  expect(await freehold(again)).toMatchObject({ code: 5 })
})

test('a build is begun, left alone by Ctrl-C, named by its hostname, cancelled, and has nothing to download', async () => {
  const line = ['builds', 'create', '--kind', 'balena-raw', '--architecture', 'rpi', '--base', 'pi-os']
  const watching = startCli([...line, '--hostname', 'till', '--wait'], { XDG_CONFIG_HOME: directory })
  await watching.said(/waiting: /)
  watching.child.kill('SIGINT')
  const left = await watching.finished
  expect(left.code).toBe(130)
  expect(left.stderr).toContain('The build goes on.')
  expect(await json(['builds', 'get', 'till'])).toMatchObject({
    data: { requestedBy: 'admin' },
    status: { state: 'waiting' },
  })
  expect((await freehold(['builds', 'cancel', 'till'])).code).toBe(0)
  expect(await freehold(['builds', 'watch', 'till'])).toMatchObject({ code: 1 })
  expect(await freehold(['builds', 'download', 'till'])).toMatchObject({ code: 5 })
  expect((await readdir(directory)).filter((name) => name.includes('part'))).toEqual([])
})

test('what has no effect on an image is refused with what it works for', async () => {
  const line = ['builds', 'create', '--kind', 'balena-raw', '--architecture', 'rpi', '--base', 'pi-os']
  const user = await freehold([...line, '--ssh-user', 'ops'])
  expect(user.code).not.toBe(0)
  expect(user.stderr).toContain('works for ubuntu-iso alone: on balena-raw the SSH key is that of root')
  const iso = ['builds', 'create', '--kind', 'ubuntu-iso', '--architecture', 'amd64']
  expect((await freehold([...iso, '--compression', 'zst'])).stderr).toContain('works for balena-raw alone')
})

test('the list says the name of the base, and that it was deleted once it was', async () => {
  const list = async () => (await freehold(['builds', 'list'])).stdout
  expect(await list()).toMatch(/till +.*pi-os/)
  const { id } = await json(['base-images', 'get', 'pi-os'])
  expect((await freehold(['base-images', 'delete', 'pi-os', '--yes'])).code).toBe(0)
  expect(await list()).toContain(`deleted base image (${id})`)
})

async function login(): Promise<{ token: string }> {
  const response = await fetch(`${server.url}/api/v1/login`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(admin),
  })
  return (await response.json()) as { token: string }
}
