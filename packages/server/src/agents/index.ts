/**
 * Agents: the link each node dials, what is desired of them and what they see.
 *
 * A link proves its node's key, is told the whole desired state of its cluster whenever that changes, and reports. What
 * it reports becomes the status of nodes, clusters and services; nothing else writes those. All that is kept here is
 * memory of live links: after a restart everything comes back from the store and from agents that connect again.
 *
 * Not here: how a node is enrolled (`clusters`), when a rollout moves on (`rollouts`), what an agent does with it all.
 */
export { type AgentHub, createAgentHub } from './hub.ts'
export { clockProblem, desiredOf } from './kind.ts'
export type { LinkTransport } from './transport.ts'
export { createAgentUpgrade } from './upgrade.ts'
