import { createHash } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { admin, commandsOf, startTestServer, type TestServer } from './testing.ts'

let server: TestServer
let directory = ''
const { freehold, json, signIn } = commandsOf(() => directory)

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'freehold-cli-'))
  server = await startTestServer()
  await signIn(server, 'default')
  await push('shop/web', '1.4.0')
  await push('baseos/hostapp', '2.0.0')
})
afterAll(async () => {
  await server?.stop()
  await rm(directory, { recursive: true, force: true })
})

test('a release is made of images by flags or a file, and named by product and version', async () => {
  const made = await freehold([
    'releases',
    'create',
    '--product',
    'shop',
    '--release-version',
    '1.4.0',
    '--service',
    'web=shop/web:1.4.0',
  ])
  expect(made).toMatchObject({ code: 0, stdout: 'Created release shop/1.4.0.\n' })
  expect(made.stderr).toContain('freehold release-rollouts create CHANNEL shop/1.4.0')
  const file = join(directory, 'release.yaml')
  await writeFile(
    file,
    'product: shop\nversion: 1.5.0\ntype: app\nservices:\n  - name: web\n    image: shop/web:1.4.0\n    ports:\n      - host: 80\n        container: 8080\n',
  )
  const release = await json(['releases', 'create', '--file', file, '--type', 'app'])
  expect(release.data).toMatchObject({ services: [{ ports: [{ host: 80, container: 8080, protocol: 'tcp' }] }] })
  const { data } = await json(['releases', 'get', 'shop/1.4.0'])
  expect(data).toMatchObject({ services: [{ name: 'web', image: { repository: 'shop/web' } }] })
  const listed = await freehold(['releases', 'list', '--product', 'shop'])
  expect(listed.stdout).toMatch(/shop\/1\.4\.0 +app +signed +1 +any/)
  const elsewhere = [
    'releases',
    'create',
    '--product',
    'shop',
    '--release-version',
    '2.0.0',
    '--service',
    'web=docker.io/library/nginx:1',
  ]
  expect(await freehold(elsewhere)).toMatchObject({
    code: 2,
    stderr: expect.stringContaining('freehold images import'),
  })
  expect((await freehold(['releases', 'withdraw', 'shop/1.5.0'])).code).toBe(0)
  await enrol('till')
  expect(await freehold(['devices', 'update', 'till', '--pinned-app-release', 'shop/1.5.0'])).toMatchObject({
    stderr: expect.stringContaining('it was withdrawn'),
  })
  expect((await freehold(['releases', 'delete', 'shop/1.5.0', '--yes'])).code).toBe(0)
})

test('a host release has its type of device and its licence bundle, which our registry keeps', async () => {
  const bundle = join(directory, 'licenses.tar.gz')
  const bytes = Buffer.from([0x1f, 0x8b, 8, 0, 1, 2, 3])
  await writeFile(bundle, bytes)
  const line = [
    'releases',
    'create',
    '--release-version',
    '2.0.0',
    '--hostapp',
    'baseos/hostapp:2.0.0',
    '--license-bundle',
    bundle,
  ]
  expect(await freehold(line)).toMatchObject({ code: 2, stderr: expect.stringContaining('one type of device') })
  const release = await json([...line, '--device-type', 'raspberrypi4-64'])
  expect(release.data).toMatchObject({
    product: 'baseos',
    type: 'host',
    host: { deviceType: 'raspberrypi4-64', licenseBundle: digestOf(bytes) },
  })
  const again = await json(['releases', 'get', 'baseos/raspberrypi4-64/2.0.0'])
  expect(again.id).toBe(release.id)
  const response = await fetch(`${server.url}/v2/baseos/licenses/blobs/${digestOf(bytes)}`, {
    headers: { authorization },
  })
  expect(Buffer.from(await response.arrayBuffer())).toEqual(bytes)
  await writeFile(bundle, 'no archive')
  const strange = [...line.with(3, '2.0.1'), '--device-type', 'raspberrypi4-64']
  expect(await freehold(strange)).toMatchObject({ code: 2, stderr: expect.stringContaining('no gzip file') })
})

test('groups follow channels by name, and say who belongs to them', async () => {
  const device = await enrol('kitchen')
  await json(['channels', 'create', 'stable', '--description', 'for shops'])
  await json(['devices', 'update', 'kitchen', '--label', 'site=berlin'])
  const group = await json([
    'device-groups',
    'create',
    'berlin',
    '--app-channel',
    'stable',
    '--selector',
    'site=berlin',
  ])
  expect(group.data).toMatchObject({ selector: { site: 'berlin' }, appChannelId: expect.any(String) })
  expect(await json(['device-groups', 'members', 'berlin'])).toEqual({
    count: 1,
    devices: [{ id: device, name: 'kitchen' }],
  })
  expect((await freehold(['device-groups', 'list'])).stdout).toMatch(/berlin +100 +site=berlin +stable/)
  expect(await freehold(['channels', 'delete', 'stable', '--yes'])).toMatchObject({
    stderr: expect.stringContaining('The group berlin follows the channel stable'),
  })
  const shown = await freehold(['devices', 'releases', 'kitchen'])
  expect(shown.stdout).toMatch(/It belongs to the group berlin\.[\s\S]*app +what is there stays/)
  await freehold(['releases', 'withdraw', 'shop/1.4.0'])
  expect(await freehold(['devices', 'update', 'kitchen', '--pinned-app-release', 'shop/1.4.0'])).toMatchObject({
    stderr: expect.stringContaining('it was withdrawn, and devices refuse it'),
  })
})

test('a device is asked to restart or to look for its update', async () => {
  await enrol('office')
  expect(await freehold(['devices', 'reboot', 'office'])).toMatchObject({
    code: 0,
    stdout: expect.stringMatching(/^Asked for: reboot device office\. It hears of it with its next heartbeat/),
  })
  const { data } = await json(['devices', 'request-update', 'office', '--force', '--expires-in-seconds', '600'])
  expect(data.actions).toMatchObject([
    { kind: 'reboot', force: false },
    { kind: 'update', force: true },
  ])
  const report = await freehold(['devices', 'report', 'office'])
  expect(report.stdout).toMatch(/reboot +waits +not begun after .*\n *update --force +waits/)
})

const authorization = `Basic ${Buffer.from(`${admin.username}:${admin.password}`).toString('base64')}`

function digestOf(bytes: Buffer): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`
}

/** The smallest image there is. */
async function push(repository: string, tag: string): Promise<void> {
  const config = Buffer.from(JSON.stringify({ architecture: 'amd64', os: 'linux', repository }))
  const mediaType = 'application/vnd.oci.image.manifest.v1+json'
  const descriptor = {
    mediaType: 'application/vnd.oci.image.config.v1+json',
    digest: digestOf(config),
    size: config.length,
  }
  const manifest = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType, config: descriptor, layers: [] }))
  const send = async (method: string, path: string, body: Buffer, type: string) => {
    const headers = { authorization, 'content-type': type }
    const response = await fetch(`${server.url}/v2/${repository}/${path}`, {
      method,
      headers,
      body: Uint8Array.from(body),
    })
    expect(response.status).toBe(201)
  }
  await send('POST', `blobs/uploads/?digest=${digestOf(config)}`, config, 'application/octet-stream')
  await send('PUT', `manifests/${tag}`, manifest, mediaType)
}

/** A device that is let in; answers its id. */
async function enrol(nodeId: string): Promise<string> {
  const { joinToken } = await json<{ joinToken: string }>(['join-tokens', 'create', `for-${nodeId}`])
  const response = await fetch(`${server.url}/baseos/v1/nodes/register`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization: `Bearer ${joinToken}` },
    body: JSON.stringify({ nodeId }),
  })
  expect(response.status).toBe(200)
  return (await json(['devices', 'get', nodeId])).id
}
