import {
  type Device,
  type DeviceStatus,
  deviceKind,
  type Release,
  type ReleaseType,
  releaseImageKind,
  releaseKind,
  releaseTypes,
} from '@freehold/contracts'
import type { Store } from '@freehold/store'
import type { PullableImage } from './pull.ts'

/** What a device shall run of each type; null: nothing was said, and what is there stays. */
export type ResolvedReleases = Record<ReleaseType, { releaseId: string } | null>

/** What the device was let pull last, and what before that. A fact beside the device, of each type. */
type Granted = Partial<Record<ReleaseType, { now: string; before: string | null }>>
const grantedFact = 'granted'

/** The ids of the releases whose images and signed files a device may have. */
export type ReleasesOf = (deviceId: string) => Promise<ReadonlySet<string>>

/**
 * Says which releases a device may have. Of each type, application and host:
 * 1. the release it shall run now;
 * 2. the one it was to run before, until it reports that it runs the new one with success: a return needs it;
 * 3. the release it reports to run, where that is of the same product (of a host, for the same type of device) as
 *    what it shall run or was to run last: a device's word alone opens nothing else.
 */
export function createReleasesOf(options: {
  store: Store
  /** What the device shall run: pins, its group's channel, its assignment. */
  resolve: (device: Device) => Promise<ResolvedReleases>
  reportOf: (deviceId: string) => Promise<DeviceStatus | null>
}): ReleasesOf {
  const { store, resolve, reportOf } = options

  async function noteGranted(deviceId: string, shall: ResolvedReleases): Promise<Granted> {
    const facts = await store.facts.get(deviceKind, deviceId)
    const granted = { ...(facts[grantedFact] as Granted | undefined) }
    let isNew = false
    for (const type of releaseTypes) {
      const releaseId = shall[type]?.releaseId
      if (releaseId === undefined || releaseId === granted[type]?.now) continue
      granted[type] = { now: releaseId, before: granted[type]?.now ?? null }
      isNew = true
    }
    if (isNew) store.facts.set(deviceKind, deviceId, grantedFact, granted)
    return granted
  }

  /** True where a release the device says it runs may be what it was given. */
  async function isPlausible(running: string, given: string): Promise<boolean> {
    if (running === given) return true
    const [one, other] = await Promise.all([store.get(releaseKind, running), store.get(releaseKind, given)])
    return one !== undefined && other !== undefined && lineOf(one) === lineOf(other)
  }

  return async (deviceId) => {
    const device = await store.get(deviceKind, deviceId)
    if (device === undefined) return new Set()
    const shall = await resolve(device)
    const granted = await noteGranted(deviceId, shall)
    const report = await reportOf(deviceId)
    const releaseIds = new Set<string>()
    for (const type of releaseTypes) {
      const { now, before } = granted[type] ?? { now: null, before: null }
      const progress = report?.releases?.[type] ?? null
      const current = shall[type]?.releaseId ?? null
      if (current !== null) releaseIds.add(current)
      const hasSucceeded = progress?.releaseId === current && progress?.state === 'succeeded'
      if (current !== null && before !== null && !hasSucceeded) releaseIds.add(before)
      const running = progress?.running ?? null
      if (running !== null && now !== null && (await isPlausible(running, now))) releaseIds.add(running)
    }
    return releaseIds
  }
}

/** Says which images a device may pull. A release that was withdrawn has no rows of images any more, so nobody pulls it. */
export function createImagesOf(options: {
  store: Store
  releasesOf: ReleasesOf
}): (deviceId: string) => Promise<PullableImage[]> {
  const { store, releasesOf } = options
  return async (deviceId) => {
    const images: PullableImage[] = []
    for (const releaseId of await releasesOf(deviceId)) {
      for (const { data } of await store.all(releaseImageKind, { where: { releaseId } })) {
        images.push({ repository: data.repository, digest: data.digest })
      }
    }
    return images
  }
}

/** Releases of one line replace each other. */
function lineOf({ data }: Release): string {
  return [data.type, data.product, data.host?.deviceType ?? ''].join(' ')
}
