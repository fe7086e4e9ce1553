import { expect, test } from 'vitest'
import { nextSteps } from './next-steps.ts'

const admin = { mayMakeClusters: true, mayMakeJoinTokens: true, mayMakeServices: true, waiting: [] }
const titles = (steps: { title: string }[]) => steps.map(({ title }) => title)

test('from nothing it leads to a running service, one step after the other', () => {
  expect(titles(nextSteps({ ...admin, counts: { clusters: 0, nodes: 0, services: 0, devices: 0 } }))).toEqual([
    'Create a cluster',
    'Or enrol a device',
  ])
  expect(titles(nextSteps({ ...admin, counts: { clusters: 1, nodes: 0, services: 0, devices: 0 } }))).toEqual([
    'Add a node',
    'Create a service',
  ])
  const waiting = [{ id: '1', name: 'web' }]
  expect(titles(nextSteps({ ...admin, waiting, counts: { clusters: 1, nodes: 1, services: 1, devices: 0 } }))).toEqual([
    'Push an image for web',
  ])
  expect(nextSteps({ ...admin, counts: { clusters: 1, nodes: 1, services: 1, devices: 0 } })).toEqual([])
})

test('who may not do a step is told whom to ask, and gets no button', () => {
  const steps = nextSteps({
    ...admin,
    mayMakeClusters: false,
    counts: { clusters: 0, nodes: 0, services: 0, devices: 0 },
  })
  expect(steps[0]).toMatchObject({ to: null, why: 'Ask an administrator for one.' })
})

test('only the first step stands out', () => {
  const steps = nextSteps({ ...admin, counts: { clusters: 1, nodes: 0, services: 0, devices: 0 } })
  expect(steps.map(({ isFirst }) => isFirst)).toEqual([true, false])
})

test('whoever has devices alone is not sent to make a cluster', () => {
  expect(nextSteps({ ...admin, counts: { clusters: 0, nodes: 0, services: 0, devices: 1 } })).toEqual([])
})
