import type { Desired, Workload } from '@freehold/contracts'
import { createFakeClock, createRandom, observePlanExecute } from '@freehold/reconcile'
import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import type { SwarmService } from '../docker/types.ts'
import { desiredOf, idOf, workloadOf } from '../simulation/desired.ts'
import { createSimulatedEngine, type SimulatedSwarm } from '../simulation/swarm.ts'
import { createExecutors } from './execute.ts'
import { label } from './labels.ts'
import { type Observed, observe } from './observe.ts'
import { plan, planToTheEnd } from './plan.ts'
import { createdServices, isSettled } from './report.ts'
import { changedByHand, replicasOf, wantedSpec } from './spec.ts'
import { describe, driftOf, type Step } from './steps.ts'

const empty: Observed = { nodes: [], networks: [], services: [], tasks: [], created: new Set() }
const signal = new AbortController().signal

const revisions = fc.record({
  name: fc.constantFrom('web', 'api', 'db'),
  number: fc.integer({ min: 1, max: 3 }),
  replicas: fc.nat(3),
  isGlobal: fc.boolean(),
  port: fc.option(fc.constantFrom(8080, 8081), { nil: null }),
  greeting: fc.constantFrom('hello', 'good day'),
})
const desiredStates = fc
  .uniqueArray(revisions, { maxLength: 6, selector: ({ name, number }) => `${name}${number}` })
  .map((all) =>
    desiredOf(
      all.map(({ name, number, replicas, isGlobal, port, greeting }) =>
        workloadOf(name, number, {
          replicas,
          spec: {
            mode: isGlobal ? 'global' : 'replicated',
            environment: { GREETING: greeting },
            ports: port === null ? [] : [{ target: 80, published: port, protocol: 'tcp' }],
          },
        }),
      ),
    ),
  )

/** A Swarm that already runs something else, with a foreign service on it and somebody who changed things by hand. */
async function swarmWith(desired: Desired, seed: number, failing = 0) {
  const clock = createFakeClock()
  const random = createRandom(seed)
  const swarm = createSimulatedEngine({
    clock,
    random,
    nodes: ['one', 'two'],
    beforeCall: ({ name }) => {
      const isStep = /^(create|update|remove)/.test(name)
      if (isStep && random.next() < failing) throw new Error('this call fails')
    },
  })
  addForeign(swarm)
  for (let attempt = 0; attempt < 40; attempt++) {
    const result = await pass(desired, { swarm, clock })
    if (result.steps.length === 0) break
  }
  return { swarm, clock, random }
}

/** One pass against the simulated Swarm. */
async function pass(
  desired: Desired,
  {
    swarm,
    clock,
    onExecuted,
  }: { swarm: SimulatedSwarm; clock: ReturnType<typeof createFakeClock>; onExecuted?: (step: Step) => void },
) {
  const engine = swarm.engine('one')
  const running = observePlanExecute<Observed, Step>({
    observe: (signal) => observe(engine, { clusterId: desired.clusterId, created: new Set() }, signal),
    plan: (observed) => plan(desired, observed),
    execute: createExecutors(engine, { registry: null, externalPulls: [] }),
    clock,
    signal,
    maxRounds: 5,
    ...(onExecuted ? { onExecuted } : {}),
  })
  let done = false
  const finish = running.finally(() => {
    done = true
  })
  await clock.runUntil(() => done, 60_000)
  const result = await finish
  await clock.advance(1_000)
  return result
}

function addForeign(swarm: SimulatedSwarm) {
  const spec = wantedSpec(workloadOf('stranger', 1), { clusterId: 'another', networkId: 'x' })
  swarm.services.set('foreign', { ID: 'foreign', Version: { Index: 1 }, Spec: { ...spec, Labels: { owner: 'me' } } })
}

test('from any state it comes to any other, although steps fail, and then has nothing to do', async () => {
  await fc.assert(
    fc.asyncProperty(desiredStates, desiredStates, fc.integer(), async (before, after, seed) => {
      const { swarm, clock } = await swarmWith(before, seed, 0.3)
      const foreign = JSON.stringify(swarm.services.get('foreign'))
      let last: Awaited<ReturnType<typeof pass>> | undefined
      for (let attempt = 0; attempt < 60 && last?.steps.length !== 0; attempt++) {
        last = await pass(after, { swarm, clock })
      }
      expect(last?.steps.map(describe)).toEqual([])
      expect(namesIn(swarm)).toEqual(namesOf(after))
      expect(JSON.stringify(swarm.services.get('foreign'))).toBe(foreign)
    }),
    { numRuns: 40 },
  )
})

test('every step touches only what carries the label of this cluster', async () => {
  await fc.assert(
    fc.asyncProperty(desiredStates, desiredStates, fc.integer(), async (before, after, seed) => {
      const { swarm, clock } = await swarmWith(before, seed)
      const ours = new Set([...swarm.services.values()].filter(isOurs).map(({ ID }) => ID))
      const onExecuted = (step: Step) => {
        if (step.kind === 'update-service' || step.kind === 'remove-service') {
          expect(ours.has(step.swarmServiceId)).toBe(true)
        }
        for (const service of swarm.services.values()) if (isOurs(service)) ours.add(service.ID)
      }
      await pass(after, { swarm, clock, onExecuted })
    }),
    { numRuns: 30 },
  )
})

test('no step asks for more replicas than desired', () => {
  fc.assert(
    fc.property(desiredStates, desiredStates, (before, after) => {
      const model = modelOf(before)
      for (const step of planToTheEnd(after, model)) {
        if (step.kind !== 'create-service' && step.kind !== 'update-service') continue
        const wanted = after.workloads.find(
          (workload) => `${workload.serviceName}-r${workload.revisionNumber}` === step.spec.Name,
        )
        expect(replicasOf(step.spec) ?? 0).toBeLessThanOrEqual(wanted?.replicas ?? 0)
      }
    }),
  )
})

test('when all is as desired there is no step', () => {
  fc.assert(
    fc.property(desiredStates, (desired) => {
      expect(plan(desired, modelOf(desired))).toEqual([])
    }),
  )
})

test('a revision that may not run beside another waits for its last container', async () => {
  const [first, second] = [workloadOf('db', 1), workloadOf('db', 2, { startAfterRevisionId: idOf('db/1') })]
  const { swarm, clock } = await swarmWith(desiredOf([first]), 3)
  await clock.advance(2_000)
  const mostTogether = { count: 0 }
  const seen: string[] = []
  for (let attempt = 0; attempt < 30; attempt++) {
    const result = await pass(desiredOf([second]), { swarm, clock })
    seen.push(...result.steps.map(describe))
    const running = ownTasks(swarm).filter(({ Status }) => ['preparing', 'running'].includes(Status.State))
    mostTogether.count = Math.max(mostTogether.count, new Set(running.map(({ ServiceID }) => ServiceID)).size)
  }
  expect(seen.some((sentence) => sentence.includes('must stop before db-r2 may start'))).toBe(true)
  expect(mostTogether.count).toBe(1)
  expect(namesIn(swarm)).toEqual(['db-r2'])
})

test('a container of an overtaken revision is waited for too, though nobody names it any more', () => {
  const desired = desiredOf([workloadOf('db', 3, { startAfterRevisionId: idOf('db/1') })])
  const stepsWith = (revision: string) => {
    const Labels = { [label.service]: workloadOf('db', 3).serviceId, [label.revision]: revision }
    const Status = { Timestamp: '', State: 'running' }
    const task = { ID: 't', ServiceID: 'gone', DesiredState: 'shutdown', Spec: { ContainerSpec: { Labels } }, Status }
    return plan(desired, { ...modelOf(desiredOf([])), tasks: [task] }).map(({ kind }) => kind)
  }
  expect(stepsWith(idOf('db/2'))).toEqual(['wait'])
  expect(stepsWith(idOf('db/3'))).toEqual(['create-service'])
})

test('a container on a lost node is not waited for', () => {
  const desired = desiredOf([workloadOf('db', 2, { startAfterRevisionId: idOf('db/1') })])
  const model = modelOf(desiredOf([workloadOf('db', 1)]))
  const task = {
    ID: 't',
    ServiceID: 'gone',
    NodeID: 'n',
    DesiredState: 'shutdown',
    Spec: { ContainerSpec: { Labels: { [label.revision]: idOf('db/1') } } },
    Status: { Timestamp: '', State: 'running' },
  }
  const node = { ID: 'n', Spec: { Role: 'worker' as const, Availability: 'active' }, Description: { Hostname: 'n' } }
  const stepsWith = (State: string) =>
    plan(desired, { ...model, tasks: [task], nodes: [{ ...node, Status: { State } }] }).map(({ kind }) => kind)
  expect(stepsWith('ready')).toEqual(['remove-service', 'wait'])
  expect(stepsWith('down')).toEqual(['remove-service', 'create-service'])
})

test('a foreign service or network with a wanted name is said, and left alone', () => {
  const desired = desiredOf([workloadOf('web', 1)])
  const model = modelOf(desired)
  const foreign = model.services.map((service) => ({ ...service, Spec: { ...service.Spec, Labels: {} } }))
  expect(
    plan(desired, { ...model, services: foreign })
      .map(describe)
      .join(),
  ).toContain('web-r1 exists that this cluster')
  const network = model.networks.map((each) => ({ ...each, Labels: {} }))
  expect(
    plan(desired, { ...model, services: [], networks: network })
      .map(describe)
      .join(),
  ).toContain('a network named freehold')
})

const handMade: [string, (service: SwarmService) => void, string][] = [
  [
    'an environment variable',
    ({ Spec }) => (Spec.TaskTemplate.ContainerSpec.Env = ['GREETING=secret']),
    'environment variable GREETING was changed by hand',
  ],
  [
    'a new variable',
    ({ Spec }) => Spec.TaskTemplate.ContainerSpec.Env?.push('EXTRA=secret'),
    'environment variable EXTRA was added by hand',
  ],
  ['the image', ({ Spec }) => (Spec.TaskTemplate.ContainerSpec.Image = 'other'), 'the image was changed by hand'],
  [
    'the replicas',
    ({ Spec }) => (Spec.Mode = { Replicated: { Replicas: 7 } }),
    'the number of replicas was changed to 7 by hand',
  ],
  [
    'a memory limit',
    ({ Spec }) => (Spec.TaskTemplate.Resources = { Limits: { MemoryBytes: 1 } }),
    'the memory limit was added by hand',
  ],
  ['a port', ({ Spec }) => (Spec.EndpointSpec = { Mode: 'vip' }), 'the endpoint mode was changed by hand'],
]
test.each(handMade)('%s changed by hand is said without its value, and mended', (_, change, sentence) => {
  const desired = desiredOf([workloadOf('web', 1)])
  const model = modelOf(desired)
  for (const service of model.services) change(service)
  const steps = plan(desired, model)
  expect(steps.map(({ kind }) => kind)).toEqual(['update-service'])
  const found = steps
    .map(driftOf)
    .map((drift) => drift?.found)
    .join()
  expect(found).toContain(sentence)
  expect(found).not.toContain('secret')
  expect(steps.map(describe).join()).not.toContain('secret')
})

test('a change of what is desired is not called drift, and scaling leaves the containers that run alone', () => {
  const model = modelOf(desiredOf([workloadOf('web', 1)]))
  const [live] = model.services
  const steps = plan(desiredOf([workloadOf('web', 1, { replicas: 3 })]), model)
  expect(steps.map(driftOf)).toEqual([null])
  expect(steps.map(describe)).toEqual(['Update service web-r1: scale from 1 to 3 replicas.'])
  expect(steps.map((step) => step.kind === 'update-service' && step.spec.TaskTemplate)).toEqual([
    live?.Spec.TaskTemplate,
  ])
})

test('what others set beside our fields stays, also when ours are mended', () => {
  const desired = desiredOf([workloadOf('web', 1)])
  const model = modelOf(desired)
  for (const { Spec } of model.services) {
    Spec.TaskTemplate.ForceUpdate = 4
    Spec.TaskTemplate.Placement = { Constraints: ['node.labels.disk==ssd'] }
    Spec.Labels.owner = 'me'
  }
  expect(plan(desired, model)).toEqual([])
  for (const { Spec } of model.services) Spec.TaskTemplate.ContainerSpec.Env = []
  const [step] = plan(desired, model)
  expect(step).toMatchObject({
    spec: {
      Labels: { owner: 'me' },
      TaskTemplate: { ForceUpdate: 4, Placement: { Constraints: ['node.labels.disk==ssd'] } },
    },
  })
})

test('a service that was there and is gone was removed by hand', () => {
  const desired = desiredOf([workloadOf('web', 1)])
  const model = modelOf(desired)
  const steps = plan(desired, { ...model, services: [], created: createdServices(desired, model) })
  expect(steps.map(driftOf)).toMatchObject([{ found: 'Service web-r1 was removed by hand.' }])
  expect(plan(desired, { ...model, services: [] }).map(driftOf)).toEqual([null])
})

test('a mode cannot be changed, so the service is removed and made again', () => {
  const model = modelOf(desiredOf([workloadOf('web', 1)]))
  const steps = planToTheEnd(desiredOf([workloadOf('web', 1, { spec: { mode: 'global' } })]), model)
  expect(steps.map(({ kind }) => kind)).toEqual(['remove-service', 'create-service'])
})

test('the plan to the end reads as what will happen, in order', () => {
  const before = modelOf(desiredOf([workloadOf('db', 1), workloadOf('old', 1)]))
  const task = {
    ID: 't',
    DesiredState: 'running',
    Spec: { ContainerSpec: { Labels: { [label.revision]: idOf('db/1') } } },
  }
  const Status = { Timestamp: '', State: 'running' }
  const tasks = before.services.slice(0, 1).map(({ ID }) => ({ ...task, ServiceID: ID, Status }))
  const after = desiredOf([
    workloadOf('db', 1, { replicas: 0 }),
    workloadOf('db', 2, { startAfterRevisionId: idOf('db/1') }),
  ])
  expect(planToTheEnd(after, { ...before, tasks }).map(describe)).toEqual([
    'Remove service old-r1: it is not desired any more.',
    'Update service db-r1: scale from 1 to 0 replicas.',
    'Wait: the last container of the revision before must stop before db-r2 may start.',
    'Create service db-r2 (1 replica) from good.',
  ])
})

test('a Swarm is settled when every service runs as many containers as asked', async () => {
  const desired = desiredOf([workloadOf('web', 1, { replicas: 2 })])
  const { swarm, clock } = await swarmWith(desired, 5)
  const look = async () => (await pass(desired, { swarm, clock })).observed
  await clock.advance(5_000)
  expect(isSettled(desired, await look())).toBe(true)
  swarm.kill(ownTasks(swarm).find(({ Status }) => Status.State === 'running')?.ID ?? '')
  expect(isSettled(desired, await look())).toBe(false)
  await clock.advance(10_000)
  expect(isSettled(desired, await look())).toBe(true)
})

test('a health check of the agents replaces the one of the image; a command becomes an argument array', () => {
  const specOf = (workload: Workload) =>
    wantedSpec(workload, { clusterId: 'c', networkId: 'n' }).TaskTemplate.ContainerSpec.Healthcheck
  expect(specOf(workloadOf('web', 1))?.Test).toEqual(['NONE'])
  expect(specOf(workloadOf('web', 1, { spec: { healthCheck: null } }))).toBeUndefined()
  const command = { type: 'command' as const, command: ['/check', '$(reboot)'], timeoutSeconds: 5 }
  expect(specOf(workloadOf('web', 1, { spec: { healthCheck: command } }))?.Test).toEqual(['CMD', '/check', '$(reboot)'])
})

test('what the agent writes carries its seal, whatever Docker adds to it', () => {
  fc.assert(
    fc.property(desiredStates, (desired) => {
      for (const { Spec } of modelOf(desired).services)
        expect(changedByHand(Spec)).toEqual({ spec: false, replicas: false })
    }),
  )
})

function modelOf(desired: Desired): Observed {
  const networks = [
    {
      Id: 'net',
      Name: 'freehold',
      Driver: 'overlay',
      Scope: 'swarm',
      Attachable: true,
      Labels: { [label.cluster]: 'any' },
    },
  ]
  const services = planToTheEnd(desired, { ...empty, networks }).flatMap((step) =>
    step.kind === 'create-service'
      ? [{ ID: `id-${step.spec.Name}`, Version: { Index: 1 }, Spec: JSON.parse(JSON.stringify(step.spec)) }]
      : [],
  )
  return { ...empty, networks, services }
}

function isOurs(service: SwarmService): boolean {
  return service.Spec.Labels[label.cluster] === idOf('cluster')
}

function ownTasks(swarm: SimulatedSwarm) {
  return swarm.tasks.filter(({ Spec }) => Spec.ContainerSpec?.Labels?.[label.cluster] === idOf('cluster'))
}

function namesIn(swarm: SimulatedSwarm): string[] {
  return [...swarm.services.values()]
    .filter(isOurs)
    .map(({ Spec }) => Spec.Name)
    .sort()
}

function namesOf({ workloads }: Desired): string[] {
  return workloads
    .filter(({ spec, replicas }) => spec.mode === 'replicated' || replicas > 0)
    .map(({ serviceName, revisionNumber }) => `${serviceName}-r${revisionNumber}`)
    .sort()
}
