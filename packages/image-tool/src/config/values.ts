import { z } from 'zod'

export {
  imageUserName as userName,
  sha256Hex as sha256,
  sshPublicKey,
  ubuntuVersion,
  wifiName,
  wifiPassphrase,
} from '@freehold/contracts'

/**
 * The single values of a configuration. They end up in GRUB's menus, in systemd units, in NetworkManager's and
 * netplan's files and in arguments of programs, so each takes only what none of these can misread.
 */

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

/** A password as crypt(3) stores it; the plain password never comes here. */
export const passwordHash = z
  .string()
  .regex(
    /^\$(5|6|y|2[aby])\$[A-Za-z0-9./$=,]{16,256}$/,
    'must be a crypt(3) hash, such as `mkpasswd -m yescrypt` gives',
  )

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
