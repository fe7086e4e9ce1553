import { mkdir, mkdtemp, readdir, readFile, rename, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createFakeClock } from '@freehold/reconcile'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { Secret } from '../../secret.ts'
import { DriverLocked, NoWayBack } from '../driver.ts'
import { type BalenaHostappOptions, createBalenaHostappDriver } from './balena-hostapp.ts'
import { hostManifest, noLocks, rootImage, sourceOf } from './host.testing.ts'
import { hostAccess } from './host-access.ts'
import type { HostHealth } from './host-health.ts'
import type { HostLocks } from './host-locks.ts'
import { type RunProgram, runProgram } from './programs.ts'

const image = rootImage('6.1.0')
const manifest = hostManifest({ version: '6.1.0', digest: image.digest })
const reference = `cloud.example.com/baseos/hostapp@${image.digest}`
const signal = new AbortController().signal

let root: string
let boots: number
let health: HostHealth | null
let locks: HostLocks
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'played-host-'))
  boots = 1
  health = null
  locks = noLocks
  for (const folder of ['etc', 'run', 'usr/bin', 'mnt/state', 'mnt/sysroot/inactive', 'mnt/sysroot/active/hostapps']) {
    await mkdir(join(root, folder), { recursive: true })
  }
  await writeFile(join(root, 'etc/os-release'), 'ID="balena-os"\nVERSION_ID="6.0.10"\n')
  await writeFile(join(root, 'usr/bin/hostapp-update'), '')
  await writeFile(join(root, 'run/balena-host.sock'), '')
  await writeFile(join(root, 'bootloader'), 'active')
  await plan({})
  await runFrom('balena/flashed@sha256:'.padEnd(85, 'f'))
})
afterEach(() => rm(root, { recursive: true, force: true }))

const plan = (what: object) => writeFile(join(root, 'played.json'), JSON.stringify(what))
const called = async () => (await readFile(join(root, 'played.log'), 'utf8').catch(() => '')).trimEnd().split('\n')
const mark = (name: string) => join(root, 'mnt/state', name)

/** Makes the running root one that was made from this image. */
async function runFrom(from: string): Promise<void> {
  const container = 'c'.repeat(64)
  const active = join(root, 'mnt/sysroot/active')
  await mkdir(join(active, 'balena/containers', container), { recursive: true })
  await writeFile(
    join(active, 'balena/containers', container, 'config.v2.json'),
    JSON.stringify({ Config: { Image: from } }),
  )
  await rm(join(active, 'current'), { force: true })
  await symlink(`hostapps/${container}`, join(active, 'current'))
}

function driver(options: Partial<BalenaHostappOptions> = {}) {
  return createBalenaHostappDriver({
    // In place of nsenter: the played programs.
    access: { root, prefix: [process.execPath, join(import.meta.dirname, 'played-host.fixture.ts'), root] },
    registry: new URL('https://cloud.example.com'),
    token: () => new Secret('the-node-token'),
    source: sourceOf([image]),
    run: runProgram,
    locks,
    clock: createFakeClock(),
    statePath: join(root, 'host-update.json'),
    checkHealth: health === null ? null : async () => health ?? { isHealthy: true, message: '', log: '' },
    bootId: async () => String(boots),
    ...options,
  })
}
const apply = (options: Partial<BalenaHostappOptions> = {}) => driver(options).apply(manifest, { force: false, signal })

/** The boot loader and the host's services of the next boot, as documented. */
async function boot(outcome: 'comes-up' | 'does-not-boot' | 'fails-checks' = 'comes-up'): Promise<void> {
  boots += 1
  if ((await readFile(join(root, 'bootloader'), 'utf8')) === 'active') return
  await writeFile(join(root, 'bootloader'), 'active')
  if (outcome === 'comes-up') return swapRoots()
  await writeFile(mark(outcome === 'does-not-boot' ? 'rollback-altboot-triggered' : 'rollback-health-triggered'), '')
  await endChecks()
}
async function swapRoots(): Promise<void> {
  const at = (name: string) => join(root, 'mnt/sysroot', name)
  await rename(at('active'), at('spare'))
  await rename(at('inactive'), at('active'))
  await rename(at('spare'), at('inactive'))
}
async function endChecks(): Promise<void> {
  for (const name of ['rollback-health-breadcrumb', 'rollback-altboot-breadcrumb'])
    await rm(mark(name), { force: true })
}

describe('a played balenaOS host', () => {
  test('takes a release, and it is a success when the host has passed its own checks', async () => {
    expect(await driver().unsupported(manifest, signal, { force: false })).toBeNull()
    await driver().download(manifest, { signal, onProgress: () => {} })
    expect(await driver().running(signal)).toBeNull()
    expect(await apply()).toBe('restarting')
    expect(await called()).toEqual([`hostapp-update -i ${reference}`, 'systemctl reboot'])
    expect(await driver().health(manifest, signal)).toMatchObject({
      isHealthy: false,
      message: 'The host has not restarted yet.',
    })

    await boot()
    expect(await driver().running(signal)).toBe(manifest.releaseId)
    expect(await driver().health(manifest, signal)).toMatchObject({
      isHealthy: true,
      message: expect.stringContaining('still checks'),
    })
    const clock = createFakeClock()
    let isCommitted = false
    const committing = driver({ clock })
      .commit(manifest, signal)
      .then(() => {
        isCommitted = true
      })
    await clock.advance(60_000)
    expect(isCommitted).toBe(false)
    await endChecks()
    const later = async () => {
      await clock.advance(5_000)
      return isCommitted
    }
    await expect.poll(later).toBe(true)
    await committing
    expect(await driver().running(signal)).toBe(manifest.releaseId)
    expect(await apply(), 'asked again').toBe('applied')
    expect(await driver().rollBack(signal)).toBe('returned')
  })

  test.each([
    ['does-not-boot', 'did not boot'],
    ['fails-checks', 'failed its own checks'],
  ] as const)('that %s is in its root of before, and says why', async (outcome, reason) => {
    await apply()
    await boot(outcome)
    expect(await driver().running(signal)).toBeNull()
    expect(await driver().health(manifest, signal)).toMatchObject({
      isHealthy: false,
      message: expect.stringContaining(reason),
    })
    await expect(driver().commit(manifest, signal)).rejects.toThrow(reason)
    expect(await driver().rollBack(signal)).toBe('returned')
    expect(await apply(), 'another attempt').toBe('restarting')
  })

  test('that returns while it is waited for is no success', async () => {
    await apply()
    await boot()
    const clock = createFakeClock()
    const committing = expect(driver({ clock }).commit(manifest, signal)).rejects.toThrow('failed its own checks')
    await swapRoots()
    await writeFile(mark('rollback-health-triggered'), '')
    await endChecks()
    await clock.advance(60_000)
    await committing
  })

  test('whose program fails keeps its root, with the program’s last words', async () => {
    for (const [what, words] of [
      [{ pull: 'fails' }, 'unauthorized'],
      [{ hooks: 'fail' }, 'Update failed.'],
    ] as const) {
      await plan(what)
      await expect(apply()).rejects.toMatchObject({ name: 'HostUpdateFailed', message: expect.stringContaining(words) })
      await boot()
      expect(await driver().running(signal)).toBeNull()
      expect((await called()).filter((line) => line.startsWith('systemctl'))).toEqual([])
    }
    expect(await readFile(join(root, 'bootloader'), 'utf8')).toBe('active')
  })

  test('gives the token to the engine in a file that is gone afterwards, and to nobody else', async () => {
    await apply()
    expect(await readdir(join(root, 'run'))).toEqual(['balena-host.sock'])
    await boot()
    await endChecks()
    await plan({ pull: 'fails' })
    const other = hostManifest({ version: '6.2.0', digest: rootImage('6.2.0').digest })
    const failure: unknown = await driver()
      .apply(other, { force: false, signal })
      .catch((error: unknown) => error)
    expect(await readdir(join(root, 'run'))).toEqual(['balena-host.sock'])
    const everything = `${JSON.stringify(failure)}${String(failure)}${await readFile(join(root, 'played.log'), 'utf8')}${await readFile(join(root, 'host-update.json'), 'utf8')}`
    expect(everything).not.toContain('the-node-token')
    expect(everything).not.toContain(Buffer.from('device:the-node-token').toString('base64'))
  })

  test('that could not restart is asked for that alone the next time', async () => {
    await plan({ reboot: 'fails' })
    await expect(apply()).rejects.toThrow('cannot be restarted')
    await plan({})
    expect(await apply()).toBe('restarting')
    expect((await called()).map((line) => line.split(' ')[0])).toEqual(['hostapp-update', 'systemctl', 'systemctl'])
  })

  test('goes on with an update that was done when the agent died, before that was on record', async () => {
    await plan({ reboot: 'fails' })
    await expect(apply()).rejects.toThrow('cannot be restarted')
    await plan({})
    const path = join(root, 'host-update.json')
    const record = JSON.parse(await readFile(path, 'utf8'))
    await writeFile(path, JSON.stringify({ ...record, asked: { ...record.asked, isStaged: false } }))
    expect(await apply()).toBe('restarting')
    await boot()
    expect(await driver().running(signal)).toBe(manifest.releaseId)
  })

  test('comes up in an update that was being taken back when the power went; from a flashed root there is no way back', async () => {
    await plan({ reboot: 'fails' })
    await expect(apply()).rejects.toThrow('cannot be restarted')
    await boot()
    expect(await driver().running(signal)).toBe(manifest.releaseId)
    const refused: unknown = await driver()
      .rollBack(signal)
      .catch((error: unknown) => error)
    expect(refused).not.toBeInstanceOf(NoWayBack)
    expect(String(refused)).toContain('by its own checks alone')
    await endChecks()
    await expect(driver().rollBack(signal)).rejects.toBeInstanceOf(NoWayBack)
    expect(await driver().running(signal), 'what runs is said as it is').toBe(manifest.releaseId)
  })

  test('takes an update back that it has not booted', async () => {
    await apply()
    expect(await driver().rollBack(signal)).toBe('returned')
    expect((await called()).at(-1)).toBe('hostapp-update-hooks')
    await boot()
    expect(await driver().running(signal)).toBeNull()
  })

  test('is brought back to an image of this registry, and says where it cannot be', async () => {
    const first = hostManifest({ version: '6.0.10', digest: rootImage('6.0.10').digest })
    await runFrom(`cloud.example.com/baseos/hostapp@${rootImage('6.0.10').digest}`)
    await endChecks()
    await driver().commit(first, signal)
    await apply()
    await boot()
    health = { isHealthy: false, message: 'The control plane is out of reach.', log: 'no route' }
    expect(await driver().health(manifest, signal)).toEqual(health)
    await plan({ reboot: 'fails' })
    await expect(driver().rollBack(signal)).rejects.toThrow('cannot be restarted')
    expect(await driver().running(signal), 'until it is down').toBe(manifest.releaseId)
    await plan({})
    expect(await driver().rollBack(signal)).toBe('restarting')
    await boot()
    expect(await driver().running(signal)).toBe(first.releaseId)
    expect(await driver().rollBack(signal)).toBe('returned')

    await endChecks()
    await runFrom('registry.example.org/os@sha256:'.padEnd(95, '0'))
    await apply()
    await boot()
    await expect(driver().rollBack(signal)).rejects.toThrow('by its own checks alone')
  })

  test('is not updated while an application holds a lock, nor without one of its own', async () => {
    const events: string[] = []
    locks = {
      take: async ({ force }) => {
        if (!force) throw new DriverLocked('backup holds it')
        events.push('taken')
      },
      release: async () => void events.push('released'),
    }
    await expect(apply()).rejects.toBeInstanceOf(DriverLocked)
    expect(await called()).toEqual([''])
    expect(await driver().apply(manifest, { force: true, signal })).toBe('restarting')
    await boot()
    await driver().health(manifest, signal)
    expect(events).toEqual(['taken', 'released'])
  })

  test('is not updated while it checks its last update, or to what is older', async () => {
    await writeFile(mark('rollback-health-breadcrumb'), '')
    await expect(apply()).rejects.toThrow('still checks')
    await endChecks()
    const older = hostManifest({ version: '5.9.0', digest: image.digest })
    await expect(driver().apply(older, { force: false, signal })).rejects.toThrow('older than 6.0.10')
    expect(
      await driver().unsupported(
        hostManifest({ version: '8.0.0', digest: image.digest, minimumVersion: '7.0.0' }),
        signal,
      ),
    ).toContain('at least 7.0.0')
  })

  test('whose program hangs is stopped when the agent stops', async () => {
    await plan({ pull: 'hangs' })
    const stopping = new AbortController()
    const applying = driver().apply(manifest, { force: false, signal: stopping.signal })
    const refused = expect(applying).rejects.toThrow('no longer wanted')
    await expect.poll(async () => (await called()).length).toBe(1)
    stopping.abort()
    await refused
  })
})

class PowerCut extends Error {}

/** Runs the played programs; the power goes before or after the call that `at` says, counted by halves. */
function cutting(at: number): { run: RunProgram; moments: () => number } {
  let moments = 0
  const moment = () => {
    moments += 1
    if (moments > at) throw new PowerCut()
  }
  const run: RunProgram = async (argv, limits) => {
    moment()
    const ended = await runProgram(argv, limits)
    moment()
    return ended
  }
  return { run, moments: () => moments }
}

describe('a cut around any program of an update', () => {
  const calls = 4

  test('is counted by what an update calls', async () => {
    const whole = cutting(Number.POSITIVE_INFINITY)
    await apply({ run: whole.run })
    expect(whole.moments()).toBe(calls)
  })

  test.each(Array.from({ length: calls }, (_, at) => at))(
    'number %i: where the agent alone died it goes on',
    async (at) => {
      await expect(apply({ run: cutting(at).run })).rejects.toThrow(PowerCut)
      expect(await driver().running(signal)).toBeNull()
      expect(await apply()).toBe('restarting')
      await boot()
      expect(await driver().running(signal)).toBe(manifest.releaseId)
    },
  )

  test.each(Array.from({ length: calls }, (_, at) => at))(
    'number %i: where the power went it comes up in a root it knows',
    async (at) => {
      await expect(apply({ run: cutting(at).run })).rejects.toThrow(PowerCut)
      await boot()
      const isThere = (await driver().running(signal)) !== null
      expect(isThere).toBe(at >= 1)
      if (!isThere) {
        expect(await apply()).toBe('restarting')
        await boot()
      }
      expect(await driver().running(signal)).toBe(manifest.releaseId)
      await endChecks()
      await driver().commit(manifest, signal)
    },
  )

  test.each([0, 1])('number %i of taking back what was not booted ends in a root it knows', async (at) => {
    await plan({ reboot: 'fails' })
    await expect(apply()).rejects.toThrow('cannot be restarted')
    await plan({})
    await expect(driver({ run: cutting(at).run }).rollBack(signal)).rejects.toThrow(PowerCut)
    await boot()
    if (at === 1) {
      expect(await driver().running(signal)).toBeNull()
      expect(await driver().rollBack(signal)).toBe('returned')
    } else {
      expect(await driver().running(signal)).toBe(manifest.releaseId)
      await endChecks()
      await expect(driver().rollBack(signal)).rejects.toBeInstanceOf(NoWayBack)
    }
  })
})

describe('what a host lacks is said exactly:', () => {
  const refusal = (options: Partial<BalenaHostappOptions> = {}) => driver(options).unsupported(manifest, signal)

  test('its program, its roots, its engine', async () => {
    await rm(join(root, 'run/balena-host.sock'))
    expect(await refusal()).toContain('/run/balena-host.sock is not there')
    await rm(join(root, 'mnt/sysroot/inactive'), { recursive: true })
    expect(await refusal()).toContain('no /mnt/sysroot/inactive')
    await rm(join(root, 'usr/bin/hostapp-update'))
    expect(await refusal()).toMatch(/not supported here: the host has no \/usr\/bin\/hostapp-update/)
  })

  test('the way to it', async () => {
    expect(await refusal({ access: hostAccess.mounted('/nowhere/host') })).toMatch(
      /not supported here: .*\/nowhere\/host.*privileged: true/,
    )
    const own = await refusal({ access: hostAccess.namespaces })
    expect(own).toMatch(/not supported here/)
    expect(await refusal({ access: { root, prefix: ['/nowhere/nsenter'] } })).toContain('lacks /nowhere/nsenter')
  })

  test('a registry that its engine would pull from', async () => {
    expect(await refusal({ registry: new URL('http://cloud.example.com') })).toContain('HTTPS alone')
    expect(await refusal({ registry: new URL('http://127.0.0.1:3000') })).toBeNull()
  })
})
