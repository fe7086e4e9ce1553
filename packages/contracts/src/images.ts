import { z } from 'zod'
import { digestSchema } from './digest.ts'
import { defineKind, idSchema } from './resource.ts'
import { retentionReportSchema, retentionSchema } from './retention.ts'
import { createRoute, defineRoute, deleteRoute, getRoute, idParams, listRoute, patchOf, updateRoute } from './route.ts'

/** A repository name (OCI Distribution 1.1, "Pulling manifests"), at most 255 characters. */
export const repositorySchema = z
  .string()
  .max(255)
  .regex(
    /^[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(\/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*$/,
    'lower-case path such as workloads/web',
  )

/** An image elsewhere, as Docker names it. */
export const externalImageSchema = z
  .string()
  .max(512)
  .regex(/^[a-z0-9]\S*$/, 'such as docker.io/library/nginx')
  .describe('Without tag or digest; the service says which version')

export const imageData = z.strictObject({
  /** For an internal image its repository in our registry; else a name of your choice. */
  name: repositorySchema,
  description: z.string().max(500).default(''),
  location: z
    .discriminatedUnion('internal', [
      z.strictObject({
        internal: z.literal(true),
        mirrorOf: z
          .strictObject({ externalRegistryId: idSchema, repository: repositorySchema })
          .optional()
          .describe('Filled on demand from this repository elsewhere; nobody pushes to it'),
      }),
      z.strictObject({
        internal: z.literal(false),
        externalImage: externalImageSchema,
        externalRegistryId: idSchema.optional().describe('Whose credentials pull it; absent: anybody may'),
      }),
    ])
    .default({ internal: true }),
  /** Of an internal image. Absent: the server's default, which keeps everything unless a setting says otherwise. */
  retention: retentionSchema.optional().describe('Which tags stay; {} keeps all whatever the default says'),
  quotaBytes: z
    .int()
    .min(0)
    .optional()
    .describe('Most bytes of blobs and manifests the repository may hold; without it no limit of its own'),
  anonymousPull: z.boolean().optional().describe('Anybody may pull it without signing in'),
})

export const imageVersionSchema = z.object({
  /** The tag. */
  versionString: z.string(),
  digest: digestSchema,
  mediaType: z.string(),
  /** Bytes of manifest, config and layers together. */
  size: z.int(),
  platforms: z.array(z.string()),
  pushedBy: z.string(),
  createdAt: z.iso.datetime(),
})

export const imageStatus = z.object({
  /** Newest first, at most 100; `images.tags` lists all. */
  versions: z.array(imageVersionSchema),
  lastPushAt: z.iso.datetime().nullable(),
  /** Of all blobs and manifests its repository holds, each once, as of the last push, delete or garbage collection. */
  usedBytes: z.int(),
})

export const imageKind = defineKind({
  name: 'image',
  plural: 'images',
  data: imageData,
  status: imageStatus,
  initialStatus: { versions: [], lastPushAt: null, usedBytes: 0 },
  indexes: {
    /** The image elsewhere without tag and digest: whose credentials a revision that names it is pulled with. */
    externalImage: ({ data: { location } }) => (location.internal ? undefined : location.externalImage),
    mirror: ({ data: { location } }) => (location.internal && location.mirrorOf ? 'yes' : undefined),
    externalRegistryId: ({ data: { location } }) =>
      location.internal ? location.mirrorOf?.externalRegistryId : location.externalRegistryId,
  },
  unique: { name: (image) => image.data.name },
})

/** One line of an import under way; the last has `done`. What was copied stays, so that another run goes on there. */
export const importProgressSchema = z.object({
  /** A sentence: what is being done. */
  message: z.string(),
  /** Blobs of all platforms chosen, and how many are here; zero before they are known. */
  blobs: z.object({ total: z.int(), present: z.int() }),
  bytes: z.object({ total: z.int(), present: z.int(), copied: z.int() }),
  /** Where it ends well: what the tag means now. */
  done: z.object({ repository: repositorySchema, tag: z.string(), digest: digestSchema }).nullable(),
})
export type ImportProgress = z.output<typeof importProgressSchema>

export const imageRoutes = {
  images: {
    list: listRoute(imageKind, 'images:read'),
    get: getRoute(imageKind, 'images:read'),
    create: createRoute(imageKind, 'images:write', imageData),
    update: updateRoute(imageKind, 'images:write', patchOf(imageData)),
    delete: deleteRoute(imageKind, 'images:write'),
    previewRetention: defineRoute({
      method: 'POST',
      path: '/api/v1/images/:id/retention/preview',
      summary: 'What retention would remove of an internal image now, and why; a dry run, also of rules not saved yet',
      access: 'images:read',
      params: idParams,
      body: z.strictObject({
        retention: retentionSchema.optional().describe('Try these rules; absent: those that hold for the image'),
      }),
      output: retentionReportSchema,
      errors: ['not-found', 'conflict'],
    }),
    applyRetention: defineRoute({
      method: 'POST',
      path: '/api/v1/images/:id/retention/apply',
      summary: 'Apply the retention rules of an internal image now, instead of with the next regular pass',
      access: 'images:write',
      params: idParams,
      body: z.strictObject({}),
      output: retentionReportSchema,
      errors: ['not-found', 'conflict'],
    }),
    import: defineRoute({
      method: 'POST',
      path: '/api/v1/images/import',
      summary: 'Copy an image from a registry elsewhere into a repository of ours; ends when the caller goes away',
      access: 'images:push',
      body: z.strictObject({
        source: z
          .string()
          .max(700)
          .regex(/^[a-z0-9]\S*$/, 'such as docker.io/library/nginx:1.27')
          .describe('With a tag (default latest) or a digest'),
        externalRegistryId: idSchema
          .optional()
          .describe("Whose credentials to use; absent: the one registered for the source's host, if there is one"),
        repository: repositorySchema,
        tag: z
          .string()
          .regex(/^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$/, 'a tag')
          .optional()
          .describe("Default: the source's tag, or latest"),
        platforms: z
          .array(z.string().regex(/^[a-z0-9]+\/[a-z0-9_]+(\/[a-z0-9]+)?$/, 'such as linux/amd64'))
          .min(1)
          .max(32)
          .optional()
          .describe('Default: all of them'),
      }),
      output: importProgressSchema,
      format: 'ndjson',
      errors: ['not-found', 'conflict', 'too-many-requests', 'upstream-failed', 'storage-full'],
    }),
  },
}

/** The registry's own bookkeeping (no routes: /v2 serves it). */
export const manifestKind = defineKind({
  name: 'manifest',
  plural: 'manifests',
  data: z.strictObject({
    repository: repositorySchema,
    digest: digestSchema,
    mediaType: z.string(),
    size: z.int(),
    artifactType: z.string().nullable(),
    annotations: z.record(z.string(), z.string()),
    /** Blobs it names: config and layers. */
    blobs: z.array(z.strictObject({ digest: digestSchema, size: z.int() })),
    /** Manifests it names: an index's children. */
    manifests: z.array(digestSchema),
    subject: digestSchema.nullable(),
    /** `os/architecture[/variant]`, of an index those it names; absent where it was pushed before this was kept. */
    platforms: z.array(z.string()).optional(),
    pushedBy: z.string(),
  }),
  /** `untaggedAt`: when a tag last went from it, deleted or moved; absent where that never happened. */
  status: z.object({ untaggedAt: z.iso.datetime().optional() }),
  initialStatus: {},
  indexes: {
    repository: (manifest) => manifest.data.repository,
    digest: (manifest) => manifest.data.digest,
    /** Only those that name manifests: what a delete of another manifest must look at. */
    indexOf: (manifest) => (manifest.data.manifests.length > 0 ? manifest.data.repository : undefined),
    subject: (manifest) =>
      manifest.data.subject === null ? undefined : `${manifest.data.repository}@${manifest.data.subject}`,
  },
  unique: { reference: (manifest) => `${manifest.data.repository}@${manifest.data.digest}` },
})
export const tagKind = defineKind({
  name: 'tag',
  plural: 'tags',
  data: z.strictObject({ repository: repositorySchema, name: z.string(), digest: digestSchema, pushedBy: z.string() }),
  /** `pushedAt`: last, be it with the digest it had; absent on tags from before this was kept. */
  status: z.object({ pushedAt: z.iso.datetime().optional() }),
  initialStatus: {},
  indexes: { repository: (tag) => tag.data.repository, manifest: (tag) => `${tag.data.repository}@${tag.data.digest}` },
  unique: { reference: (tag) => `${tag.data.repository}:${tag.data.name}` },
})
/** Which repository may read which blob: made by upload or mount. */
export const blobLinkKind = defineKind({
  name: 'blob-link',
  plural: 'blob-links',
  data: z.strictObject({ repository: repositorySchema, digest: digestSchema, size: z.int() }),
  status: z.object({}),
  initialStatus: {},
  indexes: { repository: (link) => link.data.repository, digest: (link) => link.data.digest },
  unique: { reference: (link) => `${link.data.repository}@${link.data.digest}` },
})

/**
 * What garbage collection means to take away: a blob's bytes (`repository` null) or a repository's link to a blob. It
 * goes only if it is still condemned a grace time later; whatever needs it again deletes this in its own transaction.
 */
export const condemnedKind = defineKind({
  name: 'condemned',
  plural: 'condemned',
  data: z.strictObject({
    repository: repositorySchema.nullable(),
    digest: digestSchema,
    size: z.int(),
    condemnedAt: z.iso.datetime(),
  }),
  status: z.object({}),
  initialStatus: {},
  indexes: { repository: (condemned) => condemned.data.repository ?? undefined },
  unique: { reference: (condemned) => `${condemned.data.repository ?? ''}@${condemned.data.digest}` },
})

/** What makes bytes of the registry unfit to be served. */
export const damageReasons = ['missing', 'size', 'content', 'unreadable'] as const

/**
 * Bytes of the registry that were found to be not what their digest says. While this is there they are served to
 * nobody; pushing them again, or a later look that finds them whole, takes it away.
 */
export const damagedBlobKind = defineKind({
  name: 'damaged-blob',
  plural: 'damaged-blobs',
  data: z.strictObject({
    digest: digestSchema,
    reason: z.enum(damageReasons),
    expectedBytes: z.int().nullable().describe('As the repositories know it; null where they differ'),
    foundBytes: z.int().nullable(),
    foundDigest: digestSchema.nullable(),
    foundAt: z.iso.datetime(),
    /** At most 20. */
    repositories: z.array(repositorySchema),
    /** Images that need it, as `repository:tag` or `repository@digest`; at most 20. */
    images: z.array(z.string()),
  }),
  status: z.object({}),
  initialStatus: {},
  unique: { digest: (damaged) => damaged.data.digest },
})

/**
 * What a repository holds against its quota; `repository` null: what all hold together, each digest once. Written in the
 * very transactions that add and drop links and manifests. `quotaBytes` repeats the image's.
 */
export const repositoryUsageKind = defineKind({
  name: 'repository-usage',
  plural: 'repository-usages',
  data: z.strictObject({ repository: repositorySchema.nullable(), quotaBytes: z.int().nullable() }),
  status: z.object({ usedBytes: z.int() }),
  initialStatus: { usedBytes: 0 },
  unique: { reference: (usage) => usage.data.repository ?? '' },
})

/** Where a service's own image lives: `workloads/<service-name>-<service-id-prefix>`. */
export function repositoryOfService(service: { id: string; name: string }): string {
  return `workloads/${service.name}-${service.id.slice(0, 8)}`
}
