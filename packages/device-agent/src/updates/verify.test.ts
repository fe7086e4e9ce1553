import { mkdtemp, open, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Assignment } from '@freehold/contracts'
import { canonicalSignedJson } from '@freehold/contracts/lean'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { createVerifier, noTrust, readManifestFile, type VerifyRequest } from './index.ts'
import {
  createTestKey,
  signAssignment,
  startRepository,
  type TestRepository,
  testAssignment,
  testManifest,
} from './repository.testing.ts'

const day = 24 * 60 * 60_000
const nowMs = Date.parse('2031-03-01T12:00:00Z')
const verify = createVerifier()
const target = 'releases/kiosk/1.4.0/manifest.json'

let repository: TestRepository
let folder: string
let request: VerifyRequest

beforeEach(async () => {
  folder = join(await mkdtemp(join(tmpdir(), 'freehold-updates-')), 'updates')
  repository = await startRepository({ nowMs })
  repository.publish({ [target]: canonicalSignedJson(testManifest()) })
  request = {
    url: repository.url,
    nodeToken: 'node-token-0123456789',
    nodeId: 'kiosk-7',
    folder,
    rootPath: null,
    trust: noTrust,
    newest: null,
    believedMs: nowMs,
    deviceType: null,
    timeZone: 'Europe/Berlin',
    keepManifests: [],
    assignment: signAssignment(testAssignment(nowMs), [repository.assignmentKey]),
  }
})
afterEach(async () => {
  await repository.stop()
  await rm(join(folder, '..'), { recursive: true, force: true })
})

/** One verification; what it trusts is remembered, as the agent does. */
async function judged(change: Partial<VerifyRequest> = {}) {
  const answer = await verify({ ...request, ...change }, new AbortController().signal)
  request = { ...request, trust: answer.trust, newest: answer.newest ?? request.newest }
  return { ...answer, code: answer.refusals[0]?.code ?? 'trusted' }
}
const signed = (change: Partial<Assignment>, keys = [repository.assignmentKey]) =>
  signAssignment(testAssignment(nowMs, change), keys)
const file = (name: string) => join(folder, name)

test('an assignment that is signed for this device is trusted, and its manifest is here, asked for with the node token', async () => {
  const { code, trust, assignment, newest, zone } = await judged()
  expect(code).toBe('trusted')
  expect(assignment).toEqual(testAssignment(nowMs))
  expect(trust.seen).toMatchObject({ root: 1, timestamp: 2, snapshot: 2, targets: 2 })
  expect(newest?.counter).toBe(nowMs)
  expect(zone).toMatchObject({ name: 'Europe/Berlin', problem: null })
  expect(await readManifestFile(folder, assignment?.app?.sha256 ?? '')).toBe(canonicalSignedJson(testManifest()))
  for (const { path, bearer } of repository.seen) expect(bearer !== null).toBe(/^(?:releases|baseos)\//.test(path))
  expect(repository.seen.some(({ bearer }) => bearer === 'node-token-0123456789')).toBe(true)
  expect(await readdir(folder)).not.toContain('scratch')
})

test('what is not for this device, not signed, older, expired, or changed on the way is refused, each by its name', async () => {
  const good = signed({})
  expect((await judged()).code).toBe('trusted')
  const refused = async (assignment: unknown) => (await judged({ assignment })).code
  expect(await refused(signed({ nodeId: 'kiosk-8' }))).toBe('other-device')
  expect(await refused({ ...good, signatures: [] })).toBe('unsigned')
  expect(await refused({ later: 'x' })).toBe('unsigned')
  expect(await refused(signed({ counter: nowMs - 1 }))).toBe('older-assignment')
  expect(await refused(signed({ actions: [], issuedAt: new Date(nowMs - 1).toISOString() }))).toBe('older-assignment')
  expect(await refused({ ...good, signed: { ...testAssignment(nowMs), counter: nowMs + 1 } })).toBe('bad-signature')
  expect(await refused(signed({ counter: nowMs + 1 }, [createTestKey()]))).toBe('bad-signature')
  const expiresAt = new Date(nowMs - 1).toISOString()
  expect(await refused(signed({ counter: nowMs + 1, expiresAt }))).toBe('assignment-expired')
  expect(await refused(good)).toBe('trusted')
})

test('a manifest that is not the one assigned, or not for this device, keeps only its half from being taken', async () => {
  const { app } = testAssignment(nowMs)
  if (!app) throw new Error('There is an app.')
  const counter = nowMs + 1
  const refused = async (half: typeof app, change: Partial<VerifyRequest> = {}) => {
    const answer = await judged({ assignment: signed({ counter, app: half }), newest: null, ...change })
    return [answer.code, answer.assignment?.app ?? null]
  }
  expect(await refused({ ...app, sha256: 'b'.repeat(64) })).toEqual(['manifest-mismatch', null])
  expect(await refused({ ...app, target: 'releases/kiosk/9.9.9/manifest.json' })).toEqual(['manifest-mismatch', null])
  expect(await refused({ ...app, version: '1.5.0' })).toEqual(['manifest-mismatch', null])
  const host = { ...app, soakSeconds: 0 }
  const both = await judged({ assignment: signed({ counter: nowMs + 2, host }), newest: null })
  expect([both.code, both.assignment?.host, both.assignment?.app?.version]).toEqual([
    'not-for-this-type',
    null,
    '1.4.0',
  ])
  const other = testManifest({ version: '2.0.0', deviceTypes: ['raspberrypi4-64'] })
  repository.publish({ 'releases/kiosk/2.0.0/manifest.json': canonicalSignedJson(other) })
  const assigned = testAssignment(nowMs, {}, other).app ?? app
  expect(await refused(assigned, { deviceType: 'generic-amd64' })).toEqual(['not-for-this-type', null])
  expect(await refused(assigned, { deviceType: 'raspberrypi4-64' })).toEqual(['trusted', assigned])
  repository.withdraw(target)
  expect(await refused(app)).toEqual(['manifest-mismatch', null])
})

test('a manifest or metadata changed on the way is refused', async () => {
  const { app } = testAssignment(nowMs)
  const path = `releases/kiosk/1.4.0/${app?.sha256}.manifest.json`
  const text = repository.files.get(path) ?? ''
  repository.files.set(path, text.replace('shop', 'evil'))
  expect((await judged()).code).toBe('manifest-mismatch')
  repository.files.set(path, text)
  for (const name of ['timestamp.json', '2.snapshot.json', '2.targets.json']) {
    const whole = repository.files.get(`metadata/${name}`) ?? ''
    // What is here and good is not asked for again.
    await rm(folder, { recursive: true })
    repository.files.set(`metadata/${name}`, whole.replace(/"expires":"20/, '"expires":"21'))
    expect([name, (await judged()).code]).toEqual([name, 'metadata-invalid'])
    repository.files.set(`metadata/${name}`, whole.slice(0, whole.length / 2))
    expect([name, (await judged()).code]).toEqual([name, 'metadata-invalid'])
    repository.files.set(`metadata/${name}`, whole)
  }
  expect((await judged()).code).toBe('trusted')
})

test('expired metadata are refused by the believed time, in both directions of a wrong clock of the device', async () => {
  // The machine that runs this is years away from what the device believes, and nothing notices.
  expect(Math.abs(Date.now() - nowMs)).toBeGreaterThan(365 * day)
  expect((await judged()).code).toBe('trusted')
  const expiresAt = new Date(nowMs + 3 * 365 * day).toISOString()
  const assignment = signed({ counter: nowMs + 1, expiresAt })
  expect((await judged({ assignment, believedMs: nowMs + 2 * day })).code).toBe('metadata-expired')
  expect((await judged({ assignment, believedMs: nowMs + 365 * day })).code).toBe('metadata-expired')
  repository.nowMs = nowMs + 365 * day
  repository.rotate([])
  repository.publish()
  expect((await judged({ assignment, believedMs: nowMs + 365 * day })).code).toBe('trusted')
  expect((await judged({ assignment, believedMs: nowMs - 365 * day })).code).toBe('trusted')
})

test('metadata rolled back are refused, also where the files of the device were lost', async () => {
  const older = new Map(repository.files)
  repository.publish()
  repository.publish()
  expect((await judged()).trust.seen).toMatchObject({ timestamp: 4, snapshot: 4, targets: 4 })
  const newer = new Map(repository.files)
  const serve = (files: Map<string, string>) => {
    repository.files.clear()
    for (const [path, text] of files) repository.files.set(path, text)
  }
  serve(older)
  expect((await judged()).code).toBe('metadata-rollback')
  await rm(folder, { recursive: true })
  expect((await judged()).code).toBe('metadata-rollback')
  expect(request.trust.seen).toMatchObject({ timestamp: 4 })
  serve(newer)
  expect((await judged()).code).toBe('trusted')
})

test('parts of different moments do not mix: an older targets or snapshot under a newer timestamp is refused', async () => {
  const older = new Map(repository.files)
  repository.publish()
  for (const [to, from] of [
    ['metadata/3.targets.json', 'metadata/2.targets.json'],
    ['metadata/3.snapshot.json', 'metadata/2.snapshot.json'],
  ] as const) {
    const right = repository.files.get(to) ?? ''
    repository.files.set(to, older.get(from) ?? '')
    expect([to, (await judged()).code]).toEqual([to, 'metadata-invalid'])
    repository.files.set(to, right)
  }
  expect((await judged()).code).toBe('trusted')
})

test('a device that missed every rotation of the keys for a year follows them all; a root the old keys did not sign is refused', async () => {
  expect((await judged()).code).toBe('trusted')
  for (let month = 1; month <= 12; month += 1) {
    repository.nowMs = nowMs + month * 30 * day
    repository.rotate(month % 2 ? ['root'] : ['root', 'timestamp', 'snapshot', 'targets'])
    repository.publish()
  }
  const believedMs = repository.nowMs
  const assignment = signAssignment(testAssignment(believedMs), [repository.assignmentKey])
  const after = await judged({ assignment, believedMs })
  expect([after.code, after.trust.seen.root]).toEqual(['trusted', 13])
  const chain = new Map(repository.files)
  repository.keys.root = [createTestKey(), createTestKey()]
  repository.rotate([])
  expect((await judged({ assignment, believedMs })).code).toBe('metadata-invalid')
  // A stolen timestamp key that counted far ahead is ended by its replacement.
  repository.files.clear()
  for (const [path, text] of chain) repository.files.set(path, text)
  expect((await judged({ assignment, believedMs })).code).toBe('trusted')
})

test('versions that a stolen key counted up end with the rotation of that key', async () => {
  repository.versions.timestamp = 1_000_000
  repository.publish()
  expect((await judged()).trust.seen.timestamp).toBe(1_000_001)
  repository.versions.timestamp = 10
  repository.publish()
  expect((await judged()).code).toBe('metadata-rollback')
  repository.rotate(['timestamp'])
  repository.publish()
  expect((await judged()).code).toBe('trusted')
})

test('local metadata cut off at any length are read around: trust goes on from the last good root, never lower', async () => {
  repository.rotate(['targets'])
  repository.publish()
  expect((await judged()).trust.seen).toMatchObject({ root: 2, targets: 3 })
  const names = ['roots/2.root.json', 'timestamp.json', 'snapshot.json', 'targets.json', 'anchor.json']
  for (const name of names) {
    const whole = await readFile(file(name))
    for (const length of [0, 1, Math.floor(whole.length / 2), whole.length - 1]) {
      await writeFile(file(name), whole.subarray(0, length))
      const { code, trust } = await judged()
      expect([name, length, code, trust.seen.root]).toEqual([name, length, 'trusted', 2])
    }
    expect(await readFile(file(name))).toEqual(whole)
  }
  const { app } = testAssignment(nowMs)
  const manifest = await open(file(`manifests/${app?.sha256}.json`), 'r+')
  await manifest.truncate(20)
  await manifest.close()
  expect(await readManifestFile(folder, app?.sha256 ?? '')).toBeNull()
  expect((await judged()).code).toBe('trusted')
  expect(await readManifestFile(folder, app?.sha256 ?? '')).not.toBeNull()
})

test('the first root is kept for ever: another control plane under the same address is not followed', async () => {
  expect((await judged()).code).toBe('trusted')
  const impostor = await startRepository({ nowMs })
  try {
    impostor.publish({ [target]: canonicalSignedJson(testManifest()) })
    const assignment = signAssignment(testAssignment(nowMs, { counter: nowMs + 1 }), [impostor.assignmentKey])
    const theirs = { url: impostor.url, assignment }
    expect((await judged(theirs)).code).toBe('metadata-invalid')
    // Not even where only the state file is left.
    await rm(folder, { recursive: true })
    expect((await judged(theirs)).code).toBe('metadata-invalid')
    // The owner alone may name another beginning, and then nothing of the old one is followed.
    const rootPath = join(folder, '..', 'root.json')
    await writeFile(rootPath, impostor.files.get('metadata/1.root.json') ?? '')
    expect((await judged({ ...theirs, rootPath })).code).toBe('trusted')
    expect((await judged({ rootPath, newest: null })).code).toBe('metadata-invalid')
  } finally {
    await impostor.stop()
  }
})

test('without a network nothing is lost, and it is said', async () => {
  expect((await judged()).code).toBe('trusted')
  const { trust } = request
  repository.isAway = true
  expect(await judged()).toMatchObject({ code: 'unreachable', assignment: null, trust })
})

test('a process that hangs, floods or dies is ended, and that is no judgement', async () => {
  const signal = new AbortController().signal
  const entry = join(folder, '..', 'entry.mjs')
  await writeFile(entry, 'setInterval(() => {}, 1000)')
  await expect(createVerifier({ entry, timeLimitMs: 300 })(request, signal)).rejects.toThrow('longer than 300 ms')
  await expect(createVerifier({ entry })(request, AbortSignal.timeout(300))).rejects.toThrow('no longer wanted')
  await writeFile(entry, 'for (;;) process.stdout.write("x".repeat(65536)); ')
  await expect(createVerifier({ entry, timeLimitMs: 20_000 })(request, signal)).rejects.toThrow(/not done/)
  await writeFile(entry, 'throw new Error("the library is missing")')
  await expect(createVerifier({ entry })(request, signal)).rejects.toThrow('the library is missing')
})
