import { clusterStatus, nodeStatus, rolloutPhases, serviceStatus } from '@freehold/contracts'
import { expect, test } from 'vitest'
import { toneOf } from './tones.ts'

test('every state of the contract has a look of its own choosing; only `unknown` looks unknown', () => {
  const states = [
    ...serviceStatus.shape.state.options,
    ...clusterStatus.shape.state.options,
    ...nodeStatus.shape.state.options,
    ...rolloutPhases,
  ]
  expect(states.filter((state) => toneOf(state) === 'unknown')).toEqual(['unknown'])
})
