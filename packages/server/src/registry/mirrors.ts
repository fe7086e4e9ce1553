import { imageKind } from '@freehold/contracts'
import type { Store } from '@freehold/store'
import { RegistryError } from './errors.ts'

/** The repository elsewhere that one of ours is a copy of. */
export interface MirrorSource {
  externalRegistryId: string
  repository: string
}

/** Which repositories are mirrors. Most installations have few or none, so they are held in memory. */
export interface Mirrors {
  sourceOf(repository: string): Promise<MirrorSource | undefined>
  /** Throws `denied` for a mirror. */
  refusePush(repository: string): Promise<void>
}

export function createMirrors({ store }: { store: Store }): Mirrors {
  let known: Promise<Map<string, MirrorSource>> | undefined
  store.onChange(() => {
    known = undefined
  })

  const read = async (): Promise<Map<string, MirrorSource>> => {
    const found = new Map<string, MirrorSource>()
    for (const { data } of await store.all(imageKind, { where: { mirror: 'yes' } })) {
      if (data.location.internal && data.location.mirrorOf) found.set(data.name, data.location.mirrorOf)
    }
    return found
  }
  const sourceOf = async (repository: string): Promise<MirrorSource | undefined> => {
    if (known === undefined) {
      const reading = read()
      known = reading
      reading.catch(() => {
        if (known === reading) known = undefined
      })
    }
    return (await known).get(repository)
  }

  return {
    sourceOf,
    async refusePush(repository) {
      const source = await sourceOf(repository)
      if (source === undefined) return
      throw new RegistryError(
        'denied',
        `${repository} is a mirror of ${source.repository} in another registry and takes no pushes. Push there, or to another repository.`,
      )
    },
  }
}
