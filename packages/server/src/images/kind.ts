import { isDeepStrictEqual } from 'node:util'
import type { Image } from '@freehold/contracts'

type Status = Image['status']
export type ImageVersion = Status['versions'][number]

/**
 * Tags remembered in an image's status, which every push writes and every watcher receives; older ones are listed by the
 * image's tags alone.
 */
export const versionsLimit = 100

/** What is told about a push before the status is known. */
export interface Push {
  tags: readonly string[]
  digest: string
  mediaType: string
  sizeBytes: number
  platforms: readonly string[]
  pushedBy: string
  /** RFC 3339, UTC. */
  at: string
}

/** The version a push makes of one tag. */
function pushedVersion(push: Push, tag: string): ImageVersion {
  return {
    versionString: tag,
    digest: push.digest,
    mediaType: push.mediaType,
    size: push.sizeBytes,
    platforms: [...push.platforms],
    pushedBy: push.pushedBy,
    createdAt: push.at,
  }
}

/** The status after a push: its tags come first, replacing what they meant before. */
export function withVersions(status: Status, push: Push): Status {
  const pushed = push.tags.map((tag) => pushedVersion(push, tag))
  const kept = status.versions.filter((version) => !push.tags.includes(version.versionString))
  return { ...status, versions: [...pushed, ...kept].slice(0, versionsLimit), lastPushAt: push.at }
}

/** The status after tags went. */
export function withoutVersions(status: Status, tags: readonly string[]): Status {
  return { ...status, versions: status.versions.filter((version) => !tags.includes(version.versionString)) }
}

/** Why an image may not be changed like this, for people; undefined where it may. */
export function refuseChange(before: Image['data'], after: Image['data']): string | undefined {
  if (before.location.internal !== after.location.internal) {
    return 'An image stays internal or external. Create another image for the other location.'
  }
  if (before.location.internal && before.name !== after.name) {
    return `The name of an internal image is its repository ${before.name}. Create an image with the new name and push to it.`
  }
  if (before.location.internal && after.location.internal && !isDeepStrictEqual(before.location, after.location)) {
    return `${before.name} stays ${before.location.mirrorOf ? 'a mirror of what it mirrors' : 'a repository that is pushed to'}. Create another image.`
  }
  return undefined
}
