import type {
  EngineEvent,
  EngineInfo,
  EngineLogLine,
  ServiceSpec,
  SwarmNetwork,
  SwarmNode,
  SwarmService,
  SwarmTask,
} from './types.ts'

/**
 * What the agent needs of a Docker Engine, and nothing more. Two implementations: the Engine API over HTTP
 * (`createEngineClient`) and the simulation. Every call heeds its signal, has a time limit of its own, and throws
 * `FreeholdError('engine-unavailable')` where the engine does not answer, `EngineRefusal` where it says no.
 */
export interface Engine {
  /** For sentences: `unix:///var/run/docker.sock`. */
  readonly address: string
  info(signal: AbortSignal): Promise<EngineInfo>
  initSwarm(options: { advertiseAddress: string }, signal: AbortSignal): Promise<void>
  nodes(signal: AbortSignal): Promise<SwarmNode[]>
  /** All of the Swarm, ours and others'. */
  services(signal: AbortSignal): Promise<SwarmService[]>
  /** Those whose containers carry the label. */
  tasks(options: { label: string }, signal: AbortSignal): Promise<SwarmTask[]>
  networks(signal: AbortSignal): Promise<SwarmNetwork[]>
  createOverlayNetwork(options: { name: string; labels: Record<string, string> }, signal: AbortSignal): Promise<void>
  createService(options: { spec: ServiceSpec; registryAuth: RegistryAuth | null }, signal: AbortSignal): Promise<void>
  updateService(
    options: { id: string; version: number; spec: ServiceSpec; registryAuth: RegistryAuth | null },
    signal: AbortSignal,
  ): Promise<void>
  removeService(options: { id: string }, signal: AbortSignal): Promise<void>
  /** Running containers of this node that carry the label. */
  containers(options: { label: string }, signal: AbortSignal): Promise<RunningContainer[]>
  /** Docker's own health check of a container; null where it has none or is gone. */
  containerHealth(options: { id: string }, signal: AbortSignal): Promise<ContainerHealth | null>
  /** Addresses by which this node reaches its containers, by container id. */
  containerAddresses(signal: AbortSignal): Promise<Map<string, string>>
  /** Last lines of one task, oldest first as the engine gives them. */
  taskLogs(options: { id: string; tail: number }, signal: AbortSignal): AsyncIterable<EngineLogLine>
  serviceLogs(options: { id: string; tail: number; follow: boolean }, signal: AbortSignal): AsyncIterable<EngineLogLine>
  /** Ends when the connection does. */
  events(signal: AbortSignal): AsyncIterable<EngineEvent>
}

export interface RegistryAuth {
  host: string
  username: string
  password: string
}

export interface RunningContainer {
  id: string
  labels: Record<string, string>
}

export interface ContainerHealth {
  status: 'starting' | 'healthy' | 'unhealthy'
  /** The last line of the last check's output. */
  message: string
}

/** The engine answered, and refused: `status` is its HTTP status, `message` its own words. */
export class EngineRefusal extends Error {
  readonly status: number

  constructor(status: number, message: string) {
    super(message)
    this.name = 'EngineRefusal'
    this.status = status
  }
}
