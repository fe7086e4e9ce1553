import { createFakeClock, createRandom } from '@freehold/reconcile'
import { expect, test } from 'vitest'
import type { RegistryAuth } from '../docker/engine.ts'
import { workloadOf } from '../simulation/desired.ts'
import { createSimulatedEngine } from '../simulation/swarm.ts'
import { createExecutors } from './execute.ts'
import { wantedSpec } from './spec.ts'

const signal = new AbortController().signal

test.each([
  ['127.0.0.1:8080/workloads/web@sha256:1', true],
  ['127.0.0.1:8081/workloads/web', false],
  ['docker.io/library/web', false],
  ['workloads/web', false],
  ['web', false],
])('the password of our registry goes with images of our registry alone: %s', async (image, isOurs) => {
  const registry = { host: '127.0.0.1:8080', username: 'node', password: 'secret' }
  const engine = createSimulatedEngine({ clock: createFakeClock(), random: createRandom(1) }).engine('node-1')
  const sent: (RegistryAuth | null)[] = []
  const executors = createExecutors(
    { ...engine, createService: async ({ registryAuth }) => void sent.push(registryAuth) },
    registry,
  )
  const spec = wantedSpec(workloadOf('web', 1, { spec: { image } }), { clusterId: 'c', networkId: 'n' })
  await executors['create-service']({ kind: 'create-service', serviceId: 's', spec, again: false }, signal)
  expect(sent).toEqual([isOurs ? registry : null])
})
