import {
  finalPhases,
  type Revision,
  type Rollout,
  type Service,
  serviceData,
  serviceKind,
  type Task,
  type Workload,
} from '@freehold/contracts'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { specOf } from '../services/index.ts'
import { advance, begun, isFinal, replicasOf, strategyFor, superseded, workloadsOf } from './kind.ts'

const startAt = Date.parse('2026-01-01T00:00:00.000Z')
const meta = { generation: 1, version: 1, labels: {}, createdAt: '', updatedAt: '' }

function service(data: Record<string, unknown> = {}): Service {
  return {
    kind: 'service',
    id: '01900000-0000-7000-8000-000000000001',
    data: serviceData.parse({
      name: 'web',
      clusterId: '01900000-0000-7000-8000-0000000000aa',
      ports: { web: 80 },
      rollout: { strategy: 'auto', deadlineSeconds: 60, settleSeconds: 3 },
      ...data,
    }),
    status: serviceKind.initialStatus,
    ...meta,
  }
}

function revision(of: Service, number: number): Revision {
  return {
    kind: 'revision',
    id: `01900000-0000-7000-8000-00000000010${number}`,
    data: {
      serviceId: of.id,
      number,
      spec: specOf(of, `registry/web@sha256:${number}`),
      imageVersion: 'latest',
      imageDigest: null,
      serviceGeneration: 1,
    },
    status: {},
    ...meta,
  }
}

function rollout(
  of: Service,
  options: { next: Revision; previous: Revision | null; strategy?: 'beside' | 'recreate' },
): Rollout {
  return {
    kind: 'rollout',
    id: '01900000-0000-7000-8000-000000000200',
    data: {
      serviceId: of.id,
      clusterId: of.data.clusterId,
      revisionId: options.next.id,
      revisionNumber: options.next.data.number,
      previousRevisionId: options.previous?.id ?? null,
      supersededRevisionId: null,
      trigger: 'push',
      strategy: options.strategy ?? 'beside',
      deadlineSeconds: of.data.rollout.deadlineSeconds,
      settleSeconds: of.data.rollout.settleSeconds,
      abortRequested: false,
    },
    status: begun({ now: new Date(startAt), message: 'Begins.' }),
    ...meta,
  }
}

function task(of: Revision, part: Partial<Task> = {}): Task {
  return {
    taskId: `${of.id}-1`,
    revisionId: of.id,
    swarmNodeId: 'node',
    nodeName: 'one',
    slot: 1,
    state: 'running',
    desiredState: 'running',
    message: '',
    exitCode: null,
    health: 'passing',
    healthMessage: '',
    since: '2026-01-01T00:00:00.000Z',
    logTail: [],
    ...part,
  }
}

/** Advances one rollout by hand: what is seen, and how long it was watched in this phase. */
function step(
  of: Service,
  now: { rollout: Rollout; next: Revision; previous: Revision | null },
  seen: { tasks: Task[]; connected?: boolean; current?: boolean; watchedMs?: number; atMs?: number; nodes?: number },
): Rollout {
  const status = advance({
    rollout: now.rollout,
    service: of,
    revision: now.next,
    previous: now.previous,
    observation: {
      connected: seen.connected ?? true,
      current: seen.current ?? true,
      tasks: seen.tasks,
      replicas: new Map([[now.next.id, seen.nodes ?? 1]]),
    },
    watchedMs: seen.watchedMs ?? 0,
    now: new Date(startAt + (seen.atMs ?? 1000)),
  })
  return { ...now.rollout, status }
}

describe('a rollout', () => {
  const web = service()
  const [one, two] = [revision(web, 1), revision(web, 2)]
  const parts = { next: two, previous: one }
  const fresh = () => rollout(web, parts)

  it('goes from starting to settling to retiring to succeeded as health is seen', () => {
    let now = step(web, { rollout: fresh(), ...parts }, { tasks: [task(one), task(two)] })
    expect(now.status.phase).toBe('settling')
    now = step(web, { rollout: now, ...parts }, { tasks: [task(one), task(two)], watchedMs: 2999 })
    expect(now.status.phase).toBe('settling')
    now = step(web, { rollout: now, ...parts }, { tasks: [task(one), task(two)], watchedMs: 3000 })
    expect(now.status.phase).toBe('retiring')
    now = step(web, { rollout: now, ...parts }, { tasks: [task(one), task(two)] })
    expect(now.status.message).toContain('1 containers of the old revision')
    now = step(web, { rollout: now, ...parts }, { tasks: [task(two)] })
    expect(now.status).toMatchObject({ phase: 'succeeded', message: 'Revision 2 serves.', healthy: 1, wanted: 1 })
  })

  it('takes no verdict from a report about an older desired state', () => {
    const start = fresh()
    const now = step(web, { rollout: start, ...parts }, { tasks: [task(two)], current: false, watchedMs: 999_999 })
    expect(now.status).toBe(start.status)
  })

  it('never fails because nobody looked', () => {
    const now = step(
      web,
      { rollout: fresh(), ...parts },
      { tasks: [], connected: false, watchedMs: 59_000, atMs: 3_600_000 },
    )
    expect(now.status.phase).toBe('starting')
    const later = step(web, { rollout: now, ...parts }, { tasks: [], connected: false, atMs: 25 * 3_600_000 })
    expect(later.status).toMatchObject({ phase: 'failed', previousServes: null })
  })

  it('must see health again after losing sight of it while settling', () => {
    const settling = step(web, { rollout: fresh(), ...parts }, { tasks: [task(one), task(two)] })
    const lost = step(web, { rollout: settling, ...parts }, { tasks: [], connected: false })
    expect(lost.status.phase).toBe('starting')
  })

  it('fails with the exit code and the last lines after three failed containers', () => {
    const failed = [1, 2, 3].map((n) =>
      task(two, {
        taskId: `t${n}`,
        state: 'failed',
        exitCode: 7,
        message: 'task: non-zero exit (7)',
        logTail: [`line ${n}`],
      }),
    )
    const now = step(web, { rollout: fresh(), ...parts }, { tasks: [task(one), ...failed] })
    expect(now.status.phase).toBe('reverting')
    expect(now.status.failure).toMatchObject({ outcome: 'failed', logTail: ['line 3'] })
    expect(now.status.failure?.reason).toContain('exit code 7')
    const end = step(web, { rollout: now, ...parts }, { tasks: [task(one)] })
    expect(end.status).toMatchObject({ phase: 'failed', previousServes: true })
  })

  it('fails at the deadline with what the probe said', () => {
    const sick = task(two, { health: 'failing', healthMessage: 'connection refused' })
    const now = step(web, { rollout: fresh(), ...parts }, { tasks: [task(one), sick], watchedMs: 60_001 })
    expect(now.status.failure?.reason).toMatch(/Not healthy within 60 s.*connection refused/)
  })

  it('fails when a container that was healthy fails while settling', () => {
    const settling = step(web, { rollout: fresh(), ...parts }, { tasks: [task(one), task(two)] })
    const now = step(web, { rollout: settling, ...parts }, { tasks: [task(one), task(two, { health: 'failing' })] })
    expect(now.status.phase).toBe('reverting')
    expect(now.status.failure?.reason).toContain('did not stay so')
  })

  it('does not blame a failure from before it became healthy', () => {
    const early = task(two, { taskId: 'early', state: 'failed', exitCode: 1 })
    const settling = step(web, { rollout: fresh(), ...parts }, { tasks: [task(one), early, task(two)] })
    expect(settling.status.phase).toBe('settling')
    const blind = step(
      web,
      { rollout: settling, ...parts },
      { tasks: [task(one), early, task(two, { health: 'passing' })] },
    )
    expect(blind.status.phase).toBe('settling')
  })

  it('says that the previous revision does not serve where it is not seen healthy', () => {
    const aborted = { ...fresh(), data: { ...fresh().data, abortRequested: true } }
    const now = step(web, { rollout: aborted, ...parts }, { tasks: [task(one), task(two)] })
    const end = step(web, { rollout: now, ...parts }, { tasks: [task(one, { health: 'failing' })], watchedMs: 999_999 })
    expect(end.status).toMatchObject({ phase: 'aborted', previousServes: false })
  })

  it('removes a first revision that fails, and says that nothing runs', () => {
    const first = { next: one, previous: null }
    const start = rollout(web, first)
    const now = step(web, { rollout: start, ...first }, { tasks: [], watchedMs: 60_001 })
    expect(workloadsOf({ rollout: now, service: web, revision: one, previous: null })).toEqual([])
    const end = step(web, { rollout: now, ...first }, { tasks: [] })
    expect(end.status).toMatchObject({ phase: 'failed', previousServes: null })
    expect(end.status.message).toContain('nothing runs')
  })

  it('succeeds at once where the service is scaled to 0', () => {
    const none = service({ scaleFactor: 0 })
    const now = step(none, { rollout: rollout(none, parts), ...parts }, { tasks: [], connected: false })
    expect(now.status).toMatchObject({ phase: 'succeeded', wanted: 0 })
  })

  it('waits for every node in global mode, and for the number of nodes to be known', () => {
    const every = service({ deploymentStrategy: 'all-nodes' })
    const next = revision(every, 1)
    const global = { next, previous: null }
    const start = rollout(every, global)
    expect(step(every, { rollout: start, ...global }, { tasks: [task(next)], nodes: 2 }).status.phase).toBe('starting')
    const both = [
      task(next, { taskId: 'a', slot: null }),
      task(next, { taskId: 'b', slot: null, swarmNodeId: 'other' }),
    ]
    expect(step(every, { rollout: start, ...global }, { tasks: both, nodes: 2 }).status.phase).toBe('settling')
  })

  it('needs no probe where no health check is possible', () => {
    const worker = service({ ports: {} })
    const next = revision(worker, 1)
    const now = { next, previous: null }
    const seen = { tasks: [task(next, { health: 'unknown' })] }
    expect(step(worker, { rollout: rollout(worker, now), ...now }, seen).status.phase).toBe('settling')
  })

  it('recreates where a port or volume is shared, and only there', () => {
    const ported = service({ ports: { web: 80, published: [{ target: 80, published: 8080, protocol: 'tcp' }] } })
    const [before, after] = [revision(ported, 1).data.spec, revision(ported, 2).data.spec]
    expect(strategyFor(ported, { next: after, others: [before] })).toBe('recreate')
    expect(strategyFor(ported, { next: after, others: [one.data.spec] })).toBe('beside')
    expect(strategyFor(ported, { next: after, others: [] })).toBe('beside')
    const kept = service({ volumes: [{ name: 'data', path: '/data' }] })
    expect(strategyFor(kept, { next: revision(kept, 2).data.spec, others: [revision(kept, 1).data.spec] })).toBe(
      'recreate',
    )
    const asked = service({ rollout: { strategy: 'recreate' } })
    expect(strategyFor(asked, { next: one.data.spec, others: [two.data.spec] })).toBe('recreate')
  })

  it('ends as superseded with the number of what took over', () => {
    const status = superseded(fresh().status, { by: 3, now: new Date(startAt) })
    expect(status).toMatchObject({ phase: 'superseded', message: 'Revision 3 took over.' })
    expect(isFinal(status.phase)).toBe(true)
  })

  it('scales whichever revision serves as the service says now', () => {
    expect(replicasOf(service({ scaleFactor: 5 }), one.data.spec)).toBe(5)
    const limited = service({ deploymentStrategy: 'limited-replicas', scaleFactor: 2, maxReplicas: 2 })
    expect(replicasOf(limited, one.data.spec)).toBe(2)
  })
})

/** A little Swarm: it does what is desired, sooner or later, and containers fare as the run says. */
type Turn = {
  fate: 'healthy' | 'failing' | 'crash' | 'lost'
  connected: boolean
  current: boolean
  passedMs: number
  lag: boolean
}
const turn: fc.Arbitrary<Turn> = fc.record({
  fate: fc.constantFrom('healthy', 'healthy', 'failing', 'crash', 'lost'),
  connected: fc.constantFrom(true, true, true, false),
  current: fc.constantFrom(true, true, false),
  passedMs: fc.integer({ min: 1, max: 20_000 }),
  lag: fc.boolean(),
})

interface Run {
  rollouts: Rollout[]
  desired: Workload[][]
  healthyAtVerdict: boolean[]
}

function run(
  turns: readonly Turn[],
  options: { strategy: 'beside' | 'recreate'; hasPrevious: boolean; abortAt: number },
): Run {
  const web = service({ scaleFactor: 2 })
  const next = revision(web, 2)
  const previous = options.hasPrevious ? revision(web, 1) : null
  let now = rollout(web, { next, previous, strategy: options.strategy })
  const history: Run = { rollouts: [now], desired: [], healthyAtVerdict: [] }
  const running = new Map<string, number>(previous === null ? [] : [[previous.id, 2]])
  let crashes = 0
  let watchedMs = 0
  let atMs = 0
  const calm = Array.from(
    { length: 60 },
    (): Turn => ({ fate: 'healthy', connected: true, current: true, passedMs: 20_000, lag: false }),
  )
  for (const [index, { fate, connected, current, passedMs, lag }] of [...turns, ...calm].entries()) {
    const desired = workloadsOf({ rollout: now, service: web, revision: next, previous })
    history.desired.push(desired)
    if (!lag)
      for (const id of [next.id, previous?.id ?? ''])
        running.set(id, desired.find((one) => one.revisionId === id)?.replicas ?? 0)
    if (fate === 'crash' && (running.get(next.id) ?? 0) > 0) crashes += 1
    const tasks = [...running].flatMap(([id, count]) =>
      Array.from({ length: fate === 'lost' && id === next.id ? 0 : count }, (_, slot) =>
        task(id === next.id ? next : (previous ?? next), {
          taskId: `${id}-${slot}`,
          slot,
          health: id === next.id && fate !== 'healthy' ? 'failing' : 'passing',
        }),
      ),
    )
    const failed = Array.from({ length: crashes }, (_, n) =>
      task(next, { taskId: `crash-${n}`, slot: 9, state: 'failed', exitCode: 1 }),
    )
    atMs += passedMs
    watchedMs += connected ? passedMs : 0
    if (index === options.abortAt && !isFinal(now.status.phase))
      now = { ...now, data: { ...now.data, abortRequested: true } }
    const stepped = step(
      web,
      { rollout: now, next, previous },
      { tasks: [...tasks, ...failed], connected, current, watchedMs, atMs },
    )
    if (stepped.status.phase !== now.status.phase) {
      watchedMs = 0
      const healthy = tasks.filter((one) => one.revisionId === next.id && one.health === 'passing').length
      history.healthyAtVerdict.push(
        stepped.status.phase !== 'retiring' && stepped.status.phase !== 'succeeded'
          ? true
          : healthy === 2 && connected && current,
      )
    }
    now = stepped
    history.rollouts.push(now)
  }
  return history
}

const runs = fc.record({
  turns: fc.array(turn, { maxLength: 40 }),
  strategy: fc.constantFrom('beside' as const, 'recreate' as const),
  hasPrevious: fc.boolean(),
  abortAt: fc.integer({ min: -1, max: 20 }),
})
type Options = Omit<typeof runs extends fc.Arbitrary<infer Value> ? Value : never, 'turns'>

/** Checks what always holds on many runs; a failure shows the turns that led to it. */
function always(holds: (result: Run & Options) => void): void {
  const property = fc.property(runs, ({ turns, ...options }) => {
    holds({ ...options, ...run(turns, options) })
  })
  fc.assert(property)
}

describe('whatever the containers and the network do', () => {
  it('every run ends in one final phase once an agent reports, and stays there', () => {
    always(({ rollouts }) => {
      const phases = rollouts.map((one) => one.status.phase)
      const end = phases.findIndex((phase) => isFinal(phase))
      expect(end).toBeGreaterThan(0)
      expect(new Set(phases.slice(end)).size).toBe(1)
      expect(finalPhases).toContain(phases.at(-1))
    })
  })

  it('retiring and success come only when all containers of the new revision are seen healthy', () => {
    always(({ healthyAtVerdict }) => {
      expect(healthyAtVerdict).not.toContain(false)
    })
  })

  it('beside, the previous revision stays desired until the new one has proved itself', () => {
    always(({ rollouts, desired, strategy, hasPrevious }) => {
      if (strategy !== 'beside' || !hasPrevious) return
      for (const [index, workloads] of desired.entries()) {
        const { phase } = rollouts[index]?.status ?? {}
        if (phase === 'retiring' || phase === 'succeeded') continue
        expect(workloads.find((one) => one.revisionNumber === 1)?.replicas).toBe(2)
      }
    })
  })

  it('recreating, two revisions are never desired with containers at once, and the later waits for the earlier', () => {
    always(({ desired, strategy, hasPrevious }) => {
      if (strategy !== 'recreate' || !hasPrevious) return
      for (const workloads of desired) {
        const live = workloads.filter((one) => one.replicas > 0)
        expect(live.length).toBe(1)
        const other = workloads.find((one) => one.replicas === 0)
        if (other !== undefined) expect(live[0]?.startAfterRevisionId).toBe(other.revisionId)
      }
    })
  })

  it('a rollout that did not succeed leaves the previous workloads desired, and says why', () => {
    always(({ rollouts, desired, hasPrevious }) => {
      const end = rollouts.at(-1)
      if (end?.status.phase === 'succeeded') {
        expect(end.status.failure).toBeNull()
        return
      }
      expect(desired.at(-1)?.map((one) => [one.revisionNumber, one.replicas])).toEqual(hasPrevious ? [[1, 2]] : [])
      expect(end?.status.failure?.reason).not.toBe('')
      expect(end?.status.previousServes).toBe(hasPrevious ? true : null)
    })
  })

  it('the history only grows at its end', () => {
    always(({ rollouts }) => {
      for (const [index, one] of rollouts.entries()) {
        const before = rollouts[index - 1]?.status.history ?? []
        if (one.status.history.length < 50) expect(one.status.history.slice(0, before.length)).toEqual(before)
        expect(one.status.history.length).toBeLessThanOrEqual(50)
      }
    })
  })
})
