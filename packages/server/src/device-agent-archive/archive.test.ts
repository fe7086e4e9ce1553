import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import {
  cp,
  lstat,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  readlink,
  rm,
  symlink,
  utimes,
  writeFile,
} from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { pino } from 'pino'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { createDeviceAgentArchive, type DeviceAgentArchive } from './index.ts'
import { nodePin } from './node-pin.ts'

const installation = join(import.meta.dirname, '../../../..')
const own = { x64: 'amd64', arm64: 'arm64' }[process.arch as string] as 'amd64' | 'arm64'
const other = own === 'amd64' ? 'arm64' : 'amd64'
const triplet = { amd64: 'x86_64-linux-gnu', arm64: 'aarch64-linux-gnu' }[other]
/** Where Debian's packages put it; a machine that has it lacks nothing. */
const hasOtherLibrary = [`/usr/${triplet}/lib`, `/usr/lib/${triplet}`].some((at) => existsSync(`${at}/libatomic.so.1`))
const log = pino({ level: 'silent' })

let folder = ''
const open: DeviceAgentArchive[] = []
const make = (cacheFolder: string, root = installation) => {
  const archive = createDeviceAgentArchive({
    installation: root,
    cacheFolder,
    publicUrl: () => 'https://cloud.example.com',
    log,
  })
  open.push(archive)
  return archive
}

describe('the archive for this machine', () => {
  let archive: DeviceAgentArchive
  let root = ''
  let made: { url: string; sha256: string; sizeBytes: number }
  let names: string[] = []

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'freehold-archive-'))
    archive = make(join(folder, 'cache'))
    made = await archive.archiveFor(own)
    root = join(folder, 'root')
    await mkdir(root)
    const unpacked = await outputOf(['tar', '-xpzf', fileOf('cache', made.sha256), '-C', root])
    expect(unpacked).toEqual({ code: 0, text: '' })
    const { text } = await outputOf(['tar', '-tzf', fileOf('cache', made.sha256)])
    names = text.trim().split('\n')
  }, 120_000)
  afterAll(async () => {
    await Promise.all(open.splice(0).map((each) => each.close()))
    await rm(folder, { recursive: true, force: true })
  })
  const fileOf = (cache: string, sha256: string) => join(folder, cache, `${sha256}.tar.gz`)

  test('has the hash and size it is told with, and an address by its hash', async () => {
    const bytes = await readFile(fileOf('cache', made.sha256))
    expect(bytes.length).toBe(made.sizeBytes)
    expect(createHash('sha256').update(bytes).digest('hex')).toBe(made.sha256)
    expect(made.url).toBe(`https://cloud.example.com/baseos/v1/device-agent/${made.sha256}.tar.gz`)
  })

  test('runs the agent from wherever it was unpacked, by a link too', async () => {
    await symlink(root, join(folder, 'current'))
    const help = await outputOf([join(folder, 'current/bin/baserunner'), 'help'])
    expect(help).toEqual({ code: 0, text: expect.stringContaining('Usage: baserunner') })
    const status = await outputOf([join(root, 'bin/baserunner'), 'status'], {
      BASEOS_STATE_PATH: join(folder, 'state.json'),
    })
    expect([status.code, JSON.parse(status.text)]).toEqual([
      0,
      expect.objectContaining({ agentVersion: expect.any(String) }),
    ])
    const verified = await outputOf(
      [join(root, 'bin/node'), join(root, 'app/packages/device-agent/src/updates/verify.ts')],
      {},
      '{}',
    )
    // It was loaded whole, with its library, and asked nothing that it could answer.
    expect(verified.text).toMatch(/RangeError: Invalid time value/)
    expect(verified.text).not.toContain('ERR_MODULE_NOT_FOUND')
  })

  test.runIf(process.getuid?.() === 0)('needs nothing else but the libraries of a plain system', async () => {
    const jail = join(folder, 'jail')
    await cp(root, jail, { recursive: true, verbatimSymlinks: true })
    const { text } = await outputOf(['ldd', join(root, 'bin/node')])
    const libraries = text.match(/\/lib\S*/g) ?? []
    expect(libraries.length).toBeGreaterThan(4)
    for (const library of new Set(libraries.filter((path) => !path.includes('libatomic')))) {
      await mkdir(dirname(join(jail, library)), { recursive: true })
      await cp(library, join(jail, library), { dereference: true })
    }
    await mkdir(join(jail, 'tmp'))
    await mkdir(join(jail, 'proc'))
    const argv = ['chroot', jail, '/bin/node', '/app/packages/device-agent/src/main.ts', 'status']
    const status = await outputOf(argv, { LD_LIBRARY_PATH: '/lib', BASEOS_STATE_PATH: '/tmp/state.json' })
    expect([status.code, status.text]).toEqual([0, expect.stringContaining('not-configured')])
  })

  test('holds the licence of everything in it, sorted, and nothing that does not run', async () => {
    expect(names).toEqual(names.toSorted())
    expect(names).toContain('LICENSES/freehold.txt')
    expect(await readFile(join(root, 'LICENSES/node.txt'), 'utf8')).toContain('Node.js is licensed for use as follows')
    const libraries = names.filter((name) => /^app\/node_modules\/(@[^/]+\/)?[^/]+\/package\.json$/.test(name))
    expect(libraries.length).toBeGreaterThan(4)
    for (const path of libraries) {
      const { name, version } = JSON.parse(await readFile(join(root, path), 'utf8'))
      expect(names).toContain(`LICENSES/${name.replace('/', '-')}-${version}.txt`)
    }
    expect(names.filter((name) => /\.(test|testing|fixture)\.ts$|node_modules\/zod|\.d\.ts$/.test(name))).toEqual([])
    expect(names.filter((name) => name.startsWith('app/packages/contracts/src/')).length).toBeLessThan(10)
    expect(await readlink(join(root, 'app/node_modules/@freehold/contracts'))).toBe('../../packages/contracts')
    expect((await lstat(join(root, 'bin/baserunner'))).mode & 0o777).toBe(0o755)
  })

  test('is made once, also by two at a time and after a restart, and bit for bit the same anew', async () => {
    const [one, two] = await Promise.all([archive.archiveFor(own), archive.archiveFor(own)])
    expect([one, two]).toEqual([made, made])
    const before = await lstat(fileOf('cache', made.sha256))
    expect(await make(join(folder, 'cache')).archiveFor(own)).toEqual(made)
    expect((await lstat(fileOf('cache', made.sha256))).ino).toBe(before.ino)
    expect(await make(join(folder, 'other-cache')).archiveFor(own)).toEqual(made)
  }, 120_000)

  test('is made again where a disk damaged it', async () => {
    const path = fileOf('cache', made.sha256)
    const bytes = await readFile(path)
    bytes.writeUInt8(bytes.readUInt8(1_000_000) ^ 1, 1_000_000)
    await writeFile(path, bytes)
    expect(await make(join(folder, 'cache')).archiveFor(own)).toEqual(made)
    expect(
      createHash('sha256')
        .update(await readFile(path))
        .digest('hex'),
    ).toBe(made.sha256)
  }, 120_000)

  test('is made again where a power cut left half a record', async () => {
    await writeFile(join(folder, 'cache', `${own}.json`), '{"fingerprint":"x')
    expect(await make(join(folder, 'cache')).archiveFor(own)).toEqual(made)
  }, 120_000)

  test('is another one where the installation changed; the one before stays for a day', async () => {
    const changed = join(folder, 'installation')
    await mkdir(join(changed, 'packages'), { recursive: true })
    for (const name of ['LICENSE', 'package.json', 'package-lock.json'])
      await cp(join(installation, name), join(changed, name))
    for (const name of ['contracts', 'reconcile', 'device-agent']) {
      await cp(join(installation, 'packages', name), join(changed, 'packages', name), { recursive: true })
    }
    await symlink(join(installation, 'node_modules'), join(changed, 'node_modules'))
    const cache = join(folder, 'other-cache')
    const there = make(cache, changed)
    expect((await there.archiveFor(own)).sha256).toBe(made.sha256)
    await writeFile(join(changed, 'packages/device-agent/src/added.ts'), 'export const added = 1\n')
    const later = await there.archiveFor(own)
    expect(later.sha256).not.toBe(made.sha256)
    expect(await readdir(cache)).toContain(`${made.sha256}.tar.gz`)
    const longAgo = new Date(Date.now() - 90_000_000)
    await utimes(fileOf('other-cache', made.sha256), longAgo, longAgo)
    await there.archiveFor(own)
    expect((await readdir(cache)).toSorted()).toEqual([`${later.sha256}.tar.gz`, `${own}.json`].toSorted())
  }, 120_000)

  describe('is served', () => {
    let served: Awaited<ReturnType<typeof serve>>
    let url = ''
    beforeEach(async () => {
      served = await serve(archive.mount)
      url = served.url
    })
    afterEach(() => served[Symbol.asyncDispose]())
    const path = () => new URL(made.url).pathname

    test('to everybody, whole, for ever', async () => {
      const response = await fetch(url + path())
      expect(response.status).toBe(200)
      expect(response.headers.get('cache-control')).toBe('public, max-age=31536000, immutable')
      expect(response.headers.get('etag')).toBe(`"${made.sha256}"`)
      const bytes = Buffer.from(await response.arrayBuffer())
      expect(createHash('sha256').update(bytes).digest('hex')).toBe(made.sha256)
    })

    test('in part, by its head alone, and not again to who has it', async () => {
      const whole = await readFile(fileOf('cache', made.sha256))
      const part = await fetch(url + path(), { headers: { range: 'bytes=10-19' } })
      expect([part.status, part.headers.get('content-range')]).toEqual([206, `bytes 10-19/${made.sizeBytes}`])
      expect(Buffer.from(await part.arrayBuffer())).toEqual(whole.subarray(10, 20))
      const beyond = await fetch(url + path(), { headers: { range: `bytes=${made.sizeBytes}-` } })
      expect([beyond.status, beyond.headers.get('content-range')]).toEqual([416, `bytes */${made.sizeBytes}`])
      const head = await fetch(url + path(), { method: 'HEAD' })
      expect([head.status, head.headers.get('content-length')]).toEqual([200, String(made.sizeBytes)])
      const known = await fetch(url + path(), { headers: { 'if-none-match': `"${made.sha256}"` } })
      expect(known.status).toBe(304)
      const changed = await fetch(url + path(), { headers: { range: 'bytes=0-1', 'if-range': '"another"' } })
      expect(changed.status).toBe(200)
      await changed.body?.cancel()
    })

    test('by the name of its architecture, which leads to it', async () => {
      const response = await fetch(`${url}/baseos/v1/device-agent/${own}.tar.gz`, { redirect: 'manual' })
      expect([response.status, response.headers.get('location')]).toEqual([307, path()])
    })

    test.each([
      ['GET', '/baseos/v1/device-agent/', 404],
      ['GET', `/baseos/v1/device-agent/${'0'.repeat(64)}.tar.gz`, 404],
      ['GET', '/baseos/v1/device-agent/../../etc/passwd', 404],
      ['GET', '/baseos/v1/device-agent/amd64.json', 404],
      ['GET', '/baseos/v1/device-agent/%2e%2e%2famd64.json', 404],
      ['POST', `/baseos/v1/device-agent/${'0'.repeat(64)}.tar.gz`, 405],
    ])('%s %s is answered with %i', async (method, target, status) => {
      const response = await fetch(url + target, { method })
      expect(response.status).toBe(status)
      await response.body?.cancel()
    })
  })
})

describe('Node for the other architecture', () => {
  let cache = ''
  const variables = ['npm_execpath', 'npm_node_execpath'] as const
  const before = variables.map((name) => process.env[name])
  beforeEach(async () => {
    cache = await mkdtemp(join(tmpdir(), 'freehold-archive-'))
    // Whatever machine the tests run on: the library is a head that says its architecture.
    const elf = Buffer.alloc(100)
    elf.write('\x7fELF\x02\x01', 'latin1')
    elf.writeUInt16LE(other === 'arm64' ? 183 : 62, 18)
    await writeFile(join(cache, `${other}-libatomic.so.1`), elf)
  })
  afterEach(async () => {
    for (const [index, name] of variables.entries()) {
      if (before[index] === undefined) delete process.env[name]
      else process.env[name] = before[index]
    }
    await Promise.all(open.splice(0).map((each) => each.close()))
    await rm(cache, { recursive: true, force: true })
  })
  /** A program in npm's place. */
  const npmIs = async (text: string) => {
    const script = join(cache, 'npm.mjs')
    await writeFile(script, text)
    process.env.npm_execpath = script
    process.env.npm_node_execpath = process.execPath
  }

  test('that npm cannot fetch is said with what to do, and nothing is left behind', async () => {
    await npmIs('console.error("npm error code ENOTFOUND"); process.exit(1)')
    await expect(make(cache).archiveFor(other)).rejects.toMatchObject({
      code: 'unavailable',
      message: expect.stringMatching(
        /ENOTFOUND.*npm pack node-linux-.*@.* where there is one, and put the file to .*\.tgz/,
      ),
    })
    expect((await readdir(cache)).toSorted()).toEqual(['npm.mjs', `${other}-libatomic.so.1`].toSorted())
  })

  test('that cannot be had is no reason to try for everybody who asks, nor told to them', async () => {
    await npmIs(`
      import { appendFileSync } from 'node:fs'
      appendFileSync(${JSON.stringify(join(cache, 'tries'))}, 'x')
      process.exit(1)`)
    const { mount } = make(cache)
    await using served = await serve(mount)
    for (const _ of [1, 2, 3]) {
      const response = await fetch(`${served.url}/baseos/v1/device-agent/${other}.tar.gz`)
      expect(response.status).toBe(503)
      const said = await response.text()
      expect(said).toMatch(
        new RegExp(
          `cannot pack .* for ${other} now: Node ${nodePin.version} for ${other}.* is missing.*npm pack node-`,
        ),
      )
      expect(said).not.toContain(cache)
    }
    expect(await readFile(join(cache, 'tries'), 'utf8')).toBe('x')
  })

  test.skipIf(hasOtherLibrary)(
    'without the library that it is linked with says what to install, to everybody',
    async () => {
      await rm(join(cache, `${other}-libatomic.so.1`))
      await using served = await serve(make(cache).mount)
      const response = await fetch(`${served.url}/baseos/v1/device-agent/${other}.tar.gz`)
      expect(response.status).toBe(503)
      const said = await response.text()
      expect(said).toMatch(
        new RegExp(`libatomic.so.1 for ${other} is missing.*apt-get install .*libatomic1-${other}-cross`),
      )
      expect(said).not.toContain(cache)
    },
  )

  test('that is not the pinned one is refused', async () => {
    await npmIs(`
      import { writeFileSync } from 'node:fs'
      import { join } from 'node:path'
      const at = process.argv.indexOf('--pack-destination')
      writeFileSync(join(process.argv[at + 1], 'node.tgz'), 'evil')`)
    await expect(make(cache).archiveFor(other)).rejects.toMatchObject({
      code: 'unavailable',
      message: expect.stringContaining('another file than the one that is pinned'),
    })
    expect(await readdir(cache)).not.toContainEqual(expect.stringMatching(/\.tgz$/))
  })

  test('npm is told nothing of ours, and stopping ends it', async () => {
    process.env.APP_SECRET = 'must not be passed on'
    try {
      await npmIs(`
        import { writeFileSync } from 'node:fs'
        writeFileSync(${JSON.stringify(join(cache, 'told'))}, JSON.stringify({ pid: process.pid, env: process.env, argv: process.argv }))
        setInterval(() => {}, 1000)`)
      const archive = make(cache)
      const asked = archive.archiveFor(other).catch((error: unknown) => error)
      await expect.poll(() => readFile(join(cache, 'told'), 'utf8').catch(() => '')).toMatch(/\}$/)
      await archive.close()
      expect(await asked).toMatchObject({ code: 'unavailable' })
      const told = await readFile(join(cache, 'told'), 'utf8')
      expect(told).not.toContain('must not be passed on')
      expect(told).toContain(`@${nodePin.version}`)
      const { pid } = JSON.parse(told) as { pid: number }
      await expect.poll(() => isAlive(pid)).toBe(false)
    } finally {
      delete process.env.APP_SECRET
    }
  })
})

test('the pinned Node is that of package.json: after a change run `node tools/pin-node.ts`', async () => {
  const { devDependencies } = JSON.parse(await readFile(join(installation, 'package.json'), 'utf8'))
  expect(nodePin.version).toBe(devDependencies.node)
  expect(process.versions.node).toBe(nodePin.version)
})

async function serve({ handle }: DeviceAgentArchive['mount']) {
  const client = { address: '127.0.0.1', userAgent: '' } as never
  const server = createServer((request, response) => {
    handle(request, response, { client, requestId: 'one' }).catch(() => response.destroy())
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}

function outputOf(
  [program = '', ...args]: readonly string[],
  env: NodeJS.ProcessEnv = {},
  input = '',
): Promise<{ code: number | null; text: string }> {
  return new Promise((resolve, reject) => {
    const path = `${process.env.PATH}:/usr/sbin:/sbin`
    const child = spawn(program, args, { env: { PATH: path, ...env }, stdio: ['pipe', 'pipe', 'pipe'] })
    child.stdin.on('error', () => undefined)
    child.stdin.end(input)
    let text = ''
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => (text += chunk.toString()))
    child.once('error', reject)
    child.once('close', (code) => resolve({ code, text }))
  })
}
