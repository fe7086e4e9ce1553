import { z } from 'zod'
import { digestSchema } from './digest.ts'
import { repositorySchema } from './images.ts'
import { defineKind, idSchema, keptLabelsSchema, labelsSchema, nameSchema, resourceSchema } from './resource.ts'
import {
  createRoute,
  defineRoute,
  deleteRoute,
  getRoute,
  idParams,
  listRoute,
  orderedListRoute,
  patchOf,
  updateRoute,
} from './route.ts'

/** `app`: containers that the Supervisor runs. `host`: the operating system below them. */
export const releaseTypes = ['app', 'host'] as const
export type ReleaseType = (typeof releaseTypes)[number]

/** Semantic Versioning 2.0.0, without build metadata: versions are compared, and are a segment of paths. */
export const releaseVersionSchema = z
  .string()
  .max(64)
  .regex(
    /^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?$/,
    'a semantic version such as 1.4.0 or 1.5.0-beta.1',
  )
export const deviceTypeSchema = z
  .string()
  .max(64)
  .regex(/^[a-z0-9]([a-z0-9_-]*[a-z0-9])?$/, 'such as raspberrypi4-64 or generic-amd64')

/** An image of our registry, by digest. */
export const releaseImageSchema = z.strictObject({ repository: repositorySchema, digest: digestSchema })

const environmentName = z.string().regex(/^[A-Za-z_][A-Za-z0-9_]{0,254}$/, 'letters, digits and _')
const releaseServiceShape = {
  name: nameSchema,
  environment: z.record(environmentName, z.string().max(8192)).default({}),
  command: z.array(z.string().max(4096)).max(64).nullable().default(null),
  ports: z
    .array(
      z.strictObject({
        host: z.int().min(1).max(65_535),
        container: z.int().min(1).max(65_535),
        protocol: z.enum(['tcp', 'udp']).default('tcp'),
      }),
    )
    .max(64)
    .default([]),
  /** Named volumes of the device; they outlive releases. */
  volumes: z
    .array(
      z.strictObject({
        name: nameSchema,
        path: z
          .string()
          .regex(/^\/[^:\0]*$/, 'an absolute path')
          .max(512),
      }),
    )
    .max(32)
    .default([]),
  restart: z.enum(['always', 'unless-stopped', 'on-failure', 'no']).default('always'),
  network: z.enum(['bridge', 'host']).default('bridge'),
  privileged: z.boolean().default(false),
  /** Such as `io.balena.features.supervisor-api`. */
  labels: keptLabelsSchema.default({}),
}

/** A container of a release. */
export const releaseServiceSchema = z.strictObject({ ...releaseServiceShape, image: releaseImageSchema })
export type ReleaseService = z.output<typeof releaseServiceSchema>

/** The host half of a release: for one type of device. */
export const releaseHostSchema = z.strictObject({
  deviceType: deviceTypeSchema,
  /** The root file system as an image. */
  hostapp: releaseImageSchema,
  /** The device agent that belongs to it; null: the one that is there stays. */
  baserunner: releaseImageSchema.nullable(),
  /** A device with an older host must take a release between first. */
  minimumVersion: releaseVersionSchema.nullable(),
  /** SHA-256 of the licence bundle (`license-bundle.tar.gz`), which lies beside the manifest. */
  licenseBundle: digestSchema.nullable(),
})

const releaseShape = {
  /** What it is a release of: the same for all versions. A host release's is `baseos`. */
  product: nameSchema,
  version: releaseVersionSchema,
  type: z.enum(releaseTypes),
  notes: z.string().max(10_000).default(''),
  /** Devices it may run on; none: any. */
  deviceTypes: z.array(deviceTypeSchema).max(64).default([]),
}

/** Immutable but for `notes`: what a set of containers, or a host, was at one version. */
export const releaseData = z.strictObject({
  ...releaseShape,
  services: z.array(releaseServiceSchema).max(50),
  host: releaseHostSchema.nullable(),
})

const imageReferenceInput = z
  .string()
  .max(512)
  .describe('`repository:tag` or `repository@sha256:…` of our registry; a tag is resolved to its digest now')

export const releaseInput = z.strictObject({
  ...releaseShape,
  services: z
    .array(z.strictObject({ ...releaseServiceShape, image: imageReferenceInput }))
    .max(50)
    .default([]),
  host: z
    .strictObject({
      deviceType: deviceTypeSchema,
      hostapp: imageReferenceInput,
      baserunner: imageReferenceInput.nullable().default(null),
      minimumVersion: releaseVersionSchema.nullable().default(null),
      licenseBundle: z
        .base64()
        .max(12 * 1024 * 1024)
        .nullable()
        .default(null)
        .describe('A .tar.gz of at most 8 MiB, in Base64'),
    })
    .nullable()
    .default(null),
})

export const releaseStatus = z.object({
  /**
   * `unsigned`: its signature is waited for, because the signing key is elsewhere; nobody can get it. `signed`: it may be
   * rolled out. `withdrawn`: taken back; devices refuse it from now on.
   */
  state: z.enum(['unsigned', 'signed', 'withdrawn']),
  message: z.string(),
  /** Where its manifest lies below `/updates/`, and what it is. */
  target: z.object({ path: z.string(), sha256: z.string(), sizeBytes: z.int() }).nullable(),
})

export const releaseKind = defineKind({
  name: 'release',
  plural: 'releases',
  data: releaseData,
  status: releaseStatus,
  initialStatus: { state: 'unsigned', message: 'Its signature is waited for.', target: null },
  indexes: {
    product: ({ data }) => data.product,
    type: ({ data }) => data.type,
    state: ({ status }) => status.state,
  },
  unique: { version: ({ data }) => `${data.product}/${data.host?.deviceType ?? ''}/${data.version}` },
})

/** One row for each image of a release that was not withdrawn: what deletes, retention and pulls ask for. */
export const releaseImageKind = defineKind({
  name: 'release-image',
  plural: 'release-images',
  data: z.strictObject({ releaseId: idSchema, repository: repositorySchema, digest: digestSchema }),
  status: z.object({}),
  initialStatus: {},
  indexes: {
    releaseId: ({ data }) => data.releaseId,
    repository: ({ data }) => data.repository,
    digest: ({ data }) => data.digest,
  },
  unique: { image: ({ data }) => `${data.releaseId}/${data.repository}@${data.digest}` },
})

/**
 * What devices read: `manifest.json` of a release, below `/updates/` at `manifestPathOf`. JSON with sorted keys, so that
 * one release has one text.
 */
export const releaseManifestSchema = z.object({
  schemaVersion: z.literal(1),
  releaseId: idSchema,
  product: nameSchema,
  version: releaseVersionSchema,
  type: z.enum(releaseTypes),
  deviceTypes: z.array(deviceTypeSchema),
  services: z.array(releaseServiceSchema),
  host: releaseHostSchema.nullable(),
})
export type ReleaseManifest = z.output<typeof releaseManifestSchema>

/** `releases/<product>/<version>/manifest.json`, and of a host `baseos/<device-type>/<version>/manifest.json`. */
export function manifestPathOf(release: {
  product: string
  version: string
  host: { deviceType: string } | null
}): string {
  const { product, version, host } = release
  return host === null
    ? `releases/${product}/${version}/manifest.json`
    : `baseos/${host.deviceType}/${version}/manifest.json`
}

/** As people name a release: `shop 1.2.0`, of a host `baseos 3.1.0 for raspberrypi4-64`. */
export function releaseNameOf(release: {
  product: string
  version: string
  host: { deviceType: string } | null
}): string {
  const { product, version, host } = release
  return host === null ? `${product} ${version}` : `${product} ${version} for ${host.deviceType}`
}

export const channelInput = z.strictObject({
  name: nameSchema,
  type: z.enum(releaseTypes).default('app'),
  description: z.string().max(500).default(''),
})

/** Carries the release that its devices shall have. Only a rollout changes which. */
export const channelKind = defineKind({
  name: 'channel',
  plural: 'channels',
  data: channelInput,
  status: z.object({
    /** Of the last rollout that succeeded: what a device gets that joins now; null: none yet. */
    releaseId: idSchema.nullable(),
    /** The rollout under way; null: none. */
    rolloutId: idSchema.nullable(),
    since: z.iso.datetime().nullable(),
  }),
  initialStatus: { releaseId: null, rolloutId: null, since: null },
  indexes: { type: ({ data }) => data.type, releaseId: ({ status }) => status.releaseId ?? undefined },
  unique: { name: ({ data }) => data.name },
})

/** What a device, or each device of a group, runs whatever channels say; null: the channel decides. */
export const releasePins = {
  pinnedAppReleaseId: idSchema.nullable().default(null),
  pinnedHostReleaseId: idSchema.nullable().default(null),
}

export const deviceGroupInput = z.strictObject({
  name: nameSchema,
  description: z.string().max(500).default(''),
  /** A device belongs if it has all of these labels; none: every device does. */
  selector: labelsSchema.default({}),
  /** A device that several groups select belongs to the one with the smallest number, then the first by name. */
  priority: z.int().min(0).max(1_000_000).default(100),
  appChannelId: idSchema.nullable().default(null),
  hostChannelId: idSchema.nullable().default(null),
  ...releasePins,
})
export const deviceGroupKind = defineKind({
  name: 'device-group',
  plural: 'device-groups',
  data: deviceGroupInput.extend({ selector: keptLabelsSchema.default({}) }),
  status: z.object({}),
  initialStatus: {},
  unique: { name: ({ data }) => data.name },
})

const releaseOfDevice = z.object({
  releaseId: idSchema,
  version: z.string(),
  /** Who decided it. */
  by: z.enum(['device-pin', 'group-pin', 'rollout', 'channel']),
})

export const releaseRoutes = {
  releases: {
    list: orderedListRoute(releaseKind, 'releases:read', {
      product: 'any',
      type: releaseTypes,
      state: releaseKind.status.shape.state.options,
    }),
    get: getRoute(releaseKind, 'releases:read'),
    create: defineRoute({
      ...createRoute(releaseKind, 'releases:write', releaseInput),
      summary: 'Make a release: its images are resolved to digests, its manifest is signed',
      errors: ['already-exists', 'not-found', 'conflict'],
      bodyLimitBytes: 16 * 1024 * 1024,
    }),
    update: updateRoute(releaseKind, 'releases:write', patchOf(z.strictObject({ notes: releaseShape.notes }))),
    withdraw: defineRoute({
      method: 'POST',
      path: '/api/v1/releases/:id/withdraw',
      summary: 'Take a release back: no device takes it from now on; those that run it go on',
      access: 'releases:write',
      params: idParams,
      output: resourceSchema(releaseKind),
      errors: ['not-found', 'conflict'],
    }),
    delete: deleteRoute(releaseKind, 'releases:write'),
  },
  channels: {
    list: listRoute(channelKind, 'releases:read', { type: releaseTypes }),
    get: getRoute(channelKind, 'releases:read'),
    create: createRoute(channelKind, 'releases:write', channelInput),
    update: updateRoute(channelKind, 'releases:write', patchOf(channelInput)),
    delete: deleteRoute(channelKind, 'releases:write'),
  },
  deviceGroups: {
    list: listRoute(deviceGroupKind, 'releases:read'),
    get: getRoute(deviceGroupKind, 'releases:read'),
    create: createRoute(deviceGroupKind, 'releases:write', deviceGroupInput),
    update: updateRoute(deviceGroupKind, 'releases:write', patchOf(deviceGroupInput)),
    delete: deleteRoute(deviceGroupKind, 'releases:write'),
    members: defineRoute({
      method: 'GET',
      path: '/api/v1/device-groups/:id/members',
      summary: 'How many devices belong to a group, and the first of them',
      access: 'releases:read',
      params: idParams,
      output: z.object({
        count: z.int(),
        /** At most 100. */
        devices: z.array(z.object({ id: idSchema, name: z.string() })),
      }),
      errors: ['not-found'],
    }),
  },
}

/** What a device shall run and why: part of `GET /api/v1/devices/:id/releases`. */
export const deviceReleasesSchema = z.object({
  group: z.object({ id: idSchema, name: z.string() }).nullable(),
  app: releaseOfDevice.nullable(),
  host: releaseOfDevice.nullable(),
})
