import type { Node, Rollout, Service } from '@freehold/contracts'
import type { Change, Store } from '@freehold/store'
import { reportActor } from './statuses.ts'

/** What changed since it was asked last, as ids alone; everything is read again from the store. */
export interface Changes {
  services: { clusterId: string; serviceId: string }[]
  clusters: Set<string>
  /** Nodes whose desired side changed; `now` is null for a deleted one. */
  nodes: { id: string; clusterId: string; now: Node | null }[]
  /** Images or registries elsewhere changed: other credentials may be needed to pull. */
  pulls: boolean
  /** The log no longer reaches back: everything may have changed. */
  isIncomplete: boolean
}

const batch = 500
const kinds = ['cluster', 'node', 'service', 'rollout', 'image', 'external-registry']

/** Reads the change feed from where it was left, starting at the store's present version. */
export function createFeed(store: Store): { take(): Promise<Changes> } {
  let since: number | null = null
  return {
    async take() {
      const changes: Changes = { services: [], clusters: new Set(), nodes: [], pulls: false, isIncomplete: false }
      const version = await store.version()
      if (since === null) {
        since = version
        return { ...changes, isIncomplete: true }
      }
      try {
        while (since < version) {
          const entries: Change[] = await store.changes(since, { kinds, limit: batch })
          for (const entry of entries) if (!isEcho(entry)) sort(entry, changes)
          since =
            entries.length < batch
              ? Math.max(version, entries.at(-1)?.version ?? 0)
              : (entries.at(-1)?.version ?? version)
        }
      } catch (error) {
        if ((error as { code?: string }).code !== 'feed-expired') throw error
        since = version
        return { ...changes, isIncomplete: true }
      }
      return changes
    },
  }
}

/** What was written from reports a moment ago tells nothing new. */
function isEcho(change: Change): boolean {
  return change.operation === 'status' && change.actor.id === reportActor.id && change.actor.type === reportActor.type
}

function sort(change: Change, changes: Changes): void {
  const resource = change.after ?? change.before
  if (change.kind === 'cluster') changes.clusters.add(change.id)
  if (change.kind === 'image' || change.kind === 'external-registry') changes.pulls ||= change.operation !== 'status'
  if (resource == null) return
  if (change.kind === 'service') {
    changes.services.push({ clusterId: (resource as Service).data.clusterId, serviceId: change.id })
  } else if (change.kind === 'rollout') {
    const { clusterId, serviceId } = (resource as Rollout).data
    changes.services.push({ clusterId, serviceId })
  } else if (change.kind === 'node') {
    const { clusterId } = (resource as Node).data
    changes.clusters.add(clusterId)
    if (change.operation !== 'status') {
      changes.nodes.push({ id: change.id, clusterId, now: change.after as Node | null })
    }
  }
}
