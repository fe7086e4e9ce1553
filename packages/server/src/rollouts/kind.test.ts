import { describe, expect, it } from 'vitest'
import { strategyFor, workloadsOf } from './kind.ts'
import { revision, rollout, service, startAt, step, task } from './rollout.testing.ts'
import { isFinal, superseded } from './status.ts'
import { replicasOf } from './tasks.ts'

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
    expect(now.status.message).toContain('1 container of the old revision')
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
    expect(now.status.failure?.reason).toBe(
      'Its containers failed 3 times: A container on one failed with exit code 7.',
    )
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
