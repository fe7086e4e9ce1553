import type { AgentMessage } from '@freehold/contracts'

/**
 * How the agent reaches the control plane. Two implementations: HTTP with a WebSocket (`createWebSocketTransport`),
 * and whatever a simulator puts in its place (a network that drops, repeats, reorders and partitions).
 */
export interface Transport {
  /** Throws `FreeholdError` with the control plane's own code and sentence where it refuses. */
  enrol(request: EnrolRequest, signal: AbortSignal): Promise<Enrolment>
  /** Resolves once messages can be sent; the signal matters only until then. Afterwards `onClose` is called exactly once; `onText` never after it. */
  connect(handlers: ConnectionHandlers, signal: AbortSignal): Promise<Connection>
}

export interface EnrolRequest {
  jumpCode: string
  publicKey: string
  name: string
  swarmNodeId: string | null
}

export interface Enrolment {
  nodeId: string
  clusterId: string
  clusterName: string
}

export interface ConnectionHandlers {
  onText(text: string): void
  /** `reason` is a sentence for the log. */
  onClose(reason: string): void
}

export interface Connection {
  /** Resolves when the network took it, which is what holds back those who send much; rejects when closed. */
  send(message: AgentMessage): Promise<void>
  close(reason: string): void
}
