/**
 * The cluster agent: one process per node of a Docker Swarm. It dials the control plane, is told the whole desired
 * state, and makes the Swarm so: observe, plan, execute, report. It also asks its own containers for their health.
 *
 * Not here: a shell, credentials of people, and Docker's rolling updater: another revision is another Swarm service.
 *
 * Exported for tests and simulators: the agent with everything it touches as a parameter, and a simulated Swarm.
 * The process itself is `main.ts`.
 */
export { type Agent, type AgentOptions, createAgent } from './agent.ts'
export { type Config, readConfig } from './config.ts'
export { createEngineClient } from './docker/client.ts'
export { type Engine, EngineRefusal } from './docker/engine.ts'
export type { Connection, ConnectionHandlers, Enrolment, EnrolRequest, Transport } from './link/transport.ts'
export { createWebSocketTransport } from './link/websocket.ts'
export { createLog, type Log, silentLog } from './log.ts'
export { machineFacts } from './node-facts.ts'
export { createProber, type Prober } from './probes/prober.ts'
export { createSimulatedEngine, type SimulatedSwarm } from './simulation/swarm.ts'
export type { SimulatedImage } from './simulation/world.ts'
export { type AgentState, createIdentity, createMemoryState, type Identity, openAgentState } from './state/index.ts'
export { label, swarmServiceName } from './swarm/labels.ts'
