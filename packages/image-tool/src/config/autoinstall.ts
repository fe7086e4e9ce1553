import { z } from 'zod'
import { debianPackageName } from './values.ts'

/**
 * The sections of Ubuntu's autoinstall that a configuration may give, with subiquity's names and types. It is a list of
 * what is allowed: sections that run commands, send reports or wait for a person are not in it, and identity, ssh
 * and user-data are written from the configuration's own fields. Every section is one that subiquity's schema
 * (version 1) has, and every value taken here is one that it takes.
 * Source: Ubuntu installation documentation, "Autoinstall configuration reference manual",
 * https://canonical-subiquity.readthedocs-hosted.com/en/latest/reference/autoinstall-reference.html; `storage.swap` is curtin's,
 * as that manual says.
 */
const plainText = z
  .string()
  .min(1)
  .max(200)
  .regex(/^[\x20-\x7e]+$/, 'must be printable ASCII')
const word = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9_.@+-]{0,63}$/, 'must be one word')
const webAddress = z.url({ protocol: /^https?$/ }).max(500)

const match = z.strictObject({
  size: z.enum(['smallest', 'largest']).optional(),
  ssd: z.boolean().optional(),
  model: plainText.optional(),
  vendor: plainText.optional(),
  serial: plainText.optional(),
  path: plainText.optional(),
})

const storage = z.strictObject({
  layout: z
    .strictObject({
      name: z.enum(['lvm', 'direct']),
      match: match.optional(),
      'sizing-policy': z.enum(['scaled', 'all']).optional(),
    })
    .refine(({ name, 'sizing-policy': policy }) => name === 'lvm' || policy === undefined, {
      path: ['sizing-policy'],
      message: 'is for the layout lvm alone',
    }),
  swap: z.strictObject({ size: z.int().min(0) }).optional(),
})

const ipAddress = z.union([z.ipv4(), z.ipv6()])
const addresses = z.union([z.cidrv4(), z.cidrv6()])
const ethernet = z.strictObject({
  match: z
    .strictObject({
      name: word.or(z.string().regex(/^[a-z][a-z0-9]*\*$/)).optional(),
      macaddress: z
        .string()
        .regex(/^([0-9a-f]{2}:){5}[0-9a-f]{2}$/, 'must be a MAC address in small letters')
        .optional(),
    })
    .optional(),
  dhcp4: z.boolean().optional(),
  dhcp6: z.boolean().optional(),
  optional: z.boolean().optional(),
  addresses: z.array(addresses).max(16).optional(),
  routes: z
    .array(z.strictObject({ to: addresses.or(z.literal('default')), via: ipAddress }))
    .max(16)
    .optional(),
  nameservers: z
    .strictObject({ addresses: z.array(ipAddress).max(8).optional(), search: z.array(word).max(8).optional() })
    .optional(),
})

/** netplan's version 2, wired interfaces alone. */
const network = z.strictObject({
  version: z.literal(2),
  ethernets: z.record(z.string().regex(/^[a-z][a-z0-9]{0,14}$/), ethernet).optional(),
})

export const autoinstallSections = z
  .strictObject({
    locale: z
      .string()
      .regex(/^[A-Za-z]{1,8}(_[A-Z]{2})?(\.[A-Za-z0-9-]+)?(@[a-z]+)?$/, 'must be a locale')
      .optional(),
    keyboard: z
      .strictObject({ layout: word, variant: word.or(z.literal('')).optional(), toggle: word.nullable().optional() })
      .optional(),
    timezone: z.string().refine(isTimeZone, 'must be a time zone such as Europe/Berlin').optional(),
    'refresh-installer': z.strictObject({ update: z.boolean() }).optional(),
    source: z.strictObject({ search_drivers: z.boolean().optional(), id: word.optional() }).optional(),
    network: network.optional(),
    proxy: webAddress.nullable().optional(),
    apt: z
      .strictObject({
        geoip: z.boolean().optional(),
        fallback: z.enum(['abort', 'continue-anyway', 'offline-install']).optional(),
      })
      .optional(),
    storage: storage.optional(),
    packages: z.array(debianPackageName).max(200).optional(),
    kernel: z
      .strictObject({ flavor: word })
      .or(z.strictObject({ package: debianPackageName }))
      .optional(),
    updates: z.enum(['security', 'all']).optional(),
    drivers: z.strictObject({ install: z.boolean() }).optional(),
    codecs: z.strictObject({ install: z.boolean() }).optional(),
    shutdown: z.enum(['reboot', 'poweroff']).optional(),
  })
  .describe(
    'Sections of autoinstall (https://canonical-subiquity.readthedocs-hosted.com) that a configuration may give.',
  )

function isTimeZone(name: string): boolean {
  if (!/^[A-Z][A-Za-z0-9_+/-]*$/.test(name)) return false
  try {
    new Intl.DateTimeFormat('en', { timeZone: name })
    return true
  } catch {
    return false
  }
}
