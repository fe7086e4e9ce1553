import { z } from 'zod'
import { defineKind, idSchema, nameSchema, resourceSchema } from './resource.ts'
import { createRoute, defineRoute, deleteRoute, getRoute, idParams, listRoute, patchOf, updateRoute } from './route.ts'

/** A cluster is one Docker Swarm; a node is one of its machines with an agent on it. */
export const clusterData = z.strictObject({
  name: nameSchema,
  description: z.string().max(500).default(''),
})

/** Something by hand was found and mended: said, not hidden. */
export const driftSchema = z.object({
  at: z.iso.datetime().max(40),
  serviceId: idSchema.nullable(),
  /** A sentence for people: what differed. */
  found: z.string(),
  /** A sentence for people: what the agent did about it. */
  mended: z.string(),
})

export const clusterStatus = z.object({
  /** From the leader's link: `waiting` before any agent ever reported. */
  state: z.enum(['waiting', 'online', 'offline', 'degraded']),
  /** Why it is not plainly online, for people. */
  message: z.string(),
  /** Generation of the desired state the last report describes. */
  observedGeneration: z.int(),
  leaderNodeId: idSchema.nullable(),
  swarmId: z.string().nullable(),
  /** Plus one whenever an agent is revoked or deleted: the passwords for pulls made before are void. */
  pullEpoch: z.int(),
  engineVersion: z.string().nullable(),
  /** Machines of the Swarm, with an agent or without. */
  swarmNodes: z.array(
    z.object({
      swarmNodeId: z.string(),
      hostname: z.string(),
      role: z.enum(['manager', 'worker']),
      state: z.string(),
      availability: z.string(),
      leader: z.boolean(),
    }),
  ),
  /** The newest first, at most 50. */
  drift: z.array(driftSchema),
})

export const clusterKind = defineKind({
  name: 'cluster',
  plural: 'clusters',
  data: clusterData,
  status: clusterStatus,
  initialStatus: {
    state: 'waiting',
    message: 'No agent has connected yet.',
    observedGeneration: 0,
    leaderNodeId: null,
    swarmId: null,
    pullEpoch: 0,
    engineVersion: null,
    swarmNodes: [],
    drift: [],
  },
  unique: { name: (cluster) => cluster.data.name },
})

export const nodeData = z.strictObject({
  clusterId: idSchema,
  name: z.string().min(1).max(253),
  /** Ed25519, SPKI, base64: made by the agent, its private half never leaves the machine. */
  publicKey: z.string(),
  /** A revoked agent's link is closed and stays refused. */
  revoked: z.boolean(),
})

export const nodeStatus = z.object({
  state: z.enum(['initializing', 'online', 'offline', 'revoked']),
  message: z.string(),
  swarmNodeId: z.string().nullable(),
  role: z.enum(['manager', 'worker']).nullable(),
  leader: z.boolean(),
  hostname: z.string().nullable(),
  address: z.string().nullable(),
  agentVersion: z.string().nullable(),
  engineVersion: z.string().nullable(),
  operatingSystem: z.string().nullable(),
  architecture: z.string().nullable(),
  cpuCores: z.number().nullable(),
  memoryBytes: z.number().nullable(),
  /** The agent's clock minus ours at its last hello, in milliseconds. */
  clockSkewMs: z.number().nullable(),
  connectedAt: z.iso.datetime().nullable(),
})

/** A clock that is wrong by more than this needs a person, in milliseconds. */
export const tolerableClockSkewMs = 5000

export const nodeKind = defineKind({
  name: 'node',
  plural: 'nodes',
  data: nodeData,
  status: nodeStatus,
  initialStatus: {
    state: 'initializing',
    message: 'Enrolled; its agent has not connected yet.',
    swarmNodeId: null,
    role: null,
    leader: false,
    hostname: null,
    address: null,
    agentVersion: null,
    engineVersion: null,
    operatingSystem: null,
    architecture: null,
    cpuCores: null,
    memoryBytes: null,
    clockSkewMs: null,
    connectedAt: null,
  },
  indexes: {
    clusterId: (node) => node.data.clusterId,
    state: (node) => node.status.state,
    /** Only linked nodes whose clock is wrong, so that they are found among many. */
    clock: ({ status }) =>
      status.state === 'online' && Math.abs(status.clockSkewMs ?? 0) > tolerableClockSkewMs ? 'wrong' : undefined,
  },
  unique: { publicKey: (node) => node.data.publicKey },
})

/** What an agent is given as JUMPCODE: exchanged once for the registration of its key. */
export const enrolmentData = z.strictObject({
  clusterId: idSchema,
  expiresAt: z.iso.datetime(),
  usesLeft: z.int().min(0),
  prefix: z.string(),
  hash: z.string(),
})
export const enrolmentKind = defineKind({
  name: 'enrolment',
  plural: 'enrolments',
  data: enrolmentData,
  status: z.object({}),
  initialStatus: {},
  indexes: { clusterId: (enrolment) => enrolment.data.clusterId },
  unique: { hash: (enrolment) => enrolment.data.hash },
  redact: ['hash'],
})
const publicEnrolment = { ...enrolmentKind, data: enrolmentData.omit({ hash: true }) }

export const clusterRoutes = {
  clusters: {
    list: listRoute(clusterKind, 'clusters:read'),
    get: getRoute(clusterKind, 'clusters:read'),
    create: createRoute(clusterKind, 'clusters:write', clusterData),
    update: updateRoute(clusterKind, 'clusters:write', patchOf(clusterData)),
    delete: deleteRoute(clusterKind, 'clusters:write'),
  },
  nodes: {
    list: listRoute(nodeKind, 'nodes:read', { clusterId: 'any' }),
    get: getRoute(nodeKind, 'nodes:read'),
    revoke: defineRoute({
      method: 'POST',
      path: '/api/v1/nodes/:id/revoke',
      summary: "Revoke a node's agent: its link is closed and stays refused",
      access: 'nodes:write',
      params: idParams,
      output: resourceSchema(nodeKind),
      errors: ['not-found'],
    }),
    delete: deleteRoute(nodeKind, 'nodes:write'),
  },
  enrolments: {
    list: listRoute(publicEnrolment, 'clusters:write', { clusterId: 'any' }),
    create: defineRoute({
      method: 'POST',
      path: '/api/v1/enrolments',
      summary: 'Make a JUMPCODE with which an agent joins a cluster; shown this once',
      access: 'clusters:write',
      body: z.strictObject({
        data: z.strictObject({
          clusterId: idSchema,
          uses: z.int().min(1).max(1000).default(1),
          expiresInSeconds: z
            .int()
            .min(60)
            .max(30 * 86_400)
            .default(3600),
        }),
      }),
      output: z.object({
        resource: resourceSchema(publicEnrolment),
        jumpCode: z.string(),
        command: z.string().describe('What to run on the node'),
      }),
      status: 201,
      errors: ['not-found'],
    }),
    delete: deleteRoute(enrolmentKind, 'clusters:write'),
  },
}
