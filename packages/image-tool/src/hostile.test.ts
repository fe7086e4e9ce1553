import { readFile, symlink, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { crc32 } from 'node:zlib'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { makeDiskImage, makeUbuntuShapedIso, runProgram, whyNoBaseImages } from '../../../tools/base-images.ts'
import { createWorkbench, sshKey, type Workbench } from './testing.ts'

let bench: Workbench
beforeEach(async () => {
  bench = await createWorkbench()
})
afterEach(async () => {
  expect(await bench.leftovers()).toEqual([])
  await bench[Symbol.asyncDispose]()
})

const raw = (base: string) => ({
  kind: 'balena-raw',
  architecture: 'rpi',
  base: { path: base, unverified: true },
  output: { path: 'out.img' },
  compression: 'none',
  sshKeys: [sshKey],
})

describe.skipIf(whyNoBaseImages() !== undefined)('a base that means harm', () => {
  test.each(['/md5sum.txt', '/.disk/info', '/boot/grub/grub.cfg'])(
    'and links %s to a file of this machine gets nothing of it into the image',
    async (path) => {
      const secret = join(bench.folder, 'secret')
      const menu = 'linux /casper/vmlinuz ---'
      await writeFile(secret, `Ubuntu-Server 24.04.1 LTS - Release amd64\n${menu}\na secret of the machine\n`)
      await symlink(secret, join(bench.folder, 'link'))
      await makeUbuntuShapedIso(join(bench.folder, 'base.iso'))
      const put = ['-boot_image', 'any', 'replay', '-overwrite', 'on', '-map', join(bench.folder, 'link'), path]
      const [from, to] = [join(bench.folder, 'base.iso'), join(bench.folder, 'evil.iso')]
      await runProgram(['xorriso', '-indev', from, '-outdev', to, ...put, '-commit'])
      const built = bench.build({
        kind: 'ubuntu-iso',
        architecture: 'amd64',
        base: { path: 'evil.iso', unverified: true },
        output: { path: 'out.iso' },
        hostname: 'box',
        user: { sshKeys: [sshKey] },
      })
      const isBuilt = await built.then(
        () => true,
        () => false,
      )
      if (isBuilt) expect((await readFile(join(bench.folder, 'out.iso'))).includes('a secret of')).toBe(false)
      expect(isBuilt).toBe(path === '/md5sum.txt')
    },
  )

  test('and wants gigabytes of memory to be unpacked is refused', async () => {
    await writeFile(join(bench.folder, 'small'), Buffer.alloc(100_000))
    await runProgram(['xz', '-0', '--threads=1', join(bench.folder, 'small')])
    const bytes = await readFile(join(bench.folder, 'small.xz'))
    // The head of the only block (.xz format, section 3.1): its length, LZMA2 with the size of its dictionary, a CRC.
    const headBytes = ((bytes[12] ?? 0) + 1) * 4
    const head = bytes.subarray(12, 12 + headBytes)
    head[head.indexOf(Buffer.from([0x21, 0x01])) + 2] = 37
    head.writeUInt32LE(crc32(head.subarray(0, -4)), headBytes - 4)
    await writeFile(join(bench.folder, 'bomb.xz'), bytes)
    await expect(bench.build(raw('bomb.xz'))).rejects.toMatchObject({
      code: 'invalid-input',
      message: expect.stringMatching(/memory/i),
    })
  })

  test('and has a config.json that is larger than any is refused', async () => {
    const [image, large] = [join(bench.folder, 'base.img'), join(bench.folder, 'large')]
    await makeDiskImage(image, { table: 'mbr', config: null })
    await writeFile(large, '{}')
    await truncate(large, 8 * 1024 * 1024)
    await runProgram(['mcopy', '-i', `${image}@@4M`, large, '::/config.json'])
    await expect(bench.build(raw('base.img'))).rejects.toThrow(/config.json.*too large/)
  })
})
