import { execFile } from 'node:child_process'
import { lstat, mkdir, mkdtemp, readdir, readFile, readlink, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { createDisk } from './disk.ts'
import { archiveOf, digestOf, gzipType, imageOf, type TestEntry } from './host.testing.ts'
import { type UnpackLimits, unpackImage } from './unpack.ts'

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'unpack-'))
  await mkdir(join(folder, 'root'))
  await writeFile(join(folder, 'outside'), 'untouched')
})
afterEach(() => rm(folder, { recursive: true, force: true }))

const inRoot = (path: string) => join(folder, 'root', path)

async function unpack(image: ReturnType<typeof imageOf>, limits?: UnpackLimits) {
  const layers = await Promise.all(
    image.layers.map(async ({ layer, bytes }, index) => {
      const path = join(folder, `layer-${index}`)
      await writeFile(path, bytes)
      return { layer, path }
    }),
  )
  await unpackImage({
    layers,
    root: join(folder, 'root'),
    disk: createDisk(),
    signal: new AbortController().signal,
    ...(limits ? { limits } : {}),
  })
}

describe('an image is unpacked', () => {
  test('with its folders, files, modes and links', async () => {
    await unpack(
      imageOf([
        { path: './', type: '5' },
        { path: './usr/bin/', type: '5', mode: 0o750 },
        { path: './usr/bin/tool', content: 'run', mode: 0o4755 },
        { path: 'usr/bin/same', type: '1', linkPath: './usr/bin/tool' },
        { path: 'bin', type: '2', linkPath: 'usr/bin' },
        { path: 'init', type: '2', linkPath: '/usr/bin/tool' },
      ]),
    )
    expect(await readFile(inRoot('usr/bin/same'), 'utf8')).toBe('run')
    expect((await lstat(inRoot('usr/bin/tool'))).mode & 0o7777).toBe(0o4755)
    expect((await lstat(inRoot('usr/bin'))).mode & 0o7777).toBe(0o750)
    expect((await lstat(inRoot('usr/bin/tool'))).nlink).toBe(2)
    expect((await lstat(inRoot('usr/bin/tool'))).mtimeMs).toBe(1_700_000_000_000)
    expect(await readlink(inRoot('bin'))).toBe('usr/bin')
    expect(await readlink(inRoot('init'))).toBe('/usr/bin/tool')
  })

  test('layer over layer, with what a layer took away gone', async () => {
    await unpack(
      imageOf(
        [
          { path: 'etc/old', content: '1' },
          { path: 'etc/kept', content: '1' },
          { path: 'var/lib/a', content: '1' },
          { path: 'var/lib/b', content: '1' },
          { path: 'thing/inside', content: '1' },
        ],
        [
          { path: 'etc/.wh.old' },
          { path: 'var/lib/c', content: '2' },
          { path: 'var/lib/.wh..wh..opq' },
          { path: 'thing', content: 'a file now' },
        ],
      ),
    )
    expect(await readdir(inRoot('etc'))).toEqual(['kept'])
    expect(await readdir(inRoot('var/lib'))).toEqual(['c'])
    expect(await readFile(inRoot('thing'), 'utf8')).toBe('a file now')
  })

  test('as tar itself writes it, with long names and without compression', async () => {
    const long = `${'deep/'.repeat(40)}${'name'.repeat(40)}`
    await mkdir(join(folder, 'made', long, '..'), { recursive: true })
    await writeFile(join(folder, 'made', long), 'here')
    for (const format of ['gnu', 'pax', 'ustar']) {
      const path = join(folder, `${format}.tar`)
      const name = format === 'ustar' ? 'deep' : '.'
      if (format === 'ustar') await rm(join(folder, 'made', 'deep'), { recursive: true })
      if (format === 'ustar') await mkdir(join(folder, 'made', 'deep'))
      await promisify(execFile)('tar', ['-C', join(folder, 'made'), `--format=${format}`, '-cf', path, name])
      const bytes = await readFile(path)
      const layer = {
        digest: digestOf(bytes),
        sizeBytes: bytes.length,
        mediaType: 'application/vnd.oci.image.layer.v1.tar',
      }
      await unpack({ digest: '', layers: [{ layer, bytes }] })
      if (format !== 'ustar') expect(await readFile(inRoot(long), 'utf8')).toBe('here')
    }
  })
})

describe('an image is refused, and nothing outside of the root is touched,', () => {
  const hostile: [string, readonly TestEntry[]][] = [
    ['where a path climbs', [{ path: '../outside', content: 'mine' }]],
    ['where a path climbs in its middle', [{ path: 'a/../../outside', content: 'mine' }]],
    [
      'where a path leads through a link out',
      [
        { path: 'l', type: '2', linkPath: '/' },
        { path: 'l/outside', content: 'mine' },
      ],
    ],
    [
      'where a path leads through a link within',
      [
        { path: 'd/', type: '5' },
        { path: 'l', type: '2', linkPath: 'd' },
        { path: 'l/x', content: 'mine' },
      ],
    ],
    ['where a relative link climbs out', [{ path: 'a/l', type: '2', linkPath: '../../outside' }]],
    ['where a hard link climbs', [{ path: 'l', type: '1', linkPath: '../outside' }]],
    [
      'where a hard link leads to a link',
      [
        { path: 's', type: '2', linkPath: '/etc/passwd' },
        { path: 'l', type: '1', linkPath: 's' },
      ],
    ],
    [
      'where a hard link leads through a link',
      [
        { path: 's', type: '2', linkPath: '/etc' },
        { path: 'l', type: '1', linkPath: 's/passwd' },
      ],
    ],
    ['where a whiteout climbs', [{ path: '.wh...' }]],
    ['where a whiteout leads through a link', [{ path: 'l', type: '2', linkPath: '/' }, { path: 'l/.wh.outside' }]],
    ['where a whiteout names nothing', [{ path: '.wh.' }]],
    ['where it holds a device', [{ path: 'dev/sda', type: '4' }]],
    ['where it holds an unknown type', [{ path: 'x', type: 'Z' }]],
    ['where it says a size that is not there', [{ path: 'x', content: 'short', size: 1_000_000 }]],
  ]
  test.each(hostile)('%s', async (_, entries) => {
    await expect(unpack(imageOf(entries))).rejects.toMatchObject({ code: 'invalid-input' })
    expect(await readFile(join(folder, 'outside'), 'utf8')).toBe('untouched')
    expect((await readdir(folder)).sort()).toEqual(['layer-0', 'outside', 'root'])
  })

  test('where it is larger than allowed, unpacked, or has more entries', async () => {
    const bomb = imageOf([{ path: 'zeros', content: Buffer.alloc(4 * 1024 * 1024) }])
    await expect(unpack(bomb, { sizeBytes: 1024 * 1024, entries: 10 })).rejects.toThrow('larger')
    const many = imageOf(Array.from({ length: 11 }, (_, index) => ({ path: `f${index}` })))
    await expect(unpack(many, { sizeBytes: 1024, entries: 10 })).rejects.toThrow('more files')
  })

  test('where a layer’s bytes are not those of its digest, before any is unpacked', async () => {
    const image = imageOf([{ path: 'x', content: '1' }])
    const [first] = image.layers
    if (!first) throw new Error('There is no layer.')
    const wrong = {
      ...image,
      layers: [{ ...first, bytes: imageOf([{ path: 'x', content: '2' }]).layers[0]?.bytes ?? first.bytes }],
    }
    await expect(unpack(wrong)).rejects.toMatchObject({ code: 'conflict' })
    expect(await readdir(join(folder, 'root'))).toEqual([])
  })

  test('where the root already holds a link out', async () => {
    await symlink(folder, inRoot('l'))
    await expect(unpack(imageOf([{ path: 'l/outside', content: 'mine' }]))).rejects.toMatchObject({
      code: 'invalid-input',
    })
    expect(await readFile(join(folder, 'outside'), 'utf8')).toBe('untouched')
  })

  test('whatever bytes it is of', async () => {
    const archive = archiveOf([
      { path: 'a', content: 'text' },
      { path: 'b', type: '2', linkPath: 'a' },
    ])
    await fc.assert(
      fc.asyncProperty(
        fc.nat(archive.length - 1),
        fc.uint8Array({ minLength: 1, maxLength: 200 }),
        async (at, noise) => {
          const bytes = Buffer.from(archive)
          bytes.set(noise.subarray(0, bytes.length - at), at)
          const layer = { digest: digestOf(bytes), sizeBytes: bytes.length, mediaType: gzipType.replace('+gzip', '') }
          await unpack({ digest: '', layers: [{ layer, bytes }] }).catch((error: unknown) => {
            expect(error).toMatchObject({
              code: expect.stringMatching(/^(invalid-input|ENOENT|EEXIST|ENAMETOOLONG|EISDIR)$/),
            })
          })
          expect((await readdir(folder)).sort()).toEqual(['layer-0', 'outside', 'root'])
        },
      ),
      { numRuns: 150 },
    )
  })
})
