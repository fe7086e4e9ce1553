import { generateKeyPairSync, type KeyObject, sign } from 'node:crypto'
import {
  type AgentMessage,
  agentProtocolVersion,
  type ClusterReport,
  challengeText,
  type Desired,
  type NodeFacts,
  type Report,
  type ServerMessage,
} from '@freehold/contracts'
import { createMemoryTransports, type LinkTransport } from './transport.ts'

/** An agent played by a test: it proves its key as a real one does, and reports what the test says. */
export interface TestAgent {
  readonly heard: ServerMessage[]
  isClosed(): boolean
  desired(): Desired | undefined
  refusal(): Extract<ServerMessage, { type: 'refused' }> | undefined
  send(message: AgentMessage): void
  report(report: Partial<Report>): void
  /** Answers no look from now on, as if the network swallowed the answers. */
  mute(isMute: boolean): void
  close(): void
}

export function makeKey(): { publicKey: string; privateKey: KeyObject } {
  const { publicKey, privateKey } = generateKeyPairSync('ed25519')
  return { publicKey: publicKey.export({ format: 'der', type: 'spki' }).toString('base64'), privateKey }
}

function nodeFacts(facts: Partial<NodeFacts> = {}): NodeFacts {
  return {
    swarmNodeId: 'swarm-node-1',
    role: 'manager',
    leader: true,
    hostname: 'one',
    address: '192.0.2.1',
    engineVersion: '29.0.0',
    operatingSystem: 'Debian 13',
    architecture: 'x86_64',
    cpuCores: 2,
    memoryBytes: 4_000_000_000,
    ...facts,
  }
}

export function clusterReport(report: Partial<ClusterReport> = {}): ClusterReport {
  return {
    swarmId: 'swarm-1',
    swarmNodes: [
      {
        swarmNodeId: 'swarm-node-1',
        hostname: 'one',
        role: 'manager',
        state: 'ready',
        availability: 'active',
        leader: true,
      },
    ],
    workloads: [],
    pending: [],
    drift: [],
    ...report,
  }
}

export function connectAgent(options: {
  accept: (transport: LinkTransport) => void
  nodeId: string
  privateKey: KeyObject
  now: () => number
  protocol?: number
  facts?: Partial<NodeFacts>
}): TestAgent {
  const { server, agent } = createMemoryTransports()
  const heard: ServerMessage[] = []
  let isClosed = false
  let reported: Report | undefined
  let isMute = false
  const send = (message: AgentMessage): void => agent.send(JSON.stringify(message))
  const last = <Type extends ServerMessage['type']>(type: Type) =>
    heard.findLast((message): message is Extract<ServerMessage, { type: Type }> => message.type === type)
  agent.onClose(() => {
    isClosed = true
  })
  agent.onMessage((text) => {
    const message = JSON.parse(text) as ServerMessage
    heard.push(message)
    if (message.type === 'ping') send({ type: 'pong' })
    if (message.type === 'look' && reported !== undefined && !isMute)
      send({ type: 'report', report: reported, look: message.id })
    if (message.type !== 'challenge') return
    const challenge = challengeText({ nonce: message.nonce, nodeId: options.nodeId })
    send({
      type: 'hello',
      protocol: options.protocol ?? agentProtocolVersion,
      nodeId: options.nodeId,
      signature: sign(null, Buffer.from(challenge), options.privateKey).toString('base64'),
      agentVersion: '0.1.0',
      at: new Date(options.now()).toISOString(),
      node: nodeFacts(options.facts),
      generation: 0,
    })
  })
  options.accept(server)
  return {
    heard,
    isClosed: () => isClosed,
    desired: () => last('desired')?.desired,
    refusal: () => last('refused'),
    send,
    report: (report) => {
      reported = {
        generation: last('desired')?.desired.generation ?? 0,
        at: new Date(options.now()).toISOString(),
        node: nodeFacts(options.facts),
        engineProblem: null,
        probes: [],
        cluster: null,
        ...report,
      }
      send({ type: 'report', report: reported })
    },
    mute: (mute) => {
      isMute = mute
    },
    close: () => agent.close('the test says so'),
  }
}
