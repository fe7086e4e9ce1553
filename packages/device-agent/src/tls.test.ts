import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer, type Server } from 'node:https'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { authority, stranger, trusted } from './certificates.testing.ts'
import { createFakeControlPlane } from './control-plane/control-plane.testing.ts'

/** The real process, and a control plane behind TLS. */
const patience = { timeout: 25_000 }
let directory: string
let server: Server
let port: number
let cloud: ReturnType<typeof createFakeControlPlane>
let sessions: boolean[]
const children: ChildProcess[] = []

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'freehold-device-tls-'))
  await writeFile(join(directory, 'authority.pem'), authority)
  cloud = createFakeControlPlane()
  sessions = []
  server = createServer(trusted, (request, response) => {
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => {
      const bearer = /^Bearer (.*)$/.exec(request.headers.authorization ?? '')?.[1] ?? null
      const { status, body } = cloud.answer(request.url ?? '', bearer, Buffer.concat(chunks).toString())
      response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
    })
  })
  server.on('secureConnection', (socket) => sessions.push(socket.isSessionReused()))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  port = (server.address() as AddressInfo).port
})
afterEach(async () => {
  for (const child of children.splice(0)) {
    if (child.exitCode !== null || child.signalCode !== null) continue
    const ended = new Promise((resolve) => child.once('close', resolve))
    child.kill('SIGKILL')
    await ended
  }
  server.closeAllConnections()
  await new Promise((resolve) => server.close(resolve))
  await rm(directory, { recursive: true, force: true })
})

function start(options: { host?: string; trusts?: boolean } = {}) {
  const { host = 'localhost', trusts = true } = options
  const child = spawn(process.execPath, [join(import.meta.dirname, 'main.ts')], {
    env: {
      PATH: process.env.PATH,
      NODE_COMPILE_CACHE: join(directory, 'cache'),
      BASEOS_CLOUDLY_URL: `https://${host}:${port}`,
      BASEOS_JOIN_TOKEN: 'join-token-0123456789',
      BASEOS_HEARTBEAT_INTERVAL_MS: '1000',
      BASEOS_STATE_PATH: join(directory, 'state.json'),
      BASEOS_LOCK_DIR: join(directory, 'balena'),
      ...(trusts ? { NODE_EXTRA_CA_CERTS: join(directory, 'authority.pem') } : {}),
    },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  children.push(child)
  const written = { out: '' }
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    written.out += text
  })
  return written
}
const heartbeats = () => [...cloud.nodes.values()].reduce((sum, node) => sum + node.heartbeats, 0)

test('over TLS each connection is verified for itself: a certificate that changed is refused by the next heartbeat', async () => {
  const written = start()
  await expect.poll(heartbeats, patience).toBeGreaterThan(2)
  expect(sessions.every((isReused) => !isReused)).toBe(true)
  server.setSecureContext(stranger)
  await expect.poll(() => written.out, patience).toContain('UNABLE_TO_VERIFY_LEAF_SIGNATURE')
  const before = heartbeats()
  await expect.poll(() => written.out.match(/UNABLE_TO_VERIFY/g)?.length, patience).toBeGreaterThan(1)
  expect(heartbeats()).toBe(before)
  server.setSecureContext(trusted)
  await expect.poll(heartbeats, patience).toBeGreaterThan(before)
})

test.each([
  [{ trusts: false }, 'UNABLE_TO_VERIFY_LEAF_SIGNATURE'],
  [{ host: '127.0.0.1' }, 'ERR_TLS_CERT_ALTNAME_INVALID'],
])('a control plane that does not prove itself (%o) is told nothing: %s', async (options, reason) => {
  const written = start(options)
  await expect.poll(() => written.out, patience).toContain(reason)
  expect(cloud.seen).toEqual([])
})
