import { type DeviceCredential, deviceCredentialKind, deviceKind } from '@freehold/contracts'
import type { Reads } from '@freehold/store'
import { hashOf } from './credentials.ts'
import type { Strangers } from './strangers.ts'

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
   * Null: nobody's token, one that has expired, or of a device that was shut out. Throws `too-many-requests` where tokens of
   * nobody come from this address too often.
   */
  verify(proof: { user: string; nodeToken: string; address: string }): Promise<DevicePuller | null>
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
  strangers: Strangers
  now: () => number
}): DevicePull {
  const { store, imagesOf, strangers, now } = options

  async function pullerOf({ id, data }: DeviceCredential): Promise<DevicePuller | null> {
    const { deviceId, expiresAt } = data
    const device = await store.get(deviceKind, deviceId)
    if (device?.data.access !== 'allowed') return null
    if (expiresAt !== null && Date.parse(expiresAt) <= now()) return null
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
    async verify({ user, nodeToken, address }) {
      const credential = await store.find(deviceCredentialKind, 'token', hashOf(nodeToken))
      if (credential === undefined) {
        strangers.note(address)
        return null
      }
      const puller = await pullerOf(credential)
      return user.startsWith('device') || user === `d_${puller?.nodeId}` ? puller : null
    },
    async again({ deviceId, credentialId }) {
      const credential = await store.get(deviceCredentialKind, credentialId)
      if (credential?.data.purpose !== 'token' || credential.data.deviceId !== deviceId) return null
      return pullerOf(credential)
    },
  }
}
