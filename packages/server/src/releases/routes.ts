import { releaseInput, releaseKind } from '@freehold/contracts'
import type { Handlers } from '../http/handler.ts'
import { mergedData } from '../http/merged.ts'
import { getResource, listResources } from '../http/resources.ts'
import { createRelease, deleteRelease, type ReleaseRules, withdrawRelease } from './service.ts'

const notesOnly = releaseInput.pick({ notes: true })

export function createReleaseHandlers(rules: ReleaseRules): Handlers<'releases'> {
  const { store, updates } = rules
  return {
    list: ({ query }) => listResources(store, releaseKind, query),
    get: ({ params }) => getResource(store, releaseKind, params.id),
    create: ({ body: { data, labels }, caller }) =>
      createRelease(rules, { data, actor: caller.actor, ...(labels === undefined ? {} : { labels }) }),
    update: ({ params, body: { data: patch, labels, version }, caller }) =>
      store.transaction(caller.actor, async (transaction) => {
        const { data } = await getResource(transaction, releaseKind, params.id)
        return transaction.update(releaseKind, params.id, {
          data: { ...data, ...mergedData(notesOnly, { notes: data.notes }, patch) },
          ...(labels === undefined ? {} : { labels }),
          ...(version === undefined ? {} : { expectedVersion: version }),
        })
      }),
    withdraw: ({ params, caller }) =>
      store.transaction(caller.actor, (transaction) => withdrawRelease(transaction, params.id, updates)),
    async delete({ params, query, caller }) {
      const expected = query.version === undefined ? {} : { expectedVersion: query.version }
      await deleteRelease(rules, { id: params.id, actor: caller.actor, ...expected })
      return undefined
    },
  }
}
