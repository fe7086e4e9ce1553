import { createHash, createPublicKey, type KeyObject, verify } from 'node:crypto'

/** A public key whose signatures are accepted. */
export interface TrustedKey {
  /** SHA-256 of its SPKI form (DER), hex; what `openssl pkey -pubin -outform DER | sha256sum` prints. */
  fingerprint: string
  key: KeyObject
  /** Digests its signatures may be made over; null where the scheme hashes by itself (Ed25519). */
  hashes: readonly string[] | null
}

const curves: readonly string[] = ['prime256v1', 'secp384r1', 'secp521r1']
/** Nothing in a signature says which it is (cosign, "Hashing Algorithms"): SHA-256, or the one that suits the curve. */
const hashes = ['sha256', 'sha384', 'sha512']
const modulus = { leastBits: 2048, mostBits: 8192 }

/** Reads a public key in PEM: ECDSA on P-256, P-384 or P-521, RSA from 2048 bits on, or Ed25519. */
export function readKey(pem: string): TrustedKey | { fault: string } {
  let key: KeyObject
  try {
    key = createPublicKey(pem)
  } catch {
    return { fault: 'it cannot be read as a public key in PEM' }
  }
  const fingerprint = createHash('sha256')
    .update(key.export({ type: 'spki', format: 'der' }))
    .digest('hex')
  const { namedCurve, modulusLength } = key.asymmetricKeyDetails ?? {}
  switch (key.asymmetricKeyType) {
    case 'ed25519':
      return { fingerprint, key, hashes: null }
    case 'ec':
      if (curves.includes(namedCurve ?? '')) return { fingerprint, key, hashes }
      return { fault: `the curve ${namedCurve ?? '?'} is not one of P-256, P-384, P-521` }
    case 'rsa':
      if (modulusLength !== undefined && modulusLength >= modulus.leastBits && modulusLength <= modulus.mostBits) {
        return { fingerprint, key, hashes }
      }
      return {
        fault: `an RSA key has ${modulus.leastBits} to ${modulus.mostBits} bits, this one ${modulusLength ?? '?'}`,
      }
    default:
      return { fault: `a key of type ${key.asymmetricKeyType ?? '?'} is not one of ECDSA, RSA, Ed25519` }
  }
}

/**
 * The key that made this signature, or undefined. ECDSA signatures are ASN.1 (RFC 3279 §2.2.3), RSA ones PKCS #1 v1.5
 * (RFC 8017 §8.2), Ed25519 ones pure (RFC 8032 §5.1). Bytes that are no signature at all are by nobody.
 */
export function signerOf(
  { message, signature }: { message: Uint8Array; signature: Uint8Array },
  keys: readonly TrustedKey[],
): TrustedKey | undefined {
  return keys.find(({ key, hashes: allowed }) =>
    (allowed ?? [null]).some((hash) => {
      try {
        return verify(hash, message, key, signature)
      } catch {
        return false
      }
    }),
  )
}

/** Strict base64 (RFC 4648 §4); undefined for anything else, for nothing, and for more than `limitBytes`. */
export function decodeBase64(text: unknown, limitBytes: number): Buffer | undefined {
  if (typeof text !== 'string' || text.length === 0 || text.length > Math.ceil(limitBytes / 3) * 4 + 4) return undefined
  if (text.length % 4 !== 0 || !/^[A-Za-z0-9+/]*={0,2}$/.test(text)) return undefined
  return Buffer.from(text, 'base64')
}
