import { createPrivateKey, sign } from 'node:crypto'
import {
  type AgentMessage,
  agentPingIntervalMs,
  agentProtocolVersion,
  challengeText,
  type Desired,
  type NodeFacts,
  type Operation,
  type ServerMessage,
  serverMessageSchema,
} from '@freehold/contracts'
import type { Clock } from '@freehold/reconcile'
import { sentenceOf } from '../log.ts'
import type { Connection, Transport } from './transport.ts'

const handshakeLimitMs = 15_000
const unansweredPingsLimit = 3

export interface SessionOptions {
  transport: Transport
  identity: { nodeId: string; clusterId: string; privateKeyPem: string }
  clock: Clock
  agentVersion: string
  /** What `hello` says of this node, at that moment. */
  hello(): { node: NodeFacts; generation: number }
  handlers: SessionHandlers
}

export interface SessionHandlers {
  /** The link is up: from now until `onDown` messages can be sent. */
  onUp(send: (message: AgentMessage) => Promise<void>): void
  onDown(): void
  /** `isFirst`: the first after this connection's welcome. */
  onDesired(desired: Desired, options: { isFirst: boolean }): void
  onOperation(id: string, operation: Operation): void
  onCancel(id: string): void
  onLook(id: string): void
}

/** How a session ended. */
export interface SessionEnd {
  reason: string
  /** Set where the control plane said no. */
  refusal: { message: string; final: boolean } | null
  /** How long the link was up, in milliseconds; 0 where it never was. */
  upMs: number
}

/**
 * One connection from dialling to its end: challenge → signed hello → welcome → whatever comes. Nothing is kept from
 * one session to the next. It never rejects.
 */
export function runSession(options: SessionOptions, signal: AbortSignal): Promise<SessionEnd> {
  const { transport, identity, clock, handlers } = options
  const abort = new AbortController()
  let upSinceMs: number | undefined
  let refusal: SessionEnd['refusal'] = null
  let desiredCount = 0
  let unansweredPings = 0
  let ended = false
  let cancelTimer = () => {}

  return new Promise((resolve) => {
    const end = (reason: string) => {
      if (ended) return
      ended = true
      cancelTimer()
      signal.removeEventListener('abort', stop)
      connecting.then(
        (connection) => connection.close(reason),
        () => undefined,
      )
      abort.abort(new Error(reason))
      if (upSinceMs !== undefined) handlers.onDown()
      resolve({ reason, refusal, upMs: upSinceMs === undefined ? 0 : clock.now() - upSinceMs })
    }
    const stop = () => end('the agent is stopping')
    const send = async (message: AgentMessage): Promise<void> => {
      const connection = await connecting
      if (ended) throw new Error('The link is down.')
      await connection.send(message)
    }
    const sendOrEnd = (message: AgentMessage) => {
      send(message).catch((error) => end(`sending failed: ${sentenceOf(error)}`))
    }
    const keepPinging = () => {
      cancelTimer = clock.after(agentPingIntervalMs, () => {
        if (unansweredPings >= unansweredPingsLimit) return end(`${unansweredPings} pings were not answered`)
        unansweredPings += 1
        sendOrEnd({ type: 'ping' })
        keepPinging()
      })
    }

    const receive: { [K in ServerMessage['type']]: (message: Extract<ServerMessage, { type: K }>) => void } = {
      challenge: ({ nonce }) => {
        const text = challengeText({ nonce, nodeId: identity.nodeId })
        sendOrEnd({
          type: 'hello',
          protocol: agentProtocolVersion,
          nodeId: identity.nodeId,
          signature: sign(null, Buffer.from(text), createPrivateKey(identity.privateKeyPem)).toString('base64'),
          agentVersion: options.agentVersion,
          at: new Date(clock.now()).toISOString(),
          ...options.hello(),
        })
      },
      welcome: ({ clusterId }) => {
        if (upSinceMs !== undefined) return
        if (clusterId !== identity.clusterId) {
          return end('the control plane says this node belongs to another cluster than the one it joined')
        }
        upSinceMs = clock.now()
        cancelTimer()
        keepPinging()
        handlers.onUp(send)
      },
      desired: ({ desired }) => {
        if (upSinceMs === undefined || desired.clusterId !== identity.clusterId) return
        desiredCount += 1
        handlers.onDesired(desired, { isFirst: desiredCount === 1 })
      },
      operation: ({ id, operation }) => {
        if (upSinceMs !== undefined) handlers.onOperation(id, operation)
      },
      cancel: ({ id }) => handlers.onCancel(id),
      look: ({ id }) => handlers.onLook(id),
      refused: ({ message, final }) => {
        refusal = { message, final }
        end(message)
      },
      ping: () => sendOrEnd({ type: 'pong' }),
      pong: () => {
        unansweredPings = 0
      },
    }

    const onText = (text: string) => {
      const message = parse(text)
      // A frame of a newer control plane that this agent does not know is left alone.
      if (message && !ended) (receive[message.type] as (message: ServerMessage) => void)(message)
    }
    cancelTimer = clock.after(handshakeLimitMs, () => end('the control plane did not welcome this node in time'))
    const connecting: Promise<Connection> = transport.connect({ onText, onClose: end }, abort.signal)
    connecting.catch((error) => end(sentenceOf(error)))
    signal.addEventListener('abort', stop, { once: true })
    if (signal.aborted) stop()
  })
}

function parse(text: string): ServerMessage | undefined {
  try {
    return serverMessageSchema.safeParse(JSON.parse(text)).data
  } catch {
    return undefined
  }
}
