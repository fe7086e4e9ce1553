import { z } from 'zod'
import { autoinstallSections } from './autoinstall.ts'
import {
  fileMode,
  fileText,
  hostname,
  imagePath,
  interfaceName,
  kernelArgument,
  passwordHash,
  sha256,
  sourcePath,
  sshPublicKey,
  ubuntuVersion,
  unitName,
  userName,
  wifiName,
  wifiPassphrase,
} from './values.ts'

/** What `image-tool build --config FILE` reads: one JSON document, one image. */

const baseImage = z
  .strictObject({
    path: z.string().min(1).max(4000).optional().describe('File on this machine, relative to the configuration.'),
    url: z
      .url({ protocol: /^https?$/ })
      .max(4000)
      .optional()
      .describe('HTTP or HTTPS address.'),
    sha256: sha256.optional().describe('Digest of the file as it is at that path or address.'),
    unverified: z
      .literal(true)
      .optional()
      .describe('Takes whatever is there, where no digest is known. It is downloaded for each build anew.'),
  })
  .refine((base) => (base.path === undefined) !== (base.url === undefined), 'must have either path or url')
  .refine(
    (base) => (base.sha256 === undefined) !== (base.unverified === undefined),
    'must have sha256, or "unverified": true where no digest is known',
  )

const contentFields = {
  content: fileText.optional().describe('The text of the file.'),
  contentBase64: z.base64().max(1_400_000).optional().describe('The bytes of the file.'),
  source: sourcePath.optional().describe('A file in the folder of the configuration.'),
  mode: fileMode,
}
const hasOneContent = (file: { content?: unknown; contentBase64?: unknown; source?: unknown }) =>
  [file.content, file.contentBase64, file.source].filter((content) => content !== undefined).length === 1
const oneContent = 'must have exactly one of content, contentBase64 and source'

const wifi = z.strictObject({
  ssid: wifiName,
  passphrase: wifiPassphrase.optional().describe('WPA2; without it the network is open.'),
  hidden: z.boolean().default(false),
})

const common = {
  $schema: z.string().optional(),
  version: z.literal(1),
  base: baseImage,
  output: z
    .strictObject({
      path: z.string().min(1).max(4000).describe('Where the image goes, relative to the configuration.'),
    })
    .optional(),
  date: z.iso
    .datetime()
    .refine((date) => date >= '1980-01-02' && date < '2100', 'must lie between 1980 and 2100')
    .default('2026-01-01T00:00:00Z')
    .describe('Date of every file written, so that equal configurations give equal images.'),
  hostname: hostname.optional(),
}

export const ubuntuIsoConfig = z.strictObject({
  ...common,
  kind: z.literal('ubuntu-iso'),
  architecture: z.enum(['amd64', 'arm64']),
  ubuntuVersion: ubuntuVersion.optional().describe('The base must be of this version.'),
  hostname: hostname.default('ubuntu'),
  user: z
    .strictObject({
      name: userName.default('ubuntu'),
      passwordHash: passwordHash.optional().describe('Without it nobody signs in by password.'),
      sshKeys: z.array(sshPublicKey).max(50).default([]),
      sudo: z.boolean().default(true),
    })
    .optional(),
  wifi: wifi
    .extend({
      interface: interfaceName
        .optional()
        .describe('Without it the first wireless interface, which is then named wlan0.'),
    })
    .optional()
    .describe('For the installed system; the installer itself uses the cable, or none.'),
  files: z
    .array(z.strictObject({ path: imagePath, ...contentFields }).refine(hasOneContent, oneContent))
    .max(1000)
    .default([])
    .describe('Files of the installed system.'),
  units: z
    .array(
      z.strictObject({
        name: unitName,
        content: fileText,
        enable: z.boolean().default(true),
        wantedBy: unitName.default('multi-user.target'),
      }),
    )
    .max(100)
    .default([])
    .describe('systemd units of the installed system.'),
  installScript: fileText
    .optional()
    .describe('Runs as root in the installed system at the end of the installation; begins with #! or is for /bin/sh.'),
  kernelArguments: z
    .array(kernelArgument)
    .max(50)
    .default([])
    .describe('Added to the command line of the installer and of the installed system.'),
  autoinstall: autoinstallSections.default({}),
  instanceId: z
    .string()
    .regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$/)
    .optional()
    .describe("cloud-init's instance id; without it made from the configuration."),
})

const partition = z
  .union([
    z.enum(['boot', 'root', 'state', 'data']),
    z.int().min(1).max(128),
    z.string().regex(/^[A-Za-z0-9_-]{1,36}$/, 'must be a label'),
  ])
  .default('boot')
  .describe("boot, root, state and data are balenaOS's; else a number, or a label of partition or file system.")

export const balenaRawConfig = z.strictObject({
  ...common,
  kind: z.literal('balena-raw'),
  architecture: z.enum(['amd64', 'arm64', 'rpi']),
  wifi: wifi.optional(),
  sshKeys: z.array(sshPublicKey).max(50).default([]),
  config: z
    .record(z.string().min(1).max(200), z.json())
    .default({})
    .describe("Merged into the image's config.json; null removes a key (RFC 7386)."),
  files: z
    .array(z.strictObject({ path: imagePath, partition, ...contentFields }).refine(hasOneContent, oneContent))
    .max(1000)
    .default([])
    .describe('Files of the image, owned by root.'),
  compression: z.enum(['xz', 'zst', 'none']).default('xz'),
  compressionLevel: z.int().min(0).max(3).default(1).describe('For xz: 0 is the fastest, 3 the smallest.'),
})

export const imageConfig = z
  .discriminatedUnion('kind', [ubuntuIsoConfig, balenaRawConfig])
  .meta({ title: 'Configuration of image-tool' })

export type UbuntuIsoConfig = z.infer<typeof ubuntuIsoConfig>
export type BalenaRawConfig = z.infer<typeof balenaRawConfig>
export type ImageConfig = z.infer<typeof imageConfig>
export type BaseImage = z.infer<typeof baseImage>
export type ContentFields = Pick<UbuntuIsoConfig['files'][number], 'content' | 'contentBase64' | 'source'>

/** The JSON Schema of the configuration (draft 2020-12), for editors. It cannot say all that `parseConfig` checks. */
export function configJsonSchema(): string {
  const schema = z.toJSONSchema(imageConfig, { io: 'input' })
  return `${JSON.stringify(schema, undefined, 2)}\n`
}
