/**
 * How everything stands, in one answer: counts and what needs a person. Reads what others observed; observes nothing
 * itself.
 */
import { clusterKind, FreeholdError, imageKind, nodeKind, rolloutKind, serviceKind } from '@freehold/contracts'
import type { Store } from '@freehold/store'
import type { AllHandlers } from '../http/handler.ts'
import { listProblems } from './problems.ts'

export function createStatusNoun(options: {
  store: Store
  version: string
  startedAt: string
  publicUrl: () => string
  /** False until everything runs and from the moment it stops. */
  isServing: () => boolean
}): { handlers: Pick<AllHandlers, 'status'> } {
  const { store } = options
  return {
    handlers: {
      status: {
        async get() {
          const [clusters, nodes, services, images, activeRollouts, problems, storeVersion] = await Promise.all([
            store.count(clusterKind),
            store.count(nodeKind),
            store.count(serviceKind),
            store.count(imageKind),
            store.count(rolloutKind, { where: { active: 'yes' } }),
            listProblems(store, Date.now()),
            store.version(),
          ])
          return {
            version: options.version,
            store: store.engine,
            storeVersion,
            startedAt: options.startedAt,
            publicUrl: options.publicUrl(),
            counts: { clusters, nodes, services, images, activeRollouts },
            problems,
          }
        },
        async health() {
          if (!options.isServing()) throw new FreeholdError('unavailable')
          return { ok: true }
        },
      },
    },
  }
}
