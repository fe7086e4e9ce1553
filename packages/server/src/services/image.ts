import { type Image, manifestKind } from '@freehold/contracts'
import type { Reads } from '@freehold/store'
import type { TagLookup } from '../external-registries/index.ts'
import { imageOf } from './kind.ts'

/** `imageOf`, with our registry asked whether it holds a digest that no tag names any more. */
export async function findImage(
  reads: Reads,
  options: { image: Image; imageVersion: string; registryHost: string; tags?: TagLookup },
): Promise<{ reference: string; digest: string | null } | null> {
  const { image, imageVersion } = options
  const heard = image.data.location.internal ? undefined : options.tags?.find({ image, imageVersion })
  const found = imageOf({
    ...options,
    ...(heard !== undefined && 'digest' in heard ? { heardDigest: heard.digest } : {}),
  })
  if (found !== null || !imageVersion.startsWith('sha256:')) return found
  const manifest = await reads.find(manifestKind, 'reference', `${image.data.name}@${imageVersion}`)
  return imageOf({ ...options, holdsDigest: manifest !== undefined })
}

/** Why the version of an image elsewhere could not be pinned to a digest, for people; undefined where it was or need not be. */
export function pinProblem(
  { image, imageVersion }: { image: Image; imageVersion: string },
  tags: TagLookup | undefined,
): string | undefined {
  const heard = tags?.find({ image, imageVersion })
  return heard !== undefined && 'problem' in heard ? heard.problem : undefined
}
