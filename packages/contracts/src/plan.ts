import { z } from 'zod'
import { clusterData } from './clusters.ts'
import { externalRegistrySpec } from './external-registries.ts'
import { externalImageSchema, imageData, repositorySchema } from './images.ts'
import { idSchema, keptLabelsSchema, labelsSchema, nameSchema } from './resource.ts'
import { defineRoute } from './route.ts'
import { serviceData } from './services.ts'

/**
 * Desired state as documents: `export` writes them, `plan` compares them, `apply` makes them so. They name each
 * other by name, never by id, so that they fit an empty server too.
 */
const metadata = { name: nameSchema, labels: keptLabelsSchema.optional() }
export const documentSchema = z.discriminatedUnion('kind', [
  /** Without its password, which no file holds: what is stored stays, and a new one has none until it is set. */
  z.strictObject({ kind: z.literal('external-registry'), ...metadata, spec: externalRegistrySpec }),
  z.strictObject({ kind: z.literal('cluster'), ...metadata, spec: clusterData.omit({ name: true }) }),
  z.strictObject({
    kind: z.literal('image'),
    ...metadata,
    name: imageData.shape.name,
    spec: imageData.omit({ name: true, location: true }).extend({
      location: z
        .discriminatedUnion('internal', [
          z.strictObject({
            internal: z.literal(true),
            mirrorOf: z.strictObject({ externalRegistry: nameSchema, repository: repositorySchema }).optional(),
          }),
          z.strictObject({
            internal: z.literal(false),
            externalImage: externalImageSchema,
            externalRegistry: nameSchema.optional(),
          }),
        ])
        .default({ internal: true }),
    }),
  }),
  z.strictObject({
    kind: z.literal('service'),
    ...metadata,
    spec: serviceData.omit({ name: true, clusterId: true, imageId: true }).extend({
      cluster: nameSchema,
      /** Name of an image; absent: the service's own. */
      image: imageData.shape.name.optional(),
    }),
  }),
])
export type Document = z.output<typeof documentSchema>

export const planChangeSchema = z.object({
  action: z.enum(['create', 'update', 'delete']),
  kind: z.enum(['cluster', 'external-registry', 'image', 'service']),
  name: z.string(),
  id: idSchema.nullable(),
  /** For updates: dotted path, what is stored, what it would be. */
  fields: z.array(z.object({ path: z.string(), from: z.unknown(), to: z.unknown() })),
})
export const planSchema = z.object({
  changes: z.array(planChangeSchema),
  /** What each cluster's agent says it would do in the end, asked live. */
  clusters: z.array(z.object({ cluster: z.string(), steps: z.array(z.string()), problem: z.string().nullable() })),
  /** Given back to `apply`, which refuses (stale-version) if the control plane has changed since. */
  version: z.int(),
})

/** What is exported may hold labels of old; what is applied may not. */
const writtenDocument = documentSchema.superRefine(({ labels = {} }, context) => {
  for (const issue of labelsSchema.safeParse(labels).error?.issues ?? []) {
    context.addIssue({ code: 'custom', path: ['labels', ...issue.path], message: issue.message })
  }
})

const planBody = z.strictObject({
  documents: z.array(writtenDocument).max(10_000),
  /** Delete what the documents do not name; clusters are never deleted by a plan. */
  prune: z.boolean().default(false),
})
const planBodyLimitBytes = 16 * 1024 * 1024

export const planRoutes = {
  plan: {
    export: defineRoute({
      method: 'GET',
      path: '/api/v1/export',
      summary: 'The desired state as documents',
      access: 'plan:read',
      output: z.object({ documents: z.array(documentSchema), version: z.int() }),
    }),
    preview: defineRoute({
      method: 'POST',
      path: '/api/v1/plan',
      summary: 'What applying these documents would change',
      access: 'plan:read',
      body: planBody,
      output: planSchema,
      bodyLimitBytes: planBodyLimitBytes,
    }),
    apply: defineRoute({
      method: 'POST',
      path: '/api/v1/apply',
      summary: 'Make the desired state as the documents say, all or nothing',
      access: 'plan:apply',
      body: planBody.extend({
        version: z.int().optional().describe('From the plan: refuse if anything changed since'),
      }),
      output: z.object({ changes: z.array(planChangeSchema) }),
      errors: ['stale-version', 'conflict', 'not-found'],
      bodyLimitBytes: planBodyLimitBytes,
    }),
  },
}
