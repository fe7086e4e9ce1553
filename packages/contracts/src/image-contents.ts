import { z } from 'zod'
import { digestSchema } from './digest.ts'
import { repositorySchema } from './images.ts'
import { idSchema } from './resource.ts'
import { defineRoute, idParams, pageOf, pageQuery } from './route.ts'

/** A tag (OCI Distribution 1.1, "Pulling manifests"). */
export const tagNameSchema = z.string().regex(/^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$/, 'a tag such as 1.4.2')

/** Rows of one answer that are no page of their own: deployments, tags of a manifest, referrers. */
export const attachedLimit = 20
/** Tags and manifests that one request may name, and manifests that may go with one request. */
export const deletionLimit = 100
export const deletedManifestsLimit = 1000

/** A service that runs a digest, or that may go back to it. */
export const deploymentSchema = z.object({
  serviceId: idSchema,
  serviceName: z.string(),
  revisionId: idSchema,
  revisionNumber: z.int(),
  /** True where this is what the service serves with now; else the revision is kept to go back to. */
  current: z.boolean(),
})

/** A release of devices that has a digest: some run it, or will, or may go back to it. */
export const holdingReleaseSchema = z.object({
  releaseId: idSchema,
  product: z.string(),
  version: z.string(),
  /** Of a host release; null for one of applications. */
  deviceType: z.string().nullable(),
})

/** What a manifest is for. Signatures, SBOMs and attestations are about another manifest. */
export const manifestPurposes = ['image', 'index', 'signature', 'sbom', 'attestation', 'artifact'] as const

/** How many of each sort are attached, by the referrers API and by cosign's tags; at most 20 are looked at. */
export const attachmentsSchema = z.object({
  signatures: z.int(),
  sboms: z.int(),
  attestations: z.int(),
  others: z.int(),
})

const manifestFacts = {
  digest: digestSchema,
  mediaType: z.string(),
  purpose: z.enum(manifestPurposes),
  artifactType: z.string().nullable(),
  platforms: z.array(z.string()),
  /** Bytes of manifest, config and layers together; of an index with its children's. */
  sizeBytes: z.int(),
  pushedBy: z.string(),
  pushedAt: z.iso.datetime(),
  /** At most 20, those that run now first. */
  deployments: z.array(deploymentSchema),
  /** At most 20, the newest first. */
  releases: z.array(holdingReleaseSchema),
  attachments: attachmentsSchema,
}

export const imageTagSchema = z.object({ tag: z.string(), ...manifestFacts })
export const imageManifestSchema = z.object({
  ...manifestFacts,
  /** At most 20. */
  tags: z.array(z.string()),
  /** What it refers to: a signature's image. */
  subject: digestSchema.nullable(),
})

/** A manifest that refers to another one: by its `subject`, or by a tag as cosign makes it. */
export const referrerSchema = z.object({
  digest: digestSchema,
  purpose: z.enum(manifestPurposes),
  artifactType: z.string().nullable(),
  mediaType: z.string(),
  sizeBytes: z.int(),
  annotations: z.record(z.string(), z.string()),
  /** The tag that attaches it; null where its `subject` does. */
  tag: z.string().nullable(),
  pushedBy: z.string(),
  pushedAt: z.iso.datetime(),
})

/** What an image config tells. Of the environment only names: values may be secrets that were baked in. */
export const imageConfigSchema = z.object({
  platform: z.string().nullable(),
  createdAt: z.string().nullable(),
  author: z.string().nullable(),
  user: z.string().nullable(),
  workingDirectory: z.string().nullable(),
  entrypoint: z.array(z.string()),
  command: z.array(z.string()),
  environmentNames: z.array(z.string()),
  exposedPorts: z.array(z.string()),
  volumes: z.array(z.string()),
  labels: z.record(z.string(), z.string()),
})

export const manifestDetailSchema = z.object({
  ...imageManifestSchema.shape,
  repository: repositorySchema,
  manifestBytes: z.int().describe('Bytes of the manifest itself'),
  annotations: z.record(z.string(), z.string()),
  /** Null for an index, for artifacts, and where the config cannot be read. */
  config: imageConfigSchema.nullable(),
  /** In order, the lowest first; at most 200. */
  layers: z.array(
    z.object({
      digest: digestSchema,
      mediaType: z.string(),
      sizeBytes: z.int(),
      annotations: z.record(z.string(), z.string()),
    }),
  ),
  layerCount: z.int(),
  /** An index's manifests, at most 200; `present` is false where it is no longer here. */
  children: z.array(
    z.object({
      digest: digestSchema,
      mediaType: z.string(),
      purpose: z.enum(manifestPurposes),
      platform: z.string().nullable(),
      sizeBytes: z.int(),
      present: z.boolean(),
    }),
  ),
  childCount: z.int(),
  /** At most 20. */
  referrers: z.array(referrerSchema),
  /** Indexes that name it, at most 20. */
  parents: z.array(digestSchema),
})

/** One image for a list of them. */
export const imageSummarySchema = z.object({
  id: idSchema,
  name: z.string(),
  description: z.string(),
  /** Null for an image of this registry. */
  externalImage: z.string().nullable(),
  /** What a mirror is filled from, as `registry/repository` with the external registry's name; null for what is none. */
  mirrorOf: z.string().nullable(),
  tagCount: z.int(),
  manifestCount: z.int(),
  /** Of all blobs and manifests its repository holds, each once. */
  sizeBytes: z.int(),
  newestTag: z.string().nullable(),
  lastPushAt: z.iso.datetime().nullable(),
  lastPushBy: z.string().nullable(),
  /** Services that use the image, at most 20. */
  services: z.array(z.object({ id: idSchema, name: z.string(), state: z.string(), imageVersion: z.string() })),
})

/** Why something stays, for people. */
const refusalSchema = z.object({
  tag: z.string().nullable(),
  digest: digestSchema.nullable(),
  reason: z.enum(['in-use', 'named-by-index', 'not-found', 'too-many']),
  message: z.string(),
})

export const deletionPlanSchema = z.object({
  /** False for a preview, and true once it is done. */
  deleted: z.boolean(),
  tags: z.array(z.object({ tag: z.string(), digest: digestSchema })),
  manifests: z.array(
    z.object({
      digest: digestSchema,
      mediaType: z.string(),
      purpose: z.enum(manifestPurposes),
      platforms: z.array(z.string()),
      /** `asked`: named in the request. The others come along: nothing else needs them. */
      because: z.enum(['asked', 'untagged', 'child', 'referrer']),
    }),
  ),
  /** Manifests that stay although what they refer to, or the only tag that names them, goes. */
  leftBehind: z.array(
    z.object({
      digest: digestSchema,
      purpose: z.enum(manifestPurposes),
      because: z.enum(['untagged', 'child', 'referrer']),
      /** Why it could not come along; null where that was not asked for. */
      message: z.string().nullable(),
    }),
  ),
  /** Bytes nothing needs any more; garbage collection frees them after its grace time. */
  freedBytes: z.int(),
  /** What stands in the way; nothing at all is deleted while this is not empty. */
  refusals: z.array(refusalSchema),
})

const pages = pageQuery.pick({ limit: true, cursor: true })
const manifestParams = idParams.extend({ digest: digestSchema })

/** Routes below one image: what is in its repository. */
export const imageContentRoutes = {
  summaries: defineRoute({
    method: 'GET',
    path: '/api/v1/image-summaries',
    summary: 'List images with size, tags, last push and the services that use them',
    access: 'images:read',
    query: pageQuery.omit({ label: true }).extend({ id: idSchema.optional().describe('Only this image') }),
    output: pageOf(imageSummarySchema),
    errors: ['invalid-cursor', 'not-found'],
  }),
  tags: defineRoute({
    method: 'GET',
    path: '/api/v1/images/:id/tags',
    summary: 'List the tags of an image, the one moved last first',
    access: 'images:read',
    params: idParams,
    query: pageQuery.omit({ label: true }),
    output: pageOf(imageTagSchema),
    errors: ['not-found', 'invalid-cursor'],
  }),
  tag: defineRoute({
    method: 'GET',
    path: '/api/v1/images/:id/tags/:tag',
    summary: 'Get one tag of an image',
    access: 'images:read',
    params: idParams.extend({ tag: tagNameSchema }),
    output: imageTagSchema,
    errors: ['not-found'],
  }),
  manifests: defineRoute({
    method: 'GET',
    path: '/api/v1/images/:id/manifests',
    summary: 'List the manifests of an image, tagged or not, newest first',
    access: 'images:read',
    params: idParams,
    query: pages,
    output: pageOf(imageManifestSchema),
    errors: ['not-found', 'invalid-cursor'],
  }),
  manifest: defineRoute({
    method: 'GET',
    path: '/api/v1/images/:id/manifests/:digest',
    summary: 'Get one manifest: config, layers, children, referrers, tags and the services and releases that run it',
    access: 'images:read',
    params: manifestParams,
    output: manifestDetailSchema,
    errors: ['not-found', 'conflict'],
  }),
  deletions: defineRoute({
    method: 'POST',
    path: '/api/v1/images/:id/deletions',
    summary: 'Delete tags and manifests of an image, or with `preview` only say what would go',
    access: 'images:push',
    params: idParams,
    body: z
      .strictObject({
        tags: z.array(tagNameSchema).max(deletionLimit).default([]),
        manifests: z.array(digestSchema).max(deletionLimit).default([]).describe('With all tags that name them'),
        cascade: z
          .boolean()
          .default(true)
          .describe(
            'Also what nothing else needs then: manifests without a tag left, children of indexes, signatures and other referrers',
          ),
        preview: z.boolean().default(false).describe('Change nothing'),
      })
      .refine(({ tags, manifests }) => tags.length + manifests.length > 0, 'name a tag or a manifest'),
    output: deletionPlanSchema,
    errors: ['not-found', 'conflict'],
  }),
}

export type ImageSummary = z.output<typeof imageSummarySchema>
export type ImageTag = z.output<typeof imageTagSchema>
export type ImageManifest = z.output<typeof imageManifestSchema>
export type ManifestDetail = z.output<typeof manifestDetailSchema>
export type ManifestPurpose = (typeof manifestPurposes)[number]
export type Deployment = z.output<typeof deploymentSchema>
export type HoldingRelease = z.output<typeof holdingReleaseSchema>
export type Referrer = z.output<typeof referrerSchema>
export type Attachments = z.output<typeof attachmentsSchema>
export type ImageConfig = z.output<typeof imageConfigSchema>
export type DeletionPlan = z.output<typeof deletionPlanSchema>
