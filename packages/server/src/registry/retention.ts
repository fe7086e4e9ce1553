import { isDeepStrictEqual } from 'node:util'
import {
  FreeholdError,
  type Image,
  imageKind,
  type Manifest,
  manifestKind,
  type Retention,
  type RetentionReport,
  type RetentionStep,
  type Tag,
  tagKind,
} from '@freehold/contracts'
import { type Actor, pagesOf, type Reads, type Store, type Transaction } from '@freehold/store'
import { remove } from './removal.ts'
import { findManifest, findTag } from './repository.ts'
import type { ManifestState, RepositoryState } from './retention-graph.ts'
import { reportOf, withDone } from './retention-report.ts'
import { describeKeeping, planRetention, type RetentionPlan } from './retention-rules.ts'
import { servedOf } from './served.ts'

/** Steps one transaction takes, but for a group that belongs together; pushes wait for no longer than that takes. */
const stepsAtOnce = 100

export interface RetentionLog {
  info(fields: object, message: string): void
  warn(fields: object, message: string): void
}

export interface Retainer {
  /** What would go now, by the rules given or else by those that hold. Throws `conflict` for an external image. */
  preview(image: Image, retention?: Retention): Promise<RetentionReport>
  /** Removes what goes now, and says what that was. Throws `conflict` for an external image. */
  apply(image: Image, signal: AbortSignal): Promise<RetentionReport>
  /** One pass over every repository that has rules; what fails is logged and passed over. */
  run(signal: AbortSignal): Promise<{ tags: number; manifests: number }>
}

/**
 * Carries retention out. A plan is only a reason to look closer: each transaction reads the repository, its rules and
 * what services and releases need anew, plans again, and takes the first steps of that. So whatever was pushed, tagged or deployed
 * in between has been seen, and nothing can come between the last look and the delete.
 */
export function createRetainer(options: {
  store: Store
  /** How revisions name this registry. */
  host: () => string
  /** For images without rules of their own; null: everything stays. */
  defaultRetention: Retention | null
  now: () => number
  log: RetentionLog
}): Retainer {
  const { store, host, defaultRetention, now, log } = options

  async function planned(reads: Reads, image: Image, given?: Retention) {
    const { name: repository } = image.data
    const retention = given ?? image.data.retention ?? defaultRetention
    const state = await readRepository(reads, { repository, host: host() })
    const atMs = now()
    return { repository, retention, state, atMs, plan: planRetention(state, retention, atMs) }
  }

  function sourceOf(image: Image, given?: Retention): RetentionReport['source'] {
    if (given !== undefined) return 'request'
    if (image.data.retention !== undefined) return 'image'
    return defaultRetention === null ? 'none' : 'default'
  }

  async function preview(image: Image, given?: Retention): Promise<RetentionReport> {
    refuseExternal(image)
    return reportOf({ ...(await planned(store, image, given)), source: sourceOf(image, given) })
  }

  async function apply(image: Image, signal: AbortSignal): Promise<RetentionReport> {
    const report = await preview(image)
    if (report.tags.delete + report.manifests.delete === 0) return report
    const done: RetentionStep[] = []
    for (const part of ['tags', 'groups'] as const) {
      let taken: RetentionStep[] = []
      do {
        if (signal.aborted) break
        taken = await takeSteps(image.id, part)
        done.push(...taken)
      } while (taken.length > 0)
    }
    if (done.length > 0)
      log.info({ repository: image.data.name, removed: done.length }, 'retention removed tags and manifests')
    return withDone(report, done)
  }

  /** The first steps of a plan made in the transaction itself; none are left where it answers none. */
  async function takeSteps(imageId: string, part: 'tags' | 'groups'): Promise<RetentionStep[]> {
    const rules = (await store.get(imageKind, imageId))?.data.retention ?? defaultRetention
    if (rules === null) return []
    return store.transaction(actorOf(rules, part), async (transaction) => {
      const image = await transaction.get(imageKind, imageId)
      if (image === undefined) return []
      const { repository, plan, retention } = await planned(transaction, image)
      // The log entry names the rules, so it must be these that are carried out.
      if (!isDeepStrictEqual(retention, rules)) return []
      const steps = firstSteps(plan, part)
      await carryOut(transaction, { repository, steps, at: new Date(now()).toISOString() })
      return steps
    })
  }

  async function run(signal: AbortSignal): Promise<{ tags: number; manifests: number }> {
    const removed = { tags: 0, manifests: 0 }
    for await (const page of pagesOf(store, imageKind)) {
      for (const image of page) {
        const hasRules = image.data.location.internal && (image.data.retention ?? defaultRetention) !== null
        if (signal.aborted || !hasRules) continue
        try {
          const { tags, manifests } = await apply(image, signal)
          removed.tags += tags.delete
          removed.manifests += manifests.delete
        } catch (error) {
          log.warn({ err: error, repository: image.data.name }, 'retention passed a repository over')
        }
      }
    }
    return removed
  }

  return { preview, apply, run }
}

/** Everything about a repository that retention looks at. */
async function readRepository(
  reads: Reads,
  { repository, host }: { repository: string; host: string },
): Promise<RepositoryState> {
  const served = await servedOf(reads, { repository, host })
  const tags: { name: string; digest: string; pushedAt: string }[] = []
  for await (const page of pagesOf(reads, tagKind, { where: { repository } })) {
    for (const { data, status, updatedAt } of page) {
      tags.push({ name: data.name, digest: data.digest, pushedAt: status.pushedAt ?? updatedAt })
    }
  }
  const manifests: ManifestState[] = []
  for await (const page of pagesOf(reads, manifestKind, { where: { repository } })) {
    for (const { data, status, createdAt } of page) {
      manifests.push({
        digest: data.digest,
        pushedAt: createdAt,
        untaggedAt: status.untaggedAt,
        children: data.manifests,
        subject: data.subject,
        sizeBytes: data.size,
        blobs: data.blobs,
      })
    }
  }
  return { tags, manifests, needed: served.digests, namedTags: served.tags }
}

function firstSteps(plan: RetentionPlan, part: 'tags' | 'groups'): RetentionStep[] {
  if (part === 'tags') return plan.tags.slice(0, stepsAtOnce)
  const steps: RetentionStep[] = []
  for (const group of plan.groups) {
    steps.push(...group)
    if (steps.length >= stepsAtOnce) break
  }
  return steps
}

async function carryOut(
  transaction: Transaction,
  { repository, steps, at }: { repository: string; steps: readonly RetentionStep[]; at: string },
): Promise<void> {
  const tags: Tag[] = []
  const manifests: Manifest[] = []
  for (const { tag, digest } of steps) {
    if (tag !== null) tags.push(...present(await findTag(transaction, repository, tag)))
    else manifests.push(...present(await findManifest(transaction, repository, digest)))
  }
  await remove(transaction, { repository, at }, { tags, manifests })
}

const present = <T>(found: T | undefined): T[] => (found === undefined ? [] : [found])

/** Who the audit log names, with the rule that was carried out. */
function actorOf(retention: Retention, part: 'tags' | 'groups'): Actor {
  const after = retention.deleteUntaggedAfterDays ?? 0
  const rule =
    part === 'tags'
      ? `keeps ${describeKeeping(retention)}`
      : `removes what was untagged for ${after} ${after === 1 ? 'day' : 'days'}`
  return { type: 'system', id: 'registry-retention', name: `registry retention: ${rule}` }
}

function refuseExternal({ data }: Image): void {
  if (data.location.internal) return
  throw new FreeholdError(
    'conflict',
    `${data.name} is an external image; retention is for repositories of this registry.`,
  )
}
