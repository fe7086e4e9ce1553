import { z } from 'zod'

/**
 * Values that end up in files of a device's image: in units, NetworkManager's and netplan's files, arguments of
 * programs. Each takes only what none of these can misread. Who asks for a build is told at once, by the same rules that
 * the image tool has.
 */

/** Host names as RFC 1123 section 2.1 has them: one label, at most 63 characters. */
export const imageHostname = z
  .string()
  .max(63, 'must be at most 63 characters')
  .regex(/^[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?$/, 'must be letters, digits and hyphens (RFC 1123)')

export const ubuntuVersion = z.string().regex(/^\d\d\.\d\d(\.\d)?$/, 'must be a version such as 24.04')

export const sha256Hex = z.string().regex(/^[0-9a-f]{64}$/, 'must be a sha256 in lower-case hexadecimal: 64 characters')

export const imageUserName = z
  .string()
  .regex(/^[a-z_][a-z0-9_-]{0,31}$/, 'must begin with a small letter and be small letters, digits, _ and -')
  .refine((name) => name !== 'root', 'must not be root')

export const sshPublicKey = z
  .string()
  .max(16_384)
  .regex(
    /^[a-z0-9@.-]+ [A-Za-z0-9+/]+={0,2}( [A-Za-z0-9@._+:=,/()-]+)*$/,
    'must be one line: type, key in base64, and a comment of letters, digits and @._+:=,/()- if any',
  )
  .refine(isSshKey, 'must be an ed25519, ecdsa, rsa or security-key public key whose type fits its content')

/** 1 to 32 bytes (IEEE 802.11 section 9.4.2.2), of which only those that no file format gives a meaning. */
export const wifiName = z
  .string()
  .min(1)
  .regex(/^[^\p{C}\p{Zl}\p{Zp}"\\]+$/u, 'must not hold control characters, double quotes or backslashes')
  .refine((name) => new TextEncoder().encode(name).length <= 32, 'must be at most 32 bytes')
  .refine((name) => name.isWellFormed(), 'must be well-formed text')

/** A WPA passphrase: 8 to 63 printable ASCII characters (IEEE 802.11 annex J.4). */
export const wifiPassphrase = z.string().regex(/^[\x20-\x7e]{8,63}$/, 'must be 8 to 63 printable ASCII characters')

const sshKeyTypes = new Set([
  'ssh-ed25519',
  'ssh-rsa',
  'ecdsa-sha2-nistp256',
  'ecdsa-sha2-nistp384',
  'ecdsa-sha2-nistp521',
  'sk-ssh-ed25519@openssh.com',
  'sk-ecdsa-sha2-nistp256@openssh.com',
])

/** The key in base64 begins with its own type (RFC 4253 section 6.6). */
function isSshKey(line: string): boolean {
  const [type = '', key = ''] = line.split(' ')
  if (!sshKeyTypes.has(type)) return false
  const bytes = bytesOf(key)
  if (bytes === undefined || bytes.length < 4) return false
  const length = new DataView(bytes.buffer).getUint32(0)
  if (bytes.length <= 4 + length) return false
  return new TextDecoder().decode(bytes.subarray(4, 4 + length)) === type
}

function bytesOf(base64: string): Uint8Array<ArrayBuffer> | undefined {
  try {
    return Uint8Array.from(atob(base64), (character) => character.charCodeAt(0))
  } catch {
    return undefined
  }
}
