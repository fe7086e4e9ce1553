import { updateKeyKind, updateMetadataKind } from '@freehold/contracts'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { day, newReleaseId, startWorld, textFile, type World } from './world.testing.ts'

/** The repository as an independent client sees it. Only the date is faked: everything else is real. */
const keysTarget = 'keys/assignments.json'
const start = Date.parse('2026-03-01T12:00:00Z')
const later = (ms: number) => vi.setSystemTime(Date.now() + ms)
const lines: string[] = []
let world: World

beforeEach(async () => {
  vi.useFakeTimers({ toFake: ['Date'], now: start })
  world = await startWorld({ log: (line) => lines.push(line) })
  await world.pass()
})
afterEach(async () => {
  await world.close()
  vi.useRealTimers()
})

test('the first use makes a repository that a client accepts', async () => {
  const client = await world.client()
  const keys = JSON.parse(await client.read(keysTarget))
  expect(keys.threshold).toBe(1)
  expect(Object.keys(keys.keys)).toHaveLength(1)
  const state = await world.state()
  expect(state.problems).toEqual([])
  expect(state.roles.root).toMatchObject({ version: 1, threshold: 1, expiresAt: '2027-03-01T12:00:00Z' })
  expect(state.roles.targets.expiresAt).toBe('2026-05-30T12:00:00Z')
  expect(state.roles.snapshot.expiresAt).toBe('2026-03-08T12:00:00Z')
  expect(state.roles.timestamp.expiresAt).toBe('2026-03-02T12:00:00Z')
  for (const { keys: named } of Object.values(state.roles)) expect(named).toMatchObject([{ isHere: true }])
})

test('a client follows through many releases, and what is withdrawn is gone', async () => {
  const client = await world.client()
  const ids: string[] = []
  for (let index = 0; index < 40; index++) {
    const id = newReleaseId()
    ids.push(id)
    const path = `baseos/generic-amd64/1.0.${index}/manifest.json`
    await world.release(id, [textFile(path), textFile(`baseos/generic-amd64/1.0.${index}/checksums.txt`, 'none')])
    if (index % 10 === 0) expect(await client.read(path)).toBe(`{"of":"${path}"}`)
  }
  expect(world.published).toEqual(ids)
  const path = 'baseos/generic-amd64/1.0.7/manifest.json'
  await client.read(path)
  await world.withdraw(ids[7] ?? '')
  await expect(client.read(path)).rejects.toThrow(/is no target/)
  expect((await world.get(path)).status).toBe(404)
  await client.read('baseos/generic-amd64/1.0.8/manifest.json')
  const rows = await world.store().all(updateMetadataKind)
  expect(rows.length).toBeLessThanOrEqual(1 + 5 + 5 + 1)
})

test('the same path with the same content may be published twice; another content may not', async () => {
  const id = newReleaseId()
  const path = 'baseos/x/1.0.0/manifest.json'
  await world.release(id, [textFile(path, '1')])
  await world.release(id, [textFile(path, '1')])
  await expect(world.release(newReleaseId(), [textFile(path, '2')])).rejects.toThrow(/another release/)
  await world.withdraw(id)
  await world.release(newReleaseId(), [textFile(path, '2')])
  expect(await (await world.client()).read(path)).toBe('2')
})

test.each([
  '../escape.json',
  'a//b.json',
  '/absolute.json',
  'metadata/timestamp.json',
  'a/./b.json',
  'a b.json',
  keysTarget,
  'a%2Fb.json',
  '',
])('%j is no path of a target', async (path) => {
  await expect(world.release(newReleaseId(), [textFile(path)])).rejects.toThrow(/cannot be the path/)
})

test('a file that is not what its hash says is refused', async () => {
  const file = textFile('baseos/x/1.0.0/manifest.json')
  await expect(world.release(newReleaseId(), [{ ...file, text: 'other' }])).rejects.toThrow(/is not what/)
  await expect(world.release(newReleaseId(), [{ ...file, sizeBytes: 1 }])).rejects.toThrow(/is not what/)
})

test.each(['root', 'targets', 'snapshot', 'timestamp', 'assignment'] as const)(
  'a client follows the rotation of the key of %s, and the old key is forgotten',
  async (role) => {
    const client = await world.client()
    await client.read(keysTarget)
    const before = (await world.store().all(updateKeyKind, { where: { role } })).map(({ data }) => data.keyid)
    const rotated = await world.rotate(role)
    expect(rotated.isPublished).toBe(true)
    expect(before).not.toContain(rotated.keyid)
    await client.read(keysTarget)
    later(day)
    await world.pass()
    await client.read(keysTarget)
    await (await world.client()).read(keysTarget)
    const after = await world.store().all(updateKeyKind, { where: { role } })
    expect(after.map(({ data }) => data.keyid)).toEqual([rotated.keyid])
  },
)

test('a replaced assignment key stays good until no device can be without the new one', async () => {
  const client = await world.client()
  const known = async () => Object.keys(JSON.parse(await client.read(keysTarget)).keys)
  const [old] = await known()
  const { keyid } = await world.rotate('assignment')
  expect((await known()).toSorted()).toEqual([old, keyid].toSorted())
  later(day - 60_000)
  await world.pass()
  expect(await known()).toHaveLength(2)
  later(60_000)
  await world.pass()
  expect(await known()).toEqual([keyid])
})

test('a device that slept through a year of monthly rotations of every key still follows', async () => {
  const client = await world.client()
  await client.read(keysTarget)
  for (let month = 0; month < 13; month++) {
    later(30 * day)
    for (const role of ['root', 'targets', 'snapshot', 'timestamp'] as const) await world.rotate(role)
    await world.pass()
  }
  const id = newReleaseId()
  await world.release(id, [textFile('baseos/x/2.0.0/manifest.json')])
  expect(await client.read('baseos/x/2.0.0/manifest.json')).toContain('baseos/x/2.0.0')
  expect((await world.state()).roles.root.version).toBeGreaterThan(52)
})

test('metadata are signed anew at half their life, whenever the control plane runs', async () => {
  const client = await world.client()
  const versions = async () =>
    Object.fromEntries(Object.entries((await world.state()).roles).map(([role, { version }]) => [role, version]))
  const first = await versions()
  await world.root()
  expect(await versions()).toEqual(first)
  later(day / 2)
  await world.root()
  const second = await versions()
  expect(second.timestamp).toBeGreaterThan(first.timestamp ?? 0)
  expect(second).toEqual({ ...first, timestamp: second.timestamp })
  later(3 * day)
  await world.root()
  const third = await versions()
  expect(third.snapshot).toBeGreaterThan(first.snapshot ?? 0)
  expect(third.targets).toBe(first.targets)
  later(42 * day)
  await world.root()
  expect((await versions()).targets).toBeGreaterThan(first.targets ?? 0)
  expect((await versions()).root).toBe(1)
  later(140 * day)
  await world.root()
  expect((await versions()).root).toBe(2)
  await client.read(keysTarget)
})

test('after two years without power everything is signed anew by itself', async () => {
  const client = await world.client()
  await client.read(keysTarget)
  later(730 * day)
  await expect(client.read(keysTarget)).rejects.toThrow(/expired/i)
  expect((await world.state()).problems.join()).toMatch(/expired at/)
  await world.pass()
  expect((await world.state()).problems).toEqual([])
  await client.read(keysTarget)
})

test.each([60_000, 1_000])(
  'a control plane that starts with a restored backup goes on above what devices have seen (a release each %i ms)',
  async (everyMs) => {
    const client = await world.client()
    await world.backUp()
    for (let index = 0; index < 20; index++) {
      later(everyMs)
      await world.release(newReleaseId(), [textFile(`baseos/x/1.0.${index}/manifest.json`)])
    }
    await client.read('baseos/x/1.0.19/manifest.json')
    await world.restoreBackup()
    await expect(client.read(keysTarget)).rejects.toThrow(/version/i)
    await world.pass()
    await client.read(keysTarget)
    await world.release(newReleaseId(), [textFile('baseos/x/2.0.0/manifest.json')])
    expect(await client.read('baseos/x/2.0.0/manifest.json')).toContain('2.0.0')
    await expect(client.read('baseos/x/1.0.19/manifest.json')).rejects.toThrow(/is no target/)
  },
)

test('no key and no sealed key is in the log, the audit log or any answer', async () => {
  await world.rotate('root')
  const secrets = (await world.store().all(updateKeyKind)).map(({ data }) => data.sealed)
  const audit = JSON.stringify(await world.store().audit({ limit: 500 }))
  const said = [audit, lines.join(), JSON.stringify(await world.state()), JSON.stringify(await world.root())].join()
  for (const secret of secrets) expect(said).not.toContain(secret)
  expect(said).not.toContain('PRIVATE KEY')
  expect(secrets.length).toBeGreaterThan(4)
})
