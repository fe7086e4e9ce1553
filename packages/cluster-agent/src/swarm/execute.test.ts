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
    { registry, externalPulls: [] },
  )
  const spec = wantedSpec(workloadOf('web', 1, { spec: { image } }), { clusterId: 'c', networkId: 'n' })
  await executors['create-service']({ kind: 'create-service', serviceId: 's', spec, again: false }, signal)
  expect(sent).toEqual([isOurs ? registry : null])
})

test.each([
  ['registry.example/team/app@sha256:1', 'registry.example'],
  ['registry.example/team/app:v1', 'registry.example'],
  ['registry.example/team/other:v1', null],
  ['team/app:v1', null],
  ['docker.io/team/app:v1', 'https://index.docker.io/v1/'],
])('a password for one image elsewhere goes with that image alone: %s', async (image, address) => {
  const engine = createSimulatedEngine({ clock: createFakeClock(), random: createRandom(1) }).engine('node-1')
  const sent: (RegistryAuth | null)[] = []
  const pull = (name: string) => ({ image: name, username: 'robot', password: 'secret' })
  const executors = createExecutors(
    { ...engine, updateService: async ({ registryAuth }) => void sent.push(registryAuth) },
    { registry: null, externalPulls: [pull('registry.example/team/app'), pull('docker.io/team/app')] },
  )
  const spec = wantedSpec(workloadOf('web', 1, { spec: { image } }), { clusterId: 'c', networkId: 'n' })
  await executors['update-service'](
    { kind: 'update-service', serviceId: 's', swarmServiceId: 'i', version: 1, spec, found: '' } as never,
    signal,
  )
  expect(sent).toEqual([address === null ? null : { host: address, username: 'robot', password: 'secret' }])
})
