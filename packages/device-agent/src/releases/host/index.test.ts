import { mkdir, mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createFakeClock } from '@freehold/reconcile'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { createUpdateLocks } from '../../locks/update-locks.ts'
import { hostManifest } from './host.testing.ts'
import { createHostDriver, type HostDriverOptions, layOutTwoRoots } from './index.ts'

const manifest = hostManifest({ version: '2.0.0', digest: `sha256:${'0'.repeat(64)}` })
const signal = new AbortController().signal
const silent = { info: () => {}, warn: () => {}, error: () => {} }

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'host-driver-'))
  await mkdir(join(folder, 'roots/a'), { recursive: true })
})
afterEach(() => rm(folder, { recursive: true, force: true }))

const locks = () => createUpdateLocks({ directory: join(folder, 'locks'), clock: createFakeClock(), log: silent })
const choose = (options: Partial<HostDriverOptions> = {}) =>
  createHostDriver({
    registry: new URL('https://cloud.example.com'),
    token: () => null,
    locks: locks(),
    clock: createFakeClock(),
    statePath: join(folder, 'host-update.json'),
    twoRootsDirectory: join(folder, 'roots'),
    restartCommand: ['true'],
    hostRoot: join(folder, 'no-host'),
    healthCommand: null,
    ...options,
  })

test('two roots are driven where they are laid out', async () => {
  await layOutTwoRoots(join(folder, 'roots'))
  const driver = await choose()
  expect(driver.name).toBe('two-roots')
  expect(await driver.unsupported(manifest, signal)).toBeNull()
})

test('a host that offers nothing is told what it lacks, and stays as it is', async () => {
  for (const twoRootsDirectory of [null, join(folder, 'roots'), join(folder, 'nothing')]) {
    const driver = await choose({ twoRootsDirectory })
    expect(driver.name).toBe('balena-hostapp')
    expect(await driver.running(signal)).toBeNull()
    expect(await driver.unsupported(manifest, signal)).toMatch(
      /not supported here: .*no-host.*`privileged: true` and `pid: host`/,
    )
    await expect(driver.apply(manifest, { force: true, signal })).rejects.toThrow('not supported here')
  }
  expect(await readdir(folder)).toEqual(['roots'])
})

test('the lock that an agent before this one held for its switch is released, and no other', async () => {
  const before = locks()
  await before.take('host-update', 60_000)
  await before.take('backup', 60_000)
  const after = locks()
  await after.adopt()
  await choose({ locks: after })
  expect(after.owners()).toEqual(['backup'])
})
