import { finalPhases, type Rollout, type Workload } from '@freehold/contracts'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { workloadsOf } from './kind.ts'
import { revision, rollout, service, step, task } from './rollout.testing.ts'
import { isFinal } from './status.ts'

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
