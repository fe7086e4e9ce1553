import type { Retention, RetentionReport, RetentionStep } from '@freehold/contracts'
import type { RepositoryState } from './retention-graph.ts'
import type { RetentionPlan } from './retention-rules.ts'

/** Steps a report shows; its numbers count them all. */
const stepLimit = 1000

/** A plan as people read it. */
export function reportOf(input: {
  repository: string
  source: RetentionReport['source']
  retention: Retention | null
  state: RepositoryState
  plan: RetentionPlan
  atMs: number
}): RetentionReport {
  const { repository, source, retention, state, plan, atMs } = input
  const going = [...plan.tags, ...plan.groups.flat()]
  const steps = [...going, ...plan.kept]
  const tally = (kind: RetentionStep['kind']) => ({
    keep: plan.kept.filter((step) => step.kind === kind).length,
    delete: going.filter((step) => step.kind === kind).length,
  })
  return {
    repository,
    at: new Date(atMs).toISOString(),
    source,
    retention,
    tags: tally('tag'),
    manifests: tally('manifest'),
    releasedBytes: releasedBytes(state, going),
    steps: steps.slice(0, stepLimit),
    truncated: steps.length > stepLimit,
  }
}

/** The report of what was really done; in between more may have come or gone than was announced. */
export function withDone(report: RetentionReport, done: readonly RetentionStep[]): RetentionReport {
  const count = (kind: RetentionStep['kind']) => done.filter((step) => step.kind === kind).length
  const kept = report.steps.filter((step) => step.action === 'keep')
  return {
    ...report,
    tags: { ...report.tags, delete: count('tag') },
    manifests: { ...report.manifests, delete: count('manifest') },
    steps: [...done, ...kept].slice(0, stepLimit),
    truncated: report.truncated || done.length + kept.length > stepLimit,
  }
}

function releasedBytes(state: RepositoryState, going: readonly RetentionStep[]): number {
  const gone = new Set(going.flatMap((step) => (step.kind === 'manifest' ? [step.digest] : [])))
  const released = new Map<string, number>()
  for (const { digest, sizeBytes, blobs } of state.manifests) {
    if (!gone.has(digest)) continue
    released.set(digest, sizeBytes)
    for (const blob of blobs) released.set(blob.digest, blob.size)
  }
  for (const { digest, blobs } of state.manifests) {
    if (gone.has(digest)) continue
    for (const blob of blobs) released.delete(blob.digest)
  }
  return [...released.values()].reduce((sum, size) => sum + size, 0)
}
