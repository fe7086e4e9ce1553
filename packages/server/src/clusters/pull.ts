import { createHmac, timingSafeEqual } from 'node:crypto'
import { type Cluster, clusterKind, type Desired, imageKind, revisionKind, serviceKind } from '@freehold/contracts'
import { pagesOf, type Store } from '@freehold/store'

/** What a cluster that proved itself may pull. */
export interface ClusterPull {
  clusterId: string
  mayPull(repository: string): Promise<boolean>
}

/** Credentials with which the engines of a cluster pull from our registry. Nothing of them is stored. */
export interface PullCredentials {
  /** For the desired state of a cluster. */
  of(cluster: Cluster): NonNullable<Desired['registry']>
  /** Undefined where user name or password are not a cluster's, or no longer. */
  verifyClusterPull(username: string, password: string): Promise<ClusterPull | undefined>
}

const userPrefix = 'cluster-'

/**
 * The password is an HMAC-SHA-256 (RFC 2104) of the cluster's id and pull epoch: it changes for all nodes as soon as
 * one of them is revoked. It opens repositories of images that services of this cluster use, now or in a kept revision.
 */
export function createPullCredentials(options: {
  store: Store
  serverKey: Uint8Array
  registryHost: () => string
}): PullCredentials {
  const { store, serverKey, registryHost } = options
  const passwordOf = (cluster: Cluster): string =>
    createHmac('sha256', serverKey)
      .update(`cluster-pull\n${cluster.id}\n${cluster.status.pullEpoch}`)
      .digest('base64url')

  const mayPull = async (clusterId: string, repository: string): Promise<boolean> => {
    const image = await store.find(imageKind, 'name', repository)
    if (image !== undefined) {
      const users = await store.list(serviceKind, { where: { imageId: image.id, clusterId }, limit: 1 })
      if (users.items.length > 0) return true
    }
    const asked = new Set<string>()
    const where = { repository: `${registryHost()}/${repository}` }
    for await (const kept of pagesOf(store, revisionKind, { where })) {
      for (const { data } of kept) {
        if (asked.has(data.serviceId)) continue
        asked.add(data.serviceId)
        const service = await store.get(serviceKind, data.serviceId)
        if (service?.data.clusterId === clusterId) return true
      }
    }
    return false
  }

  return {
    of: (cluster) => ({ host: registryHost(), username: `${userPrefix}${cluster.id}`, password: passwordOf(cluster) }),
    async verifyClusterPull(username, password) {
      if (!username.startsWith(userPrefix)) return undefined
      const cluster = await store.get(clusterKind, username.slice(userPrefix.length))
      if (cluster === undefined || !isEqual(password, passwordOf(cluster))) return undefined
      return { clusterId: cluster.id, mayPull: (repository) => mayPull(cluster.id, repository) }
    },
  }
}

function isEqual(one: string, other: string): boolean {
  const [left, right] = [Buffer.from(one), Buffer.from(other)]
  return left.length === right.length && timingSafeEqual(left, right)
}
