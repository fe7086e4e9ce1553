import { type DeviceCredential, deviceCredentialKind, deviceKind } from '@freehold/contracts'
import type { Reads } from '@freehold/store'
import { hashOf } from './credentials.ts'

/** A manifest of our registry. */
export interface PullableImage {
  repository: string
  digest: string
}

/** A device that proved itself to the registry, for one request. */
export interface DevicePuller {
  deviceId: string
  nodeId: string
  /** The node token it proved itself with. */
  credentialId: string
  expiresAt: string | null
  /** The manifests of a repository that it may pull, besides what belongs to them; none: it may not pull from it. */
  digestsIn(repository: string): Promise<ReadonlySet<string>>
}

export interface DevicePull {
  /**
   * Checks a node token. `user` is `device` with anything behind it, or `d_<nodeId>`, which must then be the token's.
   * `unknown`: nobody's token, perhaps a guess; `refused`: one that has expired, or of a device that was shut out.
   */
  verify(user: string, nodeToken: string): Promise<DevicePuller | 'unknown' | 'refused'>
  /** Looks again who proved itself before; null where the token has ended since, or the device was shut out. */
  again(proof: { deviceId: string; credentialId: string }): Promise<DevicePuller | null>
}

/**
 * Lets devices pull. Everything is read anew each time, so that revoking a device, ending a token and assigning another
 * release hold from the next request on. Pulling is no use of a token that ends the one before it: heartbeats are.
 */
export function createDevicePull(options: {
  store: Reads
  /** What the device shall run or runs; see `images.ts`. */
  imagesOf: (deviceId: string) => Promise<readonly PullableImage[]>
  now: () => number
}): DevicePull {
  const { store, imagesOf, now } = options

  async function pullerOf({ id, data }: DeviceCredential): Promise<DevicePuller | 'refused'> {
    const { deviceId, expiresAt } = data
    const device = await store.get(deviceKind, deviceId)
    if (device?.data.access !== 'allowed') return 'refused'
    if (expiresAt !== null && Date.parse(expiresAt) <= now()) return 'refused'
    let images: Promise<readonly PullableImage[]> | undefined
    return {
      deviceId,
      nodeId: device.data.nodeId,
      credentialId: id,
      expiresAt,
      async digestsIn(repository) {
        images ??= imagesOf(deviceId)
        return new Set((await images).filter((image) => image.repository === repository).map(({ digest }) => digest))
      },
    }
  }

  return {
    async verify(user, nodeToken) {
      const credential = await store.find(deviceCredentialKind, 'token', hashOf(nodeToken))
      if (credential === undefined) return 'unknown'
      const puller = await pullerOf(credential)
      if (puller === 'refused') return puller
      return user.startsWith('device') || user === `d_${puller.nodeId}` ? puller : 'refused'
    },
    async again({ deviceId, credentialId }) {
      const credential = await store.get(deviceCredentialKind, credentialId)
      if (credential?.data.purpose !== 'token' || credential.data.deviceId !== deviceId) return null
      const puller = await pullerOf(credential)
      return puller === 'refused' ? null : puller
    },
  }
}
