import type { Actor, Store, Transaction } from '@freehold/store'
import { type Deletion, type PlannedDeletion, planDeletion } from './deletion-plan.ts'
import { RegistryError } from './errors.ts'
import { remove } from './removal.ts'

/** Carries out what was planned in the same transaction; `at` is now, RFC 3339. */
export function applyDeletion(
  transaction: Transaction,
  where: { repository: string; at: string },
  { tags, manifests }: PlannedDeletion,
): Promise<void> {
  return remove(transaction, where, { tags, manifests: manifests.map(({ manifest }) => manifest) })
}

interface Where {
  repository: string
  /** How revisions name this registry. */
  host: string
  /** Now, RFC 3339. */
  at: string
}

/** Removes a tag; its manifest stays. Throws `manifest-unknown`, `still-served` (a service's revision runs it, a release has it). */
export function deleteTag(store: Store, actor: Actor, { tag, at, ...place }: Where & { tag: string }): Promise<void> {
  return deleteAsked(store, actor, { ...place, tags: [tag], digests: [], others: 'ignore' }, at)
}

/**
 * Removes a manifest with all tags that name it. Throws `manifest-unknown`, `still-referenced` (an index names it),
 * `still-served` (a service's revision runs it, a release has it).
 */
export function deleteManifest(
  store: Store,
  actor: Actor,
  { digest, at, ...place }: Where & { digest: string },
): Promise<void> {
  return deleteAsked(store, actor, { ...place, tags: [], digests: [digest], others: 'ignore' }, at)
}

const refusalCodes = {
  'in-use': 'still-served',
  'named-by-index': 'still-referenced',
  'not-found': 'manifest-unknown',
  'too-many': 'unsupported',
} as const

async function deleteAsked(store: Store, actor: Actor, deletion: Deletion, at: string): Promise<void> {
  await store.transaction(actor, async (transaction) => {
    const plan = await planDeletion(transaction, deletion)
    const [refusal] = plan.refusals
    if (refusal !== undefined) {
      const { reason, message, services, releases } = refusal
      const detail = {
        ...(services.length === 0 ? {} : { services }),
        ...(releases.length === 0 ? {} : { releases }),
      }
      throw new RegistryError(refusalCodes[reason], message, Object.keys(detail).length === 0 ? {} : { detail })
    }
    await applyDeletion(transaction, { repository: deletion.repository, at }, plan)
  })
}
