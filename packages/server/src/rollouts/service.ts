import {
  FreeholdError,
  type Revision,
  type Rollout,
  revisionKind,
  rolloutKind,
  type Service,
  serviceKind,
} from '@freehold/contracts'
import type { Reads, Transaction } from '@freehold/store'
import { demandsSignature } from '../admission/index.ts'
import { strategyFor } from './kind.ts'
import { begun, isFinal, superseded } from './status.ts'

const revisionsKept = 10
const rolloutsKept = 20

/** The revision with the highest number, or undefined before the first. */
export async function newestRevision(reads: Reads, serviceId: string): Promise<Revision | undefined> {
  const revisions = await reads.all(revisionKind, { where: { serviceId } })
  return revisions.toSorted((one, other) => one.data.number - other.data.number).at(-1)
}

/** The rollout of a service that has not ended; there is never more than one. */
export async function activeRollout(reads: Reads, serviceId: string): Promise<Rollout | undefined> {
  const page = await reads.list(rolloutKind, { where: { serviceId, active: 'yes' }, limit: 1 })
  return page.items[0]
}

/** Writes the next revision of a service. */
export async function makeRevision(
  transaction: Transaction,
  options: { service: Service } & Pick<Revision['data'], 'spec' | 'imageVersion' | 'imageDigest'>,
): Promise<Revision> {
  const { service, spec, imageVersion, imageDigest } = options
  const newest = await newestRevision(transaction, service.id)
  return transaction.create(revisionKind, {
    data: {
      serviceId: service.id,
      number: (newest?.data.number ?? 0) + 1,
      spec,
      imageVersion,
      imageDigest,
      serviceGeneration: service.generation,
    },
  })
}

/** Whether admission refused the newest rollout of a service, and it was of this revision. */
export async function isRefused(reads: Reads, service: Service, revision: Revision): Promise<boolean> {
  const { rolloutId, currentRevisionId } = service.status
  if (rolloutId === null || currentRevisionId === revision.id) return false
  const rollout = await reads.get(rolloutKind, rolloutId)
  return rollout?.data.revisionId === revision.id && rollout.status.failure?.refused === true
}

/**
 * Begins to move a service to a revision; where the service demands a signature, by verifying it. A rollout under way is superseded: the new one goes back, if it must, to the
 * last revision that proved itself. Old revisions and rollouts are pruned in the same transaction.
 */
export async function startRollout(
  transaction: Transaction,
  options: {
    service: Service
    revision: Revision
    trigger: Rollout['data']['trigger']
    now: Date
    /** A sentence that people should read with it. */
    note?: string
  },
): Promise<Rollout> {
  const { service, revision, trigger, now, note } = options
  const active = await activeRollout(transaction, service.id)
  if (active !== undefined) {
    await transaction.setStatus(rolloutKind, active.id, superseded(active.status, { by: revision.data.number, now }))
  }
  const isVerified = demandsSignature(service.data)
  const previousId = service.status.currentRevisionId === revision.id ? null : service.status.currentRevisionId
  const supersededId = active?.data.revisionId ?? null
  const others = await Promise.all(
    [previousId, supersededId]
      .filter((id): id is string => id !== null && id !== revision.id)
      .map((id) => transaction.get(revisionKind, id)),
  )
  const specs = others.flatMap((other) => (other === undefined ? [] : [other.data.spec]))
  const rollout = await transaction.create(rolloutKind, {
    data: {
      serviceId: service.id,
      clusterId: service.data.clusterId,
      revisionId: revision.id,
      revisionNumber: revision.data.number,
      previousRevisionId: previousId,
      supersededRevisionId: supersededId === revision.id || supersededId === previousId ? null : supersededId,
      trigger,
      strategy: strategyFor(service, { next: revision.data.spec, others: specs }),
      deadlineSeconds: service.data.rollout.deadlineSeconds,
      settleSeconds: service.data.rollout.settleSeconds,
      abortRequested: false,
    },
    status: begun({
      now,
      message: `Rolling out revision ${revision.data.number} (${sentences[trigger]})${isVerified ? '; verifying its signature' : ''}.${note === undefined ? '' : ` ${note}`}`,
      phase: isVerified ? 'verifying' : 'starting',
    }),
  })
  await prune(transaction, { service, keep: [revision.id, previousId, rollout.data.supersededRevisionId] })
  await transaction.setStatus(serviceKind, service.id, {
    ...service.status,
    rolloutId: rollout.id,
    state: 'deploying',
    message: rollout.status.message,
  })
  return rollout
}

/** Asks a rollout to go back; the reconciler does it. */
export async function abortRollout(transaction: Transaction, id: string): Promise<Rollout> {
  const rollout = await transaction.get(rolloutKind, id)
  if (rollout === undefined) throw new FreeholdError('not-found', `There is no rollout with the id ${id}.`)
  if (isFinal(rollout.status.phase)) {
    throw new FreeholdError('conflict', `This rollout has ended already: it ${rollout.status.phase}.`)
  }
  return transaction.update(rolloutKind, id, { data: { ...rollout.data, abortRequested: true } })
}

const sentences: Record<Rollout['data']['trigger'], string> = {
  create: 'the service is new',
  update: 'the service was changed',
  push: 'an image was pushed',
  manual: 'asked for',
  rollback: 'going back was asked for',
}

async function prune(
  transaction: Transaction,
  options: { service: Service; keep: readonly (string | null)[] },
): Promise<void> {
  const { service } = options
  const keep = new Set([...options.keep, service.status.currentRevisionId])
  const where = { serviceId: service.id }
  const revisions = await transaction.all(revisionKind, { where })
  const old = revisions.toSorted((one, other) => other.data.number - one.data.number).slice(revisionsKept)
  for (const revision of old) {
    if (!keep.has(revision.id)) await transaction.delete(revisionKind, revision.id)
  }
  const rollouts = await transaction.all(rolloutKind, { where })
  for (const rollout of rollouts.slice(0, -rolloutsKept)) {
    if (isFinal(rollout.status.phase)) await transaction.delete(rolloutKind, rollout.id)
  }
}
