import type { BlobStore } from '@freehold/blobs'
import { FreeholdError } from '@freehold/contracts'
import { systemClock } from '@freehold/reconcile'
import type { Store } from '@freehold/store'
import type { Logger } from 'pino'
import type { PullCredentials } from './clusters/index.ts'
import type { DevicePull, DevicePuller } from './devices/index.ts'
import type { Upstreams } from './external-registries/index.ts'
import type { RawMount } from './http/mounts.ts'
import type { IdentityCaller, IdentityNoun } from './identity/index.ts'
import { createRegistry, type Registry, type RegistryScrub, type RegistryUser } from './registry/index.ts'
import type { ServerSecret } from './secrets/index.ts'

export interface RegistryMount
  extends Pick<
    Registry,
    | 'collectGarbage'
    | 'previewGarbage'
    | 'garbageProgress'
    | 'storage'
    | 'importImage'
    | 'keepArtifact'
    | 'refreshTag'
    | 'hold'
    | 'removeUnneeded'
  > {
  mount: RawMount
  scrub: RegistryScrub
  sweep(): Promise<void>
}

/**
 * The registry behind our door: who its users are comes from the identity noun, what clusters and devices may pull from
 * theirs.
 * It is made with the first request, because the address it is reached at is known only when the port is taken.
 */
export function createRegistryMount(options: {
  store: Store
  blobs: BlobStore
  identity: IdentityNoun
  pull: PullCredentials
  devicePull: DevicePull
  secret: ServerSecret
  upstreams: Upstreams
  publicUrl: () => string
  quotaBytes: number | null
  log: Logger
  scrub: { bytesPerSecond: number; periodMs: number }
  onSuspect: () => void
}): RegistryMount {
  const { store, blobs, identity, pull, devicePull, secret, upstreams, publicUrl, log, scrub, onSuspect } = options
  identity.setClusterCredentials(async (username, password) => {
    const cluster = await pull.verifyClusterPull(username, password)
    if (cluster === undefined) return null
    const { clusterId, mayPull } = cluster
    return {
      identity: { subject: 'agent', userId: clusterId, name: username, role: 'cluster', expiresAt: null },
      actor: { type: 'agent', id: clusterId, name: username },
      mayPull,
    }
  })
  identity.setDeviceCredentials(async (user, nodeToken, { address }) => {
    const puller = await devicePull.verify({ user, nodeToken, address })
    return puller && callerOf(puller)
  })
  let made: Registry | undefined
  const registry = () => {
    made ??= createRegistry({
      store,
      blobs,
      log,
      keys: {
        tokens: secret.deriveKey('registry-tokens').reveal(),
        uploads: secret.deriveKey('registry-uploads').reveal(),
      },
      upstreams,
      publicUrl: publicUrl(),
      clock: systemClock,
      scrub,
      onSuspect,
      quotaBytes: options.quotaBytes,
      authenticateBasic: (username, password, client) =>
        nullWhereWrong(identity.authenticateBasic(username, password, client)),
      authenticateBearer: (token, client) => nullWhereWrong(identity.authenticateBearer(token, client)),
      deviceAgain: async (proof) => {
        const puller = await devicePull.again(proof)
        return puller === null ? null : callerOf(puller)
      },
      // The deploy-on-push job hears of the commit by itself; what it reads is the image's status.
      onPush: ({ repository, tag }) => log.debug({ repository, tag }, 'pushed'),
    })
    return made
  }
  return {
    mount: { prefix: '/v2', handle: (request, response, context) => registry().handle(request, response, context) },
    importImage: (request) => registry().importImage(request),
    keepArtifact: (artifact) => registry().keepArtifact(artifact),
    hold: (digest, work) => registry().hold(digest, work),
    removeUnneeded: (digest) => registry().removeUnneeded(digest),
    refreshTag: (repository, tag) => registry().refreshTag(repository, tag),
    collectGarbage: (pass) => registry().collectGarbage(pass),
    previewGarbage: (pass) => registry().previewGarbage(pass),
    garbageProgress: () => registry().garbageProgress(),
    storage: () => made?.storage() ?? { heldBytes: null, freedBytes: 0 },
    scrub: {
      run: (signal) => registry().scrub.run(signal),
      request: () => registry().scrub.request(),
      suspect: (digest) => registry().scrub.suspect(digest),
      state: () => registry().scrub.state(),
      totals: () => made?.scrub.totals() ?? { damagedBlobs: 0, scrubbedBytes: 0 },
    },
    async sweep() {
      await registry().sweepUploads()
    },
  }
}

/** To the registry a device is an agent that may pull, and of that only what it runs. */
function callerOf(puller: DevicePuller): IdentityCaller & RegistryUser {
  const { deviceId, nodeId, expiresAt } = puller
  return {
    identity: { subject: 'agent', userId: deviceId, name: nodeId, role: 'cluster', expiresAt },
    actor: { type: 'agent', id: deviceId, name: nodeId },
    mayPull: async (repository) => (await puller.digestsIn(repository)).size > 0,
    device: puller,
  }
}

/** Wrong credentials are an answer to the registry, not a failure; too many of them are one. */
async function nullWhereWrong(checking: Promise<IdentityCaller>): Promise<RegistryUser | null> {
  try {
    const { identity, actor, mayPull, device } = await checking
    return { identity, actor, mayPull: mayPull ?? (() => true), ...(device === undefined ? {} : { device }) }
  } catch (error) {
    if (error instanceof FreeholdError && error.status === 401) return null
    throw error
  }
}
