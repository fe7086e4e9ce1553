import { createHash, randomBytes } from 'node:crypto'
import { readdir, readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { kinds } from '@freehold/contracts'
import { openSqliteStore } from '@freehold/store'
import { afterAll, beforeAll, expect, test } from 'vitest'
import {
  type AgentProcess,
  answerOf,
  type BuiltImage,
  brokenImage,
  buildImage,
  type Cloud,
  type Dockerd,
  type Freehold,
  freePort,
  labAdministrator,
  loadImage,
  pushImage,
  quickService,
  run,
  signIn,
  startCluster,
  startDockerd,
  startFreehold,
  type TemporaryFolder,
  temporaryFolder,
  waitFor,
  webImage,
} from './lab/index.ts'

/** KILL to the control plane at the worst moments: in the midst of a push, and in each phase of a rollout. */
let dockerd: Dockerd
let freehold: Freehold
let cloud: Cloud
let agent: AgentProcess
let folder: TemporaryFolder
let clusterId: string
/** Everything that was acknowledged, by reference: it must be there, bit for bit, after every death. */
const acknowledged = new Map<string, string>()

beforeAll(async () => {
  dockerd = await startDockerd({ swarm: true })
  freehold = await startFreehold()
  cloud = await signIn(freehold)
  folder = await temporaryFolder('killed')
  const cluster = await startCluster({ cloud, url: freehold.url, dockerd })
  agent = cluster.agent
  clusterId = cluster.clusterId
})

afterAll(async () => {
  await agent?.stop()
  await freehold?.stop()
  await dockerd?.stop()
  await folder?.remove()
})

test('killed in the midst of a layer: everything pushed before is whole, and pushing again finishes it', async () => {
  const host = `127.0.0.1:${freehold.port}`
  await pushAcknowledged(await webImage({ name: 'small:1', version: 'small' }), `${host}/team/small:1`)
  const big = await bigImage()
  const reference = `${host}/team/big:1`
  await loadImage(dockerd.engine, big, { as: reference })
  const push = pushImage(dockerd.engine, reference, labAdministrator()).then(
    () => 'finished',
    (error: Error) => error.message,
  )
  await waitFor(async () => (await uploadedBytes()) > 1_000_000, { what: 'a part of the layer', everyMs: 1 })
  await freehold.kill9()
  // The engine tries again by itself for a while; it may be refused, or find the server back and go on.
  await freehold.restart()
  await push
  await pushAcknowledged(big, reference)
  await expectAcknowledged()
})

test('killed while a revision starts: the rollout ends as the containers do', async () => {
  const { id, port } = await serve('starting')
  await cloud.push(dockerd, id, await slowImage({ name: 'starting:2', version: 'starting 2', startSeconds: 3 }))
  await cloud.rollout(id, 2, ({ status }) => status.phase === 'starting', 'revision 2 to start')
  await dieAndReturn()
  expect((await cloud.verdict(id, 2)).status.phase).toBe('succeeded')
  expect(await answerOf(port)).toBe('starting 2')
})

test('killed while a revision settles: it must settle, and serves', async () => {
  const { id, port } = await serve('settling', { settleSeconds: 4 })
  await cloud.push(dockerd, id, await webImage({ name: 'settling:2', version: 'settling 2' }))
  await cloud.rollout(id, 2, ({ status }) => status.phase === 'settling', 'revision 2 to settle')
  await dieAndReturn()
  const { status } = await cloud.verdict(id, 2)
  expect(status).toMatchObject({ phase: 'succeeded', healthy: 1 })
  expect(await answerOf(port)).toBe('settling 2')
})

test('killed while it goes back: the verdict is the failure, and the old revision answers', async () => {
  const { id, port } = await serve('reverting')
  await cloud.push(dockerd, id, await brokenImage({ name: 'reverting:2' }))
  await cloud.rollout(id, 2, ({ status }) => status.phase === 'reverting', 'revision 2 to be taken back')
  await dieAndReturn()
  const { status } = await cloud.verdict(id, 2)
  expect(status).toMatchObject({ phase: 'failed', previousServes: true })
  expect(status.failure?.logTail).toContain('fatal: the database address is missing')
  await waitFor(async () => (await answerOf(port)) === 'reverting 1', { what: 'revision 1 to answer' })
  const service = await cloud.service(id, (now) => now.status.state === 'running', 'the service to be shown running')
  expect(service.status.currentRevisionNumber).toBe(1)
})

test('killed while the old revision is removed: the new one serves, the old one goes', async () => {
  const { id } = await serve('retiring', { isPublished: false, stopGraceSeconds: 5 })
  await cloud.push(dockerd, id, await webImage({ name: 'retiring:2', version: 'retiring 2' }))
  await cloud.rollout(id, 2, ({ status }) => status.phase === 'retiring', 'revision 1 to be removed')
  await dieAndReturn()
  expect((await cloud.verdict(id, 2)).status.phase).toBe('succeeded')
  const names = (await dockerd.engine.listServices()).map(({ Spec }) => Spec?.Name ?? '')
  expect(names.filter((name) => name.startsWith('retiring'))).toEqual(['retiring-r2'])
})

test('after all these deaths everything acknowledged is there bit for bit, and the log is whole', async () => {
  await expectAcknowledged()
  await freehold.kill9()
  const store = await openSqliteStore({
    kinds: Object.values(kinds),
    directory: freehold.dataDirectory,
    log: { warn: () => undefined },
  })
  try {
    const { checked, firstBroken } = await store.verifyAudit()
    expect(firstBroken).toBeNull()
    expect(checked).toBe(await store.version())
  } finally {
    await store.close()
  }
})

async function dieAndReturn(): Promise<void> {
  await freehold.kill9()
  await freehold.restart()
}

/** A service whose revision 1 serves. A port of the node makes its rollouts stop the old revision first. */
async function serve(
  name: string,
  options: { settleSeconds?: number; stopGraceSeconds?: number; isPublished?: boolean } = {},
): Promise<{ id: string; port: number }> {
  const { settleSeconds = 0, stopGraceSeconds = 1, isPublished = true } = options
  const port = await freePort()
  const base = quickService({ name, clusterId, ...(isPublished ? { published: port } : {}) })
  const data = { ...base, stopGraceSeconds, rollout: { ...base.rollout, settleSeconds } }
  const { id } = await cloud.client.services.create({ body: { data } })
  const image = isPublished ? webImage : stubbornImage
  const digest = await cloud.push(dockerd, id, await image({ name: `${name}:1`, version: `${name} 1` }))
  expect((await cloud.verdict(id, 1)).status.phase).toBe('succeeded')
  const { registry, repository } = await cloud.client.services.registryTarget({ params: { id } })
  acknowledged.set(`${registry}/${repository}@${digest}`, digest)
  return { id, port }
}

async function pushAcknowledged(image: BuiltImage, reference: string): Promise<void> {
  await loadImage(dockerd.engine, image, { as: reference })
  acknowledged.set(reference, await pushImage(dockerd.engine, reference, labAdministrator()))
}

/** Pulls everything with skopeo, which checks each layer's digest; the manifest's is checked here. */
async function expectAcknowledged(): Promise<void> {
  const { username, password } = labAdministrator()
  for (const [reference, digest] of acknowledged) {
    const to = join(folder.path, digest.slice(7, 19))
    await run([
      ...['skopeo', 'copy', '--src-tls-verify=false', '--src-creds', `${username}:${password}`],
      ...[`docker://${reference}`, `dir:${to}`],
    ])
    const manifest = await readFile(join(to, 'manifest.json'))
    expect(`sha256:${createHash('sha256').update(manifest).digest('hex')}`).toBe(digest)
  }
}

/** Bytes that no compression makes small, so that the push takes a while. */
function bigImage(): Promise<BuiltImage> {
  return buildImage({
    name: 'big:1',
    files: [{ path: 'noise', content: randomBytes(96 * 1024 * 1024) }],
    entrypoint: ['/bin/busybox', 'sleep', '1000'],
  })
}

/** Serves only some seconds after its start. */
function slowImage(options: { name: string; version: string; startSeconds: number }): Promise<BuiltImage> {
  return scriptImage(options, `sleep ${options.startSeconds}\nexec busybox httpd -f -p 8080 -h /www\n`)
}

/** Serves, and ends only when it is killed. */
function stubbornImage(options: { name: string; version: string }): Promise<BuiltImage> {
  return scriptImage(
    options,
    `trap '' TERM\nbusybox httpd -f -p 8080 -h /www &\nwhile true; do busybox sleep 1; done\n`,
  )
}

function scriptImage(options: { name: string; version: string }, script: string): Promise<BuiltImage> {
  return buildImage({
    name: options.name,
    files: [
      { path: 'start', content: script },
      { path: 'www/index.html', content: `${options.version}\n` },
    ],
    entrypoint: ['/bin/busybox', 'sh', '/start'],
  })
}

/** Bytes of the layers that are being received now. */
async function uploadedBytes(): Promise<number> {
  const folder = join(freehold.dataDirectory, 'blobs', 'uploads')
  const sizes = await Promise.all((await readdir(folder)).map(async (name) => (await stat(join(folder, name))).size))
  return sizes.reduce((sum, size) => sum + size, 0)
}
