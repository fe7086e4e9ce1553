import { execFile } from 'node:child_process'
import { cp, mkdir, mkdtemp, readdir, readFile, readlink, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { carryOutBoot, decideBoot, readLayout } from './boot-record.ts'
import { createDisk, type Disk, type DiskStep } from './disk.ts'
import { hostManifest, noLocks, rootImage, sourceOf } from './host.testing.ts'
import type { HostHealth } from './host-health.ts'
import { createTwoRootsDriver, layOutTwoRoots, type TwoRootsOptions } from './two-roots.ts'

const images = { one: rootImage('1.0.0'), two: rootImage('2.0.0'), three: rootImage('3.0.0') }
const one = hostManifest({ version: '1.0.0', digest: images.one.digest })
const two = hostManifest({ version: '2.0.0', digest: images.two.digest })
const three = hostManifest({ version: '3.0.0', digest: images.three.digest, minimumVersion: '2.0.0' })
const signal = new AbortController().signal

let folder: string
let restarts: number
let health: HostHealth
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'two-roots-'))
  restarts = 0
  health = { isHealthy: true, message: 'well', log: '' }
  await mkdir(join(folder, 'a/etc'), { recursive: true })
  await writeFile(join(folder, 'a/etc/os-release'), 'VERSION_ID="1.5.0"\n')
  await layOutTwoRoots(folder)
})
afterEach(() => rm(folder, { recursive: true, force: true }))

const driverOn = (directory: string, disk: Disk = createDisk(), more: Partial<TwoRootsOptions> = {}) =>
  createTwoRootsDriver({
    directory,
    disk,
    source: sourceOf(Object.values(images)),
    restart: async () => {
      restarts += 1
    },
    checkHealth: async () => health,
    locks: noLocks,
    attemptLimit: 2,
    ...more,
  })
const driver = () => driverOn(folder)
const download = (manifest: typeof one) => driver().download(manifest, { signal, onProgress: () => {} })
const apply = (manifest: typeof one, force = false) => driver().apply(manifest, { force, signal })

/** The real boot program, as a process of its own. */
async function boot(directory = folder): Promise<string> {
  const program = join(import.meta.dirname, 'two-roots-boot.ts')
  const { stdout } = await promisify(execFile)(process.execPath, [program, directory])
  return stdout.trim()
}
const versionBooted = async (directory = folder) => versionOf(await boot(directory))

/** Of a root that is whole: every file of it says the same. */
async function versionOf(root: string): Promise<string> {
  const version = /VERSION_ID="(.+)"/.exec(await readFile(join(root, 'etc/os-release'), 'utf8'))?.[1] ?? 'none'
  if (version === '1.5.0') return version
  for (let index = 0; index < 12; index += 1) {
    expect(await readFile(join(root, `usr/share/part-${index}`), 'utf8')).toBe(`${version}\n`)
  }
  return version
}

describe('a host with two roots', () => {
  test('takes a release: downloads, switches, is confirmed', async () => {
    const seen: number[] = []
    expect(await driver().unsupported(two, signal, { force: false })).toBeNull()
    expect(await driver().running(signal)).toBeNull()
    await driver().download(two, { signal, onProgress: (percent) => seen.push(percent) })
    expect(seen).toEqual([...seen].sort((left, right) => left - right))
    expect(seen.at(-1)).toBe(100)
    expect(await readlink(join(folder, 'current'))).toBe('a')

    expect(await apply(two)).toBe('restarting')
    expect(restarts).toBe(1)
    expect(await driver().running(signal), 'before it booted').toBeNull()
    expect(await versionBooted()).toBe('2.0.0')
    expect(await driver().running(signal)).toBe(two.releaseId)
    expect(await driver().health(two, signal)).toEqual(health)
    await driver().commit(two, signal)
    for (let boots = 0; boots < 5; boots += 1) expect(await versionBooted()).toBe('2.0.0')
    expect((await readdir(folder)).sort()).toEqual(['a', 'b', 'b.json', 'boot.json', 'current'])
  })

  test('returns by itself from a root that nobody confirms', async () => {
    await download(two)
    await apply(two)
    expect([await versionBooted(), await versionBooted(), await versionBooted(), await versionBooted()]).toEqual([
      '2.0.0',
      '2.0.0',
      '1.5.0',
      '1.5.0',
    ])
    expect(await driver().running(signal)).toBeNull()
    expect(await driver().health(two, signal)).toMatchObject({
      isHealthy: false,
      message: expect.stringContaining('was not confirmed in 2 boots'),
    })
    await expect(driver().commit(two, signal)).rejects.toThrow('does not run')
    expect(await apply(two), 'another attempt').toBe('restarting')
    expect(await versionBooted()).toBe('2.0.0')
  })

  test('is returned by the agent from a root that is not healthy', async () => {
    await download(two)
    await apply(two)
    await boot()
    health = { isHealthy: false, message: 'The network is gone.', log: 'eth0: no carrier' }
    expect(await driver().health(two, signal)).toEqual(health)
    expect(await driver().rollBack(signal)).toBe('restarting')
    expect(restarts).toBe(2)
    expect(await versionBooted()).toBe('1.5.0')
    expect(await driver().rollBack(signal), 'asked again').toBe('returned')
    expect(restarts).toBe(2)
  })

  test('is returned without a restart where the new root never booted', async () => {
    await download(two)
    await apply(two)
    expect(await driver().rollBack(signal)).toBe('returned')
    expect(await versionBooted()).toBe('1.5.0')
  })

  test('never switches to another digest than was asked for', async () => {
    await download(two)
    const other = hostManifest({ version: '2.0.0', digest: images.three.digest })
    await expect(apply(other)).rejects.toThrow('does not hold')
    const renamed = hostManifest({ version: '2.0.0', digest: images.two.digest, releaseId: 'another-release' })
    await expect(apply(renamed)).rejects.toThrow('does not hold')
    expect(await versionBooted()).toBe('1.5.0')
    expect(restarts).toBe(0)
  })

  test('takes an older version by force alone, and none before the version it needs', async () => {
    expect(await driver().unsupported(one, signal, { force: false })).toContain('older than 1.5.0')
    expect(await driver().unsupported(three, signal, { force: true })).toContain('at least 2.0.0')
    await download(one)
    await expect(apply(one)).rejects.toThrow('older than 1.5.0')
    expect(await versionBooted()).toBe('1.5.0')
    expect(await apply(one, true)).toBe('restarting')
    expect(await versionBooted()).toBe('1.0.0')
  })

  test('keeps no layers of an image that was given up', async () => {
    await mkdir(join(folder, 'downloads'))
    await writeFile(join(folder, 'downloads', `${'0'.repeat(64)}.part`), 'half')
    await download(two)
    expect((await readdir(join(folder, 'downloads'))).sort()).toEqual(
      images.two.layers.map(({ layer }) => layer.digest.slice('sha256:'.length)).sort(),
    )
  })

  test('does not touch the root before while another is on trial', async () => {
    await download(two)
    await apply(two)
    await boot()
    await expect(download(three)).rejects.toThrow('on trial')
    await driver().commit(two, signal)
    await download(three)
    await apply(three)
    expect(await versionBooted()).toBe('3.0.0')
  })

  test('changes nothing where a newer agent left its record, and boots all the same', async () => {
    await download(two)
    const record = '{"formatVersion":2,"trial":{"root":"b","attempts":7},"lanes":[1]}'
    await writeFile(join(folder, 'boot.json'), record)
    expect(await driver().unsupported(two, signal)).toContain('of a newer agent')
    await expect(apply(two, true)).rejects.toThrow('newer agent')
    await expect(driver().commit(two, signal)).rejects.toThrow('newer agent')
    expect(await versionBooted()).toBe('1.5.0')
    expect(await readFile(join(folder, 'boot.json'), 'utf8')).toBe(record)
  })

  test('keeps what a newer agent added to a record of this format', async () => {
    await writeFile(join(folder, 'boot.json'), '{"formatVersion":1,"trial":null,"watchdogSeconds":30}')
    await download(two)
    await apply(two)
    await boot()
    expect(JSON.parse(await readFile(join(folder, 'boot.json'), 'utf8'))).toMatchObject({
      watchdogSeconds: 30,
      trial: { attempts: 1 },
    })
  })

  test('boots whatever its record says', async () => {
    for (const text of [
      '',
      '{',
      'null',
      '[]',
      '{"trial":{"root":"c"}}',
      '{"trial":{"root":"b","attempts":-1}}',
      '\0'.repeat(300),
    ]) {
      await writeFile(join(folder, 'boot.json'), text)
      expect(await versionBooted(), text).toBe('1.5.0')
    }
    await rm(join(folder, 'current'))
    expect(await versionBooted()).toBe('1.5.0')
    await rm(join(folder, 'boot.json'))
    expect(await versionBooted()).toBe('1.5.0')
  })

  test('says what is missing where it is none', async () => {
    await rm(join(folder, 'current'))
    await symlink('/', join(folder, 'current'))
    expect(await driver().unsupported(two, signal)).toContain('not supported')
    await expect(boot(join(folder, 'a'))).rejects.toMatchObject({ code: 1 })
    await expect(boot('relative')).rejects.toMatchObject({ code: 2 })
  })
})

class PowerCut extends Error {}

async function copyOf(name: string, from = folder): Promise<string> {
  const place = `${folder}-${name}`
  await cp(from, place, { recursive: true, verbatimSymlinks: true })
  return place
}

/** A disk whose power goes before its step number `at`. */
function cutDisk(at: number): { disk: Disk; steps: DiskStep[] } {
  const steps: DiskStep[] = []
  const disk = createDisk({
    onStep: (step) => {
      if (steps.length >= at) throw new PowerCut()
      steps.push(step)
    },
  })
  return { disk, steps }
}

describe('a return', () => {
  const restart = async () => {
    throw new Error('The host cannot be restarted.')
  }
  const brokenDriver = () => driverOn(folder, createDisk(), { restart })
  beforeEach(async () => {
    await download(two)
    await apply(two)
    await boot()
  })

  test('whose restart fails is no return yet: the root that runs is said, kept, and left at the next try', async () => {
    await expect(brokenDriver().rollBack(signal)).rejects.toThrow('cannot be restarted')
    expect(await driver().running(signal)).toBe(two.releaseId)
    await expect(download(one)).rejects.toThrow('still runs')
    await expect(apply(two)).rejects.toThrow('still runs')
    expect(await versionOf(join(folder, 'b'))).toBe('2.0.0')
    expect(await driver().rollBack(signal)).toBe('restarting')
    expect(await versionBooted()).toBe('1.5.0')
    expect(await driver().running(signal)).toBeNull()
    expect(await driver().rollBack(signal)).toBe('returned')
    await download(one)
  })

  test('is over in the next boot, also where its boot program knows nothing of it', async () => {
    await expect(brokenDriver().rollBack(signal)).rejects.toThrow('cannot be restarted')
    const later = driverOn(folder, createDisk(), { bootId: async () => 'another boot' })
    expect(await later.running(signal)).toBeNull()
    expect(await later.rollBack(signal)).toBe('returned')
  })

  test('cut off before any of its steps ends in the root before, whether the agent alone dies or the power goes', async () => {
    const whole = cutDisk(Number.POSITIVE_INFINITY)
    const copied = await copyOf('whole')
    await driverOn(copied, whole.disk).rollBack(signal)
    await rm(copied, { recursive: true })
    expect(whole.steps.length).toBeGreaterThan(8)
    for (let at = 0; at < whole.steps.length; at += 1) {
      const place = await copyOf(`cut-${at}`)
      await expect(driverOn(place, cutDisk(at).disk).rollBack(signal)).rejects.toThrow(PowerCut)
      const powerless = await copyOf(`power-${at}`, place)
      expect(await driverOn(place).running(signal), `the agent died at ${at}`).toBe(two.releaseId)
      await expect(driverOn(place).download(one, { signal, onProgress: () => {} })).rejects.toThrow(/still runs|trial/)
      expect(await driverOn(place).rollBack(signal), `the agent died at ${at}`).toBe('restarting')
      expect(await versionBooted(place), `the agent died at ${at}`).toBe('1.5.0')
      expect(await driverOn(place).rollBack(signal)).toBe('returned')

      // The loop has it on record that the release is being left, and asks again.
      const version = await versionBooted(powerless)
      expect(['1.5.0', '2.0.0'], `the power went at ${at}`).toContain(version)
      expect(await driverOn(powerless).running(signal)).toBe(version === '2.0.0' ? two.releaseId : null)
      expect(await driverOn(powerless).rollBack(signal)).toBe(version === '2.0.0' ? 'restarting' : 'returned')
      expect(await versionBooted(powerless), `the power went at ${at}`).toBe('1.5.0')
      await rm(place, { recursive: true })
      await rm(powerless, { recursive: true })
    }
  })
})

describe('a power cut before any step of an update', () => {
  const story = async (directory: string, disk: Disk) => {
    const cut = driverOn(directory, disk)
    await cut.download(two, { signal, onProgress: () => {} })
    await cut.apply(two, { force: false, signal })
  }

  test('leaves a root that boots, and the update can be gone on with', async () => {
    const whole = cutDisk(Number.POSITIVE_INFINITY)
    const copied = await copyOf('whole')
    await story(copied, whole.disk)
    await rm(copied, { recursive: true })
    expect(whole.steps.length).toBeGreaterThan(20)

    for (let at = 0; at < whole.steps.length; at += 1) {
      const place = await copyOf(`cut-${at}`)
      await expect(story(place, cutDisk(at).disk)).rejects.toThrow(PowerCut)
      await undoUnsynced(place, whole.steps[at])
      const isSwitched = (await readlink(join(place, 'current'))) === 'b'
      expect(await versionBootedIn(place), `step ${at}`).toBe(isSwitched ? '2.0.0' : '1.5.0')
      if (!isSwitched) {
        await story(place, createDisk())
        expect(await versionBootedIn(place), `after step ${at}`).toBe('2.0.0')
      }
      await driverOn(place).commit(two, signal)
      expect(await versionBootedIn(place)).toBe('2.0.0')
      await rm(place, { recursive: true })
    }
  })

  test('in the midst of replacing an image does not leave it for whole', async () => {
    await download(two)
    const whole = cutDisk(Number.POSITIVE_INFINITY)
    const replace = (place: string, disk: Disk) => driverOn(place, disk).download(one, { signal, onProgress: () => {} })
    const copied = await copyOf('whole')
    await replace(copied, whole.disk)
    await rm(copied, { recursive: true })
    for (let at = 0; at < whole.steps.length; at += 1) {
      const place = await copyOf(`cut-${at}`)
      await expect(replace(place, cutDisk(at).disk)).rejects.toThrow(PowerCut)
      await story(place, createDisk())
      expect(await versionBootedIn(place), `step ${at}`).toBe('2.0.0')
      await rm(place, { recursive: true })
    }
  })

  test('finds every name synced before it is relied on', async () => {
    const { disk, steps } = cutDisk(Number.POSITIVE_INFINITY)
    await story(folder, disk)
    for (const [index, { kind, path }] of steps.entries()) {
      if (kind === 'write') expect(steps[index + 1], path).toEqual({ kind: 'sync', path })
      if (kind === 'sync') expect(steps[index + 1]).toEqual({ kind: 'rename', path: path.replace(/\.next$/, '') })
      if (kind === 'rename' || kind === 'remove')
        expect(steps[index + 1]).toEqual({ kind: 'sync-directory', path: folder })
    }
    const named = steps.map(({ kind, path }) => `${kind} ${path.slice(folder.length + 1)}`)
    const order = [
      'rename b.partial',
      'remove b',
      'sync-directory b',
      'rename b.json',
      'remove b.partial',
      'rename boot.json',
      'rename current',
    ]
    expect(
      order
        .map((step) => named.indexOf(step))
        .every((at, index, all) => at >= 0 && (index === 0 || at > (all[index - 1] ?? at))),
    ).toBe(true)
  })

  /** As the boot program does, without its process. */
  const versionBootedIn = async (place: string) => {
    const decision = decideBoot(await readLayout(place))
    if (!decision) throw new Error('No root boots.')
    await carryOutBoot(place, decision, createDisk())
    return versionOf(join(place, decision.root))
  }

  /** Where the cut came before the folder was synced, the last rename may not have reached the disk: the other outcome. */
  async function undoUnsynced(place: string, next: DiskStep | undefined): Promise<void> {
    if (next?.kind !== 'sync-directory') return
    const link = await readlink(join(place, 'current'))
    if (link !== 'b') return
    await rm(join(place, 'current'))
    await symlink('a', join(place, 'current'))
  }
})

test('a root on trial is not booted where the boot cannot be counted', async () => {
  await download(two)
  await apply(two)
  // A folder in the place of the draft: the record cannot be written, even by root.
  await mkdir(join(folder, 'boot.json.next'))
  expect(await versionBooted()).toBe('1.5.0')
  await rm(join(folder, 'boot.json.next'), { recursive: true })
  expect(await versionBooted()).toBe('2.0.0')
})
