import { revisionKind, rolloutKind } from '@freehold/contracts'
import type { Store } from '@freehold/store'
import type { Handlers } from '../http/handler.ts'
import { getResource, listResources } from '../http/resources.ts'
import { abortRollout } from './service.ts'

export function createRevisionHandlers({ store }: { store: Store }): Handlers<'revisions'> {
  return {
    list: ({ query }) => listResources(store, revisionKind, query),
    get: ({ params }) => getResource(store, revisionKind, params.id),
  }
}

export function createRolloutHandlers({ store }: { store: Store }): Handlers<'rollouts'> {
  return {
    list: ({ query }) => listResources(store, rolloutKind, query),
    get: ({ params }) => getResource(store, rolloutKind, params.id),
    abort: ({ params, caller }) =>
      store.transaction(caller.actor, (transaction) => abortRollout(transaction, params.id)),
  }
}
