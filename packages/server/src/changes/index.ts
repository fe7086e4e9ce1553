/**
 * Watching: the change feed for clients and for the server's own rooms, and the audit trail, which is the same log read
 * backwards. Nothing is written here.
 */
import type { Store } from '@freehold/store'
import type { AllHandlers } from '../http/handler.ts'
import type { Feed } from './feed.ts'
import { askedKinds } from './kind-access.ts'

export { createFeed, type Feed } from './feed.ts'

export function createChangesNoun(options: { store: Store; feed: Feed }): {
  handlers: Pick<AllHandlers, 'changes' | 'audit'>
} {
  const { store, feed } = options
  return {
    handlers: {
      changes: {
        async watch({ query, caller, signal }) {
          const kinds = askedKinds(query.kinds, caller.identity?.role ?? 'cluster')
          return feed.watch({ since: query.since, kinds, signal })
        },
      },
      audit: {
        async list({ query }) {
          const { limit, kind, id, before } = query
          const items = await store.audit({
            limit,
            ...(kind === undefined ? {} : { kind }),
            ...(id === undefined ? {} : { id }),
            ...(before === undefined ? {} : { before }),
          })
          return { items }
        },
      },
    },
  }
}
