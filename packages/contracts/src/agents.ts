import { z } from 'zod'
import { driftSchema } from './clusters.ts'
import { idSchema, oneLine } from './resource.ts'
import { workloadSpec } from './rollouts.ts'
import { defineRoute } from './route.ts'
import { logLineSchema, taskSchema } from './services.ts'

/**
 * The agent link: one WebSocket per node at `agentLinkPath`, dialled by the agent, JSON text frames, each one of
 * the messages below. Agents one minor version behind must work: unknown fields are ignored, never refused.
 *
 * agent → server on connect: nothing. server → agent: `challenge`. agent → server: `hello` (signed).
 * server → agent: `welcome`, then `desired`, then whatever comes. Reconnecting repeats exactly this; nothing is resumed.
 */
export const agentLinkPath = '/api/v1/agents/link'
export const agentProtocolVersion = 1
/** Either side sends `ping` this often; three of them unanswered end the link. */
export const agentPingIntervalMs = 10_000
/** Reports and log chunks stay below this; a larger frame ends the link. */
export const agentFrameLimitBytes = 4 * 1024 * 1024

/** What an agent signs (Ed25519): this text, UTF-8. The clock has no part in it. */
export function challengeText(challenge: { nonce: string; nodeId: string }): string {
  return `freehold-agent-link-v${agentProtocolVersion}\n${challenge.nodeId}\n${challenge.nonce}`
}

/** One service at one revision as the Swarm shall run it. */
export const workloadSchema = z.object({
  serviceId: idSchema,
  serviceName: z.string(),
  revisionId: idSchema,
  revisionNumber: z.int(),
  /** Replicas now; `spec.replicas` is what the revision wants in the end. Global mode runs when this is above 0. */
  replicas: z.int(),
  /**
   * Same ports or volumes: do not start before no container of this revision runs any more, nor of any revision of
   * the service that is not desired; null: at once.
   */
  startAfterRevisionId: idSchema.nullable(),
  spec: workloadSpec,
})
export type Workload = z.output<typeof workloadSchema>

/** The whole desired state of a cluster. */
export const desiredSchema = z.object({
  clusterId: idSchema,
  clusterName: z.string(),
  /** The store version it was read at: strictly increasing. */
  generation: z.int(),
  workloads: z.array(workloadSchema),
  /** For pulls from our registry; the password may pull what this cluster runs and nothing else. */
  registry: z.object({ host: z.string(), username: z.string(), password: z.string() }).nullable(),
  /** For pulls from registries elsewhere: only images that the workloads name, without tag and digest. Never on a disk. */
  externalPulls: z.array(z.object({ image: z.string(), username: z.string(), password: z.string() })).default([]),
})
export type Desired = z.output<typeof desiredSchema>

export const nodeFactsSchema = z.object({
  swarmNodeId: z.string().nullable(),
  role: z.enum(['manager', 'worker']).nullable(),
  /** True on the one manager that leads the Swarm: its agent reconciles. */
  leader: z.boolean(),
  hostname: z.string(),
  address: z.string().nullable(),
  engineVersion: z.string().nullable(),
  operatingSystem: z.string(),
  architecture: z.string(),
  cpuCores: z.number(),
  memoryBytes: z.number(),
})
export type NodeFacts = z.output<typeof nodeFactsSchema>

/** What the leader sees of the whole Swarm. */
export const clusterReportSchema = z.object({
  swarmId: z.string(),
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
  workloads: z.array(
    z.object({
      serviceId: idSchema,
      revisionId: idSchema,
      /** Replicas the Swarm was asked for; for global mode the number of eligible nodes. */
      replicas: z.int(),
      /** Health in these tasks is only what Docker itself knows; the nodes' `probes` say the rest. */
      tasks: z.array(taskSchema.omit({ nodeName: true })),
    }),
  ),
  /** Sentences of the steps the plan holds now; empty: as desired. */
  pending: z.array(z.string()),
  drift: z.array(driftSchema),
})
export type ClusterReport = z.output<typeof clusterReportSchema>

export const reportSchema = z.object({
  /** Generation of the desired state this describes; 0 before any. */
  generation: z.int(),
  /** Agent's clock, RFC 3339. */
  at: z.string(),
  node: nodeFactsSchema,
  /** Why the engine cannot be asked, for people; null when it answers. */
  engineProblem: z.string().nullable(),
  /** Health of the containers on this node, asked by its agent. */
  probes: z.array(z.object({ taskId: z.string(), health: z.enum(['passing', 'failing']), message: z.string() })),
  /** Only from the leader, and only when the engine answers. */
  cluster: clusterReportSchema.nullable(),
})
export type Report = z.output<typeof reportSchema>

/** The closed list of what a control plane may ask of an agent. At least once, idempotent by id; no shell among them. */
export const operationSchema = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('service-logs'), serviceId: idSchema, tail: z.int(), follow: z.boolean() }),
  /** What would be done if this were desired: sentences, nothing is changed. */
  z.object({ kind: z.literal('plan'), desired: desiredSchema }),
])
export type Operation = z.output<typeof operationSchema>

export const operationOutputSchema = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('service-logs'), lines: z.array(logLineSchema) }),
  z.object({ kind: z.literal('plan'), steps: z.array(z.string()) }),
])
export type OperationOutput = z.output<typeof operationOutputSchema>

export const agentMessageSchema = z.discriminatedUnion('type', [
  z.object({
    type: z.literal('hello'),
    protocol: z.int(),
    nodeId: idSchema,
    /** Ed25519 signature of `challengeText`, base64. */
    signature: z.string(),
    agentVersion: z.string(),
    /** Agent's clock; only to show how wrong it is. */
    at: z.string(),
    node: nodeFactsSchema,
    /** Newest desired generation it holds on disk. */
    generation: z.int(),
  }),
  /** `look`: the newest look this answers; so it describes a moment after that was asked. */
  z.object({ type: z.literal('report'), report: reportSchema, look: z.string().max(64).optional() }),
  /** `done` false: more follow for this id. `error` ends it. */
  z.object({
    type: z.literal('result'),
    id: z.string(),
    output: operationOutputSchema.nullable(),
    error: z.object({ code: z.string(), message: z.string() }).nullable(),
    done: z.boolean(),
  }),
  z.object({ type: z.literal('ping') }),
  z.object({ type: z.literal('pong') }),
])
export type AgentMessage = z.output<typeof agentMessageSchema>

export const serverMessageSchema = z.discriminatedUnion('type', [
  z.object({ type: z.literal('challenge'), nonce: z.string() }),
  z.object({ type: z.literal('welcome'), clusterId: idSchema, serverVersion: z.string() }),
  z.object({ type: z.literal('desired'), desired: desiredSchema }),
  z.object({ type: z.literal('operation'), id: z.string(), operation: operationSchema }),
  z.object({ type: z.literal('cancel'), id: z.string() }),
  /** Report at once, changed or not: only an answer proves that what was heard last still holds. */
  z.object({ type: z.literal('look'), id: z.string() }),
  /** Sent before the server closes the link; `final` means: do not come back with this key. */
  z.object({
    type: z.literal('refused'),
    reason: z.enum(['bad-signature', 'revoked', 'unknown-node', 'node-taken', 'protocol', 'wrong-cluster']),
    message: z.string(),
    final: z.boolean(),
  }),
  z.object({ type: z.literal('ping') }),
  z.object({ type: z.literal('pong') }),
])
export type ServerMessage = z.output<typeof serverMessageSchema>

export const agentRoutes = {
  agents: {
    enrol: defineRoute({
      method: 'POST',
      path: '/api/v1/agents/enrol',
      summary: 'Exchange a JUMPCODE for the registration of an agent key (for agents)',
      access: 'public',
      body: z.strictObject({
        jumpCode: z.string().max(200),
        /** Ed25519, SPKI DER, base64. */
        publicKey: z.string().max(200),
        name: oneLine.min(1).max(253),
        swarmNodeId: z.string().max(64).nullable(),
      }),
      output: z.object({ nodeId: idSchema, clusterId: idSchema, clusterName: z.string() }),
      status: 201,
      errors: ['wrong-credentials', 'conflict', 'too-many-requests'],
    }),
  },
}
