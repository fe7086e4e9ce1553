import {
  channelKind,
  type DeviceGroup,
  deviceGroupKind,
  deviceKind,
  FreeholdError,
  labelsSchema,
  type ReleaseType,
} from '@freehold/contracts'
import { pagesOf, type Reads, type Store } from '@freehold/store'
import type { Handlers } from '../http/handler.ts'
import { mergedData } from '../http/merged.ts'
import { parsePart, refuseFaults } from '../http/parse.ts'
import { getResource, listResources } from '../http/resources.ts'
import type { Catalog } from './catalog.ts'
import { groupOf, inOrder } from './kind.ts'
import { checkPins } from './service.ts'

const shownMembers = 100

type Data = DeviceGroup['data']

/** What is changed holds for devices from the moment it is answered. */
export function createGroupHandlers(options: { store: Store; catalog: Catalog }): Handlers<'deviceGroups'> {
  const { store, catalog } = options
  const heeded = async <T>(change: Promise<T>): Promise<T> => {
    const result = await change
    await catalog.follow()
    return result
  }
  return {
    list: ({ query }) => listResources(store, deviceGroupKind, query),
    get: ({ params }) => getResource(store, deviceGroupKind, params.id),
    create: ({ body: { data, labels }, caller }) =>
      heeded(
        store.transaction(caller.actor, async (transaction) => {
          await checkGroup(transaction, { before: null, after: data })
          return transaction.create(deviceGroupKind, { data, ...(labels === undefined ? {} : { labels }) })
        }),
      ),
    update: ({ params, body: { data: patch, labels, version }, caller }) =>
      heeded(
        store.transaction(caller.actor, async (transaction) => {
          const before = (await getResource(transaction, deviceGroupKind, params.id)).data
          const data = mergedData(deviceGroupKind.data, before, patch)
          checkSelector({ before, after: data })
          await checkGroup(transaction, { before, after: data })
          return transaction.update(deviceGroupKind, params.id, {
            data,
            ...(labels === undefined ? {} : { labels }),
            ...(version === undefined ? {} : { expectedVersion: version }),
          })
        }),
      ),
    async delete({ params, query, caller }) {
      const expected = query.version === undefined ? {} : { expectedVersion: query.version }
      await heeded(
        store.transaction(caller.actor, (transaction) => transaction.delete(deviceGroupKind, params.id, expected)),
      )
      return undefined
    },
    members: ({ params }) => membersOf(store, params.id),
  }
}

/** What is stored of old may stay in a selector; what is written into it is held to what labels are now. */
function checkSelector({ before, after }: { before: Data; after: Data }): void {
  const written = Object.entries(after.selector).filter(([key, value]) => before.selector[key] !== value)
  refuseFaults(parsePart(labelsSchema, Object.fromEntries(written), 'data.selector').faults)
}

/** Throws `not-found` for a channel or a release there is not, and `conflict` for one of the wrong type. */
async function checkGroup(reads: Reads, { before, after }: { before: Data | null; after: Data }): Promise<void> {
  await checkChannel(reads, { type: 'app', channelId: after.appChannelId })
  await checkChannel(reads, { type: 'host', channelId: after.hostChannelId })
  await checkPins(reads, { before, after })
}

async function checkChannel(
  reads: Reads,
  { type, channelId }: { type: ReleaseType; channelId: string | null },
): Promise<void> {
  if (channelId === null) return
  const { data } = await getResource(reads, channelKind, channelId)
  if (data.type === type) return
  throw new FreeholdError(
    'conflict',
    `${data.name} is a channel of type ${data.type} and cannot be followed as the ${type} channel.`,
  )
}

/** Devices that are let in and belong to the group and to no other before it. Reads those with one label of its selector. */
async function membersOf(store: Store, id: string) {
  const group = await getResource(store, deviceGroupKind, id)
  const groups = inOrder(await store.all(deviceGroupKind))
  const [label] = Object.entries(group.data.selector)
  const devices: { id: string; name: string }[] = []
  let count = 0
  const options = label === undefined ? {} : { label: { key: label[0], value: label[1] } }
  for await (const page of pagesOf(store, deviceKind, options)) {
    for (const device of page) {
      if (device.data.access !== 'allowed' || groupOf(groups, device.labels)?.id !== id) continue
      count += 1
      if (devices.length < shownMembers) devices.push({ id: device.id, name: device.data.name })
    }
  }
  return { count, devices }
}
