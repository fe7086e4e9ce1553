import { updateTargetKind } from '@freehold/contracts'
import type { Reads } from '@freehold/store'
import { isHeld } from '../images/index.ts'

/** True where bytes must stay: a repository holds them, or they are a file of a release for devices. */
export async function isNeeded(reads: Reads, digest: string): Promise<boolean> {
  if (await isHeld(reads, digest)) return true
  return (await reads.list(updateTargetKind, { where: { blob: digest }, limit: 1 })).items.length > 0
}
