import { type Image, manifestKind, tagKind } from '@freehold/contracts'
import type { Reads } from '@freehold/store'
import type { TagLookup } from '../external-registries/index.ts'
import { imageOf } from './kind.ts'

/** `imageOf`, with our registry asked where the image's record, which lists the newest tags, does not tell. */
export async function findImage(
  reads: Reads,
  options: { image: Image; imageVersion: string; registryHost: string; tags?: TagLookup },
): Promise<{ reference: string; digest: string | null } | null> {
  const { image, imageVersion } = options
  const heard = image.data.location.internal ? undefined : options.tags?.find({ image, imageVersion })
  const heardDigest = heard !== undefined && 'digest' in heard ? heard.digest : undefined
  const found = imageOf({ ...options, heardDigest })
  if (found !== null) return found
  const { name } = image.data
  if (imageVersion.startsWith('sha256:')) {
    const manifest = await reads.find(manifestKind, 'reference', `${name}@${imageVersion}`)
    return imageOf({ ...options, heldDigest: manifest?.data.digest })
  }
  const tag = await reads.find(tagKind, 'reference', `${name}:${imageVersion}`)
  return imageOf({ ...options, heldDigest: tag?.data.digest })
}

/** Why the version of an image elsewhere could not be pinned to a digest, for people; undefined where it was or need not be. */
export function pinProblem(
  { image, imageVersion }: { image: Image; imageVersion: string },
  tags: TagLookup | undefined,
): string | undefined {
  const heard = tags?.find({ image, imageVersion })
  return heard !== undefined && 'problem' in heard ? heard.problem : undefined
}
