/**
 * How everything stands, in one answer: counts and what needs a person. Reads what others observed; observes nothing
 * itself.
 */
import {
  clusterKind,
  deviceKind,
  FreeholdError,
  imageKind,
  nodeKind,
  releaseRolloutKind,
  rolloutKind,
  serviceKind,
  type statusSchema,
} from '@freehold/contracts'
import type { Store } from '@freehold/store'
import type { z } from 'zod'
import type { AllHandlers } from '../http/handler.ts'
import { listProblems } from './problems.ts'

type StatusCounts = z.output<typeof statusSchema>['counts']

export function createStatusNoun(options: {
  store: Store
  version: string
  startedAt: string
  publicUrl: () => string
  /** False until everything runs and from the moment it stops. */
  isServing: () => boolean
  now: () => number
}): { handlers: Pick<AllHandlers, 'status'> } {
  const { store } = options
  return {
    handlers: {
      status: {
        async get() {
          const [counts, problems, storeVersion] = await Promise.all([
            countAll(store),
            listProblems(store, options.now()),
            store.version(),
          ])
          return {
            version: options.version,
            store: store.engine,
            storeVersion,
            startedAt: options.startedAt,
            publicUrl: options.publicUrl(),
            counts,
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

async function countAll(store: Store): Promise<StatusCounts> {
  const counted = {
    clusters: store.count(clusterKind),
    nodes: store.count(nodeKind),
    services: store.count(serviceKind),
    images: store.count(imageKind),
    activeRollouts: store.count(rolloutKind, { where: { active: 'yes' } }),
    devices: store.count(deviceKind),
    offlineDevices: store.count(deviceKind, { where: { state: 'offline' } }),
    failedUpdateDevices: store.count(deviceKind, { where: { update: 'failed' } }),
    openReleaseRollouts: store.count(releaseRolloutKind, { where: { open: 'yes' } }),
    stoppedReleaseRollouts: store.count(releaseRolloutKind, { where: { state: 'stopped' } }),
  }
  const entries = Object.entries(counted).map(async ([name, count]) => [name, await count])
  return Object.fromEntries(await Promise.all(entries)) as StatusCounts
}
