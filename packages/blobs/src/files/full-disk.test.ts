import { spawnSync } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, it, onTestFinished } from 'vitest'

/** A file system of its own needs a mount namespace, which some containers refuse. */
const unshare = ['--map-root-user', '--mount', '--']
const mountable = spawnSync('unshare', [...unshare, 'mount', '-t', 'tmpfs', 'tmpfs', tmpdir()]).status === 0

it.skipIf(!mountable)('says that the disk is full, gives the room back, and works on once there is room', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'blobs-full-'))
  onTestFinished(() => rm(directory, { recursive: true, force: true }))
  const fixture = join(import.meta.dirname, 'full-disk.fixture.ts')
  const child = spawnSync('unshare', [...unshare, process.execPath, fixture, directory], { encoding: 'utf8' })
  expect(child.stderr).toBe('')
  expect(JSON.parse(child.stdout)).toEqual({
    put: 'storage-full',
    filesAfterPut: 1,
    append: 'storage-full',
    filesAfterAppend: 1,
    status: 'upload-unknown',
    kept: true,
    sourceDestroyed: false,
  })
})
