import { type Image, manifestKind, tagKind } from '@freehold/contracts'
import type { Reads } from '@freehold/store'
import { imageOf } from './kind.ts'

/** `imageOf`, with our registry asked where the image's record, which lists the newest tags, does not tell. */
export async function findImage(
  reads: Reads,
  options: { image: Image; imageVersion: string; registryHost: string },
): Promise<{ reference: string; digest: string | null } | null> {
  const { image, imageVersion } = options
  const found = imageOf(options)
  if (found !== null) return found
  const { name } = image.data
  if (imageVersion.startsWith('sha256:')) {
    const manifest = await reads.find(manifestKind, 'reference', `${name}@${imageVersion}`)
    return imageOf({ ...options, heldDigest: manifest?.data.digest })
  }
  const tag = await reads.find(tagKind, 'reference', `${name}:${imageVersion}`)
  return imageOf({ ...options, heldDigest: tag?.data.digest })
}
