import { type Image, manifestKind } from '@freehold/contracts'
import type { Reads } from '@freehold/store'
import { imageOf } from './kind.ts'

/** `imageOf`, with our registry asked whether it holds a digest that no tag names any more. */
export async function findImage(
  reads: Reads,
  options: { image: Image; imageVersion: string; registryHost: string },
): Promise<{ reference: string; digest: string | null } | null> {
  const { image, imageVersion } = options
  const found = imageOf(options)
  if (found !== null || !imageVersion.startsWith('sha256:')) return found
  const manifest = await reads.find(manifestKind, 'reference', `${image.data.name}@${imageVersion}`)
  return imageOf({ ...options, holdsDigest: manifest !== undefined })
}
