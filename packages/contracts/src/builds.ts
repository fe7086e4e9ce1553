import { z } from 'zod'
import { buildArchitectures, imageKinds } from './build-workers.ts'
import { digestSchema } from './digest.ts'
import {
  imageHostname,
  imageUserName,
  sha256Hex,
  sshPublicKey,
  ubuntuVersion,
  wifiName,
  wifiPassphrase,
} from './image-values.ts'
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

/**
 * Images of devices, made from a base image. A build worker does the work (`build-workers.ts`); here is what people ask for and
 * what came of it. A build is immutable: another image is another build, with a join token of its own.
 */

const imageUrl = z.url({ protocol: /^https?$/ }).max(4000)
/** Everybody who may read builds sees the address, and the audit log keeps it. */
const plainImageUrl = imageUrl.refine(
  (text) => URL.canParse(text) && new URL(text).username === '' && new URL(text).password === '',
  'an address without user name and password: it is shown and logged',
)

/** `url`: workers fetch it there by themselves. `upload`: its bytes are kept here. */
export const baseImageInput = z
  .strictObject({
    name: nameSchema,
    description: z.string().max(500).default(''),
    imageKind: z.enum(imageKinds),
    architecture: z.enum(buildArchitectures),
    url: plainImageUrl.nullable().default(null),
    /** Of the file as it is at that address or is uploaded; packed images are packed. Null: uploads only, whatever comes. */
    sha256: sha256Hex.nullable().default(null),
  })
  .refine(({ url, sha256 }) => url === null || sha256 !== null, {
    error: 'a base image with a url needs its sha256: what is at an address may change',
    path: ['sha256'],
  })
  .refine(({ imageKind, architecture }) => imageKind === 'balena-raw' || architecture !== 'rpi', {
    error: 'ubuntu-iso is for amd64 and arm64; a Raspberry Pi takes balena-raw',
    path: ['architecture'],
  })

export const baseImageKind = defineKind({
  name: 'base-image',
  plural: 'base-images',
  data: z.strictObject({
    name: nameSchema,
    description: z.string(),
    imageKind: z.enum(imageKinds),
    architecture: z.enum(buildArchitectures),
    url: imageUrl.nullable(),
    sha256: sha256Hex.nullable(),
  }),
  status: z.object({
    /** `uploading`: its bytes are waited for (`resumable-uploads.ts`, at `baseImageContentPath`). */
    state: z.enum(['uploading', 'ready']),
    message: z.string(),
    /** Of an upload: what is kept; null with a url. */
    blob: z.object({ digest: digestSchema, sizeBytes: z.int() }).nullable(),
  }),
  initialStatus: { state: 'uploading', message: 'Its bytes are waited for.', blob: null },
  indexes: {
    imageKind: ({ data }) => data.imageKind,
    architecture: ({ data }) => data.architecture,
    /** Garbage collection must leave it alone. */
    blob: ({ status }) => status.blob?.digest,
  },
  unique: { name: ({ data }) => data.name },
})

export const baseImageContentPath = (id: string) => `/baseos/v1/base-images/${id}/content`
/** Where a worker uploads the image of a build. */
export const buildContentPath = (id: string) => `/baseos/v1/images/${id}/content`
/** Where people fetch it: with `expires` and `signature` as `builds.download` gives them. */
export const buildDownloadPath = (id: string) => `/baseos/v1/images/${id}/download`

const buildWifi = z.strictObject({
  ssid: wifiName,
  passphrase: wifiPassphrase.nullable().default(null).describe('Null: the network is open'),
  hidden: z.boolean().default(false),
})

const compression = z.enum(['xz', 'zst', 'none'])

/** What is taken where nothing is said, of images that have it. */
export const buildDefaults = { ubuntuVersion: '24.04', sshUser: 'baseos', compression: 'xz' } as const

const buildShape = {
  imageKind: z.enum(imageKinds),
  architecture: z.enum(buildArchitectures),
  /** Null: Ubuntu's own of that version, for `ubuntu-iso` alone. */
  baseImageId: idSchema.nullable().default(null),
  ubuntuVersion: ubuntuVersion.default(buildDefaults.ubuntuVersion),
  hostname: imageHostname.nullable().default(null).describe('Null: one made from the build, `baseos-…`'),
  sshUser: imageUserName.default(buildDefaults.sshUser),
  sshPublicKey: sshPublicKey.nullable().default(null).describe('Without it nobody signs in by SSH'),
  heartbeatIntervalMs: z.int().min(5_000).max(86_400_000).default(60_000),
  compression: compression.default(buildDefaults.compression),
  /** Given to the device that enrols with the image; device groups choose by them. */
  deviceLabels: keptLabelsSchema.default({}),
}

const buildFields = z.strictObject({
  ...buildShape,
  ubuntuVersion: ubuntuVersion
    .optional()
    .describe("Of Ubuntu's own, for `ubuntu-iso` without a base image; default 24.04"),
  sshUser: imageUserName
    .optional()
    .describe('Of `ubuntu-iso`, where the default is baseos; other images have root alone'),
  deviceLabels: labelsSchema
    .default({})
    .describe('Given to the device that enrols with it; device groups choose by them'),
  compression: compression.optional().describe('Of `balena-raw`; default xz, zst is much faster and a fifth larger'),
  wifi: buildWifi.nullable().default(null),
  tokenExpiresInSeconds: z
    .int()
    .min(3600)
    .max(366 * 86_400)
    .default(30 * 86_400)
    .describe('The device must enrol until then; default 30 days'),
  keepForDays: z.int().min(1).max(366).default(14).describe('The image is removed after that, its record stays'),
})

/** What would have no effect is refused instead of passed over. */
export const buildInput = buildFields.superRefine((input, context) => {
  const { imageKind, baseImageId } = input
  const refuse = (path: keyof typeof buildDefaults, message: string) => {
    if (input[path] !== undefined) context.addIssue({ code: 'custom', path: [path], message })
  }
  if (imageKind === 'balena-raw')
    refuse('sshUser', 'works for ubuntu-iso alone: on balena-raw the SSH key is that of root')
  if (imageKind === 'ubuntu-iso') refuse('compression', 'works for balena-raw alone: an ubuntu-iso is not packed')
  if (imageKind === 'balena-raw' || baseImageId !== null) {
    refuse(
      'ubuntuVersion',
      'works for ubuntu-iso without a base image alone: a base image is of whatever version it is',
    )
  }
})

export const buildStates = ['waiting', 'building', 'succeeded', 'failed', 'cancelled'] as const

const buildData = z.strictObject({
  ...buildShape,
  wifi: z.strictObject({ ssid: z.string(), isOpen: z.boolean(), hidden: z.boolean() }).nullable(),
  keepForDays: z.int(),
  joinTokenId: idSchema,
  /** The name of who asked for it. */
  requestedBy: z.string().optional(),
  /** Join token and Wi-Fi passphrase, encrypted; null when no attempt will need them any more. */
  sealed: z.string().nullable(),
})

export const buildKind = defineKind({
  name: 'build',
  plural: 'builds',
  data: buildData,
  status: z.object({
    state: z.enum(buildStates),
    /** What happens, or why it failed and what to do: a sentence. */
    message: z.string(),
    /** Counts from 1; a worker that was lost is followed by another attempt. 0: none yet. */
    attempt: z.int(),
    workerId: z.string().nullable(),
    /** Of the present attempt. `phase` is the worker's word. */
    progress: z.object({ phase: z.string(), doneBytes: z.number(), totalBytes: z.number().nullable() }).nullable(),
    startedAt: z.iso.datetime().nullable(),
    endedAt: z.iso.datetime().nullable(),
    artifact: z
      .object({
        filename: z.string(),
        contentType: z.string(),
        sizeBytes: z.int(),
        sha256: sha256Hex,
        /** Null once it was removed; the record stays. */
        location: z
          .union([
            z.object({ store: z.literal('blobs'), digest: digestSchema }),
            z.object({ store: z.literal('s3'), bucketName: z.string(), key: z.string() }),
          ])
          .nullable(),
        createdAt: z.iso.datetime(),
        expiresAt: z.iso.datetime(),
        /** Who asked for its address last; the audit log has them all. */
        lastDownload: z.object({ at: z.iso.datetime(), by: z.string() }).optional(),
      })
      .nullable(),
  }),
  initialStatus: {
    state: 'waiting',
    message: 'Waits for a build worker.',
    attempt: 0,
    workerId: null,
    progress: null,
    startedAt: null,
    endedAt: null,
    artifact: null,
  },
  indexes: {
    state: ({ status }) => status.state,
    imageKind: ({ data }) => data.imageKind,
    architecture: ({ data }) => data.architecture,
    baseImageId: ({ data }) => data.baseImageId ?? undefined,
    /** What is not ended: the dispatcher's list. */
    open: ({ status }) => (status.state === 'waiting' || status.state === 'building' ? 'yes' : undefined),
    /** Kept images, for the clean-up. */
    kept: ({ status }) => (status.artifact !== null && status.artifact.location !== null ? 'yes' : undefined),
    /** Garbage collection must leave it alone. */
    blob: ({ status }) => (status.artifact?.location?.store === 'blobs' ? status.artifact.location.digest : undefined),
  },
  redact: ['sealed'],
})

const publicBuild = { ...buildKind, data: buildData.omit({ sealed: true }) }

export const buildLogLineSchema = z.object({
  at: z.iso.datetime(),
  attempt: z.int(),
  text: z.string(),
})
export type BuildLogLine = z.output<typeof buildLogLineSchema>

/** A worker as the control plane sees it now. */
export const buildWorkerSchema = z.object({
  /** As configured, else its address. `local`: the one of this machine. */
  id: z.string(),
  url: z.string().nullable().describe('Null: the one of this machine'),
  state: z
    .enum(['idle', 'busy', 'token-refused', 'unreachable', 'off'])
    .describe('`token-refused`: it does not accept the token that is configured for it'),
  message: z.string(),
  workerId: z.string().nullable(),
  architectures: z.array(z.string()),
  imageKinds: z.array(z.string()),
  cpuCores: z.number().nullable(),
  memoryGb: z.number().nullable(),
  runningJobs: z.int(),
})
export type BuildWorker = z.output<typeof buildWorkerSchema>

export const buildRoutes = {
  builds: {
    list: orderedListRoute(publicBuild, 'builds:read', {
      state: buildStates,
      imageKind: imageKinds,
      architecture: buildArchitectures,
      baseImageId: 'any',
    }),
    get: getRoute(publicBuild, 'builds:read'),
    create: createRoute(publicBuild, 'builds:write', buildInput),
    cancel: defineRoute({
      method: 'POST',
      path: '/api/v1/builds/:id/cancel',
      summary: 'End a build; its join token is revoked and nothing of it stays',
      access: 'builds:write',
      params: idParams,
      output: resourceSchema(publicBuild),
      errors: ['not-found', 'conflict'],
    }),
    log: defineRoute({
      method: 'GET',
      path: '/api/v1/builds/:id/log',
      summary: 'What the workers said; with `follow` until the build has ended',
      access: 'builds:read',
      params: idParams,
      query: z.strictObject({ follow: z.stringbool().default(false) }),
      output: buildLogLineSchema,
      format: 'ndjson',
      errors: ['not-found'],
    }),
    download: defineRoute({
      method: 'POST',
      path: '/api/v1/builds/:id/download',
      summary: 'An address to download the image from, good for some minutes; the image holds a join token',
      access: 'builds:write',
      params: idParams,
      body: z.strictObject({ expiresInSeconds: z.int().min(60).max(86_400).default(900) }),
      output: z.object({
        url: z.url(),
        expiresAt: z.iso.datetime(),
        filename: z.string(),
        sizeBytes: z.int(),
        sha256: sha256Hex,
      }),
      errors: ['not-found', 'conflict'],
    }),
    delete: deleteRoute(publicBuild, 'builds:write'),
  },
  baseImages: {
    list: listRoute(baseImageKind, 'builds:read', { imageKind: imageKinds, architecture: buildArchitectures }),
    get: getRoute(baseImageKind, 'builds:read'),
    create: createRoute(baseImageKind, 'builds:write', baseImageInput),
    update: updateRoute(
      baseImageKind,
      'builds:write',
      patchOf(z.strictObject({ name: nameSchema, description: z.string().max(500) })),
    ),
    delete: deleteRoute(baseImageKind, 'builds:write'),
  },
  buildWorkers: {
    list: defineRoute({
      method: 'GET',
      path: '/api/v1/build-workers',
      summary: 'The build workers, asked now',
      access: 'builds:read',
      output: z.object({ items: z.array(buildWorkerSchema) }),
    }),
  },
}

/** What the device is called that starts from the image: as asked for, else after the end of the build's id, which is random. */
export function hostnameOfBuild({ id, hostname }: { id: string; hostname: string | null }): string {
  return hostname ?? `baseos-${id.slice(-8)}`
}
