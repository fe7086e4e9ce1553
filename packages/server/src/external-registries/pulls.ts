import { type Desired, externalRegistryKind, imageKind } from '@freehold/contracts'
import type { Reads } from '@freehold/store'
import type { Upstreams } from './upstreams.ts'

export type ExternalPull = Desired['externalPulls'][number]

/** With what the engines of a cluster pull images of registries elsewhere. */
export interface PullBook {
  /** Credentials for an image (without tag and digest) that an image record binds to a registry; null: it needs none. */
  of(reads: Reads, image: string): Promise<ExternalPull | null>
}

/** `onProblem` hears of passwords that cannot be decrypted; the images are then pulled without. */
export function createPullBook(options: {
  upstreams: Pick<Upstreams, 'credentialsOf'>
  onProblem: (problem: { registryId: string; error: unknown }) => void
}): PullBook {
  return {
    async of(reads, image) {
      for (const { data } of await reads.all(imageKind, { where: { externalImage: image } })) {
        const id = data.location.internal ? undefined : data.location.externalRegistryId
        const registry = id === undefined ? undefined : await reads.get(externalRegistryKind, id)
        if (registry === undefined) continue
        try {
          const credentials = options.upstreams.credentialsOf(registry)
          if (credentials !== null) {
            return { image, username: credentials.username, password: credentials.password.reveal() }
          }
        } catch (error) {
          options.onProblem({ registryId: registry.id, error })
        }
      }
      return null
    },
  }
}
