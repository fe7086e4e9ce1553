import { clusterData, clusterKind, nodeKind } from '@freehold/contracts'
import type { Store } from '@freehold/store'
import type { Handlers } from '../http/handler.ts'
import { mergedData } from '../http/merged.ts'
import { getResource, listResources } from '../http/resources.ts'
import { createEnrol } from './enrol.ts'
import { createCluster, deleteCluster, deleteNode, revokeNode, updateCluster } from './service.ts'

export function createClusterHandlers({ store }: { store: Store }): Handlers<'clusters'> {
  return {
    list: ({ query }) => listResources(store, clusterKind, query),
    get: ({ params }) => getResource(store, clusterKind, params.id),
    create: ({ body: { data, labels }, caller }) =>
      store.transaction(caller.actor, (transaction) =>
        createCluster(transaction, { data, ...(labels === undefined ? {} : { labels }) }),
      ),
    update: ({ params, body: { data: patch, labels, version }, caller }) =>
      store.transaction(caller.actor, async (transaction) => {
        const before = await getResource(transaction, clusterKind, params.id)
        return updateCluster(transaction, {
          id: params.id,
          data: mergedData(clusterData, before.data, patch),
          ...(labels === undefined ? {} : { labels }),
          ...(version === undefined ? {} : { expectedVersion: version }),
        })
      }),
    async delete({ params, query, caller }) {
      const input = { id: params.id, ...(query.version === undefined ? {} : { expectedVersion: query.version }) }
      await store.transaction(caller.actor, (transaction) => deleteCluster(transaction, input))
      return undefined
    },
  }
}

export function createNodeHandlers({ store }: { store: Store }): Handlers<'nodes'> {
  return {
    list: ({ query }) => listResources(store, nodeKind, query),
    get: ({ params }) => getResource(store, nodeKind, params.id),
    revoke: ({ params, caller }) =>
      store.transaction(caller.actor, (transaction) => revokeNode(transaction, params.id)),
    async delete({ params, query, caller }) {
      const input = { id: params.id, ...(query.version === undefined ? {} : { expectedVersion: query.version }) }
      await store.transaction(caller.actor, (transaction) => deleteNode(transaction, input))
      return undefined
    },
  }
}

export function createAgentHandlers(options: { store: Store; now: () => number }): Handlers<'agents'> {
  return { enrol: createEnrol(options) }
}
