import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer, type IncomingMessage, request, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { gzipSync } from 'node:zlib'
import { type Client, createClient } from '@freehold/client'
import type { ReleaseManifest } from '@freehold/contracts'
import { createHostDriver, createUpdateLocks, layOutTwoRoots, Secret } from '@freehold/device-agent'
import { createFakeClock } from '@freehold/reconcile'
import { afterEach, beforeEach, expect, test } from 'vitest'
import {
  type EnrolledDevice,
  enrolDevice,
  type Freehold,
  giveRelease,
  labAdministrator,
  type Pushed,
  pushIndexOf,
  pushSmallImage,
  type Service,
  startFreehold,
  startService,
  type TemporaryFolder,
  tar,
  temporaryFolder,
  waitFor,
} from './lab/index.ts'

/**
 * A host with two roots takes releases of a whole control plane, with the node token of a device that enrolled.
 */
const repository = 'baseos/hostapp'
const architecture = { x64: 'amd64' }[process.arch as string] ?? process.arch
const signal = new AbortController().signal

let freehold: Freehold
let client: Client
let device: EnrolledDevice
let link: Link
let folder: TemporaryFolder
beforeEach(async () => {
  freehold = await startFreehold()
  const { token } = await createClient({ url: freehold.url }).auth.login({ body: labAdministrator() })
  client = createClient({ url: freehold.url, token })
  device = await enrolDevice(client, freehold.url, 'host-7')
  link = await startLink(freehold.url)
  folder = await temporaryFolder('host')
  await mkdir(join(folder.path, 'roots/a/etc'), { recursive: true })
  await writeFile(join(folder.path, 'roots/a/etc/os-release'), 'VERSION_ID=1.0.0\n')
  await layOutTwoRoots(join(folder.path, 'roots'))
})
afterEach(async () => {
  await link.stop()
  await freehold.stop()
  await folder.remove()
})

/** The agent's driver as it is after each start of the agent. */
const driver = async (options: { token?: string } = {}) => {
  const clock = createFakeClock()
  const locks = createUpdateLocks({ directory: join(folder.path, 'locks'), clock, log: silent })
  await locks.adopt()
  return createHostDriver({
    registry: new URL(link.url),
    token: () => new Secret(options.token ?? device.nodeToken),
    locks,
    clock,
    statePath: join(folder.path, 'host-update.json'),
    twoRootsDirectory: join(folder.path, 'roots'),
    restartCommand: ['touch', join(folder.path, 'restarting')],
    hostRoot: null,
    healthCommand: ['test', '-e', join(folder.path, 'well')],
  })
}
const silent = { info: () => {}, warn: () => {}, error: () => {} }

async function boot(): Promise<string> {
  await rm(join(folder.path, 'restarting'), { force: true })
  const program = join(import.meta.dirname, '../../packages/device-agent/src/releases/host/two-roots-boot.ts')
  const { stdout } = await promisify(execFile)(process.execPath, [program, join(folder.path, 'roots')])
  return (await readFile(join(stdout.trim(), 'etc/os-release'), 'utf8')).trim()
}

/** The host goes down, and its agent with it; `boots` times it comes up no further than to its root. */
async function restartHost(agent: Service, options: { boots: number }): Promise<string> {
  await waitFor(async () => (await readdir(folder.path)).includes('restarting'), {
    what: () => `the agent to restart the host\n${agent.logs()}`,
  })
  // A host goes down in seconds, and the agent has written by then that it asked for it.
  await waitFor(
    async () =>
      JSON.parse(await readFile(join(folder.path, 'agent', 'state.json'), 'utf8')).releases.host.isRestarting === true,
    { what: () => `the agent to have noted that the host restarts\n${agent.logs()}` },
  )
  await agent.kill9()
  let booted = ''
  for (let count = 0; count < options.boots; count += 1) booted = await boot()
  await agent.restart()
  return booted
}

/** A release of a host for this platform, and of another for one that is none of ours, under one index; the device is given it. */
async function release(version: string): Promise<ReleaseManifest> {
  return giveRelease(client, { url: freehold.url, device, releaseId: await makeRelease(version) })
}

async function makeRelease(version: string): Promise<string> {
  const target = { ...labAdministrator(), url: freehold.url, repository }
  const large = randomBytes(3 * 1024 * 1024)
  const osRelease = { path: 'etc/os-release', content: `VERSION_ID=${version}\n` }
  const image = (name: string): Promise<Pushed> => {
    const layers = [
      gzipSync(tar([{ path: 'usr/lib/large', content: large }])),
      gzipSync(tar([osRelease, { path: 'etc/architecture', content: name }])),
    ]
    return pushSmallImage(target, { layers, architecture: name })
  }
  await pushIndexOf(target, version, [await image('mips64le'), await image(architecture)])
  const host = { deviceType: 'generic-amd64', hostapp: `${repository}:${version}` }
  const { id } = await client.releases.create({ body: { data: { product: 'baseos', version, type: 'host', host } } })
  return id
}

const download = async (manifest: ReleaseManifest, options: { token?: string } = {}) =>
  (await driver(options)).download(manifest, { signal, onProgress: () => {} })

test('a host downloads over a line that breaks, switches, returns from what is not well, and stays with what is', async () => {
  const first = await release('1.1.0')
  link.breakAfter(1024 * 1024)
  await expect(download(first)).rejects.toThrow('broke off')
  expect(await boot()).toBe('VERSION_ID=1.0.0')
  await download(first)
  const resumed = link.ranges().map((range) => Number(/^bytes=(\d+)-$/.exec(range)?.[1]))
  expect(resumed).toHaveLength(1)
  expect(resumed[0]).toBeGreaterThan(512 * 1024)
  expect(await readFile(join(folder.path, 'roots/b/etc/architecture'), 'utf8')).toBe(architecture)

  const apply = async (manifest: ReleaseManifest) => (await driver()).apply(manifest, { force: false, signal })
  expect(await apply(first)).toBe('restarting')
  expect(await readdir(folder.path)).toContain('restarting')
  expect(await readdir(join(folder.path, 'locks'))).toEqual(['updates.lock'])
  expect(await boot()).toBe('VERSION_ID=1.1.0')
  expect(await (await driver()).running(signal)).toBe(first.releaseId)
  expect(await (await driver()).health(first, signal)).toMatchObject({ isHealthy: false })
  expect(await (await driver()).rollBack(signal)).toBe('restarting')
  expect(await boot()).toBe('VERSION_ID=1.0.0')

  await writeFile(join(folder.path, 'well'), '')
  expect(await apply(first)).toBe('restarting')
  expect(await boot()).toBe('VERSION_ID=1.1.0')
  expect(await (await driver()).health(first, signal)).toMatchObject({ isHealthy: true })
  await (await driver()).commit(first, signal)

  const second = await release('1.2.0')
  await download(second)
  await apply(second)
  // The new host never gets as far as its agent: three attempts, then the one before.
  const boots: string[] = []
  for (let index = 0; index < 5; index += 1) boots.push(await boot())
  expect(boots).toEqual([...Array(3).fill('VERSION_ID=1.2.0'), ...Array(2).fill('VERSION_ID=1.1.0')])
  expect(await (await driver()).running(signal)).toBe(first.releaseId)
  expect(await readdir(join(folder.path, 'locks'))).toEqual([])
})

test('a host does not switch to bytes that are not those of the release, nor with a token that is none', async () => {
  const manifest = await release('1.1.0')
  const other = await enrolDevice(client, freehold.url, 'host-8')
  for (const token of ['not-a-token', other.nodeToken]) {
    await expect(download(manifest, { token })).rejects.toMatchObject({ code: 'forbidden' })
  }
  link.tamper()
  await expect(download(manifest)).rejects.toMatchObject({ code: 'conflict' })
  const hostile = await driver()
  await expect(hostile.apply(manifest, { force: true, signal })).rejects.toThrow('does not hold')
  expect(await boot()).toBe('VERSION_ID=1.0.0')
  expect(link.strangers()).toBe(0)

  link.honest()
  await download(manifest)
  expect(await hostile.apply(manifest, { force: false, signal })).toBe('restarting')
  expect(await boot()).toBe('VERSION_ID=1.1.0')
})

test('the real agent brings a host over a restart and confirms it; one that never comes up is reported by the one before', async () => {
  const { joinToken } = await client.joinTokens.create({ body: { data: { name: 'hosts' } } })
  const channel = await client.channels.create({ body: { data: { name: 'hosts', type: 'host' } } })
  await client.devices.revoke({ params: { id: device.id } })
  await client.deviceGroups.create({ body: { data: { name: 'all', hostChannelId: channel.id } } })
  const agent = await startService({
    entry: 'packages/device-agent/src/main.ts',
    env: {
      BASEOS_CLOUDLY_URL: link.url,
      BASEOS_JOIN_TOKEN: joinToken,
      BASEOS_NODE_ID: 'host-9',
      BASEOS_STATE_PATH: join(folder.path, 'agent', 'state.json'),
      BASEOS_LOCK_DIR: join(folder.path, 'locks'),
      BASEOS_HEARTBEAT_INTERVAL_MS: '1000',
      BASEOS_DEVICE_TYPE: 'generic-amd64',
      BASEOS_TWO_ROOTS_DIR: join(folder.path, 'roots'),
      BASEOS_HOST_RESTART_COMMAND: JSON.stringify(['/usr/bin/touch', join(folder.path, 'restarting')]),
      BASEOS_HEALTH_COMMAND: JSON.stringify(['/usr/bin/test', '-e', join(folder.path, 'well')]),
    },
  })
  try {
    const enrolled = await waitFor(
      async () => (await client.devices.list({ query: {} })).items.find(({ data }) => data.nodeId === 'host-9'),
      { what: 'the agent to enrol' },
    )
    const rollOut = async (releaseId: string) => {
      await waitFor(async () => (await client.releases.get({ params: { id: releaseId } })).status.state === 'signed', {
        what: 'the release to be signed',
      })
      const data = { channelId: channel.id, releaseId, soakSeconds: 1 }
      return client.releaseRollouts.create({ body: { data } })
    }
    const comesTo = (id: string, state: string) =>
      waitFor(async () => (await client.releaseRollouts.get({ params: { id } })).status.state === state, {
        what: () => `the rollout to be ${state}\n${agent.logs().slice(-3000)}`,
      })
    const reported = async () => (await client.devices.report({ params: { id: enrolled.id } })).report?.releases?.host

    await writeFile(join(folder.path, 'well'), '')
    const good = await makeRelease('1.1.0')
    const first = await rollOut(good)
    expect(await restartHost(agent, { boots: 1 })).toBe('VERSION_ID=1.1.0')
    await comesTo(first.id, 'succeeded')
    expect(await reported()).toMatchObject({ version: '1.1.0', state: 'succeeded', running: good })

    const second = await rollOut(await makeRelease('1.2.0'))
    expect(await restartHost(agent, { boots: 4 })).toBe('VERSION_ID=1.1.0')
    await comesTo(second.id, 'stopped')
    expect(await reported()).toMatchObject({ version: '1.2.0', state: 'rolled-back', running: good })
    expect(await readdir(join(folder.path, 'locks'))).toEqual([])
  } finally {
    await agent.stop()
  }
})

interface Link {
  url: string
  /** The next blob breaks off after so many bytes. */
  breakAfter(bytes: number): void
  /** One bit of every blob is wrong from now on. */
  tamper(): void
  honest(): void
  ranges(): string[]
  /** Requests with a password that did not go to the token endpoint. */
  strangers(): number
  stop(): Promise<void>
}

/** The line between device and control plane. */
async function startLink(target: string): Promise<Link> {
  let breakAfterBytes = Number.POSITIVE_INFINITY
  let isTampering = false
  let strangers = 0
  const ranges: string[] = []
  const server: Server = createServer((incoming, outgoing) => {
    const url = new URL(incoming.url ?? '/', target)
    if (incoming.headers.authorization?.startsWith('Basic') && url.pathname !== '/v2/token') strangers += 1
    if (incoming.headers.range !== undefined) ranges.push(incoming.headers.range)
    const isBlob = url.pathname.includes('/blobs/')
    const passOn = async (answer: IncomingMessage) => {
      outgoing.writeHead(answer.statusCode ?? 502, answer.headers)
      let sent = 0
      for await (const chunk of answer as AsyncIterable<Buffer>) {
        if (isBlob && isTampering && sent === 0) chunk[0] = (chunk[0] ?? 0) ^ 1
        sent += chunk.length
        outgoing.write(chunk)
        if (isBlob && sent >= breakAfterBytes) {
          breakAfterBytes = Number.POSITIVE_INFINITY
          // What was written is let go of first.
          await new Promise((resolve) => outgoing.write('', resolve))
          outgoing.destroy()
          return
        }
      }
      outgoing.end()
    }
    const { host: _, ...headers } = incoming.headers
    const passed = request(url, { method: incoming.method, headers, agent: false }, (answer) => {
      passOn(answer).catch(() => outgoing.destroy())
    })
    passed.once('error', () => outgoing.destroy())
    incoming.pipe(passed)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    breakAfter: (bytes) => {
      breakAfterBytes = bytes
    },
    tamper: () => {
      isTampering = true
    },
    honest: () => {
      isTampering = false
    },
    ranges: () => ranges,
    strangers: () => strangers,
    stop: async () => {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}
