import { createHash } from 'node:crypto'
import { createReadStream, createWriteStream } from 'node:fs'
import { lstat, mkdir, open, readFile, readlink, stat, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { type Client, createClient } from '@freehold/client'
import {
  baseImageContentPath,
  partialUploadType,
  reprDigestHeader,
  reprDigestOf,
  uploadCompleteHeader,
  uploadOffsetHeader,
} from '@freehold/contracts'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { makeDiskImage, makeUbuntuShapedIso, runProgram, whyNoBaseImages } from '../../tools/base-images.ts'
import {
  type Freehold,
  labAdministrator,
  type Machine,
  type Program,
  requireIsolation,
  run,
  startFreehold,
  startMachine,
  startProgram,
  startService,
  type TemporaryFolder,
  temporaryFolder,
  waitFor,
} from './lab/index.ts'

/** From a click to a device that is enrolled, with all parts real but the flashing and the installer. */
type Build = Awaited<ReturnType<Client['builds']['get']>>

const buildLimitMs = 240_000
const wifi = { ssid: 'shop floor', passphrase: 'a passphrase of the lab' }
const sshPublicKey = 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ1nqJ9Xz0L8cRfUu1m1pYb0Zz6b0q0sW9bqgkq5T2dR operator@lab'

let freehold: Freehold
let client: Client
let token = ''
let folder: TemporaryFolder

beforeAll(async () => {
  requireIsolation()
  const reason = whyNoBaseImages()
  if (reason !== undefined) throw new Error(reason)
  folder = await temporaryFolder('enrolment')
  freehold = await startFreehold()
  token = (await createClient({ url: freehold.url }).auth.login({ body: labAdministrator() })).token
  client = createClient({ url: freehold.url, token })
})
afterAll(async () => {
  await freehold?.stop()
  await folder?.remove()
})

test('an installer of Ubuntu: the agent and the token in it enrol one device, and no second one', {
  timeout: 400_000,
}, async () => {
  const base = join(folder.path, 'base.iso')
  await makeUbuntuShapedIso(base)
  const build = await builtFrom(base, {
    imageKind: 'ubuntu-iso',
    architecture: 'amd64',
    hostname: 'till-7',
    sshPublicKey,
    deviceLabels: { site: 'lab', role: 'till' },
    heartbeatIntervalMs: 5_000,
  })
  const image = await download(build)

  const root = join(folder.path, 'root')
  await mkdir(root)
  const archive = join(folder.path, 'rootfs.tar')
  await runProgram(['xorriso', '-osirrox', 'on', '-indev', image, '-extract', '/freehold/rootfs.tar', archive])
  await run(['tar', '-xpf', archive, '-C', root])
  const environmentFile = join(root, 'etc/baseos/baserunner.env')
  expect((await lstat(environmentFile)).mode & 0o777).toBe(0o600)
  const environment = variablesOf(await readFile(environmentFile, 'utf8'))
  expect(environment).toMatchObject({
    BASEOS_CLOUDLY_URL: freehold.url,
    BASEOS_STATE_PATH: '/var/lib/baseos/state.json',
    BASEOS_HEARTBEAT_INTERVAL_MS: '5000',
  })
  const unit = 'etc/systemd/system/baseos-baserunner.service'
  const [, start = ''] = /^ExecStart=(.+)$/m.exec(await readFile(join(root, unit), 'utf8')) ?? []
  expect(await readlink(join(root, 'etc/systemd/system/multi-user.target.wants/baseos-baserunner.service'))).toBe(
    '../baseos-baserunner.service',
  )

  await using machine = await installedMachine(root)
  await machine.run(['chroot', root, '/bin/sh', '/var/lib/freehold-install-script'])
  const inside = (extra: Record<string, string> = {}) =>
    startProgram(machine.inside(['chroot', root, ...start.split(' ')]), { env: { ...environment, ...extra } })
  const first = await inside()
  try {
    const device = await onlineDevice({ labels: { site: 'lab', role: 'till' }, program: first })
    expect(device.status.joinTokenId).toBe(build.data.joinTokenId)

    const second = await inside({ BASEOS_STATE_PATH: '/var/lib/baseos/second.json' })
    try {
      await waitFor(() => second.output().includes('has been used'), {
        what: `the second one to be refused\n${second.output()}`,
      })
    } finally {
      await second.stop()
    }
    expect(await devicesOf(build)).toHaveLength(1)
    expectNoSecretIn([freehold.logs(), first.output(), second.output()], environment)
  } finally {
    await first.stop()
  }
})

test('an image of a disk, asked for on the command line: what lies on its boot partition enrols one device', {
  timeout: 400_000,
}, async () => {
  const raw = join(folder.path, 'base.img')
  await makeDiskImage(raw, { table: 'mbr' })
  await runProgram(['xz', '-0', '-T1', raw])
  const base = await baseFrom(`${raw}.xz`, { imageKind: 'balena-raw', architecture: 'rpi' })
  const key = join(folder.path, 'key.pub')
  await writeFile(key, `${sshPublicKey}\n`)
  const image = join(folder.path, 'sign.img.zst')
  const said = await freeholdCommand(
    [
      ...['builds', 'create', '--kind', 'balena-raw', '--architecture', 'rpi', '--base', base.data.name],
      ...['--hostname', 'sign-1', '--ssh-key', key, '--wifi-ssid', wifi.ssid, '--wifi-passphrase-stdin'],
      ...['--compression', 'zst', '--label', 'role=sign', '--heartbeat-interval-ms', '5000'],
      ...['--wait', '--download', image],
    ],
    `${wifi.passphrase}\n`,
  )
  const [build] = (await client.builds.list({ query: { baseImageId: base.id } })).items
  if (build === undefined) throw new Error(`There is no build.\n${said}`)
  expect(await sha256Of(image)).toBe(build.status.artifact?.sha256)
  expect(said).toContain('Built sign-1.img.zst, ')
  expect(said).toContain(`sha256 ${build.status.artifact?.sha256}\n`)
  expect(said).toContain(`Downloaded ${image}; its sha256 is right.`)
  expect(said).not.toContain(wifi.passphrase)
  const disk = join(folder.path, 'disk.img')
  await runProgram(['zstd', '-q', '-d', '-o', disk, image])
  // The boot partition begins at 4 MiB.
  const onBoot = (path: string) => runProgram(['mtype', '-i', `${disk}@@4M`, `::${path}`])
  const config = JSON.parse(await onBoot('/config.json'))
  expect(config).toMatchObject({ deviceType: 'raspberrypi4-64', hostname: 'sign-1' })
  expect(JSON.stringify(config)).toContain(sshPublicKey)
  const environment = variablesOf(await onBoot('/baseos/baserunner.env'))
  expect(environment.BASEOS_CLOUDLY_URL).toBe(freehold.url)

  const agent = await startService({
    entry: 'packages/device-agent/src/main.ts',
    // In a container the state lies on a volume.
    env: { ...environment, BASEOS_STATE_PATH: join(folder.path, 'sign', 'state.json') },
  })
  try {
    const device = await onlineDevice({ labels: { role: 'sign' }, program: { output: agent.logs } })
    expect(device.status.joinTokenId).toBe(build.data.joinTokenId)
    expect(freehold.logs()).not.toContain(wifi.passphrase)
    expectNoSecretIn([freehold.logs(), agent.logs(), said], environment)
  } finally {
    await agent.stop()
  }
})

test('where the programs that make images are missing, the build says what to install', {
  timeout: 240_000,
}, async () => {
  const bare = await startFreehold({ env: { PATH: folder.path } })
  try {
    const session = await createClient({ url: bare.url }).auth.login({ body: labAdministrator() })
    const there = createClient({ url: bare.url, token: session.token })
    const { id } = await there.baseImages.create({
      body: {
        data: {
          name: 'elsewhere',
          imageKind: 'ubuntu-iso',
          architecture: 'amd64',
          url: `${bare.url}/base.iso`,
          sha256: '0'.repeat(64),
        },
      },
    })
    const build = await there.builds.create({
      body: { data: { imageKind: 'ubuntu-iso', architecture: 'amd64', baseImageId: id } },
    })
    await waitFor(
      async () => {
        const { status } = await there.builds.get({ params: { id: build.id } })
        return status.message.includes('apt-get install --no-install-recommends xorriso')
      },
      { what: `the build to say so\n${bare.logs().slice(-2_000)}`, timeoutMs: 60_000 },
    ).catch(async (error) => {
      throw new Error(`${error} ${JSON.stringify((await there.builds.get({ params: { id: build.id } })).status)}`)
    })
  } finally {
    await bare.stop()
  }
})

/** Uploads a base image and has one built from it, as the dashboard does it; answers the build that succeeded. */
async function builtFrom(
  file: string,
  wanted: Omit<Parameters<Client['builds']['create']>[0]['body']['data'], 'baseImageId'>,
): Promise<Build> {
  const baseImage = await baseFrom(file, wanted)
  const { id } = await client.builds.create({ body: { data: { ...wanted, baseImageId: baseImage.id } } })
  const build = await waitFor(
    async () => {
      const read = await client.builds.get({ params: { id } })
      return ['succeeded', 'failed', 'cancelled'].includes(read.status.state) && read
    },
    { what: `the build of ${wanted.imageKind} to end`, timeoutMs: buildLimitMs, everyMs: 250 },
  )
  if (build.status.state !== 'succeeded') {
    throw new Error(`The build ${build.status.state}: ${build.status.message}\n${freehold.logs().slice(-4_000)}`)
  }
  return build
}

async function baseFrom(file: string, of: Pick<Build['data'], 'imageKind' | 'architecture'>) {
  const { imageKind, architecture } = of
  const sha256 = await sha256Of(file)
  const base = await client.baseImages.create({
    body: { data: { name: `base-of-${imageKind}`, imageKind, architecture, sha256 } },
  })
  await upload(file, { path: baseImageContentPath(base.id), sha256 })
  await waitFor(async () => (await client.baseImages.get({ params: { id: base.id } })).status.state === 'ready', {
    what: 'the base image to be ready',
  })
  return base
}

/** Runs the command as people do; answers what it said. */
function freeholdCommand(line: readonly string[], input: string): Promise<string> {
  return run([process.execPath, join(import.meta.dirname, '../../packages/cli/src/main.ts'), ...line], {
    env: { FREEHOLD_URL: freehold.url, FREEHOLD_TOKEN: token, XDG_CONFIG_HOME: folder.path },
    input,
    timeoutMs: buildLimitMs,
  })
}

/** In two parts, as after a connection that broke. */
async function upload(file: string, { path, sha256 }: { path: string; sha256: string }): Promise<void> {
  const { size } = await stat(file)
  const half = Math.floor(size / 2)
  for (const { start, end, isLast } of [
    { start: 0, end: half, isLast: false },
    { start: half, end: size, isLast: true },
  ]) {
    const handle = await open(file)
    const { bytesRead, buffer } = await handle.read(Buffer.alloc(end - start), 0, end - start, start)
    await handle.close()
    const response = await fetch(freehold.url + path, {
      method: 'PATCH',
      headers: {
        authorization: `Bearer ${token}`,
        'content-type': partialUploadType,
        [uploadOffsetHeader]: String(start),
        [uploadCompleteHeader]: isLast ? '?1' : '?0',
        ...(isLast ? { [reprDigestHeader]: reprDigestOf(sha256) } : {}),
      },
      body: buffer.subarray(0, bytesRead),
    })
    expect([response.status, await response.text()]).toEqual([204, ''])
  }
}

/** By the signed address, without any session, in two ranges. */
async function download(build: Build): Promise<string> {
  const { url, filename, sizeBytes, sha256 } = await client.builds.download({ params: { id: build.id }, body: {} })
  expect({ sizeBytes, sha256 }).toEqual({
    sizeBytes: build.status.artifact?.sizeBytes,
    sha256: build.status.artifact?.sha256,
  })
  const target = join(folder.path, filename)
  const half = Math.floor(sizeBytes / 2)
  for (const [first, last] of [
    [0, half - 1],
    [half, sizeBytes - 1],
  ]) {
    const response = await fetch(url, { headers: { range: `bytes=${first}-${last}` } })
    expect([response.status, response.headers.get('content-range')]).toEqual([
      206,
      `bytes ${first}-${last}/${sizeBytes}`,
    ])
    if (response.body === null) throw new Error('The answer has no body.')
    await pipeline(Readable.fromWeb(response.body), createWriteStream(target, { flags: first === 0 ? 'w' : 'a' }))
  }
  expect(await sha256Of(target)).toBe(sha256)
  const unsigned = await fetch(new URL(new URL(url).pathname, url))
  expect(unsigned.status).not.toBe(200)
  await unsigned.body?.cancel()
  return target
}

/**
 * A machine that gives what was unpacked the programs of this one, as the installer's target has programs of its own. Its
 * mounts are seen in it alone and go with it, as does everything that runs in it.
 */
async function installedMachine(root: string): Promise<Machine & AsyncDisposable> {
  for (const name of ['usr', 'proc', 'dev', 'tmp', 'var/lib/baseos']) await mkdir(join(root, name), { recursive: true })
  for (const name of ['bin', 'sbin', 'lib', 'lib64']) await symlink(`usr/${name}`, join(root, name))
  const machine = await startMachine({ network: 'shared' })
  await machine.run(['mount', '--bind', '-o', 'ro', '/usr', join(root, 'usr')])
  await machine.run(['mount', '--bind', '-o', 'ro', '/dev', join(root, 'dev')])
  await machine.run(['mount', '-t', 'proc', 'proc', join(root, 'proc')])
  return { ...machine, [Symbol.asyncDispose]: () => machine.powerOff() }
}

async function onlineDevice({ labels, program }: { labels: Record<string, string>; program: Pick<Program, 'output'> }) {
  return waitFor(
    async () => {
      const { items } = await client.devices.list({ query: {} })
      const found = items.find((device) => device.labels.role === labels.role)
      if (found?.status.state !== 'online') return undefined
      expect(found.labels).toEqual(labels)
      return found
    },
    { what: `the device to be online\n${program.output()}` },
  )
}

async function devicesOf(build: Build) {
  return (await client.devices.list({ query: { joinTokenId: build.data.joinTokenId } })).items
}

function variablesOf(text: string): Record<string, string> {
  const lines = text.trim().split('\n')
  return Object.fromEntries(lines.map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]))
}

function expectNoSecretIn(texts: readonly string[], environment: Record<string, string>): void {
  const secret = environment.BASEOS_JOIN_TOKEN ?? ''
  expect(secret.length).toBeGreaterThan(20)
  for (const text of texts) expect(text).not.toContain(secret)
}

async function sha256Of(path: string): Promise<string> {
  const hash = createHash('sha256')
  await pipeline(createReadStream(path), hash)
  return hash.digest('hex')
}
