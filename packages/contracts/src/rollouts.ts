import { z } from 'zod'
import { defineKind, idSchema, resourceSchema } from './resource.ts'
import { defineRoute, getRoute, idParams, listRoute } from './route.ts'
import { healthCheckSchema, publishedPortSchema } from './services.ts'

/** All that decides how a container runs. Two revisions with equal specs run the same thing. */
export const workloadSpec = z.strictObject({
  /** Full reference; by digest (`host/repository@sha256:…`) for images of our registry. */
  image: z.string(),
  mode: z.enum(['replicated', 'global']),
  replicas: z.int().min(0),
  maxReplicasPerNode: z.int().min(0).describe('0: no limit'),
  environment: z.record(z.string(), z.string()),
  command: z.array(z.string()).nullable(),
  ports: z.array(publishedPortSchema),
  cpuLimit: z.number().nullable().describe('Cores'),
  memorySizeMB: z.int().nullable(),
  volumes: z.array(z.strictObject({ name: z.string(), path: z.string(), readOnly: z.boolean() })),
  healthCheck: healthCheckSchema.nullable().describe('With its port filled in; null: "it keeps running"'),
  stopGraceSeconds: z.int(),
})
export type WorkloadSpec = z.output<typeof workloadSpec>

/** Immutable: what a service was at one moment. Kept, so that going back is always possible. */
export const revisionData = z.strictObject({
  serviceId: idSchema,
  number: z.int().min(1).describe('1, 2, 3 … within the service'),
  spec: workloadSpec,
  imageVersion: z.string(),
  imageDigest: z.string().nullable(),
  /** The generation of the service it was made from. */
  serviceGeneration: z.int(),
})
export const revisionKind = defineKind({
  name: 'revision',
  plural: 'revisions',
  data: revisionData,
  status: z.object({}),
  initialStatus: {},
  indexes: {
    serviceId: (revision) => revision.data.serviceId,
    /** The image without tag and digest: who may pull it, and what must be kept. */
    repository: (revision) => repositoryOfReference(revision.data.spec.image),
    /** Who runs a digest, and may therefore not lose it. */
    imageDigest: (revision) => revision.data.imageDigest ?? undefined,
  },
  unique: { number: (revision) => `${revision.data.serviceId}/${revision.data.number}` },
})

/** An image reference without its tag and digest: `host:5000/path`. */
export function repositoryOfReference(reference: string): string {
  const named = reference.split('@')[0] ?? reference
  const colon = named.lastIndexOf(':')
  return colon > named.lastIndexOf('/') ? named.slice(0, colon) : named
}

export const rolloutTriggers = ['create', 'update', 'push', 'manual', 'rollback'] as const

export const rolloutData = z.strictObject({
  serviceId: idSchema,
  clusterId: idSchema,
  revisionId: idSchema,
  revisionNumber: z.int(),
  /** What served before; null for the first. */
  previousRevisionId: idSchema.nullable(),
  /** Of the rollout this one took over from, where that had not ended: it may still run somewhere. */
  supersededRevisionId: idSchema.nullable(),
  trigger: z.enum(rolloutTriggers),
  strategy: z.enum(['beside', 'recreate']),
  /** Seconds the new revision has to become healthy, and must then stay so. */
  deadlineSeconds: z.int(),
  settleSeconds: z.int(),
  /** Set by people; the rollout then goes back. */
  abortRequested: z.boolean(),
})

/**
 * `verifying` comes first where the service's admission demands a signature; nothing of the revision is started in it.
 * `succeeded`, `failed`, `aborted` and `superseded` are final.
 */
export const rolloutPhases = [
  'verifying',
  'starting',
  'settling',
  'retiring',
  'reverting',
  'succeeded',
  'failed',
  'aborted',
  'superseded',
] as const
export const finalPhases: readonly RolloutPhase[] = ['succeeded', 'failed', 'aborted', 'superseded']
export type RolloutPhase = (typeof rolloutPhases)[number]

export const rolloutStatus = z.object({
  phase: z.enum(rolloutPhases),
  /** A sentence: what it waits for, or why it ended so. */
  message: z.string(),
  /** Why it failed or was aborted; null otherwise. Kept through `reverting`. */
  failure: z
    .object({
      outcome: z.enum(['failed', 'aborted', 'superseded']),
      reason: z.string(),
      logTail: z.array(z.string()),
      refused: z.literal(true).optional().describe('Admission refused the image: nothing of it was started'),
    })
    .nullable(),
  /** After a failure: whether the previous revision serves (again); null while unknown or with none before. */
  previousServes: z.boolean().nullable(),
  phaseSince: z.iso.datetime(),
  startedAt: z.iso.datetime(),
  finishedAt: z.iso.datetime().nullable(),
  healthy: z.int(),
  wanted: z.int(),
  /** Every step so far, oldest first, at most 50. */
  history: z.array(z.object({ at: z.iso.datetime(), message: z.string() })),
})

export const rolloutKind = defineKind({
  name: 'rollout',
  plural: 'rollouts',
  data: rolloutData,
  status: rolloutStatus,
  initialStatus: {
    phase: 'starting',
    message: 'Accepted.',
    failure: null,
    previousServes: null,
    phaseSince: '1970-01-01T00:00:00.000Z',
    startedAt: '1970-01-01T00:00:00.000Z',
    finishedAt: null,
    healthy: 0,
    wanted: 0,
    history: [],
  },
  indexes: {
    serviceId: (rollout) => rollout.data.serviceId,
    /** Only those under way, so that the reconciler finds them among many. */
    active: (rollout) => (finalPhases.includes(rollout.status.phase) ? undefined : 'yes'),
    /** For the list of what needs a person. */
    failed: (rollout) => (rollout.status.phase === 'failed' ? 'yes' : undefined),
    activeInCluster: (rollout) => (finalPhases.includes(rollout.status.phase) ? undefined : rollout.data.clusterId),
  },
})

export const rolloutRoutes = {
  revisions: {
    list: listRoute(revisionKind, 'services:read', { serviceId: 'any' }),
    get: getRoute(revisionKind, 'services:read'),
  },
  rollouts: {
    list: listRoute(rolloutKind, 'services:read', { serviceId: 'any', active: ['yes'] }),
    get: getRoute(rolloutKind, 'services:read'),
    abort: defineRoute({
      method: 'POST',
      path: '/api/v1/rollouts/:id/abort',
      summary: 'Stop a rollout and go back to the revision before',
      access: 'services:deploy',
      params: idParams,
      output: resourceSchema(rolloutKind),
      errors: ['not-found', 'conflict'],
    }),
  },
}
