import type { Engine } from '../docker/engine.ts'
import type { SwarmNetwork, SwarmNode, SwarmService, SwarmTask } from '../docker/types.ts'
import { label } from './labels.ts'

/** The Swarm as far as the planner looks at it. */
export interface Observed {
  nodes: SwarmNode[]
  networks: SwarmNetwork[]
  /** All services, others' too: a name of ours may be taken. */
  services: SwarmService[]
  /** Of our cluster, also those whose service is gone. */
  tasks: SwarmTask[]
  /** Names of services the agent created and did not remove: a missing one was removed by somebody else. */
  created: ReadonlySet<string>
}

/** Reads everything at once; only a manager can. */
export async function observe(
  engine: Engine,
  { clusterId, created }: { clusterId: string; created: ReadonlySet<string> },
  signal: AbortSignal,
): Promise<Observed> {
  const [nodes, networks, services, tasks] = await Promise.all([
    engine.nodes(signal),
    engine.networks(signal),
    engine.services(signal),
    engine.tasks({ label: `${label.cluster}=${clusterId}` }, signal),
  ])
  return { nodes, networks, services, tasks, created: new Set(created) }
}
