import { z } from 'zod'

/**
 * The single values of a configuration. They end up in GRUB's menus, in systemd units, in NetworkManager's and
 * netplan's files and in arguments of programs, so each takes only what none of these can misread.
 */

export const sha256 = z.string().regex(/^[0-9a-f]{64}$/, 'must be a sha256 in lower-case hexadecimal: 64 characters')

/** A host name as RFC 1123 section 2.1 has it, one label or several. */
export const hostname = z
  .string()
  .max(63, 'must be at most 63 characters')
  .regex(
    /^[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*$/,
    'must be letters, digits and hyphens, with dots between labels (RFC 1123)',
  )

/** An absolute path inside the image. */
export const imagePath = z
  .string()
  .max(200, 'must be at most 200 characters')
  .regex(
    /^(\/[A-Za-z0-9._@+:,=%~-]+)+$/,
    'must be an absolute path of letters, digits and . _ @ + : , = % ~ - alone, without a slash at its end',
  )
  .refine((path) => !path.split('/').some((part) => part === '.' || part === '..'), 'must not hold . or .. as a folder')
  .refine((path) => !path.split('/').some((part) => part.length > 100), 'must have names of at most 100 characters')

/** A path of the machine that builds, relative to the configuration's folder and inside it. */
export const sourcePath = z
  .string()
  .min(1)
  .max(1000)
  .regex(/^[^\p{Cc}]+$/u, 'must not hold control characters')
  .refine(
    (path) => !path.startsWith('/') && !path.split('/').includes('..'),
    'must be a relative path inside the folder of the configuration',
  )

export const fileMode = z
  .string()
  .regex(/^0?[0-7]{3}$/, 'must be three octal digits, such as 0644')
  .default('0644')

export const userName = z
  .string()
  .regex(/^[a-z_][a-z0-9_-]{0,31}$/, 'must begin with a small letter and be small letters, digits, _ and -')
  .refine((name) => name !== 'root', 'must not be root')

/** A password as crypt(3) stores it; the plain password never comes here. */
export const passwordHash = z
  .string()
  .regex(
    /^\$(5|6|y|2[aby])\$[A-Za-z0-9./$=,]{16,256}$/,
    'must be a crypt(3) hash, such as `mkpasswd -m yescrypt` gives',
  )

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
  .refine((name) => Buffer.byteLength(name) <= 32, 'must be at most 32 bytes')
  .refine((name) => name.isWellFormed(), 'must be well-formed text')

/** A WPA passphrase: 8 to 63 printable ASCII characters (IEEE 802.11 annex J.4). */
export const wifiPassphrase = z.string().regex(/^[\x20-\x7e]{8,63}$/, 'must be 8 to 63 printable ASCII characters')

export const interfaceName = z
  .string()
  .regex(/^[a-z][a-z0-9]{0,14}$/, 'must be the name of a network interface, such as wlp2s0')

/** One argument of the kernel's command line: nothing that GRUB or the kernel would take for more than itself. */
export const kernelArgument = z
  .string()
  .max(200)
  .regex(
    /^[A-Za-z0-9_][A-Za-z0-9_.-]*(=[A-Za-z0-9_.,:/@%+=-]*)?$/,
    'must be a word or word=value of letters, digits and _ . , : / @ % + = - (no spaces, quotes, $, ; or braces)',
  )

export const unitName = z
  .string()
  .max(100)
  .regex(
    /^[A-Za-z0-9][A-Za-z0-9_.@-]*\.(service|socket|timer|path|mount|target)$/,
    'must be the file name of a systemd unit, such as agent.service',
  )

export const debianPackageName = z.string().regex(/^[a-z0-9][a-z0-9+.-]{1,99}$/, 'must be the name of a Debian package')

/** Text of a file: everything but the null byte, which ends it in most programs. */
export const fileText = z
  .string()
  .max(1024 * 1024, 'must be at most 1 MiB; give larger files as `source`')
  .refine((text) => !text.includes('\0'), 'must not hold a null byte')
  .refine((text) => text.isWellFormed(), 'must be well-formed text')

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
  const bytes = Buffer.from(key, 'base64')
  if (!sshKeyTypes.has(type) || bytes.length < 4) return false
  const length = bytes.readUInt32BE(0)
  return bytes.length > 4 + length && bytes.subarray(4, 4 + length).toString() === type
}
