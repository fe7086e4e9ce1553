/** Releases as their noun makes them, with the rows of their images; for tests alone. */
import { type Release, releaseData, releaseImageKind, releaseKind } from '@freehold/contracts'
import type { Store } from '@freehold/store'

const actor = { type: 'user', id: 'rita', name: 'rita' } as const

export interface TestRelease {
  product?: string
  version: string
  /** Makes it a host release for this type of device: its first image is the host's, a second the agent's. */
  deviceType?: string
  images: { repository: string; digest: string }[]
}

export async function makeRelease(store: Store, options: TestRelease): Promise<Release> {
  const { version, deviceType, images } = options
  const [hostapp, baserunner = null] = images
  const data = releaseData.parse({
    product: options.product ?? (deviceType === undefined ? 'shop' : 'baseos'),
    version,
    type: deviceType === undefined ? 'app' : 'host',
    services: deviceType === undefined ? images.map((image, index) => ({ name: `part-${index}`, image })) : [],
    host:
      deviceType === undefined ? null : { deviceType, hostapp, baserunner, minimumVersion: null, licenseBundle: null },
  })
  return store.transaction(actor, async (transaction) => {
    const status = { state: 'signed' as const, message: 'Signed.', target: null }
    const release = await transaction.create(releaseKind, { data, status })
    for (const image of images) {
      await transaction.create(releaseImageKind, { data: { releaseId: release.id, ...image } })
    }
    return release
  })
}

/** What taking a release back does to its images: nothing holds them any more. */
export async function withdraw(store: Store, release: Release): Promise<void> {
  await store.transaction(actor, async (transaction) => {
    for (const { id } of await transaction.all(releaseImageKind, { where: { releaseId: release.id } })) {
      await transaction.delete(releaseImageKind, id)
    }
  })
}
