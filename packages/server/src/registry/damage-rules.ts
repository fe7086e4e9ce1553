import type { damageReasons } from '@freehold/contracts'

/** What reading a blob to its end came to. */
export type Reading =
  | { kind: 'read'; sizeBytes: number; digest: string }
  | { kind: 'missing' }
  /** The storage says that these bytes cannot be read, not that it is away. */
  | { kind: 'unreadable' }

/** What is wrong with the bytes of a digest; `sizesBytes` are what its names say. */
export interface Finding {
  reason: (typeof damageReasons)[number]
  expectedBytes: number | null
  foundBytes: number | null
  foundDigest: string | null
}

/** Undefined where the bytes are those of the digest. */
export function findingOf(digest: string, reading: Reading, sizesBytes: readonly number[]): Finding | undefined {
  const [first] = sizesBytes
  const expectedBytes = first !== undefined && sizesBytes.every((size) => size === first) ? first : null
  if (reading.kind !== 'read') return { reason: reading.kind, expectedBytes, foundBytes: null, foundDigest: null }
  if (reading.digest === digest) return undefined
  const isOtherSize = expectedBytes !== null && expectedBytes !== reading.sizeBytes
  return {
    reason: isOtherSize ? 'size' : 'content',
    expectedBytes,
    foundBytes: reading.sizeBytes,
    foundDigest: reading.digest,
  }
}

/** Codes with which disks and file systems say that what they hold is broken; anything else may pass. */
const brokenCodes = new Set(['EIO', 'EUCLEAN', 'EBADMSG'])

/** True where an error of reading tells of the bytes themselves. */
export function tellsOfBrokenBytes(error: unknown): boolean {
  for (let at = error; at instanceof Error; at = at.cause) {
    if ('code' in at && typeof at.code === 'string' && brokenCodes.has(at.code)) return true
  }
  return false
}

/** The sentence for people. */
export function describeDamage(damaged: { digest: string; images: readonly string[] } & Finding): string {
  const what = {
    missing: 'are missing',
    unreadable: 'cannot be read from the disk',
    size: `are ${damaged.foundBytes} instead of ${damaged.expectedBytes} bytes`,
    content: 'have changed',
  }[damaged.reason]
  const [first, ...others] = damaged.images
  const which =
    first === undefined
      ? 'whatever needs it'
      : `${first}${others.length > 0 ? `, or one of ${others.length} more,` : ''}`
  // Names of images of the registry hold no space; `build …` and `base-image …` do.
  const again = first?.includes(' ') === true ? 'Make or upload' : 'Push'
  return `The stored bytes of ${damaged.digest} ${what}; they are not served. ${again} ${which} again to heal it.`
}
