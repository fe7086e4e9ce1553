import { channelInput, channelKind, FreeholdError } from '@freehold/contracts'
import type { Store } from '@freehold/store'
import type { Handlers } from '../http/handler.ts'
import { mergedData } from '../http/merged.ts'
import { getResource, listResources } from '../http/resources.ts'
import { followerOf, openRolloutOf } from './users.ts'

/** Channels are made and named here; which release they carry is the rollouts' to say. */
export function createChannelHandlers({ store }: { store: Store }): Handlers<'channels'> {
  return {
    list: ({ query }) => listResources(store, channelKind, query),
    get: ({ params }) => getResource(store, channelKind, params.id),
    create: ({ body: { data, labels }, caller }) =>
      store.transaction(caller.actor, (transaction) =>
        transaction.create(channelKind, { data, ...(labels === undefined ? {} : { labels }) }),
      ),
    update: ({ params, body: { data: patch, labels, version }, caller }) =>
      store.transaction(caller.actor, async (transaction) => {
        const before = await getResource(transaction, channelKind, params.id)
        const data = mergedData(channelInput, before.data, patch)
        if (data.type !== before.data.type) {
          throw new FreeholdError(
            'conflict',
            `${before.data.name} is a channel of type ${before.data.type}, and that never changes. Make another channel.`,
          )
        }
        return transaction.update(channelKind, params.id, {
          data,
          ...(labels === undefined ? {} : { labels }),
          ...(version === undefined ? {} : { expectedVersion: version }),
        })
      }),
    async delete({ params, query, caller }) {
      await store.transaction(caller.actor, async (transaction) => {
        const channel = await getResource(transaction, channelKind, params.id)
        const { name } = channel.data
        const follower = await followerOf(transaction, channel)
        if (follower !== undefined) {
          throw new FreeholdError(
            'conflict',
            `The group ${follower} follows the channel ${name}; give it another first.`,
          )
        }
        if ((await openRolloutOf(transaction, { channelId: channel.id })) !== undefined) {
          throw new FreeholdError('conflict', `A rollout of the channel ${name} is under way; abort it first.`)
        }
        await transaction.delete(
          channelKind,
          params.id,
          query.version === undefined ? {} : { expectedVersion: query.version },
        )
      })
      return undefined
    },
  }
}
