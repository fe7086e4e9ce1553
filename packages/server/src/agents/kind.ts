import { createPublicKey, verify } from 'node:crypto'
import {
  type Cluster,
  challengeText,
  type Desired,
  type Node,
  type NodeFacts,
  type Report,
  type Task,
  tolerableClockSkewMs,
  type Workload,
} from '@freehold/contracts'

/** Whether an agent holds the private half of a node's key (Ed25519, RFC 8032). Broken keys and signatures are "no". */
export function signatureFits(options: {
  publicKey: string
  signature: string
  nonce: string
  nodeId: string
}): boolean {
  try {
    const key = createPublicKey({ key: Buffer.from(options.publicKey, 'base64'), format: 'der', type: 'spki' })
    const text = challengeText({ nonce: options.nonce, nodeId: options.nodeId })
    return (
      key.asymmetricKeyType === 'ed25519' &&
      verify(null, Buffer.from(text), key, Buffer.from(options.signature, 'base64'))
    )
  } catch {
    return false
  }
}

/** The whole desired state of a cluster, in an order that does not depend on when things were read. */
export function desiredOf(options: {
  cluster: { id: string; name: string }
  generation: number
  workloads: readonly Workload[]
  registry: Desired['registry']
  externalPulls: Desired['externalPulls']
}): Desired {
  const { cluster, generation, workloads, registry, externalPulls } = options
  return {
    clusterId: cluster.id,
    clusterName: cluster.name,
    generation,
    workloads: workloads.toSorted((one, other) => compare(one.serviceId, other.serviceId)),
    registry,
    externalPulls,
  }
}

/** What the leader's report says of each service, joined with what each node's agent says of its own containers. */
export function joinReports(options: {
  leader: Report
  all: readonly Report[]
}): Map<string, { tasks: Task[]; replicas: Map<string, number> }> {
  const cluster = options.leader.cluster
  const services = new Map<string, { tasks: Task[]; replicas: Map<string, number> }>()
  if (cluster === null) return services
  const probes = new Map(
    options.all.flatMap(({ node, probes }) =>
      probes.map((probe) => [`${node.swarmNodeId} ${probe.taskId}`, probe] as const),
    ),
  )
  const names = new Map(cluster.swarmNodes.map((node) => [node.swarmNodeId, node.hostname]))
  for (const workload of cluster.workloads) {
    const service = services.get(workload.serviceId) ?? { tasks: [], replicas: new Map<string, number>() }
    services.set(workload.serviceId, service)
    service.replicas.set(workload.revisionId, workload.replicas)
    for (const task of workload.tasks) {
      const probe = task.state === 'running' ? probes.get(`${task.swarmNodeId} ${task.taskId}`) : undefined
      service.tasks.push({
        ...task,
        nodeName: task.swarmNodeId === null ? null : (names.get(task.swarmNodeId) ?? null),
        ...(probe === undefined ? {} : { health: probe.health, healthMessage: probe.message }),
      })
    }
  }
  return services
}

/** The status of a node whose agent is linked. */
export function onlineStatus(link: {
  facts: NodeFacts
  agentVersion: string
  clockSkewMs: number
  connectedAt: string
  engineProblem: string | null
}): Node['status'] {
  const { facts } = link
  return {
    state: 'online',
    message: link.engineProblem ?? clockSentence(link.clockSkewMs) ?? 'Its agent is connected.',
    swarmNodeId: facts.swarmNodeId,
    role: facts.role,
    leader: facts.leader,
    hostname: facts.hostname,
    address: facts.address,
    agentVersion: link.agentVersion,
    engineVersion: facts.engineVersion,
    operatingSystem: facts.operatingSystem,
    architecture: facts.architecture,
    cpuCores: facts.cpuCores,
    memoryBytes: facts.memoryBytes,
    clockSkewMs: link.clockSkewMs,
    connectedAt: link.connectedAt,
  }
}

/** The state of a cluster and why. `everConnected`: an agent has reported at some time. */
export function clusterStateOf(options: {
  everConnected: boolean
  live: readonly { name: string; engineProblem: string | null }[]
  offline: readonly string[]
  isReporting: boolean
}): Pick<Cluster['status'], 'state' | 'message'> {
  const { live, offline } = options
  if (live.length === 0) {
    return options.everConnected
      ? {
          state: 'offline',
          message: 'No agent is connected. What runs there goes on, but nobody can see or change it.',
        }
      : { state: 'waiting', message: 'No agent has connected yet.' }
  }
  const troubled = live.find((link) => link.engineProblem !== null)
  if (troubled !== undefined) {
    return { state: 'degraded', message: `The engine on ${troubled.name} does not answer: ${troubled.engineProblem}` }
  }
  if (!options.isReporting) {
    return { state: 'degraded', message: 'The agent of the manager that leads the Swarm does not report.' }
  }
  if (offline.length > 0) {
    return { state: 'degraded', message: `No agent is connected on: ${offline.slice(0, 10).join(', ')}.` }
  }
  return { state: 'online', message: 'Its agents report.' }
}

/** A sentence about a node whose clock is wrong by more than 5 s, or null. */
export function clockProblem(node: Node): string | null {
  return node.status.clockSkewMs === null ? null : clockSentence(node.status.clockSkewMs)
}

function clockSentence(skewMs: number): string | null {
  if (Math.abs(skewMs) <= tolerableClockSkewMs) return null
  const seconds = Math.round(Math.abs(skewMs) / 1000)
  return `Its clock is ${seconds} s ${skewMs > 0 ? 'ahead of' : 'behind'} this server's. Check the time synchronisation on it.`
}

function compare(one: string, other: string): number {
  return one < other ? -1 : one > other ? 1 : 0
}
