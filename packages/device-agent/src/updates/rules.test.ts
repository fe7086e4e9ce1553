import { assignmentSchema, type ReleaseManifest, releaseManifestSchema } from '@freehold/contracts'
import { canonicalSignedJson } from '@freehold/contracts/lean'
import { Metadata, Root, Signature } from '@tufjs/models'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { judgeAssignment, readAssignmentKeys } from './assignment.ts'
import { readAssignment } from './read-assignment.ts'
import { readManifest } from './read-manifest.ts'
import { Refused, refusalCodes } from './refusal.ts'
import { createTestKey, signAssignment, testAssignment, testManifest } from './repository.testing.ts'

const nowMs = Date.parse('2031-03-01T12:00:00Z')
const key = createTestKey()
const keysText = (threshold: number, publicKeys: Record<string, string>) =>
  JSON.stringify({
    threshold,
    keys: Object.fromEntries(
      Object.entries(publicKeys).map(([keyid, publicKey]) => [
        keyid,
        { keytype: 'ed25519', scheme: 'ed25519', keyval: { public: publicKey } },
      ]),
    ),
  })
const keys = readAssignmentKeys(keysText(1, { [key.keyid]: key.publicKey }))
if (!keys) throw new Error('These are keys.')

const codeOf = (options: Partial<Parameters<typeof judgeAssignment>[0]>): string => {
  const assignment = signAssignment(testAssignment(nowMs), [key])
  try {
    judgeAssignment({ assignment, keys, nodeId: 'kiosk-7', newest: null, nowMs, ...options })
    return 'trusted'
  } catch (error) {
    if (error instanceof Refused) return error.code
    throw error
  }
}

/** JSON of whole numbers that a double holds exactly: all that has a canonical form. */
const { values } = fc.letrec<{ values: unknown }>((tie) => ({
  values: fc.oneof(
    { depthSize: 'small' },
    fc.constant(null),
    fc.boolean(),
    fc.string(),
    fc.maxSafeInteger(),
    fc.array(tie('values')),
    fc.dictionary(fc.string(), tie('values')),
  ),
}))

test('canonical JSON says a value in one way, whatever the order of its fields, and as the library does', () => {
  fc.assert(
    fc.property(fc.dictionary(fc.string(), fc.oneof(fc.string(), fc.maxSafeInteger(), fc.boolean())), (value) => {
      const shuffled = Object.fromEntries(Object.entries(value).toReversed())
      expect(canonicalSignedJson(shuffled)).toBe(canonicalSignedJson(value))
    }),
  )
  expect(() => canonicalSignedJson({ a: 1.5 })).toThrow(TypeError)
  fc.assert(
    fc.property(fc.dictionary(fc.string(), values), (unknown) => {
      const { expires = '2031-01-01T00:00:00Z', ...more } = { ...unknown, expires: undefined }
      const root = new Root({ version: 1, specVersion: '1.0.31', expires, unrecognizedFields: more } as never)
      const metadata = new Metadata(root)
      let bytes = ''
      metadata.sign((given) => {
        bytes = given.toString('utf8')
        return new Signature({ keyID: 'x', sig: '' })
      })
      expect(Buffer.from(canonicalSignedJson(root.toJSON())).toString('utf8')).toBe(bytes)
    }),
  )
})

test('whatever is changed in a signed assignment, its signature does not hold any more', () => {
  const good = signAssignment(testAssignment(nowMs), [key])
  const paths = ['nodeId', 'counter', 'issuedAt', 'expiresAt', 'app', 'host', 'actions', 'later'] as const
  fc.assert(
    fc.property(fc.constantFrom(...paths), fc.jsonValue(), (name, value) => {
      const changed = { ...testAssignment(nowMs), [name]: value }
      const isSame = (() => {
        try {
          return canonicalSignedJson(changed) === canonicalSignedJson(good.signed)
        } catch {
          return false
        }
      })()
      expect(codeOf({ assignment: { ...good, signed: changed } })).toBe(isSame ? 'trusted' : 'bad-signature')
    }),
  )
})

test('whatever comes is trusted or refused by a known code, and never anything else', () => {
  const nearly = fc.record(
    { signed: fc.oneof(fc.jsonValue(), fc.constant(testAssignment(nowMs))), signatures: fc.jsonValue() },
    { requiredKeys: [] },
  )
  fc.assert(
    fc.property(fc.oneof(fc.jsonValue(), nearly), (assignment) => {
      expect(refusalCodes).toContain(codeOf({ assignment }))
    }),
  )
})

test('a threshold counts keys: one key under two names, or twice, is one', () => {
  const second = createTestKey()
  const twice = readAssignmentKeys(keysText(2, { [key.keyid]: key.publicKey, again: key.publicKey }))
  const both = readAssignmentKeys(keysText(2, { [key.keyid]: key.publicKey, [second.keyid]: second.publicKey }))
  if (!twice || !both) throw new Error('These are keys.')
  const one = signAssignment(testAssignment(nowMs), [key, { ...key, keyid: 'again' }, key])
  expect(codeOf({ assignment: one, keys: twice })).toBe('bad-signature')
  expect(codeOf({ assignment: signAssignment(testAssignment(nowMs), [key]), keys: both })).toBe('bad-signature')
  expect(codeOf({ assignment: signAssignment(testAssignment(nowMs), [key, second]), keys: both })).toBe('trusted')
  for (const text of ['', '{}', keysText(0, {}), keysText(1.5, {}), '{"threshold":1}']) {
    expect(readAssignmentKeys(text)).toBeNull()
  }
})

test('the counter never goes back, and one counter has one content, whatever comes in whatever order', () => {
  const counters = fc.array(fc.record({ counter: fc.integer({ min: 0, max: 5 }), held: fc.boolean() }), {
    maxLength: 12,
  })
  fc.assert(
    fc.property(counters, (given) => {
      let newest: Parameters<typeof judgeAssignment>[0]['newest'] = null
      const taken = new Map<number, boolean>()
      for (const { counter, held } of given) {
        const { app } = testAssignment(nowMs)
        const content = testAssignment(nowMs, { counter, app: app && { ...app, held } })
        try {
          const assignment = signAssignment(content, [key])
          const judged = judgeAssignment({ assignment, keys, nodeId: 'kiosk-7', newest, nowMs })
          expect(counter).toBeGreaterThanOrEqual(newest?.counter ?? 0)
          expect(taken.get(counter) ?? held).toBe(held)
          taken.set(counter, held)
          newest = judged.newest
        } catch (error) {
          if (!(error instanceof Refused)) throw error
          expect(error.code).toBe('older-assignment')
        }
      }
    }),
  )
})

/** A good value with a few fields replaced or left out, at any depth. */
const nearlyOf = (good: object) => {
  const paths: (string | number)[][] = []
  const walk = (value: unknown, path: (string | number)[]) => {
    if (path.length > 0) paths.push(path)
    if (typeof value === 'object' && value !== null) {
      for (const [name, inner] of Object.entries(value)) walk(inner, [...path, name])
      if (!Array.isArray(value)) paths.push([...path, 'later'])
    }
  }
  walk(good, [])
  const words = fc.constantFrom(
    '',
    'a',
    'web',
    '/data',
    'udp',
    'host',
    'no',
    '23:59',
    '2.0.0-rc.1',
    '2031-01-01T00:00:00Z',
  )
  const value = fc.oneof(
    fc.jsonValue(),
    words,
    fc.integer(),
    fc.constant(undefined),
    fc.constant([]),
    fc.constant(null),
  )
  return fc.array(fc.tuple(fc.constantFrom(...paths), value), { maxLength: 2 }).map((changes) => {
    const changed = structuredClone(good)
    for (const [path, wanted] of changes) {
      let at: unknown = changed
      for (const name of path.slice(0, -1)) at = (at as Record<string, unknown> | undefined)?.[name]
      const last = path.at(-1)
      if (typeof at === 'object' && at !== null && last !== undefined)
        Object.assign(at, { [last]: structuredClone(wanted) })
    }
    return JSON.parse(JSON.stringify(changed)) as unknown
  })
}

test('assignments and manifests are read by hand exactly as contracts say', () => {
  const { app } = testAssignment(nowMs)
  const action = {
    id: app?.releaseId ?? '',
    kind: 'reboot',
    force: true,
    expiresAt: '2031-03-02T00:00:00.000Z',
  } as const
  const full = testAssignment(nowMs, {
    host: app && { ...app, window: { days: ['sat', 'sun'], from: '22:00', to: '04:00' } },
    actions: [action],
  })
  fc.assert(
    fc.property(nearlyOf(full), (value) => {
      const parsed = assignmentSchema.safeParse(value)
      expect(readAssignment(value)).toEqual(parsed.success ? parsed.data : null)
    }),
    { numRuns: 2_000 },
  )
  const image = { repository: 'baseos/hostapp', digest: `sha256:${'c'.repeat(64)}` }
  const host: ReleaseManifest['host'] = {
    deviceType: 'generic-amd64',
    hostapp: image,
    baserunner: image,
    minimumVersion: '1.0.0',
    licenseBundle: image.digest,
  }
  fc.assert(
    fc.property(nearlyOf(testManifest({ host, deviceTypes: ['generic-amd64'] })), (value) => {
      const parsed = releaseManifestSchema.safeParse(value)
      expect(readManifest(JSON.stringify(value))).toEqual(parsed.success ? parsed.data : null)
    }),
    { numRuns: 3_000 },
  )
  expect(readManifest('{')).toBeNull()
})
