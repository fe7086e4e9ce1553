import { z } from 'zod'
import { digestSchema } from './digest.ts'
import { retentionSchema } from './retention.ts'
import { defineRoute } from './route.ts'

/** What the registry as a whole holds, and may hold. */
export const registryStorageSchema = z.object({
  /** Of all blobs and manifests that repositories hold, each counted once. Quotas are about these. */
  usedBytes: z.int(),
  /** `FREEHOLD_REGISTRY_QUOTA_GIB`; null: no limit. */
  quotaBytes: z.int().nullable(),
  /** On the disk, garbage included, as the last whole garbage collection found it; null before the first. */
  heldBytes: z.int().nullable(),
  /** By garbage collection, since the process began. */
  freedBytes: z.int(),
  /** What images without rules of their own follow; null: everything stays. */
  defaultRetention: retentionSchema.nullable(),
})

export const garbagePassSchema = z.object({
  startedAt: z.iso.datetime(),
  finishedAt: z.iso.datetime(),
  /** False where it was stopped before the end. */
  complete: z.boolean(),
  condemned: z.int(),
  droppedLinks: z.int(),
  removedBlobs: z.int(),
  freedBytes: z.int(),
  failures: z.int(),
})

export const garbageStatusSchema = z.object({
  running: z.boolean(),
  /** Passes that ended since the process began: after a run was asked for, wait until this is greater. */
  passes: z.int(),
  last: garbagePassSchema.nullable(),
  /** How long a thing must have been condemned before it goes. */
  graceMs: z.int(),
  periodMs: z.int(),
})
export type GarbageStatus = z.output<typeof garbageStatusSchema>

const garbageTally = z.object({ blobs: z.int(), links: z.int(), bytes: z.int().describe('Of the blobs') })

/** What garbage collection would do now; nothing is changed by asking. */
export const garbagePreviewSchema = z.object({
  at: z.iso.datetime(),
  /** False where there was too much to look at all of it. */
  complete: z.boolean(),
  /** Would go in a pass now. */
  due: garbageTally,
  /** Condemned, or to be condemned by a pass now; goes at `goesAt`, unless something needs it again. */
  waiting: garbageTally,
  /** `repository` null: bytes on the disk; else only that repository's link to them. Due ones first, at most 1,000. */
  items: z.array(
    z.object({
      repository: z.string().nullable(),
      digest: digestSchema,
      sizeBytes: z.int(),
      due: z.boolean(),
      /** Not before. */
      goesAt: z.iso.datetime(),
      reason: z.string(),
    }),
  ),
  truncated: z.boolean(),
})
export type GarbagePreview = z.output<typeof garbagePreviewSchema>

export const registryRoutes = {
  registry: {
    storage: defineRoute({
      method: 'GET',
      path: '/api/v1/registry/storage',
      summary: 'How much the registry holds, and may hold',
      access: 'images:read',
      output: registryStorageSchema,
    }),
    garbage: defineRoute({
      method: 'GET',
      path: '/api/v1/registry/garbage',
      summary: 'How garbage collection stands',
      access: 'images:read',
      output: garbageStatusSchema,
    }),
    previewGarbage: defineRoute({
      method: 'GET',
      path: '/api/v1/registry/garbage/preview',
      summary: 'What garbage collection would take now, and why; a dry run',
      access: 'images:read',
      output: garbagePreviewSchema,
    }),
    collectGarbage: defineRoute({
      method: 'POST',
      path: '/api/v1/registry/garbage',
      summary: 'Collect garbage now; grace times hold as ever',
      access: 'images:write',
      output: garbageStatusSchema,
      status: 202,
    }),
  },
}
