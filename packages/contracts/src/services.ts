import { z } from 'zod'
import { driftSchema } from './clusters.ts'
import { defineKind, idSchema, nameSchema, resourceSchema } from './resource.ts'
import { createRoute, defineRoute, deleteRoute, getRoute, idParams, listRoute, patchOf, updateRoute } from './route.ts'

const portSchema = z.int().min(1).max(65_535)
const environmentSchema = z
  .record(z.string().regex(/^[A-Za-z_][A-Za-z0-9_]*$/, 'a name like DATABASE_URL'), z.string().max(32_768))
  .refine((environment) => Object.keys(environment).length <= 500, 'at most 500 variables')

/** A port of the container published on the node itself (Swarm's host mode: no routing mesh in between). */
export const publishedPortSchema = z.strictObject({
  target: portSchema.describe('Port in the container'),
  published: portSchema.describe('Port on the node'),
  protocol: z.enum(['tcp', 'udp']).default('tcp'),
})

/**
 * How to tell that a container serves. `http` and `tcp` are asked by the agent of the node the container runs on,
 * `command` runs inside it. Without one: `tcp` on `ports.web`, and without a port "it keeps running".
 */
export const healthCheckSchema = z.discriminatedUnion('type', [
  z.strictObject({
    type: z.literal('http'),
    path: z
      .string()
      .regex(/^\/\S*$/, 'starts with /')
      .max(1024)
      .default('/'),
    port: portSchema.optional().describe('Default: ports.web'),
    timeoutSeconds: z.int().min(1).max(60).default(5),
  }),
  z.strictObject({
    type: z.literal('tcp'),
    port: portSchema.optional().describe('Default: ports.web'),
    timeoutSeconds: z.int().min(1).max(60).default(5),
  }),
  z.strictObject({
    type: z.literal('command'),
    command: z.array(z.string().max(4096)).min(1).max(64).describe('Argument array; exit 0 is healthy'),
    timeoutSeconds: z.int().min(1).max(60).default(5),
  }),
])

/** A tag, or a digest `sha256:…` to pin it. */
const imageVersionSchema = z
  .string()
  .regex(/^([A-Za-z0-9_][A-Za-z0-9._-]{0,127}|sha256:[0-9a-f]{64})$/, 'a tag or a sha256 digest')

/**
 * What an image must show before a rollout starts anything of it. Absent: any image may run. Keys are public keys as
 * `cosign generate-key-pair` writes them; the server reads them and says what is wrong with one.
 */
export const admissionSchema = z.strictObject({
  /** PEM; a signature by any one of them is enough. */
  signedBy: z
    .array(
      z
        .string()
        .max(8192)
        .regex(/^\s*-----BEGIN (RSA )?PUBLIC KEY-----\r?\n[A-Za-z0-9+/=\r\n]+-----END (RSA )?PUBLIC KEY-----\s*$/, {
          error: 'a public key in PEM (-----BEGIN PUBLIC KEY-----), such as cosign.pub',
        }),
    )
    .max(20)
    .default([]),
  /** What the signature itself must say, as `cosign sign -a key=value` writes it; all of them. */
  annotations: z
    .record(z.string().min(1).max(256), z.string().max(1024))
    .refine((annotations) => Object.keys(annotations).length <= 20, 'at most 20 annotations')
    .default({}),
  /** imageVersion must be a digest, so that nothing but an edit of it changes the image. */
  requireDigest: z.boolean().default(false),
})
export type Admission = z.output<typeof admissionSchema>

/** The fields of record `IService` that a Swarm honours, and what a truthful rollout needs besides. */
export const serviceData = z.strictObject({
  name: nameSchema,
  description: z.string().max(500).default(''),
  clusterId: idSchema,
  /** Absent at creation: an image of its own is made, waiting for the first push to its registry target. */
  imageId: idSchema.optional(),
  imageVersion: imageVersionSchema.default('latest'),
  deployOnPush: z.boolean().default(true),
  serviceCategory: z.enum(['base', 'distributed', 'workload']).default('workload'),
  /** `all-nodes`: one a node. `limited-replicas`: scaleFactor, never above maxReplicas. `custom`: scaleFactor. */
  deploymentStrategy: z.enum(['all-nodes', 'limited-replicas', 'custom']).default('custom'),
  scaleFactor: z.int().min(0).max(1000).default(1),
  maxReplicas: z.int().min(1).max(1000).optional(),
  /** At most one replica on each node. */
  antiAffinity: z.boolean().default(false),
  environment: environmentSchema.default({}),
  command: z.array(z.string().max(4096)).max(64).optional().describe("Replaces the image's entrypoint and arguments"),
  ports: z
    .strictObject({
      web: portSchema.optional().describe('The port the container serves on; asked for health'),
      published: z.array(publishedPortSchema).max(64).default([]),
    })
    .default({ published: [] }),
  resources: z
    .strictObject({
      cpuLimit: z.number().min(0.01).max(1024).optional().describe('Cores'),
      memorySizeMB: z.int().min(6).max(16_777_216).optional(),
    })
    .default({}),
  volumes: z
    .array(
      z.strictObject({
        name: nameSchema,
        path: z
          .string()
          .regex(/^\/[^:]*$/, 'an absolute path')
          .max(1024),
        readOnly: z.boolean().default(false),
      }),
    )
    .max(32)
    .default([]),
  healthCheck: healthCheckSchema.optional(),
  rollout: z
    .strictObject({
      /** `auto`: beside the old one where that can be done, `recreate` where ports or volumes forbid two at once. */
      strategy: z.enum(['auto', 'recreate']).default('auto'),
      deadlineSeconds: z
        .int()
        .min(5)
        .max(3600)
        .default(120)
        .describe('The new revision must be healthy within this time'),
      /** How long it must stay healthy before the old one goes. */
      settleSeconds: z.int().min(0).max(600).default(3),
    })
    .default({ strategy: 'auto', deadlineSeconds: 120, settleSeconds: 3 }),
  stopGraceSeconds: z.int().min(0).max(3600).default(10),
  admission: admissionSchema.optional(),
})

/** One container as the Swarm and its node's agent see it. */
export const taskSchema = z.object({
  taskId: z.string(),
  revisionId: idSchema,
  swarmNodeId: z.string().nullable(),
  nodeName: z.string().nullable(),
  slot: z.int().nullable(),
  /** Swarm's task state: new, pending, assigned, preparing, starting, running, complete, failed, rejected, shutdown, orphaned, remove. */
  state: z.string(),
  desiredState: z.string(),
  /** What the engine says of it, empty if nothing. */
  message: z.string(),
  exitCode: z.int().nullable(),
  health: z.enum(['passing', 'failing', 'unknown']),
  healthMessage: z.string(),
  since: z.iso.datetime().max(40),
  /** The last lines it wrote, only of tasks that failed; at most 20 lines of 500 characters. */
  logTail: z.array(z.string()),
})
export type Task = z.output<typeof taskSchema>

export const serviceStates = [
  'waiting-for-image',
  'deploying',
  'running',
  'degraded',
  'stopped',
  'failed',
  'unknown',
] as const

export const serviceStatus = z.object({
  /** `waiting-for-image`: nothing to run yet. `degraded`: fewer healthy than wanted. `unknown`: no agent reports. */
  state: z.enum(serviceStates),
  message: z.string(),
  /** The revision that serves; null before the first success. */
  currentRevisionId: idSchema.nullable(),
  currentRevisionNumber: z.int().nullable(),
  /** The newest rollout, whatever became of it. */
  rolloutId: idSchema.nullable(),
  replicas: z.object({ wanted: z.int(), running: z.int(), healthy: z.int() }),
  /** Running and recently failed ones, at most 100. */
  tasks: z.array(taskSchema),
  /** The newest first, at most 20. */
  drift: z.array(driftSchema),
  /** A pushed digest that is not rolled out because admission does not accept its signatures (yet); else absent. */
  awaitingSignature: z.object({ digest: z.string(), message: z.string() }).optional(),
})

export const serviceKind = defineKind({
  name: 'service',
  plural: 'services',
  data: serviceData,
  status: serviceStatus,
  initialStatus: {
    state: 'waiting-for-image',
    message: 'No image has been pushed yet.',
    currentRevisionId: null,
    currentRevisionNumber: null,
    rolloutId: null,
    replicas: { wanted: 0, running: 0, healthy: 0 },
    tasks: [],
    drift: [],
  },
  indexes: {
    clusterId: (service) => service.data.clusterId,
    imageId: (service) => service.data.imageId,
    state: (service) => service.status.state,
  },
  unique: { name: (service) => service.data.name },
})

export const logLineSchema = z.object({
  at: z.string().describe('RFC 3339 with nanoseconds as the engine gives it, empty if it gives none'),
  stream: z.enum(['stdout', 'stderr']),
  taskId: z.string(),
  nodeName: z.string(),
  line: z.string(),
})
export type LogLine = z.output<typeof logLineSchema>

export const serviceRoutes = {
  services: {
    list: listRoute(serviceKind, 'services:read', {
      clusterId: 'any',
      imageId: 'any',
      state: serviceStates,
    }),
    get: getRoute(serviceKind, 'services:read'),
    create: createRoute(serviceKind, 'services:write', serviceData),
    update: updateRoute(serviceKind, 'services:write', patchOf(serviceData)),
    delete: deleteRoute(serviceKind, 'services:write'),
    deploy: defineRoute({
      method: 'POST',
      path: '/api/v1/services/:id/deploy',
      summary: 'Roll the service out: as it is now described, another image version, or an earlier revision',
      access: 'services:deploy',
      params: idParams,
      body: z.strictObject({
        imageVersion: imageVersionSchema.optional().describe("Tag or digest; becomes the service's imageVersion"),
        revisionId: idSchema.optional().describe('Go back to this revision'),
      }),
      output: z.object({ rolloutId: idSchema, revisionId: idSchema, revisionNumber: z.int() }),
      status: 202,
      errors: ['not-found', 'conflict'],
    }),
    registryTarget: defineRoute({
      method: 'GET',
      path: '/api/v1/services/:id/registry-target',
      summary: 'Where to push the image of this service',
      access: 'services:read',
      params: idParams,
      output: z.object({ target: z.string(), registry: z.string(), repository: z.string(), tag: z.string() }),
      errors: ['not-found', 'conflict'],
    }),
    logs: defineRoute({
      method: 'GET',
      path: '/api/v1/services/:id/logs',
      summary: 'Log lines of all containers of the service',
      access: 'services:logs',
      params: idParams,
      query: z.strictObject({
        tail: z.coerce.number().int().min(0).max(10_000).default(100),
        follow: z.stringbool().default(false),
      }),
      output: logLineSchema,
      format: 'ndjson',
      errors: ['not-found', 'agent-offline', 'engine-unavailable', 'timeout'],
    }),
  },
}
export const serviceResource = resourceSchema(serviceKind)
