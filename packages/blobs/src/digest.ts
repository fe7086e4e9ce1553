import { BlobError } from './errors.ts'

/** Digests as the OCI image specification writes them ("Descriptor", section "Digests"): `algorithm:hex`. */
export type DigestAlgorithm = 'sha256' | 'sha512'

export interface Digest {
  algorithm: DigestAlgorithm
  /** Lower-case hexadecimal: 64 characters for sha256, 128 for sha512. */
  hex: string
}

const digestPattern = /^(?:sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$/

/** Undefined for anything but a whole sha256 or sha512 digest; what it answers is safe as part of a path. */
export function parseDigest(text: string): Digest | undefined {
  if (!digestPattern.test(text)) return undefined
  return { algorithm: text.startsWith('sha256:') ? 'sha256' : 'sha512', hex: text.slice(7) }
}

/** Like `parseDigest`; throws `digest-invalid`. */
export function requireDigest(text: string): Digest {
  const digest = parseDigest(text)
  if (digest === undefined) throw new BlobError('digest-invalid', 'A digest is sha256: or sha512: and its hex form.')
  return digest
}

/** Throws `digest-mismatch` where the content's own digest, in hex, is not the one it was sent under. */
export function requireSameDigest(digest: Digest, actualHex: string): void {
  const { algorithm, hex } = digest
  if (actualHex === hex) return
  throw new BlobError(
    'digest-mismatch',
    `The content has the digest ${algorithm}:${actualHex}, not ${algorithm}:${hex}.`,
  )
}

export function isDigestAlgorithm(text: string): text is DigestAlgorithm {
  return text === 'sha256' || text === 'sha512'
}
