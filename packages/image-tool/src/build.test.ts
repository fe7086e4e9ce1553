import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { createReadStream } from 'node:fs'
import { mkdir, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { parse } from 'yaml'
import { makeDiskImage, makeUbuntuShapedIso, runProgram, whyNoBaseImages } from '../../../tools/base-images.ts'
import type { BuildPhase } from './context.ts'
import { createWorkbench, fakePrograms, sshKey, type Workbench } from './testing.ts'

const why = whyNoBaseImages()
if (why !== undefined) process.stderr.write(`Images are not built in these tests: ${why}\n`)

let bases = ''
let bench: Workbench
beforeAll(async () => {
  if (why !== undefined) return
  bases = await mkdtemp(join(tmpdir(), 'image-bases-'))
  await makeUbuntuShapedIso(join(bases, 'ubuntu.iso'), { payloadBytes: 3 * 1024 * 1024 })
  for (const table of ['mbr', 'gpt'] as const) await makeDiskImage(join(bases, `${table}.img`), { table })
  await makeDiskImage(join(bases, 'flasher.img'), { table: 'gpt', flasher: true })
})
afterAll(() => rm(bases, { recursive: true, force: true }))
beforeEach(async () => {
  bench = await createWorkbench()
})
afterEach(async () => {
  expect(await bench.leftovers()).toEqual([])
  await bench[Symbol.asyncDispose]()
})

const baseOf = (name: string) => ({ path: join(bases, name), unverified: true })
const iso = () => ({
  kind: 'ubuntu-iso',
  architecture: 'amd64',
  base: baseOf('ubuntu.iso'),
  output: { path: 'out.iso' },
  hostname: 'box',
  user: { sshKeys: [sshKey] },
  files: [{ path: '/etc/baseos/baserunner.env', content: 'BASEOS_JOIN_TOKEN=one-time\n', mode: '0600' }],
})
const raw = (name: string) => ({
  kind: 'balena-raw',
  architecture: 'rpi',
  base: baseOf(name),
  output: { path: 'out.img' },
  compression: 'none',
  hostname: 'dev',
  sshKeys: [sshKey],
  wifi: { ssid: 'Café', passphrase: 'long enough' },
  files: [
    { path: '/etc/baseos/baserunner.env', content: 'A=1\n', mode: '0600', partition: 'state' },
    { path: '/deep/er/file', contentBase64: 'AAEC', partition: 'resin-data' },
    { path: '/cmdline.txt', content: 'console=serial0' },
  ],
})

const digestOf = async (path: string) => {
  const hash = createHash('sha256')
  for await (const chunk of createReadStream(path)) hash.update(chunk)
  return hash.digest('hex')
}

/** Boot records, without what says where things lie and what the file is called. */
const recordsOf = async (path: string) =>
  (await runProgram(['xorriso', '-indev', path, '-report_el_torito', 'as_mkisofs']))
    .replace(/local_fs:\d+[ds]?-\d+[ds]?/g, 'local_fs:…')
    .replace(/start_\d+s/g, 'start_…')
    .replaceAll(path, 'image')

describe.skipIf(why !== undefined)('an Ubuntu installer', () => {
  test('keeps every boot record and file, and the checksums say what is in it', async () => {
    const built = await bench.build(iso())
    const out = join(bench.folder, 'out.iso')
    expect(built).toMatchObject({ filename: 'out.iso', path: out, sha256: await digestOf(out) })
    expect(built.sizeBytes).toBe((await stat(out)).size)
    expect(await recordsOf(out)).toBe(await recordsOf(join(bases, 'ubuntu.iso')))
    expect(await recordsOf(out)).toContain('-b ')

    await mkdir(join(bench.folder, 'tree'))
    await runProgram(['xorriso', '-osirrox', 'on', '-indev', out, '-extract', '/', join(bench.folder, 'tree')])
    await runProgram(['md5sum', '--check', '--strict', 'md5sum.txt'], join(bench.folder, 'tree'))
    const read = (name: string) => readFile(join(bench.folder, 'tree', name), 'utf8')
    expect(await read('boot/grub/grub.cfg')).toContain('/casper/hwe-vmlinuz autoinstall ds=nocloud\\;s=/cdrom/nocloud/')
    expect(await read('boot/grub/loopback.cfg')).toContain('autoinstall')
    expect(parse(await read('nocloud/user-data')).autoinstall['user-data'].hostname).toBe('box')
    const listed = await runProgram(['tar', '-tvf', join(bench.folder, 'tree/freehold/rootfs.tar')])
    expect(listed).toContain('-rw------- root/root        27')
  })

  test('is the same to the bit, wherever and whenever it is built', async () => {
    const first = await bench.build(iso())
    await using other = await createWorkbench()
    // Dates of files are counted in seconds: the second build is made in another one.
    await expect.poll(() => Date.now() % 1000).toBeLessThan(500)
    await expect.poll(() => Date.now() % 1000).toBeGreaterThan(500)
    const second = await other.build({ ...iso(), output: { path: 'elsewhere/other.iso' } })
    expect(second.sha256).toBe(first.sha256)
    const changed = await other.build({ ...iso(), date: '2025-01-01T00:00:00Z' })
    expect(changed.sha256).not.toBe(first.sha256)
  })

  test.each([
    ['of another architecture', { architecture: 'arm64' }, /is for amd64, not for arm64/],
    ['of another version', { ubuntuVersion: '22.04' }, /is Ubuntu 24.04.1, not 22.04/],
    ['with another digest', { base: { path: 'X', sha256: 'a'.repeat(64) } }, /not the one of the configuration/],
    ['without a place for the image', { output: undefined }, /no output.path/],
  ])('%s is refused', async (_, change, message) => {
    const config: Record<string, unknown> = { ...iso(), ...change }
    if ('base' in change) config.base = { ...change.base, path: join(bases, 'ubuntu.iso') }
    await expect(bench.build(config)).rejects.toMatchObject({
      code: 'invalid-input',
      message: expect.stringMatching(message),
    })
  })

  test('bases that are none, truncated or damaged are refused with what is wrong', async () => {
    const whole = await readFile(join(bases, 'ubuntu.iso'))
    const damaged = Buffer.from(whole)
    damaged.fill(0xff, 17 * 2048, 200 * 2048)
    const foreign = join(bench.folder, 'foreign.iso')
    await makeUbuntuShapedIso(foreign, { about: 'Debian 12' })
    for (const [bytes, message] of [
      [Buffer.alloc(100_000, 'x'), /not an ISO 9660 image/],
      [Buffer.alloc(10), /not an ISO 9660 image/],
      [whole.subarray(0, whole.length - 7_000_000), /truncated/],
      [damaged, /./],
      [await readFile(foreign), /not an Ubuntu live-server image/],
    ] as const) {
      await writeFile(join(bench.folder, 'bad.iso'), bytes)
      const built = bench.build({ ...iso(), base: { path: 'bad.iso', unverified: true } })
      await expect(built).rejects.toMatchObject({ name: 'FreeholdError', message: expect.stringMatching(message) })
      await expect(stat(join(bench.folder, 'out.iso'))).rejects.toThrow('ENOENT')
    }
  })

  test('a menu that boots something else is refused', async () => {
    await makeUbuntuShapedIso(join(bench.folder, 'base.iso'), { menu: 'linux /live/vmlinuz\n' })
    const built = bench.build({ ...iso(), base: { path: 'base.iso', unverified: true } })
    await expect(built).rejects.toThrow(/no entry that boots/)
  })

  test('a source that a link leads out of the folder is refused', async () => {
    await runProgram(['ln', '-s', '/etc/passwd', join(bench.folder, 'link')])
    const built = bench.build({ ...iso(), files: [{ path: '/a', source: 'link' }] })
    await expect(built).rejects.toThrow(/outside the configuration's folder/)
  })
})

describe.skipIf(why !== undefined)('an image of a disk', () => {
  test.each(['mbr', 'gpt'])('with %s holds what was put in, in sound file systems', async (table) => {
    const built = await bench.build(raw(`${table}.img`))
    const out = join(bench.folder, 'out.img')
    expect(built).toMatchObject({ sizeBytes: (await stat(out)).size, sha256: await digestOf(out) })
    const partition = async (startMib: number, sizeMib: number) => {
      const path = join(bench.folder, `at-${startMib}`)
      await runProgram([
        'dd',
        `if=${out}`,
        `of=${path}`,
        'bs=1M',
        `skip=${startMib}`,
        `count=${sizeMib}`,
        'status=none',
      ])
      return path
    }
    const [boot, state, data] = [await partition(4, 16), await partition(46, 12), await partition(60, 12)]
    await runProgram(['fsck.vfat', '-n', boot])
    await runProgram(['e2fsck', '-fn', state])
    await runProgram(['e2fsck', '-fn', data])
    expect(JSON.parse(await runProgram(['mtype', '-i', boot, '::/config.json']))).toMatchObject({
      deviceType: 'raspberrypi4-64',
      hostname: 'dev',
      os: { sshKeys: [sshKey] },
    })
    expect(await runProgram(['mtype', '-i', boot, '::/system-connections/freehold-wifi'])).toContain(
      'ssid=67;97;102;195;169;',
    )
    expect(await runProgram(['mtype', '-i', boot, '::/cmdline.txt'])).toBe('console=serial0')
    expect(await runProgram(['debugfs', '-R', 'cat /etc/baseos/baserunner.env', state])).toBe('A=1\n')
    expect(await runProgram(['debugfs', '-R', 'stat /etc/baseos/baserunner.env', state])).toMatch(
      /Mode: {2}0600[\s\S]*User: {5}0 {3}Group: {5}0/,
    )
    expect(await runProgram(['debugfs', '-R', 'cat /deep/er/file', data])).toBe('\0\x01\x02')
    // Everything between the partitions that changed is as it was.
    const rest = ['skip=20', 'count=26', 'bs=1M', 'status=none']
    for (const [from, to] of [
      [out, 'new'],
      [join(bases, `${table}.img`), 'old'],
    ]) {
      await runProgram(['dd', `if=${from}`, `of=${join(bench.folder, to ?? '')}`, ...rest])
    }
    expect(await digestOf(join(bench.folder, 'new'))).toBe(await digestOf(join(bench.folder, 'old')))
  })

  test('comes out the same however the base is packed, and whatever the cores', async () => {
    const source = join(bases, 'gpt.img')
    const plain = await bench.build(raw('gpt.img'))
    const pack = async (name: string, argv: string[]) => {
      await runProgram(argv, bases)
      const packed = await bench.build({ ...raw(name), base: { path: join(bases, name), unverified: true } })
      expect(packed.sha256, name).toBe(plain.sha256)
    }
    await pack('gpt.img.gz', ['gzip', '--keep', '--fast', source])
    await pack('gpt.img.xz', ['xz', '--keep', '-0', source])
    await pack('gpt.img.zst', ['zstd', '-q', '--keep', source])
    await pack('gpt.img.zip', ['zip', '-q', '-1', 'gpt.img.zip', 'gpt.img'])
    for (const compression of ['xz', 'zst']) {
      const config = { ...raw('gpt.img'), compression, output: { path: `out.${compression}` } }
      const first = await bench.build(config)
      expect((await bench.build(config)).sha256).toBe(first.sha256)
      const out = join(bench.folder, `out.${compression}`)
      const unpacked = join(bench.folder, `unpacked-${compression}`)
      if (compression === 'zst') await runProgram(['zstd', '-q', '-d', out, '-o', unpacked])
      else await runProgram(['cp', out, `${unpacked}.xz`]).then(() => runProgram(['xz', '-d', `${unpacked}.xz`]))
      expect(await digestOf(unpacked)).toBe(plain.sha256)
    }
  })

  test('that writes another image onto the device takes what the device will keep, and says what it would lose', async () => {
    await expect(
      bench.build({ ...raw('flasher.img'), files: [{ path: '/a', content: '', partition: 'state' }] }),
    ).rejects.toThrow(/installs another image onto the device.*\/a would be lost/)
    const built = await bench.build({ ...raw('flasher.img'), files: [] })
    const config = await runProgram(['mtype', '-i', `${built.path}@@4M`, '::/config.json'])
    expect(JSON.parse(config).hostname).toBe('dev')
  })

  test('without a config.json gets one, and a config.json that is none is refused', async () => {
    await makeDiskImage(join(bench.folder, 'a.img'), { table: 'gpt', config: null })
    const built = await bench.build({ ...raw(''), base: { path: 'a.img', unverified: true }, files: [] })
    expect(JSON.parse(await runProgram(['mtype', '-i', `${built.path}@@4M`, '::/config.json']))).toMatchObject({
      hostname: 'dev',
    })
    await makeDiskImage(join(bench.folder, 'a.img'), { table: 'gpt', config: '{"a":' })
    await expect(bench.build({ ...raw(''), base: { path: 'a.img', unverified: true } })).rejects.toThrow(/config.json/)
  })

  test('bases that are none, truncated or damaged are refused with what is wrong', async () => {
    const whole = await readFile(join(bases, 'gpt.img'))
    const packed = join(bench.folder, 'whole.xz')
    await runProgram(['cp', join(bases, 'gpt.img'), join(bench.folder, 'whole')])
    await runProgram(['xz', '-0', join(bench.folder, 'whole')])
    const xz = await readFile(packed)
    const damaged = Buffer.from(xz)
    damaged.fill(0x55, 200, 400)
    const emptied = Buffer.from(whole)
    emptied.fill(0, 4 * 1024 * 1024, 5 * 1024 * 1024)
    for (const [bytes, message] of [
      [Buffer.alloc(100_000, 'x'), /no partition table/],
      [Buffer.alloc(100), /truncated/],
      [whole.subarray(0, 50 * 1024 * 1024), /truncated/],
      [xz.subarray(0, xz.length - 20_000), /cannot be unpacked/],
      [damaged, /cannot be unpacked/],
      [Buffer.concat([Buffer.from([0x1f, 0x8b]), Buffer.alloc(1000)]), /cannot be unpacked/],
      [Buffer.concat([Buffer.from([0x28, 0xb5, 0x2f, 0xfd]), Buffer.alloc(1000, 1)]), /cannot be unpacked/],
      [Buffer.concat([Buffer.from('PK\x03\x04'), Buffer.alloc(1000)]), /cannot be unpacked/],
      [emptied, /boot partition|FAT/],
    ] as const) {
      await writeFile(join(bench.folder, 'bad.img'), bytes)
      const built = bench.build({ ...raw(''), base: { path: 'bad.img', unverified: true } })
      await expect(built).rejects.toMatchObject({ code: 'invalid-input', message: expect.stringMatching(message) })
      await expect(stat(join(bench.folder, 'out.img'))).rejects.toThrow('ENOENT')
    }
  })

  test('a file that has no room, a partition that is not there, and a path given twice are refused', async () => {
    await writeFile(join(bench.folder, 'big'), Buffer.alloc(14 * 1024 * 1024, 'x'))
    const withFiles = (...files: object[]) => bench.build({ ...raw('gpt.img'), files })
    await expect(withFiles({ path: '/big', source: 'big', partition: 'state' })).rejects.toThrow(/no room/)
    await expect(withFiles({ path: '/a', content: '', partition: 'attic' })).rejects.toThrow(/no partition attic.*1 \(/)
    await expect(withFiles({ path: '/config.JSON', content: '' })).rejects.toThrow(/twice/)
    await expect(withFiles({ path: '/lost+found', content: '', partition: 4 })).rejects.toThrow(/could not be written/)
  })
})

describe.skipIf(why !== undefined)('any build', () => {
  test('goes to a sink while it is made, and a sink that fails is told', async () => {
    const hash = createHash('sha256')
    const built = await bench.build(iso(), {
      sink: async (bytes) => {
        for await (const chunk of bytes) hash.update(chunk)
      },
    })
    expect(built).toMatchObject({ path: null, sha256: hash.digest('hex') })
    const sink = async (bytes: AsyncIterable<Buffer>) => {
      for await (const _ of bytes) throw new Error('the store is away')
    }
    await expect(bench.build(iso(), { sink })).rejects.toThrow('the store is away')
    await expect(bench.build({ ...raw('gpt.img'), compression: 'xz' }, { sink })).rejects.toThrow('the store is away')
  })

  test.each(['iso', 'raw'])('of %s does not begin without room', async (kind) => {
    const config = kind === 'iso' ? iso() : raw('gpt.img')
    await expect(bench.build(config, { freeBytes: async () => 100_000 })).rejects.toMatchObject({
      code: 'storage-full',
      message: expect.stringMatching(/has 1 MB free and the build needs \d+ MB/),
    })
  })

  test.each([
    ['iso', 'xorriso', 'xorriso'],
    ['raw', 'mtools', 'mcopy'],
  ])('of %s names the package %s where its program is missing', async (kind, debianPackage) => {
    const config = kind === 'iso' ? iso() : raw('gpt.img')
    await expect(bench.build(config, { searchPath: '/nowhere' })).rejects.toMatchObject({
      code: 'unavailable',
      message: expect.stringContaining(debianPackage),
    })
  })

  test.each([
    ['hangs', 'sleep 1000', 'timeout'],
    ['prints without end', 'yes', 'conflict'],
    ['fails', 'echo "xorriso : FAILURE : no luck" >&2; exit 5', 'conflict'],
  ])('ends when its program %s', async (_, script, code) => {
    const programs = await fakePrograms(bench.folder, { xorriso: script })
    const limits = { toolTimeoutMs: 1000, stallMs: 1000 }
    const built = bench.build(iso(), { searchPath: `${programs}:${process.env.PATH}`, limits })
    await expect(built).rejects.toMatchObject({ code })
  })

  test.each([
    ['iso', 'check'],
    ['iso', 'download'],
    ['iso', 'inspect'],
    ['iso', 'edit'],
    ['iso', 'write'],
    ['raw', 'verify'],
    ['raw', 'inspect'],
    ['raw', 'edit'],
    ['raw', 'write'],
  ] as [string, BuildPhase][])('of %s can be cancelled in the phase %s', async (kind, phase) => {
    const server = createServer((_, response) => {
      createReadStream(join(bases, 'ubuntu.iso')).pipe(response)
    })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`
    const cancel = new AbortController()
    const seen: string[] = []
    const config =
      kind === 'iso' ? { ...iso(), base: { url, unverified: true } } : { ...raw('gpt.img'), compression: 'xz' }
    try {
      const built = bench.build(config, {
        signal: cancel.signal,
        onProgress: (progress) => {
          seen.push(progress.phase)
          if (progress.phase === phase) cancel.abort(new Error('not wanted any more'))
        },
      })
      await expect(built).rejects.toThrow('not wanted any more')
      expect(seen.at(-1)).toBe(phase)
    } finally {
      server.closeAllConnections()
      server.close()
    }
    for (const name of ['out.iso', 'out.img']) await expect(stat(join(bench.folder, name))).rejects.toThrow('ENOENT')
  })

  test('says nothing of what is secret in its configuration', async () => {
    const said: string[] = []
    await bench.build({ ...iso(), installScript: 'echo one-time' }, { onLog: (sentence) => said.push(sentence) })
    expect(said.length).toBeGreaterThan(2)
    expect(said.join('\n')).not.toContain('one-time')
  })
})
