import { baseImageKind, buildKind, updateTargetKind } from '@freehold/contracts'
import type { Reads } from '@freehold/store'
import { isHeld } from '../images/index.ts'

/**
 * True where bytes must stay: a repository holds them, or they are a file of a release for devices, the image of a build,
 * or a base image.
 */
export async function isNeeded(reads: Reads, digest: string): Promise<boolean> {
  if (await isHeld(reads, digest)) return true
  for (const kind of [updateTargetKind, buildKind, baseImageKind] as const) {
    if ((await reads.list(kind, { where: { blob: digest }, limit: 1 })).items.length > 0) return true
  }
  return false
}
