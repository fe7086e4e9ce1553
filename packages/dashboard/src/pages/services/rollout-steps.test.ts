import { type Rollout, rolloutKind, rolloutPhases } from '@freehold/contracts'
import { expect, test } from 'vitest'
import { stepsOf } from './rollout-steps.ts'

const status = (part: Partial<Rollout['status']>) => ({ status: { ...rolloutKind.initialStatus, ...part } })
const states = (part: Partial<Rollout['status']>) => stepsOf(status(part)).map(({ state }) => state)

test('on its way a rollout has done what is behind it and stands at one step', () => {
  expect(states({ phase: 'starting' })).toEqual(['now', 'next', 'next'])
  expect(states({ phase: 'settling' })).toEqual(['done', 'now', 'next'])
  expect(states({ phase: 'retiring' })).toEqual(['done', 'done', 'now'])
  expect(states({ phase: 'succeeded' })).toEqual(['done', 'done', 'done'])
})

test('one that is verified stands before its first step, and a refused one says so and no more', () => {
  expect(states({ phase: 'verifying' })).toEqual(['now', 'next', 'next', 'next'])
  const failure = { outcome: 'failed' as const, reason: 'No signature.', logTail: [], refused: true as const }
  expect(stepsOf(status({ phase: 'failed', failure }))).toEqual([{ label: 'Refused', state: 'failed' }])
})

test('a failed one never shows a step forward as done', () => {
  const failure = { outcome: 'failed' as const, reason: 'Never healthy.', logTail: [] }
  expect(stepsOf(status({ phase: 'reverting', failure }))).toEqual([
    { label: 'Failed', state: 'failed' },
    { label: 'Go back', state: 'now' },
  ])
  expect(states({ phase: 'failed', failure, previousServes: true })).toEqual(['failed', 'done'])
  expect(states({ phase: 'failed', failure, previousServes: false })).toEqual(['failed', 'failed'])
  expect(stepsOf(status({ phase: 'aborted', previousServes: true }))[0]?.label).toBe('Aborted')
})

test('every phase of the contract has steps to show', () => {
  for (const phase of rolloutPhases) expect(stepsOf(status({ phase })).length, phase).toBeGreaterThan(0)
})
