import { generateKeyPairSync } from 'node:crypto'
import type { SignedMetadata, UpdateRole } from '@freehold/contracts'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { keyidOf, publicKeyOf, type Signer, signWith } from './keys.ts'
import { type Root, secondsIso } from './metadata.ts'
import { day, newReleaseId, startWorld, type TestClient, textFile, type World } from './world.testing.ts'

/** Keys that people hold, and what a root signed by them does to devices. */
const keysTarget = 'keys/assignments.json'
const later = (ms: number) => vi.setSystemTime(Date.now() + ms)
let world: World
let client: TestClient

beforeEach(async () => {
  vi.useFakeTimers({ toFake: ['Date'], now: Date.parse('2026-03-01T12:00:00Z') })
  world = await startWorld()
  await world.pass()
  client = await world.client()
  await client.read(keysTarget)
})
afterEach(async () => {
  await world.close()
  vi.useRealTimers()
})

interface OwnKey extends Signer {
  publicHex: string
}

function makeKey(): OwnKey {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519')
  const publicHex = publicKey.export({ format: 'der', type: 'spki' }).subarray(12).toString('hex')
  return { keyid: keyidOf(publicKeyOf(publicHex)), key: privateKey, publicHex }
}

/** The next root: `change` is made to a copy of the one in force. */
async function nextRoot(signers: readonly Signer[], change: (root: Root) => void): Promise<SignedMetadata> {
  const { signed } = structuredClone(await world.root()) as unknown as { signed: Root }
  signed.version += 1
  signed.expires = secondsIso(Date.now() + 300 * day)
  change(signed)
  return { signed: { ...signed }, signatures: signWith(signers, signed) }
}

function name(
  root: Root,
  role: UpdateRole,
  keys: readonly OwnKey[],
  options: { threshold?: number; replace?: boolean } = {},
) {
  for (const { keyid, publicHex } of keys) root.keys[keyid] = publicKeyOf(publicHex)
  const before = options.replace === true ? [] : root.roles[role].keyids
  root.roles[role] = {
    keyids: [...before, ...keys.map(({ keyid }) => keyid)],
    threshold: options.threshold ?? root.roles[role].threshold,
  }
}

async function signedDraft(keys: readonly Signer[]): Promise<SignedMetadata> {
  const { signed } = await world.draft()
  return { signed, signatures: signWith(keys, signed) }
}

/** Root to two of three keys elsewhere. */
async function handOverRoot(): Promise<OwnKey[]> {
  const keys = [makeKey(), makeKey(), makeKey()]
  await world.publishRoot(await nextRoot(keys, (root) => name(root, 'root', keys, { threshold: 2, replace: true })))
  await world.dropRootKey()
  return keys
}

test('the root is handed over to keys elsewhere, and devices follow', async () => {
  const keys = await handOverRoot()
  await client.read(keysTarget)
  const state = await world.state()
  expect(state.roles.root).toMatchObject({ version: 2, threshold: 2 })
  expect(state.roles.root.keys.map(({ isHere }) => isHere)).toEqual([false, false, false])
  expect(state.problems).toEqual([])
  const one = await nextRoot(keys.slice(0, 1), () => {})
  await expect(world.publishRoot(one)).rejects.toThrow(/1 of the 2 signatures/)
  await world.publishRoot(await nextRoot(keys.slice(1), () => {}))
  await client.read(keysTarget)
  await (await world.client()).read(keysTarget)
})

test('a new key of ours waits for a root that names it, once the root is elsewhere', async () => {
  const keys = await handOverRoot()
  for (const role of ['targets', 'snapshot', 'timestamp'] as const) {
    const rotated = await world.rotate(role)
    expect(rotated.isPublished).toBe(false)
    expect((await world.rotate(role)).keyid).toBe(rotated.keyid)
    expect((await world.state()).problems.join()).toContain(rotated.publicKey)
    await client.read(keysTarget)
    const fresh = { ...makeKey(), keyid: rotated.keyid, publicHex: rotated.publicKey }
    await world.publishRoot(await nextRoot(keys, (root) => name(root, role, [fresh], { replace: true })))
    expect((await world.state()).problems).toEqual([])
    expect((await world.state()).roles[role].keys).toMatchObject([{ keyid: rotated.keyid, isHere: true }])
    await client.read(keysTarget)
  }
})

describe('targets signed elsewhere', () => {
  let keys: OwnKey[]
  beforeEach(async () => {
    keys = [makeKey(), makeKey()]
    const ours = await nextRoot([], (root) => name(root, 'targets', keys.slice(0, 1)))
    await world.publishRoot(ours)
    await world.publishTargets(await signedDraft(keys.slice(0, 1)))
  })

  test('a threshold that the metadata in force do not meet is refused, and changes nothing', async () => {
    const state = await world.state()
    expect(state.roles.targets.threshold).toBe(1)
    await client.read(keysTarget)
    const two = await nextRoot([], (root) => name(root, 'targets', keys, { replace: true, threshold: 2 }))
    await expect(world.publishRoot(two)).rejects.toThrow(/Devices would refuse the targets metadata/)
    await client.read(keysTarget)
  })

  test('a release is unsigned until targets that name it are published', async () => {
    await world.publishRoot(await nextRoot([], (root) => name(root, 'targets', keys.slice(0, 1), { replace: true })))
    expect((await world.state()).roles.targets.keys).toMatchObject([{ isHere: false }])
    const id = newReleaseId()
    const path = 'baseos/x/1.0.0/manifest.json'
    await world.release(id, [textFile(path)])
    expect(world.published).toEqual([])
    expect(await world.state()).toMatchObject({ unsignedReleases: 1 })
    expect((await world.state()).problems.join()).toMatch(/1 release to add.*targets sign/)
    expect((await world.get(path)).status).toBe(404)
    await expect(client.read(path)).rejects.toThrow(/is no target/)
    const draft = await signedDraft(keys.slice(0, 1))
    later(3 * day)
    await world.root()
    await world.publishTargets(draft)
    expect(world.published).toEqual([id])
    expect(await client.read(path)).toContain(path)
    await expect(world.publishTargets(draft)).rejects.toThrow(/not the targets to be signed now/)
    await world.withdraw(id)
    expect((await world.get(path)).status).toBe(404)
    expect((await world.state()).problems.join()).toMatch(/1 withdrawn file to take out/)
    await world.publishTargets(await signedDraft(keys.slice(0, 1)))
    expect((await world.state()).problems).toEqual([])
    await expect(client.read(path)).rejects.toThrow(/is no target/)
  })

  test('new assignment keys reach devices only when targets are signed, and the old one works until then', async () => {
    await world.publishRoot(await nextRoot([], (root) => name(root, 'targets', keys.slice(0, 1), { replace: true })))
    const before = await client.read(keysTarget)
    const { keyid, isPublished } = await world.rotate('assignment')
    expect(isPublished).toBe(false)
    later(5 * day)
    await world.pass()
    expect(await client.read(keysTarget)).toBe(before)
    await world.publishTargets(await signedDraft(keys.slice(0, 1)))
    expect(Object.keys(JSON.parse(await client.read(keysTarget)).keys)).toHaveLength(2)
    later(day)
    await world.pass()
    await world.publishTargets(await signedDraft(keys.slice(0, 1)))
    expect(Object.keys(JSON.parse(await client.read(keysTarget)).keys)).toEqual([keyid])
  })

  test('expiry that nobody here can prevent is said beforehand', async () => {
    await world.publishRoot(await nextRoot([], (root) => name(root, 'targets', keys.slice(0, 1), { replace: true })))
    later(61 * day)
    await world.pass()
    expect((await world.state()).problems.join()).toMatch(/The targets metadata expire at .* Its key is elsewhere/)
    await world.publishTargets(await signedDraft(keys.slice(0, 1)))
    expect((await world.state()).problems).toEqual([])
  })

  test.each([
    ['another expiry', (signed: Record<string, unknown>) => ({ ...signed, expires: '2027-01-01T00:00:00Z' })],
    ['a later day', (signed: Record<string, unknown>) => ({ ...signed, expires: '2026-05-31T00:00:00Z' })],
    ['another version', (signed: Record<string, unknown>) => ({ ...signed, version: Number(signed.version) + 1 })],
    [
      'a target more',
      (signed: Record<string, unknown>) => ({ ...signed, targets: { ...(signed.targets as object), x: {} } }),
    ],
    ['no targets', (signed: Record<string, unknown>) => ({ ...signed, targets: {} })],
    ['a field more', (signed: Record<string, unknown>) => ({ ...signed, delegations: {} })],
    ['no expiry', ({ expires: _, ...signed }: Record<string, unknown>) => signed],
    ['a fraction', (signed: Record<string, unknown>) => ({ ...signed, more: 0.5 })],
  ])('a draft with %s is refused', async (_name, change) => {
    const { signed: draft } = await world.draft()
    const signed = change(draft) as SignedMetadata['signed']
    const signatures = 'more' in signed ? [] : signWith(keys.slice(0, 1), signed)
    await expect(world.publishTargets({ signed, signatures })).rejects.toThrow(/not the targets to be signed now/)
  })

  test('a draft without enough signatures is refused', async () => {
    await world.publishRoot(await nextRoot([], (root) => name(root, 'targets', keys.slice(0, 1), { replace: true })))
    const { signed } = await world.draft()
    await expect(world.publishTargets({ signed, signatures: [] })).rejects.toThrow(/0 of 1 signatures/)
    const forged = signWith([makeKey()], signed).map(({ sig }) => ({ keyid: keys[0]?.keyid ?? '', sig }))
    await expect(world.publishTargets({ signed, signatures: forged })).rejects.toThrow(/0 of 1 signatures/)
  })
})

describe('a next root is refused', () => {
  test.each<[string, (root: Root) => void, RegExp]>([
    ['that skips a version', (root) => void Object.assign(root, { version: root.version + 1 }), /after root 1 comes 2/],
    [
      'with the version in force',
      (root) => void Object.assign(root, { version: root.version - 1 }),
      /after root 1 comes 2/,
    ],
    ['that has expired', (root) => void Object.assign(root, { expires: '2026-03-01T12:00:00Z' }), /expired at/],
    [
      'without a role',
      (root) => void Reflect.deleteProperty(root.roles, 'snapshot'),
      /no root metadata: roles.snapshot/,
    ],
    [
      'with a role nobody can sign',
      (root) => void Object.assign(root.roles.root, { threshold: 2 }),
      /nobody could sign/,
    ],
    [
      'with a key twice in a role',
      (root) => void root.roles.root.keyids.push(root.roles.root.keyids[0] ?? ''),
      /twice/,
    ],
    ['with a key it does not have', (root) => void root.roles.root.keyids.push('0'.repeat(64)), /not among its keys/],
    [
      'without consistent snapshots',
      (root) => void Object.assign(root, { consistent_snapshot: false }),
      /consistent_snapshot/,
    ],
    ['with a field nobody knows', (root) => void Object.assign(root, { more: 1 }), /no root metadata/],
    ['of another type', (root) => void Object.assign(root, { _type: 'targets' }), /_type/],
    [
      'with a key under another name',
      (root) => void Object.assign(root.keys, { ['0'.repeat(64)]: publicKeyOf(makeKey().publicHex) }),
      /not named by the SHA-256/,
    ],
    [
      'that takes timestamp away from here',
      (root) => name(root, 'timestamp', [makeKey()], { replace: true }),
      /timestamp that are here/,
    ],
    [
      'that takes targets away unsigned',
      (root) => name(root, 'targets', [makeKey()], { replace: true }),
      /would refuse the targets/,
    ],
    [
      'that asks for a signature it has not',
      (root) => name(root, 'root', [makeKey()], { replace: true }),
      /0 of the 1 signatures that the new root/,
    ],
  ])('%s', async (_name, change, message) => {
    await expect(world.publishRoot(await nextRoot([], change))).rejects.toThrow(message)
    expect((await world.state()).roles.root.version).toBe(1)
    await client.read(keysTarget)
  })
})

test('the root key here stays as long as the root names it', async () => {
  await expect(world.dropRootKey()).rejects.toThrow(/The root in force names it/)
  await handOverRoot()
  await expect(world.dropRootKey()).rejects.toThrow(/no root key here/)
  await expect(world.rotate('root')).rejects.toThrow(/elsewhere/)
})

test('a root that is about to expire elsewhere is said, and signed there it is good again', async () => {
  const keys = await handOverRoot()
  later(200 * day)
  await world.pass()
  expect((await world.state()).problems.join()).toMatch(/The root metadata expire at .* root sign/)
  later(150 * day)
  await world.pass()
  await expect(client.read(keysTarget)).rejects.toThrow(/expired/i)
  await world.publishRoot(await nextRoot(keys, () => {}))
  await client.read(keysTarget)
})

test('with the root elsewhere, a lost server secret is mended by new keys of every role', async () => {
  const keys = await handOverRoot()
  world.loseSecret()
  later(6 * day)
  await world.pass()
  await expect(client.read(keysTarget)).rejects.toThrow(/expired/i)
  const { keyid } = await world.rotate('assignment')
  for (const role of ['timestamp', 'snapshot', 'targets'] as const) {
    const rotated = await world.rotate(role)
    const fresh = { ...makeKey(), keyid: rotated.keyid, publicHex: rotated.publicKey }
    await world.publishRoot(await nextRoot(keys, (root) => name(root, role, [fresh], { replace: true })))
  }
  expect(Object.keys(JSON.parse(await client.read(keysTarget)).keys)).toEqual([keyid])
  await world.release(newReleaseId(), [textFile('baseos/x/1.0.0/manifest.json')])
  await client.read('baseos/x/1.0.0/manifest.json')
  expect((await world.state()).problems).toEqual([])
})
