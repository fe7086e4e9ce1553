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

export function isDigestAlgorithm(text: string): text is DigestAlgorithm {
  return text === 'sha256' || text === 'sha512'
}
