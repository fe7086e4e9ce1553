import { externalRegistryData, externalRegistryKind } from '@freehold/contracts'
import type { Store } from '@freehold/store'
import type { Handlers } from '../http/handler.ts'
import { mergedData } from '../http/merged.ts'
import { getResource, listResources, present } from '../http/resources.ts'
import type { Sealer } from '../secrets/index.ts'
import { type Finding, probeContainerRegistry, probeNpmRegistry } from './probe.ts'
import { createExternalRegistry, deleteExternalRegistry, updateExternalRegistry } from './service.ts'
import type { Upstreams } from './upstreams.ts'

const described = externalRegistryData.omit({ sealedPassword: true, passwordSet: true })

export function createExternalRegistryHandlers(options: {
  store: Store
  sealer: Sealer
  upstreams: Upstreams
  now: () => number
}): Handlers<'externalRegistries'> {
  const { store, sealer, upstreams, now } = options

  async function probe(id: string, signal: AbortSignal): Promise<Finding> {
    const registry = await getResource(store, externalRegistryKind, id)
    if (registry.data.type === 'docker') {
      return probeContainerRegistry(await upstreams.of(store, id), registry.data, signal)
    }
    return probeNpmRegistry({ url: new URL(registry.data.url), credentials: upstreams.credentialsOf(registry) }, signal)
  }

  return {
    list: ({ query }) => listResources(store, externalRegistryKind, query),
    get: async ({ params }) => present(externalRegistryKind, await getResource(store, externalRegistryKind, params.id)),
    create: async ({ body: { data, labels }, caller }) => {
      const { password, ...said } = data
      const made = await store.transaction(caller.actor, (transaction) =>
        createExternalRegistry(
          transaction,
          { data: said, password, ...(labels === undefined ? {} : { labels }) },
          sealer,
        ),
      )
      return present(externalRegistryKind, made)
    },
    update: async ({ params, body: { data, labels, version }, caller }) => {
      const { password, ...patch } = data ?? {}
      const changed = await store.transaction(caller.actor, async (transaction) => {
        const before = await getResource(transaction, externalRegistryKind, params.id)
        const { sealedPassword: _sealed, passwordSet: _set, ...said } = before.data
        return updateExternalRegistry(
          transaction,
          {
            id: params.id,
            data: mergedData(described, said, patch),
            password,
            ...(labels === undefined ? {} : { labels }),
            ...(version === undefined ? {} : { expectedVersion: version }),
          },
          sealer,
        )
      })
      return present(externalRegistryKind, changed)
    },
    delete: async ({ params, query: { version }, caller }) => {
      await store.transaction(caller.actor, (transaction) =>
        deleteExternalRegistry(transaction, {
          id: params.id,
          ...(version === undefined ? {} : { expectedVersion: version }),
        }),
      )
      return undefined
    },
    test: async ({ params, caller, signal }) => {
      const { generation } = await getResource(store, externalRegistryKind, params.id)
      const finding = await probe(params.id, signal)
      const testedAt = new Date(now()).toISOString()
      await store.transaction(caller.actor, async (transaction) => {
        const current = await transaction.get(externalRegistryKind, params.id)
        if (current?.generation !== generation) return
        await transaction.setStatus(externalRegistryKind, params.id, {
          state: finding.working ? 'working' : 'failing',
          message: finding.message,
          testedAt,
        })
      })
      return { ...finding, testedAt }
    },
  }
}
