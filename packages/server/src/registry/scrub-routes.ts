import { damagedBlobKind } from '@freehold/contracts'
import type { Store } from '@freehold/store'
import type { AllHandlers } from '../http/handler.ts'
import { getResource, listResources } from '../http/resources.ts'
import type { RegistryScrub } from './scrub.ts'

/** Routes of what the scrub knows. */
export function createScrubHandlers(options: {
  store: Store
  scrub: Pick<RegistryScrub, 'state' | 'request'>
  /** Makes the scrub's loop run soon. */
  wake: () => void
}): Pick<AllHandlers, 'damaged-blobs' | 'scrub'> {
  const { store, scrub, wake } = options
  return {
    'damaged-blobs': {
      list: ({ query }) => listResources(store, damagedBlobKind, query),
      get: ({ params }) => getResource(store, damagedBlobKind, params.id),
    },
    scrub: {
      get: () => scrub.state(),
      run: () => {
        scrub.request()
        wake()
        return scrub.state()
      },
    },
  }
}
