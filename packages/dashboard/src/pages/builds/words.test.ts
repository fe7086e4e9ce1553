import { expect, test } from 'vitest'
import { phaseSteps } from './words.ts'

const states = (phase: string) => phaseSteps(phase).map(({ name, state }) => `${name} ${state}`)

test('phases before the present one are done, those behind it ahead', () => {
  expect(states('verify')).toEqual([
    'check done',
    'download done',
    'verify now',
    'inspect ahead',
    'edit ahead',
    'write ahead',
  ])
  expect(states('upload').at(-1)).toBe('upload now')
})

test('a phase nobody knows is shown by its own name, and says nothing of the others', () => {
  expect(states('polish').at(-1)).toBe('polish now')
  expect(phaseSteps('polish').filter(({ state }) => state === 'done')).toEqual([])
})
