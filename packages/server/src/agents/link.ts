import { randomBytes } from 'node:crypto'
import {
  type AgentMessage,
  agentFrameLimitBytes,
  agentMessageSchema,
  agentPingIntervalMs,
  agentProtocolVersion,
  type Node,
  type NodeFacts,
  nodeKind,
  type ServerMessage,
} from '@freehold/contracts'
import type { Clock } from '@freehold/reconcile'
import type { Reads } from '@freehold/store'
import { boundedFacts, boundedReport, boundedText } from './bounded.ts'
import { signatureFits } from './kind.ts'
import type { LinkTransport } from './transport.ts'

const handshakeLimitMs = 10_000
const silenceLimitMs = 3 * agentPingIntervalMs
const queueLimitBytes = 64 * 1024 * 1024
/** A hello is small; whoever has not proved a key gets no more of us. */
const strangerFrameLimitBytes = 64 * 1024

export type Refusal = Extract<ServerMessage, { type: 'refused' }>
type Hello = Extract<AgentMessage, { type: 'hello' }>
type Heard = Exclude<AgentMessage, { type: 'hello' | 'ping' | 'pong' }>

/** A link whose agent has proved its key. */
export interface Link {
  readonly nodeId: string
  readonly clusterId: string
  readonly nodeName: string
  readonly agentVersion: string
  readonly clockSkewMs: number
  readonly connectedAt: string
  readonly facts: NodeFacts
  send(message: ServerMessage): void
  refuse(refusal: Omit<Refusal, 'type'>): void
  close(reason: string): void
}

/**
 * Serves one connection: challenge, signed hello, then messages until it ends. `onReady` may refuse the newcomer by
 * returning a refusal. A frame that is too large or not understood ends the link; a silent agent is closed.
 */
export function serveLink(options: {
  transport: LinkTransport
  reads: Reads
  clock: Clock
  onReady: (link: Link) => Omit<Refusal, 'type'> | undefined
  onMessage: (link: Link, message: Heard) => void
  onClose: (link: Link) => void
}): void {
  const { transport, clock } = options
  const nonce = randomBytes(32).toString('base64url')
  let state: 'waiting' | 'checking' | 'ready' | 'closed' = 'waiting'
  let link: Link | undefined
  let heardAt = clock.now()
  let cancelTimer = (): void => {}

  const send = (message: ServerMessage): void => {
    if (state === 'closed') return
    if (transport.queuedBytes() > queueLimitBytes) close('the agent reads too slowly')
    else transport.send(JSON.stringify(message))
  }
  const ended = (): void => {
    if (state === 'closed') return
    state = 'closed'
    cancelTimer()
    if (link !== undefined) options.onClose(link)
  }
  const close = (reason: string): void => {
    ended()
    transport.close(reason)
  }
  const refuse = (refusal: Omit<Refusal, 'type'>): void => {
    send({ type: 'refused', ...refusal })
    close(refusal.reason)
  }
  const watch = (): void => {
    cancelTimer = clock.after(agentPingIntervalMs, () => {
      if (clock.now() - heardAt >= silenceLimitMs) return close('no sign of life')
      send({ type: 'ping' })
      watch()
    })
  }
  const admit = async (hello: Hello): Promise<void> => {
    state = 'checking'
    const node = await options.reads.get(nodeKind, hello.nodeId)
    if (state !== 'checking') return
    const refusal = refusalOf(hello, { node, nonce })
    if (refusal !== undefined || node === undefined) return refuse(refusal ?? unknownNode)
    const ready = linkOf(hello, { node, now: clock.now(), send, refuse, close })
    const objection = options.onReady(ready)
    if (objection !== undefined) return refuse(objection)
    state = 'ready'
    link = ready
    cancelTimer()
    watch()
  }

  transport.onClose(ended)
  transport.onMessage((text) => {
    if (state === 'closed') return
    heardAt = clock.now()
    if (state !== 'ready' && text.length > strangerFrameLimitBytes) return close('a hello comes first')
    const message = parse(text)
    if (message === undefined) return close('a frame that is not of this protocol')
    if (message.type === 'ping') return send({ type: 'pong' })
    if (message.type === 'pong') return
    if (message.type === 'hello') {
      if (state !== 'waiting') return
      admit(message).catch(() => close('the control plane could not check the key'))
      return
    }
    if (state === 'ready' && link !== undefined) options.onMessage(link, message)
  })
  cancelTimer = clock.after(handshakeLimitMs, () => close('no hello in time'))
  send({ type: 'challenge', nonce })
}

const unknownNode: Omit<Refusal, 'type'> = {
  reason: 'unknown-node',
  message: 'This node is not registered here, or was deleted. Enrol it again with a new JUMPCODE.',
  final: true,
}

function refusalOf(
  hello: Hello,
  context: { node: Node | undefined; nonce: string },
): Omit<Refusal, 'type'> | undefined {
  const { node, nonce } = context
  if (hello.protocol < agentProtocolVersion) {
    return {
      reason: 'protocol',
      message: `This agent speaks protocol ${hello.protocol}; the oldest understood here is ${agentProtocolVersion}. Update the agent.`,
      final: false,
    }
  }
  if (node === undefined) return unknownNode
  if (!signatureFits({ publicKey: node.data.publicKey, signature: hello.signature, nonce, nodeId: hello.nodeId })) {
    return {
      reason: 'bad-signature',
      message: "The signature does not fit this node's key. Check the agent's key file, or enrol the node again.",
      final: false,
    }
  }
  if (node.data.revoked) {
    return {
      reason: 'revoked',
      message: 'This agent was revoked. To let the machine back in, delete the node and enrol it again.',
      final: true,
    }
  }
  return undefined
}

function linkOf(
  hello: Hello,
  context: Pick<Link, 'send' | 'refuse' | 'close'> & { node: Node; now: number },
): Link & { facts: NodeFacts } {
  const { node, now, send, refuse, close } = context
  const at = Date.parse(hello.at)
  return {
    nodeId: node.id,
    clusterId: node.data.clusterId,
    nodeName: node.data.name,
    agentVersion: hello.agentVersion,
    clockSkewMs: Number.isNaN(at) ? 0 : at - now,
    connectedAt: new Date(now).toISOString(),
    facts: hello.node,
    send,
    refuse,
    close,
  }
}

function parse(text: string): AgentMessage | undefined {
  if (text.length > agentFrameLimitBytes) return undefined
  try {
    const parsed = agentMessageSchema.safeParse(JSON.parse(text))
    return parsed.success ? bounded(parsed.data) : undefined
  } catch {
    return undefined
  }
}

function bounded(message: AgentMessage): AgentMessage {
  if (message.type === 'report') return { ...message, report: boundedReport(message.report) }
  if (message.type !== 'hello') return message
  return { ...message, agentVersion: boundedText(message.agentVersion), node: boundedFacts(message.node) }
}
