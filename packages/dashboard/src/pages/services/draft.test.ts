import { serviceData } from '@freehold/contracts'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { mergeDiff } from '../../app/diff.ts'
import { applyDraft, draftOf, environmentOf, parseEnvironment, replicasOf } from './draft.ts'

const clusterId = '01890a5d-ac96-774b-bcce-b302099a8057'
const minimal = serviceData.parse({ name: 'web', clusterId })
const full = serviceData.parse({
  name: 'web',
  clusterId,
  description: 'Shop',
  imageVersion: 'v1',
  deploymentStrategy: 'limited-replicas',
  scaleFactor: 3,
  maxReplicas: 5,
  environment: { A: '1', B: '' },
  command: ['node', 'main.js'],
  ports: { web: 8080, published: [{ target: 8080, published: 80 }] },
  resources: { cpuLimit: 0.5, memorySizeMB: 256 },
  volumes: [{ name: 'data', path: '/data' }],
  healthCheck: { type: 'http', path: '/healthz', port: 9000 },
})
const keyOf = (text: string) => `-----BEGIN PUBLIC KEY-----\n${text}\n-----END PUBLIC KEY-----\n`
const rule = { signedBy: [keyOf('AAAA'), keyOf('BBBB')], annotations: { stage: 'production' }, requireDigest: false }

test.each([
  ['a minimal service', minimal],
  ['a full service', full],
  ['an admission rule', { ...full, admission: rule }],
  ['an empty admission rule', { ...full, admission: { signedBy: [], annotations: {}, requireDigest: false } }],
  ['a command check', { ...full, healthCheck: { type: 'command' as const, command: ['true'], timeoutSeconds: 9 } }],
  ['a tcp check', { ...full, healthCheck: { type: 'tcp' as const, timeoutSeconds: 1 } }],
])('opening and saving %s unchanged changes nothing', (_, data) => {
  expect(mergeDiff(data, applyDraft(data, draftOf(data)))).toBeUndefined()
})

test('what is emptied is removed, what the form does not show stays', () => {
  const draft = { ...draftOf(full), web: '', cpuLimit: '', command: '', health: 'none' as const }
  const patch = mergeDiff(full, applyDraft(full, draft))
  expect(patch).toEqual({ ports: { web: null }, resources: { cpuLimit: null }, command: null, healthCheck: null })
})

test('keys are added and removed one by one, and a rule without any is none', () => {
  const data = { ...full, admission: rule }
  const signedBy = `${keyOf('BBBB')}\n${keyOf('CCCC')}no key`
  expect(mergeDiff(data, applyDraft(data, { ...draftOf(data), signedBy }))).toEqual({
    admission: { signedBy: [keyOf('BBBB'), keyOf('CCCC').trim(), 'no key'] },
  })
  const empty = { ...draftOf(data), signedBy: ' ', annotations: '' }
  expect(mergeDiff(data, applyDraft(data, empty))).toEqual({ admission: null })
})

test('another kind of health check leaves nothing of the old one behind', () => {
  const draft = { ...draftOf(full), health: 'command' as const, healthCommand: 'test\n-f\n/ready' }
  expect(mergeDiff(full, applyDraft(full, draft))).toEqual({
    healthCheck: { type: 'command', command: ['test', '-f', '/ready'], path: null, port: null },
  })
})

test.each([
  ['custom', '7', '5', 7],
  ['limited-replicas', '7', '5', 5],
  ['limited-replicas', '7', '', 7],
  ['all-nodes', '1', '', 0],
] as const)(
  '%s with %s replicas and at most "%s" asks for %i',
  (deploymentStrategy, scaleFactor, maxReplicas, asked) => {
    expect(replicasOf({ deploymentStrategy, scaleFactor, maxReplicas })).toBe(asked)
  },
)

test('variables without a name are left out, and the last of two with one name counts', () => {
  const rows = [
    { name: 'A', value: '1' },
    { name: ' ', value: 'x' },
    { name: 'A', value: '2' },
  ]
  expect(environmentOf(rows)).toEqual({ A: '2' })
})

test('pasted lines are read as people write them', () => {
  const text = '# comment\n\nexport A=1\nB = "two words"\r\nC=\'x=y\'\nnot a line\n9BAD=1\nEMPTY='
  expect(parseEnvironment(text)).toEqual([
    { name: 'A', value: '1' },
    { name: 'B', value: 'two words' },
    { name: 'C', value: 'x=y' },
    { name: 'EMPTY', value: '' },
  ])
})

test('whatever environment a service has comes through the form unharmed', () => {
  const names = fc.stringMatching(/^[A-Za-z_][A-Za-z0-9_]{0,10}$/).filter((name) => name !== '__proto__')
  fc.assert(
    fc.property(fc.dictionary(names, fc.string()), (environment) => {
      const data = { ...minimal, environment: { ...environment } }
      expect(mergeDiff(data, applyDraft(data, draftOf(data)))).toBeUndefined()
    }),
  )
})
