import { createPublicKey, verify } from 'node:crypto'
import {
  type AgentMessage,
  agentMessageSchema,
  challengeText,
  type Desired,
  FreeholdError,
  type Operation,
  type Report,
  type ServerMessage,
} from '@freehold/contracts'
import type { Clock } from '@freehold/reconcile'
import type { Transport } from '../link/transport.ts'
import { idOf } from './desired.ts'

/** A SIMULATION of the other end of the link, for the agent's own tests: it checks what agents send, and records it. */
export function createSimulatedControlPlane({ clock, jumpCode }: { clock: Clock; jumpCode: string }) {
  const keys = new Map<string, string>()
  const links = new Set<{ tell(message: ServerMessage): void; cut(reason: string): void }>()
  const reports: Report[] = []
  const results: Extract<AgentMessage, { type: 'result' }>[] = []
  const hellos: Extract<AgentMessage, { type: 'hello' }>[] = []
  const state = {
    desired: null as Desired | null,
    isAway: false,
    refusal: null as Extract<ServerMessage, { type: 'refused' }> | null,
    answersPings: true,
    dials: 0,
  }

  const transport: Transport = {
    enrol: async (request) => {
      if (state.isAway) throw new FreeholdError('unavailable', 'away')
      if (request.jumpCode !== jumpCode) throw new FreeholdError('wrong-credentials', 'This JUMPCODE is not valid.')
      const nodeId = idOf(request.name)
      keys.set(nodeId, request.publicKey)
      return { nodeId, clusterId: idOf('cluster'), clusterName: 'local' }
    },
    connect: async ({ onText, onClose }) => {
      state.dials += 1
      await clock.sleep(2)
      if (state.isAway) throw new Error('connection refused')
      let isOpen = true
      const nonce = `nonce-${state.dials}`
      const tell = (message: ServerMessage) => clock.after(1, () => isOpen && onText(JSON.stringify(message)))
      const cut = (reason: string) => {
        if (!isOpen) return
        isOpen = false
        links.delete(link)
        clock.after(1, () => onClose(reason))
      }
      const link = { tell, cut }
      const hear = (message: AgentMessage) => {
        if (message.type === 'ping' && state.answersPings) tell({ type: 'pong' })
        if (message.type === 'report') reports.push(message.report)
        if (message.type === 'result') results.push(message)
        if (message.type !== 'hello') return
        hellos.push(message)
        const text = challengeText({ nonce, nodeId: message.nodeId })
        const key = createPublicKey({
          key: Buffer.from(keys.get(message.nodeId) ?? '', 'base64'),
          format: 'der',
          type: 'spki',
        })
        if (!verify(null, Buffer.from(text), key, Buffer.from(message.signature, 'base64'))) return cut('bad signature')
        if (state.refusal) return tell(state.refusal)
        links.add(link)
        tell({ type: 'welcome', clusterId: idOf('cluster'), serverVersion: 'test' })
        if (state.desired) tell({ type: 'desired', desired: state.desired })
      }
      tell({ type: 'challenge', nonce })
      return {
        send: async (message) => {
          if (!isOpen) throw new Error('closed')
          hear(agentMessageSchema.parse(JSON.parse(JSON.stringify(message))))
        },
        close: (reason) => cut(reason),
      }
    },
  }

  return {
    transport,
    state,
    reports,
    results,
    hellos,
    links,
    tell: (message: ServerMessage) => {
      for (const link of links) link.tell(message)
    },
    setDesired: (desired: Desired) => {
      state.desired = desired
      for (const link of links) link.tell({ type: 'desired', desired })
    },
    ask: (id: string, operation: Operation) => {
      for (const link of links) link.tell({ type: 'operation', id, operation })
    },
    cut: () => {
      for (const link of [...links]) link.cut('the network is gone')
    },
  }
}
