import type { Desired } from '@freehold/contracts'
import { createFakeClock, createRandom, type FakeClock } from '@freehold/reconcile'
import * as fc from 'fast-check'
import { afterEach, expect, test } from 'vitest'
import { type Agent, type AgentOptions, createAgent } from './agent.ts'
import { EngineRefusal } from './docker/engine.ts'
import { silentLog } from './log.ts'
import { machineFacts } from './node-facts.ts'
import { createSimulatedControlPlane } from './simulation/control-plane.ts'
import { desiredOf, idOf, workloadOf } from './simulation/desired.ts'
import { createSimulatedEngine } from './simulation/swarm.ts'
import type { SimulatedImage } from './simulation/world.ts'
import { type AgentState, createMemoryState } from './state/index.ts'

const jumpCode = 'jump-code-of-the-test'
const images: Record<string, SimulatedImage> = {
  crashing: { crashesAfterMs: 200, exitCode: 3, log: ['starting', 'no database'] },
  deaf: { isUnhealthy: true },
  missing: { isMissing: true },
}
const started: { agent: Agent; clock: FakeClock }[] = []

afterEach(async () => {
  for (const { agent, clock } of started.splice(0)) await stopped(agent, clock)
})

function setUp(
  options: { seed?: number; nodes?: string[]; failing?: number; refuses?: (call: string) => boolean } = {},
) {
  const clock = createFakeClock({ startMs: 1_000_000 })
  const random = createRandom(options.seed ?? 1)
  const state = createMemoryState()
  const controlPlane = createSimulatedControlPlane({ clock, jumpCode })
  const swarm = createSimulatedEngine({
    clock,
    random,
    images,
    nodes: options.nodes ?? ['one'],
    beforeCall: ({ name }) => {
      if (options.refuses?.(name)) throw new EngineRefusal(400, 'invalid mount')
      if (random.next() < (options.failing ?? 0)) throw new Error('this call fails')
    },
  })
  const start = async (node = 'one', more: Partial<AgentOptions> & { state?: AgentState } = {}): Promise<Agent> => {
    const agent = createAgent({
      transport: controlPlane.transport,
      engine: swarm.engine(node),
      prober: swarm.prober,
      state,
      clock,
      random,
      log: silentLog,
      agentVersion: 'test',
      machine: machineFacts(),
      name: node,
      jumpCode,
      swarm: { init: true, advertiseAddress: '127.0.0.1' },
      ...more,
    })
    started.push({ agent, clock })
    await agent.start()
    return agent
  }
  const until = async (condition: () => boolean, limitMs = 60_000) => {
    expect(await clock.runUntil(condition, limitMs)).toBe(true)
  }
  const latest = () => controlPlane.reports.at(-1)
  const runs = (name: string) => {
    const service = [...swarm.services.values()].find(({ Spec }) => Spec.Name === name)
    return swarm.tasks.filter((task) => task.ServiceID === service?.ID && task.Status.State === 'running').length
  }
  return { clock, state, controlPlane, swarm, start, until, latest, runs }
}

async function stopped(agent: Agent, clock: FakeClock): Promise<void> {
  let done = false
  const stopping = agent.stop().finally(() => {
    done = true
  })
  await clock.runUntil(() => done, 60_000)
  await stopping
}

test('an agent joins, is told what is desired, runs it, and reports it passing', async () => {
  const { controlPlane, start, until, latest, runs } = setUp()
  controlPlane.setDesired(desiredOf([workloadOf('web', 1, { replicas: 2 })], { generation: 7 }))
  await start()
  await until(() => latest()?.probes.filter(({ health }) => health === 'passing').length === 2)
  expect(runs('web-r1')).toBe(2)
  expect(latest()).toMatchObject({
    generation: 7,
    engineProblem: null,
    node: { leader: true, role: 'manager', swarmNodeId: 'swarm-one' },
    cluster: {
      pending: [],
      drift: [],
      workloads: [{ replicas: 2, serviceId: idOf('web'), tasks: [{ state: 'running' }, {}] }],
    },
  })
})

test('what is desired is started within moments of being told', async () => {
  const { clock, controlPlane, swarm, start, until, latest } = setUp()
  await start()
  await until(() => controlPlane.links.size === 1 && latest() !== undefined)
  const toldAtMs = clock.now()
  controlPlane.setDesired(desiredOf([workloadOf('web', 1)], { generation: 2 }))
  await until(() => swarm.services.size === 1)
  expect(clock.now() - toldAtMs).toBeLessThan(100)
  await until(() => latest()?.probes.some(({ health }) => health === 'passing') === true)
  const startedAtMs = swarm.tasks[0]?.startedAtMs ?? 0
  expect(clock.now() - startedAtMs).toBeLessThan(500)
})

test('a container that ends is reported with its exit code and last words', async () => {
  const { controlPlane, start, until, latest } = setUp()
  controlPlane.setDesired(desiredOf([workloadOf('web', 1, { spec: { image: 'crashing' } })]))
  await start()
  const failed = () => latest()?.cluster?.workloads[0]?.tasks.find(({ state }) => state === 'failed')
  await until(() => failed() !== undefined)
  expect(failed()).toMatchObject({ exitCode: 3, logTail: ['starting', 'no database'] })
})

test('an image that is not there and a container that does not answer are said', async () => {
  const { controlPlane, start, until, latest } = setUp()
  controlPlane.setDesired(
    desiredOf([
      workloadOf('web', 1, { spec: { image: 'missing' } }),
      workloadOf('api', 1, { spec: { image: 'deaf' } }),
    ]),
  )
  await start()
  await until(() => latest()?.probes.some(({ health }) => health === 'failing') === true)
  const tasks = latest()?.cluster?.workloads.flatMap((load) => load.tasks) ?? []
  expect(tasks.some(({ state, message }) => state === 'rejected' && message === 'No such image: missing')).toBe(true)
})

test('without the control plane it goes on, also after a restart, and reports when it is back', async () => {
  const { controlPlane, swarm, start, until, runs, clock, latest } = setUp()
  controlPlane.setDesired(desiredOf([workloadOf('web', 1)]))
  const agent = await start()
  await until(() => latest()?.cluster?.workloads[0]?.tasks[0]?.state === 'running')
  controlPlane.state.isAway = true
  controlPlane.cut()
  await stopped(agent, clock)
  swarm.services.clear()
  swarm.settle()
  await start('one', { jumpCode: null })
  await until(() => runs('web-r1') === 1)
  const before = controlPlane.reports.length
  expect(controlPlane.links.size).toBe(0)
  controlPlane.state.isAway = false
  await until(() => controlPlane.reports.length > before, 120_000)
  await until(
    () => latest()?.cluster?.drift.some(({ found }) => found === 'Service web-r1 was removed by hand.') === true,
  )
  expect(controlPlane.hellos.at(-1)?.generation).toBe(1)
})

test('an older generation on the same link is an echo, on a new link it is what is desired', async () => {
  const { controlPlane, swarm, start, until, clock } = setUp()
  const names = () => [...swarm.services.values()].map(({ Spec }) => Spec.Name)
  controlPlane.setDesired(desiredOf([workloadOf('new', 1)], { generation: 9 }))
  await start()
  await until(() => names().join() === 'new-r1')
  const restored: Desired = desiredOf([workloadOf('old', 1)], { generation: 4 })
  controlPlane.setDesired(restored)
  await clock.advance(40_000)
  expect(names()).toEqual(['new-r1'])
  controlPlane.cut()
  await until(() => names().join() === 'old-r1')
})

test('only the agent of the leading manager changes the Swarm, each asks its own containers', async () => {
  const { controlPlane, start, until } = setUp({ nodes: ['one', 'two'] })
  controlPlane.setDesired(desiredOf([workloadOf('web', 1, { spec: { mode: 'global' } })]))
  await start('two', { state: createMemoryState() })
  await start('one', { state: createMemoryState() })
  const byNode = (node: string) => controlPlane.reports.findLast((report) => report.node.hostname === node)
  await until(() => ['one', 'two'].every((node) => byNode(node)?.probes.length === 1))
  expect(byNode('two')?.cluster).toBeNull()
  expect(byNode('one')?.cluster?.workloads[0]).toMatchObject({ replicas: 2 })
})

test('an engine that is away is said in the report, and the link stays up', async () => {
  const { controlPlane, swarm, start, until, latest } = setUp()
  controlPlane.setDesired(desiredOf([workloadOf('web', 1)]))
  await start()
  await until(() => latest()?.cluster !== null && latest() !== undefined)
  swarm.setEngineAway('one', true)
  await until(() => latest()?.engineProblem?.includes('does not answer') === true)
  expect(latest()?.cluster).toBeNull()
  expect(controlPlane.links.size).toBe(1)
  swarm.setEngineAway('one', false)
  await until(() => latest()?.engineProblem === null && latest()?.cluster !== null)
})

test('a service that Docker refuses is said, and delays nothing of the others', async () => {
  const { controlPlane, start, until, latest, runs, swarm, clock } = setUp({
    refuses: (name) => name === 'createService' && [...swarmNames()].includes('good-r1'),
  })
  const swarmNames = () => [...swarm.services.values()].map(({ Spec }) => Spec.Name)
  controlPlane.setDesired(desiredOf([workloadOf('good', 1), workloadOf('refused', 1)]))
  await start()
  await until(() => latest()?.cluster?.pending.join().includes('refused-r1') === true && runs('good-r1') === 1)
  expect(latest()?.cluster?.pending.join()).toContain('This failed: invalid mount')
  await clock.advance(60_000)
  const killedAtMs = clock.now()
  swarm.kill(swarm.tasks.find(({ Status }) => Status.State === 'running')?.ID ?? '')
  await until(
    () =>
      latest()
        ?.cluster?.workloads.flatMap(({ tasks }) => tasks)
        .some(({ state }) => state === 'failed') === true,
  )
  expect(clock.now() - killedAtMs).toBeLessThan(500)
})

test('a refused agent asks again only rarely; one that is merely cut off comes back soon', async () => {
  const { controlPlane, start, until, clock } = setUp()
  await start()
  await until(() => controlPlane.links.size === 1)
  controlPlane.state.refusal = { type: 'refused', reason: 'revoked', message: 'Revoked.', final: true }
  controlPlane.cut()
  await until(() => controlPlane.hellos.length === 2)
  const dials = controlPlane.state.dials
  await clock.advance(9 * 60_000)
  expect(controlPlane.state.dials).toBe(dials)
  controlPlane.state.refusal = null
  await until(() => controlPlane.links.size === 1, 120_000)
})

test('a control plane that stops answering pings is left and dialled again', async () => {
  const { controlPlane, start, until } = setUp()
  await start()
  await until(() => controlPlane.links.size === 1)
  controlPlane.state.answersPings = false
  await until(() => controlPlane.hellos.length === 2, 60_000)
})

test('while the control plane is away dials get rarer, but never further apart than 30 s', async () => {
  const { controlPlane, start, clock, until } = setUp()
  await start()
  await until(() => controlPlane.links.size === 1)
  controlPlane.state.isAway = true
  controlPlane.cut()
  await clock.advance(10 * 60_000)
  const dials = controlPlane.state.dials
  await clock.advance(5 * 60_000)
  expect(controlPlane.state.dials - dials).toBeGreaterThanOrEqual(10)
  expect(controlPlane.state.dials - dials).toBeLessThanOrEqual(20)
})

test('a wrong JUMPCODE ends the agent with the sentence of the control plane', async () => {
  const { clock, start, until } = setUp()
  const agent = await start('one', { jumpCode: 'another-code' })
  let refusal = ''
  agent.finished().catch((error: Error) => {
    refusal = error.message
  })
  await until(() => refusal !== '')
  expect(refusal).toBe('This JUMPCODE is not valid.')
  await clock.advance(1)
})

test('without JUMPCODE an agent that never joined says what to do', async () => {
  const { start } = setUp()
  const agent = await start('one', { jumpCode: null })
  await expect(agent.finished()).rejects.toThrow('JUMPCODE')
})

test('an operation is answered once however often it is asked, and planning changes nothing', async () => {
  const { controlPlane, swarm, start, until, latest, clock } = setUp()
  controlPlane.setDesired(desiredOf([workloadOf('web', 1)]))
  await start()
  await until(() => latest()?.cluster?.pending.length === 0)
  const desired = desiredOf([workloadOf('web', 2)], { generation: 8 })
  for (let count = 0; count < 3; count++) controlPlane.ask('op-1', { kind: 'plan', desired })
  await until(() => controlPlane.results.some(({ done }) => done))
  await clock.advance(5_000)
  expect(controlPlane.results).toEqual([
    {
      type: 'result',
      id: 'op-1',
      done: false,
      error: null,
      output: {
        kind: 'plan',
        steps: ['Remove service web-r1: it is not desired any more.', 'Create service web-r2 (1 replica) from good.'],
      },
    },
    { type: 'result', id: 'op-1', done: true, error: null, output: null },
  ])
  expect([...swarm.services.values()].map(({ Spec }) => Spec.Name)).toEqual(['web-r1'])
})

test('logs of a service come as lines, and of a service without containers as an error', async () => {
  const { controlPlane, start, until, latest } = setUp()
  controlPlane.setDesired(desiredOf([workloadOf('web', 1, { spec: { image: 'crashing' } })]))
  await start()
  await until(() => latest()?.cluster?.workloads[0]?.tasks.some(({ state }) => state === 'failed') === true)
  controlPlane.ask('op-1', { kind: 'service-logs', serviceId: idOf('web'), tail: 2, follow: false })
  await until(() => controlPlane.results.some(({ done }) => done))
  expect(controlPlane.results[0]?.output).toMatchObject({
    lines: [{ line: 'starting', nodeName: 'one' }, { line: 'no database' }],
  })
  controlPlane.ask('op-2', { kind: 'service-logs', serviceId: idOf('nothing'), tail: 2, follow: false })
  await until(() => controlPlane.results.some(({ id, done }) => id === 'op-2' && done))
  expect(controlPlane.results.at(-1)?.error?.code).toBe('not-found')
})

test('with a bad engine and a bad network it still comes to what is desired', async () => {
  await fc.assert(
    fc.asyncProperty(fc.integer(), fc.array(fc.nat(4_000), { maxLength: 6 }), async (seed, cuts) => {
      const { controlPlane, swarm, start, until, clock, runs } = setUp({ seed, failing: 0.1 })
      const agent = await start()
      for (const [index, waitMs] of cuts.entries()) {
        controlPlane.setDesired(desiredOf([workloadOf('web', index + 1, { replicas: 2 })], { generation: index + 1 }))
        await clock.advance(waitMs)
        controlPlane.cut()
      }
      controlPlane.setDesired(desiredOf([workloadOf('web', 99, { replicas: 3 })], { generation: 99 }))
      await until(() => runs('web-r99') === 3 && swarm.services.size === 1, 300_000)
      await until(() => controlPlane.reports.at(-1)?.generation === 99, 300_000)
      await stopped(agent, clock)
      await clock.advance(60_000)
      expect(clock.pending()).toBe(0)
    }),
    { numRuns: 25 },
  )
})
