import { type ExternalRegistry, externalRegistryKind, FreeholdError, registryHostOf } from '@freehold/contracts'
import type { Reads } from '@freehold/store'
import type { Sealer } from '../secrets/index.ts'
import { type Credentials, createRegistryClient, type HttpLimits, type RegistryClient } from './client/index.ts'
import { apiUrlOf } from './kind.ts'

/** Opens registries elsewhere, with the credentials stored for them. */
export interface Upstreams {
  /**
   * Throws `not-found`, and `conflict` where the password cannot be decrypted or the registry is not the one at `host`.
   */
  of(reads: Reads, registryId: string, expected?: { host: string }): Promise<RegistryClient>
  /** The one registered for this host, if there is exactly one; else anonymous, over HTTPS. */
  forHost(reads: Reads, host: string): Promise<RegistryClient>
  credentialsOf(registry: ExternalRegistry): Credentials | null
  close(): void
}

/** Clients kept with their tokens and connections; the ones used longest ago go first. */
const clientsKept = 100

export function createUpstreams(options: {
  sealer: Sealer
  now: () => number
  limits?: Partial<HttpLimits>
}): Upstreams {
  const { sealer, now, limits } = options
  const clients = new Map<string, { generation: number; client: RegistryClient }>()

  const credentialsOf = ({ id, data }: ExternalRegistry): Credentials | null =>
    data.sealedPassword === undefined
      ? null
      : { username: data.username, password: sealer.open(data.sealedPassword, id) }

  const clientAt = (key: string, generation: number, make: () => { url: URL; credentials: Credentials | null }) => {
    const known = clients.get(key)
    if (known?.generation === generation) {
      clients.delete(key)
      clients.set(key, known)
      return known.client
    }
    const client = createRegistryClient({ ...make(), now, ...(limits === undefined ? {} : { limits }) })
    clients.set(key, { generation, client })
    const [oldest] = clients.keys()
    if (clients.size > clientsKept && oldest !== undefined) clients.delete(oldest)
    return client
  }
  const clientOf = (registry: ExternalRegistry): RegistryClient =>
    clientAt(registry.id, registry.generation, () => ({
      url: apiUrlOf(registry.data),
      credentials: credentialsOf(registry),
    }))

  return {
    credentialsOf,
    async of(reads, registryId, expected) {
      const registry = await reads.get(externalRegistryKind, registryId)
      if (registry === undefined) {
        throw new FreeholdError('not-found', `There is no external registry with the id ${registryId}.`)
      }
      if (registry.data.type !== 'docker') {
        throw new FreeholdError('conflict', `${registry.data.name} is a registry of npm packages, not of images.`)
      }
      const host = registryHostOf(registry.data.url)
      if (expected !== undefined && expected.host !== host) {
        throw new FreeholdError('conflict', `The image is at ${expected.host}; ${registry.data.name} is ${host}.`)
      }
      return clientOf(registry)
    },
    async forHost(reads, host) {
      const all = await reads.all(externalRegistryKind, { where: { type: 'docker' } })
      const [one, ...others] = all.filter((registry) => registryHostOf(registry.data.url) === host)
      if (one !== undefined && others.length === 0) return clientOf(one)
      const url = `https://${host}/`
      if (!URL.canParse(url)) throw new FreeholdError('invalid-input', `${host} is no host of a registry.`)
      return clientAt(`host ${host}`, 0, () => ({ url: apiUrlOf({ url }), credentials: null }))
    },
    close() {
      for (const { client } of clients.values()) client.close()
      clients.clear()
    },
  }
}
