import type { Node, Service, WorkloadSpec } from '@freehold/contracts'

type Task = Pick<Service['status']['tasks'][number], 'state' | 'revisionId' | 'swarmNodeId'>

/**
 * Where a browser reaches the revision that runs: one URL for each TCP port and each machine with a container of it,
 * in order of ports. `ownHost`: the host this page came from; it stands in for machines whose address says nothing
 * (the local cluster's, loopback, unknown).
 */
export function reachableAt(options: {
  ports: WorkloadSpec['ports']
  revisionId: string
  tasks: readonly Task[]
  nodes: readonly { status: Pick<Node['status'], 'swarmNodeId' | 'address'> }[]
  isLocal: boolean
  ownHost: string
}): string[] {
  const { ports, revisionId, nodes, isLocal, ownHost } = options
  const running = options.tasks.filter((task) => task.state === 'running' && task.revisionId === revisionId)
  if (running.length === 0) return []
  const addresses = running.flatMap(({ swarmNodeId }) => {
    const node = nodes.find(({ status }) => swarmNodeId !== null && status.swarmNodeId === swarmNodeId)
    return isLocal ? [] : hostOf(node?.status.address ?? null)
  })
  const hosts = addresses.length === 0 ? [ownHost] : [...new Set(addresses)]
  return ports
    .filter(({ protocol }) => protocol === 'tcp')
    .flatMap(({ published }) => hosts.map((host) => `http://${host}:${published}/`))
}

/**
 * A sentence for people where more replicas are asked for than machines can hold, because a published port is held by
 * one container on each; undefined where all find a place, and where no machine is known yet.
 */
export function crowding(options: { replicas: number; machines: number; isPublished: boolean }): string | undefined {
  const { replicas, machines, isPublished } = options
  if (!isPublished || machines === 0 || !(replicas > machines)) return undefined
  const has = machines === 1 ? 'one node, so only one' : `${machines} nodes, so only ${machines}`
  return `A published port allows one replica per node. This cluster has ${has} of ${replicas} replicas will run.`
}

/** As a URL writes it; nothing where the address leads nowhere from another machine. */
function hostOf(address: string | null): string[] {
  if (address === null || /^(127\.|0\.0\.0\.0$|::1?$|$)/.test(address)) return []
  return [address.includes(':') ? `[${address}]` : address]
}
