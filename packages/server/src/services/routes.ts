import { imageKind, type Service, serviceData, serviceKind } from '@freehold/contracts'
import type { Store } from '@freehold/store'
import type { Handlers } from '../http/handler.ts'
import { mergedData } from '../http/merged.ts'
import { getResource, listResources } from '../http/resources.ts'
import {
  createService,
  deleteService,
  deployService,
  registryTargetOf,
  type ServiceRules,
  updateService,
} from './service.ts'

/** Every verb but `logs`, which needs an agent. */
export function createServiceHandlers({
  store,
  rules,
}: {
  store: Store
  rules: ServiceRules
}): Omit<Handlers<'services'>, 'logs'> {
  /** Before the transaction, which must not wait for a registry elsewhere. */
  async function askTag({ imageId, imageVersion }: Pick<Service['data'], 'imageId' | 'imageVersion'>): Promise<void> {
    const image = imageId === undefined ? undefined : await store.get(imageKind, imageId)
    if (image !== undefined) await rules.tags?.ask(store, { image, imageVersion })
  }

  return {
    list: ({ query }) => listResources(store, serviceKind, query),
    get: ({ params }) => getResource(store, serviceKind, params.id),
    create: async ({ body, caller }) => {
      await askTag(body.data)
      return store.transaction(caller.actor, (transaction) =>
        createService(
          transaction,
          { data: body.data, ...(body.labels === undefined ? {} : { labels: body.labels }) },
          rules,
        ),
      )
    },
    update: async ({ params, body, caller }) => {
      if (body.data?.imageId !== undefined || body.data?.imageVersion !== undefined) {
        const before = await getResource(store, serviceKind, params.id)
        await askTag(mergedData(serviceData, before.data, body.data))
      }
      return store.transaction(caller.actor, async (transaction) => {
        const before = await getResource(transaction, serviceKind, params.id)
        const data = mergedData(serviceData, before.data, body.data)
        const { labels, version } = body
        return updateService(
          transaction,
          {
            id: params.id,
            data,
            ...(labels === undefined ? {} : { labels }),
            ...(version === undefined ? {} : { expectedVersion: version }),
          },
          rules,
        )
      })
    },
    delete: async ({ params, query, caller }) => {
      await store.transaction(caller.actor, (transaction) =>
        deleteService(transaction, {
          id: params.id,
          ...(query.version === undefined ? {} : { expectedVersion: query.version }),
        }),
      )
      return undefined
    },
    deploy: async ({ params, body, caller }) => {
      if (body.revisionId === undefined) {
        const { data } = await getResource(store, serviceKind, params.id)
        await askTag({ imageId: data.imageId, imageVersion: body.imageVersion ?? data.imageVersion })
      }
      return store.transaction(caller.actor, async (transaction) => {
        const { rollout, revision } = await deployService(transaction, { id: params.id, ...body }, rules)
        return { rolloutId: rollout.id, revisionId: revision.id, revisionNumber: revision.data.number }
      })
    },
    registryTarget: ({ params }) => registryTargetOf(store, params.id, rules),
  }
}
