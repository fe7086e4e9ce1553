import { type Cluster, clusterKind, type Node, nodeKind, serviceKind } from '@freehold/contracts'
import type { Actor, Transaction } from '@freehold/store'
import { mergeDrift, refreshService, type Sight } from '../services/index.ts'
import { clusterStateOf, onlineStatus } from './kind.ts'
import type { ClusterSnapshot } from './view.ts'

const clusterDriftKept = 50

/** The author of everything written from reports. */
export const reportActor: Actor = { type: 'system', id: 'agent-links', name: 'agent reports' }

export interface StatusPass {
  view: ClusterSnapshot
  /** Services whose status may say something else now. */
  services: ReadonlySet<string>
  /** Every service of the cluster is to be looked at: agents began or ceased to report. */
  isAll: boolean
  sightOf: (serviceId: string) => Sight
  registryHost: string
}

/** Writes what is seen of a cluster and its services; whatever is stored already is not written again. */
export async function writeStatuses(transaction: Transaction, pass: StatusPass): Promise<void> {
  const cluster = await transaction.get(clusterKind, pass.view.clusterId)
  if (cluster === undefined) return
  await transaction.setStatus(clusterKind, cluster.id, clusterStatusOf(cluster, pass.view))
  const services = pass.isAll
    ? (await transaction.all(serviceKind, { where: { clusterId: cluster.id } })).map((service) => service.id)
    : pass.services
  for (const serviceId of services) {
    const sight = pass.sightOf(serviceId)
    await refreshService(transaction, { serviceId, clusterId: cluster.id, sight, registryHost: pass.registryHost })
  }
}

/** Writes the status of the nodes named: linked, or lost for longer than the grace. */
export async function writeNodes(
  transaction: Transaction,
  view: ClusterSnapshot,
  nodes: ReadonlySet<string>,
): Promise<void> {
  for (const id of nodes) {
    const node = await transaction.get(nodeKind, id)
    if (node === undefined) continue
    await transaction.setStatus(nodeKind, id, nodeStatusOf(node, view))
  }
}

function nodeStatusOf(node: Node, view: ClusterSnapshot): Node['status'] {
  if (node.data.revoked) return { ...node.status, state: 'revoked', message: 'Its agent was revoked.', leader: false }
  const live = view.links.get(node.id)
  if (live !== undefined) {
    const { agentVersion, clockSkewMs, connectedAt } = live.link
    const engineProblem = live.report?.engineProblem ?? null
    return onlineStatus({ facts: live.facts, agentVersion, clockSkewMs, connectedAt, engineProblem })
  }
  if (!view.offline.has(node.id)) return node.status
  return { ...node.status, state: 'offline', leader: false, message: 'Its agent is not connected.' }
}

function clusterStatusOf(cluster: Cluster, view: ClusterSnapshot): Cluster['status'] {
  const leader = view.leader()
  const report = leader?.report
  const state = clusterStateOf({
    everConnected: cluster.status.state !== 'waiting' || view.offline.size > 0,
    live: [...view.links.values()].map((live) => ({
      name: live.link.nodeName,
      engineProblem: live.report?.engineProblem ?? null,
    })),
    offline: [...view.offline.values()],
    isReporting: leader !== undefined,
  })
  if (report?.cluster == null) return { ...cluster.status, ...state }
  return {
    ...cluster.status,
    ...state,
    observedGeneration: report.generation,
    leaderNodeId: leader?.link.nodeId ?? null,
    swarmId: report.cluster.swarmId,
    engineVersion: report.node.engineVersion,
    swarmNodes: report.cluster.swarmNodes,
    drift: mergeDrift(cluster.status.drift, report.cluster.drift, clusterDriftKept),
  }
}
