import { generateKeyPairSync, verify } from 'node:crypto'
import { type Assignment, canonicalSignedJson } from '@freehold/contracts'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { keyidOf, publicKeyOf, signWith } from './keys.ts'
import type { Root, Targets } from './metadata.ts'
import {
  day,
  type Middleman,
  newReleaseId,
  startWorld,
  type TestClient,
  textFile,
  type World,
} from './world.testing.ts'

/** What somebody between control plane and device may try, and an independent client refuses. */
const keysTarget = 'keys/assignments.json'
const manifest = 'baseos/x/1.0.0/manifest.json'
const later = (ms: number) => vi.setSystemTime(Date.now() + ms)
let world: World
let client: TestClient

beforeEach(async () => {
  vi.useFakeTimers({ toFake: ['Date'], now: Date.parse('2026-03-01T12:00:00Z') })
  world = await startWorld()
  await world.pass()
  await world.release(newReleaseId(), [textFile(manifest)])
  client = await world.client()
  await client.read(manifest)
})
afterEach(async () => {
  await world.close()
  vi.useRealTimers()
})

const isOf = (path: string, what: RegExp) => what.test(path)
/** Everything that is asked for now, as it is now. */
async function record(): Promise<Map<string, string>> {
  const kept = new Map<string, string>()
  world.intercept(async (path, text) => {
    const body = await text()
    if (body !== null) kept.set(path, body)
    return body
  })
  await (await world.client()).read(manifest)
  world.intercept((_path, text) => text())
  return kept
}

async function refused(proxy: Middleman, message: RegExp): Promise<void> {
  world.intercept(proxy)
  await expect(client.read(manifest)).rejects.toThrow(message)
  world.intercept((_path, text) => text())
  await client.read(manifest)
}

test.each([
  ['a timestamp', /timestamp\.json$/, /signed by 0\/1 keys/],
  ['a snapshot', /\d+\.snapshot\.json$/, /Expected hash/],
  ['targets', /\d+\.targets\.json$/, /Expected hash/],
])('%s with one changed character is refused', async (_name, what, message) => {
  later(3_600_000)
  await world.release(newReleaseId(), [textFile('baseos/x/1.1.0/manifest.json')])
  await refused(async (path, text) => {
    const body = await text()
    return isOf(path, what)
      ? (body?.replace(/"version":(\d)/, (_all, digit) => `"version":${(Number(digit) % 9) + 1}`) ?? null)
      : body
  }, message)
})

test('a manifest with one changed character is refused', async () => {
  await refused(async (path, text) => {
    const body = await text()
    return path.endsWith('.manifest.json') ? `${body?.slice(0, -2)}!}` : body
  }, /hash|length|mismatch/i)
})

test('old metadata are refused when newer ones were seen', async () => {
  const old = await record()
  later(60_000)
  await world.release(newReleaseId(), [textFile('baseos/x/1.1.0/manifest.json')])
  await client.read('baseos/x/1.1.0/manifest.json')
  await refused(async (path, text) => old.get(path) ?? text(), /version/i)
})

test('metadata that are held back expire', async () => {
  const old = await record()
  later(day + 1000)
  await world.pass()
  await refused(async (path) => old.get(path) ?? null, /expired/i)
})

test('an old snapshot under a new timestamp, and old targets under a new snapshot, are refused', async () => {
  const old = await record()
  const of = (what: RegExp) => [...old].find(([path]) => isOf(path, what))?.[1] ?? null
  later(60_000)
  await world.release(newReleaseId(), [textFile('baseos/x/1.1.0/manifest.json')])
  for (const what of [/\d+\.snapshot\.json$/, /\d+\.targets\.json$/]) {
    later(60_000)
    await world.release(newReleaseId(), [textFile(`baseos/x/1.1.${Date.now()}/manifest.json`)])
    await refused((path, text) => (isOf(path, what) ? Promise.resolve(of(what)) : text()), /Expected (hash|length)/)
  }
})

test('metadata of another control plane are refused', async () => {
  const other = await startWorld()
  try {
    await other.pass()
    await other.release(newReleaseId(), [textFile(manifest)])
    later(60_000)
    await other.pass()
    await refused(async (path) => {
      const answer = await fetch(`${other.url}${path}`)
      return answer.ok ? answer.text() : null
    }, /signed by 0\/1 keys/)
  } finally {
    await other.close()
  }
})

test('a root that the old keys have not signed is refused', async () => {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519')
  const key = publicKeyOf(publicKey.export({ format: 'der', type: 'spki' }).subarray(12).toString('hex'))
  const evil = { keyid: keyidOf(key), key: privateKey }
  const { signed } = structuredClone(await world.root()) as unknown as { signed: Root }
  signed.version = 2
  signed.keys[evil.keyid] = key
  for (const role of Object.values(signed.roles)) role.keyids = [evil.keyid]
  const root = JSON.stringify({ signed, signatures: signWith([evil], signed) })
  await refused(
    (path, text) => (path.endsWith('/2.root.json') ? Promise.resolve(root) : text()),
    /root was signed by 0\/1 keys/,
  )
})

test('targets that somebody else signed are refused', async () => {
  const { privateKey } = generateKeyPairSync('ed25519')
  later(60_000)
  await world.release(newReleaseId(), [textFile('baseos/x/1.1.0/manifest.json')])
  await refused(async (path, text) => {
    const body = await text()
    if (!/\.targets\.json$/.test(path) || body === null) return body
    const { signed, signatures } = JSON.parse(body) as { signed: Targets; signatures: { keyid: string }[] }
    signed.targets[manifest] = { length: 4, hashes: { sha256: '0'.repeat(64) } }
    return JSON.stringify({
      signed,
      signatures: signWith([{ keyid: signatures[0]?.keyid ?? '', key: privateKey }], signed),
    })
  }, /Expected (hash|length)/)
})

const assignment: Assignment = {
  _type: 'assignment',
  nodeId: '0123456789abcdef0123456789abcdef',
  counter: 7,
  issuedAt: '2026-03-01T12:00:00.000Z',
  expiresAt: '2026-03-08T12:00:00.000Z',
  app: null,
  host: null,
  actions: [],
}

/** As a device does it: any key of the signed target will do. */
async function isGood({
  signed,
  signatures,
}: {
  signed: object
  signatures: { keyid: string; sig: string }[]
}): Promise<boolean> {
  const { keys } = JSON.parse(await client.read(keysTarget))
  const bytes = Buffer.from(canonicalSignedJson(signed))
  return signatures.some(({ keyid, sig }) => {
    if (keys[keyid] === undefined) return false
    const x = Buffer.from(keys[keyid].keyval.public, 'hex').toString('base64url')
    return verify(null, bytes, { key: { kty: 'OKP', crv: 'Ed25519', x }, format: 'jwk' }, Buffer.from(sig, 'hex'))
  })
}

test('an assignment is signed by a key of the signed target, before, while and after that key is replaced', async () => {
  const before = await world.noun().signAssignment(assignment)
  expect(before.signed).toEqual(assignment)
  expect(await isGood(before)).toBe(true)
  expect(await isGood({ ...before, signed: { ...assignment, nodeId: 'another' } })).toBe(false)
  await world.rotate('assignment')
  const during = await world.noun().signAssignment(assignment)
  expect(during.signatures).toHaveLength(2)
  expect(await isGood(during)).toBe(true)
  expect(await isGood(before)).toBe(true)
  later(day)
  await world.pass()
  const after = await world.noun().signAssignment(assignment)
  expect(after.signatures).toHaveLength(1)
  expect(await isGood(after)).toBe(true)
  expect(await isGood(before)).toBe(false)
})

test('the first assignment makes the keys where nothing was used before', async () => {
  const fresh = await startWorld()
  try {
    expect((await fresh.noun().signAssignment(assignment)).signatures).toHaveLength(1)
    expect((await fresh.state()).roles.root.version).toBe(1)
  } finally {
    await fresh.close()
  }
})
