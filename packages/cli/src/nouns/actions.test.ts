import { expect, test } from 'vitest'
import type { AnyResource } from '../api.ts'
import { toldOf } from './actions.ts'
import { findNoun, listNouns } from './noun.ts'

const id = '019a0000-0000-7000-8000-000000000001'
const at = '2026-01-01T00:00:00.000Z'
function told(plural: string, verb: string, { data = {}, status = {} }: { data?: object; status?: object }): string {
  const noun = findNoun(listNouns(), plural)
  const resource = { kind: noun.kind, id, data, status, labels: {}, createdAt: at, updatedAt: at }
  return toldOf({ ...resource, version: 1, generation: 1 } as AnyResource, noun, verb)
}

test.each([
  ['pause', 'paused', 'Paused: no further phase opens.'],
  ['approve', 'running', 'Phase 2 of 2 is open.'],
  ['retry', 'running', 'Phase 1 of 2: 0 of 4 succeeded.'],
  ['abort', 'aborted', 'Aborted: who has the release keeps it.'],
])('%s says how the rollout stands after it', (verb, state, message) => {
  expect(told('release-rollouts', verb, { status: { state, message } })).toBe(
    `The release rollout ${id} is ${state} now: ${message}`,
  )
})

test('states of two words are said in two words', () => {
  const status = { state: 'waiting-for-approval', message: '' }
  expect(told('release-rollouts', 'resume', { status })).toBe(`The release rollout ${id} is waiting for approval now.`)
})

test('a release is named, and what came from elsewhere steers no terminal', () => {
  const data = { product: 'shop', version: '1.0.0' }
  expect(told('releases', 'withdraw', { data, status: { state: 'withdrawn', message: 'Taken\u202e back.' } })).toBe(
    'The release shop/1.0.0 is withdrawn now: Taken back.',
  )
})

test('what has no state says what was done', () => {
  expect(told('nodes', 'revoke', { data: { name: 'one', revoked: true } })).toBe('The node one is revoked now.')
  expect(told('channels', 'polish', { data: { name: 'stable' } })).toBe('Done: polish channel stable.')
  const status = { used: 3, lastUsedAt: null, refusals: 0, lastRefusal: null }
  expect(told('join-tokens', 'revoke', { data: { name: 'shop' }, status })).toContain('The 3 that did stay.')
})
