import { describe, expect, it } from 'vitest'
import { workloadsOf } from './kind.ts'
import { revision, rollout, service, startAt, step, task } from './rollout.testing.ts'
import { begun } from './status.ts'

describe('a rollout that is verified first', () => {
  const web = service()
  const [one, two, three] = [revision(web, 1), revision(web, 2), revision(web, 3)]
  const parts = { next: two, previous: one }
  const verifying = (options: Parameters<typeof rollout>[1] = parts) => ({
    ...rollout(web, options),
    status: begun({ now: new Date(startAt), message: 'Begins.', phase: 'verifying' as const }),
  })
  const desired = (now: ReturnType<typeof verifying>, previous: typeof one | null = one) =>
    workloadsOf({ rollout: now, service: web, revision: two, previous }).map(({ revisionId, replicas }) => ({
      revisionId,
      replicas,
    }))
  const away = { tasks: [], connected: false, current: false }

  it('runs nothing of the revision, and keeps the one before', () => {
    expect(desired(verifying())).toEqual([{ revisionId: one.id, replicas: 1 }])
    expect(desired(verifying({ next: two, previous: null }), null)).toEqual([])
  })

  it('lets the one before come back after a rollout it took over from, where both cannot run', () => {
    const now = verifying({ ...parts, strategy: 'recreate' })
    const took = { ...now, data: { ...now.data, supersededRevisionId: three.id } }
    expect(workloadsOf({ rollout: took, service: web, revision: two, previous: one })).toMatchObject([
      { revisionId: one.id, startAfterRevisionId: three.id },
    ])
  })

  it('waits for the verdict alone, whoever reports', () => {
    const now = verifying()
    expect(step(web, { rollout: now, ...parts }, { tasks: [task(two)], atMs: 0 }).status).toBe(now.status)
    const admitted = step(web, { rollout: now, ...parts }, { ...away, verdict: { admitted: true, message: 'Signed.' } })
    expect(admitted.status).toMatchObject({ phase: 'starting', message: 'Signed.', failure: null })
  })

  it('fails at once where it is refused, and says of the one before only what is seen', () => {
    const verdict = { admitted: false, message: 'Not signed.' }
    const now = verifying()
    const failure = { outcome: 'failed', reason: 'Not signed.', logTail: [], refused: true }
    const unseen = step(web, { rollout: now, ...parts }, { ...away, verdict })
    expect(unseen.status).toMatchObject({ phase: 'failed', failure, previousServes: null })
    expect(unseen.status.message).toBe('Not signed. Nothing of it was started; revision 1 was left as it was.')
    expect(unseen.status.finishedAt).not.toBeNull()
    const seen = step(web, { rollout: now, ...parts }, { tasks: [task(one)], verdict })
    expect(seen.status).toMatchObject({ phase: 'failed', previousServes: true })
    expect(seen.status.message).toBe('Not signed. Nothing of it was started; revision 1 serves.')
  })

  it('does not pass by scaling to 0', () => {
    const none = service({ scaleFactor: 0 })
    const now = verifying()
    expect(step(none, { rollout: now, ...parts }, { ...away, atMs: 0 }).status).toBe(now.status)
    const refused = step(none, { rollout: now, ...parts }, { ...away, verdict: { admitted: false, message: 'No.' } })
    expect(refused.status.phase).toBe('failed')
  })

  it('is aborted at once, and does not wait for ever', () => {
    const now = verifying()
    const asked = { ...now, data: { ...now.data, abortRequested: true } }
    const aborted = step(
      web,
      { rollout: asked, ...parts },
      { ...away, verdict: { admitted: true, message: 'Signed.' } },
    )
    expect(aborted.status).toMatchObject({ phase: 'aborted', failure: { outcome: 'aborted' } })
    expect(aborted.status.failure).not.toHaveProperty('refused')
    const late = step(web, { rollout: now, ...parts }, { ...away, atMs: 25 * 3_600_000 })
    expect(late.status).toMatchObject({ phase: 'failed', failure: { reason: expect.stringContaining('for a day') } })
    expect(late.status.failure).not.toHaveProperty('refused')
  })
})
