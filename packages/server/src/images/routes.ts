import { type ImportProgress, imageData, imageKind, type imageRoutes } from '@freehold/contracts'
import type { Actor, Store } from '@freehold/store'
import type { z } from 'zod'
import type { Handlers } from '../http/handler.ts'
import { mergedData } from '../http/merged.ts'
import { getResource, listResources } from '../http/resources.ts'
import { createImage, deleteImage, updateImage } from './service.ts'

type Verbs = 'list' | 'get' | 'create' | 'update' | 'delete' | 'import'
type RouteBody = z.output<typeof imageRoutes.images.import.body>

/** Image records; what their repositories hold is the registry's to tell. */
export function createImageHandlers({
  store,
  importImage,
}: {
  store: Store
  importImage: (request: RouteBody & { actor: Actor; signal: AbortSignal }) => AsyncIterable<ImportProgress>
}): Pick<Handlers<'images'>, Verbs> {
  return {
    list: ({ query }) => listResources(store, imageKind, query),
    get: ({ params }) => getResource(store, imageKind, params.id),
    create: ({ body: { data, labels }, caller }) =>
      store.transaction(caller.actor, (transaction) =>
        createImage(transaction, { data, ...(labels === undefined ? {} : { labels }) }),
      ),
    update: ({ params, body: { data, labels, version }, caller }) =>
      store.transaction(caller.actor, async (transaction) => {
        const before = await getResource(transaction, imageKind, params.id)
        return updateImage(transaction, {
          id: params.id,
          data: mergedData(imageData, before.data, data),
          ...(labels === undefined ? {} : { labels }),
          ...(version === undefined ? {} : { expectedVersion: version }),
        })
      }),
    delete: async ({ params, query: { version }, caller }) => {
      await store.transaction(caller.actor, (transaction) =>
        deleteImage(transaction, { id: params.id, ...(version === undefined ? {} : { expectedVersion: version }) }),
      )
      return undefined
    },
    import: async ({ body, caller, signal }) => importImage({ ...body, actor: caller.actor, signal }),
  }
}
