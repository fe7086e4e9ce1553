import { createPublicKey, randomUUID, verify } from 'node:crypto'
import { createServer } from 'node:http'
import {
  type AgentMessage,
  agentLinkPath,
  agentMessageSchema,
  agentRoutes,
  challengeText,
  type Desired,
  type LogLine,
  type Operation,
  type Report,
  type ServerMessage,
  type Workload,
} from '@freehold/contracts'
import { type WebSocket, WebSocketServer } from 'ws'

/** A small control plane for tests of the agent alone: the other end of its link, over real HTTP and WebSockets. */
export async function startLinkServer(options: { clusterId: string; jumpCode: string }) {
  const { clusterId, jumpCode } = options
  const keys = new Map<string, string>()
  const sockets = new Set<WebSocket>()
  const operations = new Map<string, { lines: LogLine[]; steps: string[]; isDone: boolean; cancel(): void }>()
  let reports: Report[] = []
  let generation = 0
  let desired: Desired = desiredOf([])
  let isAway = false
  let links = 0

  function desiredOf(workloads: Workload[]): Desired {
    return { clusterId, clusterName: 'local', generation: ++generation, workloads, registry: null, externalPulls: [] }
  }
  const tell = (message: ServerMessage, to: Iterable<WebSocket> = sockets) => {
    for (const socket of to) socket.send(JSON.stringify(message))
  }
  const hear: {
    [K in AgentMessage['type']]: (message: Extract<AgentMessage, { type: K }>, socket: WebSocket) => void
  } = {
    hello: () => undefined,
    ping: (_, socket) => tell({ type: 'pong' }, [socket]),
    pong: () => undefined,
    report: ({ report }) => {
      reports = [...reports.slice(-50), report]
    },
    result: ({ id, output, done }) => {
      const operation = operations.get(id)
      if (!operation) return
      if (output?.kind === 'service-logs') operation.lines.push(...output.lines)
      if (output?.kind === 'plan') operation.steps.push(...output.steps)
      operation.isDone = done
    },
  }

  const server = createServer((request, response) => {
    let body = ''
    request.on('data', (chunk) => {
      body += chunk
    })
    request.on('end', () => {
      const input = agentRoutes.agents.enrol.body.parse(JSON.parse(body))
      const nodeId = randomUUID()
      keys.set(nodeId, input.publicKey)
      response.writeHead(input.jumpCode === jumpCode ? 201 : 401, { 'content-type': 'application/json' })
      response.end(JSON.stringify({ nodeId, clusterId, clusterName: 'local' }))
    })
  })
  const webSockets = new WebSocketServer({ server, path: agentLinkPath })
  webSockets.on('connection', (socket) => {
    if (isAway) return socket.terminate()
    const nonce = randomUUID()
    tell({ type: 'challenge', nonce }, [socket])
    socket.on('close', () => sockets.delete(socket))
    socket.on('message', (data) => {
      const message = agentMessageSchema.parse(JSON.parse(data.toString()))
      if (message.type !== 'hello')
        return (hear[message.type] as (message: AgentMessage, socket: WebSocket) => void)(message, socket)
      const key = { key: Buffer.from(keys.get(message.nodeId) ?? '', 'base64'), format: 'der', type: 'spki' } as const
      const text = Buffer.from(challengeText({ nonce, nodeId: message.nodeId }))
      if (!verify(null, text, createPublicKey(key), Buffer.from(message.signature, 'base64'))) return socket.terminate()
      links += 1
      sockets.add(socket)
      tell({ type: 'welcome', clusterId, serverVersion: 'test' }, [socket])
      tell({ type: 'desired', desired }, [socket])
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  const port = typeof address === 'object' ? address?.port : undefined

  return {
    url: `http://127.0.0.1:${port}`,
    desiredOf,
    want: (workloads: Workload[]) => {
      desired = desiredOf(workloads)
      reports = []
      tell({ type: 'desired', desired })
    },
    /** The newest report, if it describes what is desired now and fits. */
    latest: (fits: (report: Report) => boolean): Report | undefined => {
      const report = reports.at(-1)
      const isCurrent = report?.cluster === null || (report?.generation ?? 0) >= desired.generation
      return report && isCurrent && fits(report) ? report : undefined
    },
    ask: async (operation: Operation) => {
      const id = randomUUID()
      const record = { lines: [], steps: [], isDone: false, cancel: () => tell({ type: 'cancel', id }) }
      operations.set(id, record)
      tell({ type: 'operation', id, operation })
      return record as { lines: LogLine[]; steps: string[]; isDone: boolean; cancel(): void }
    },
    setAway: (away: boolean) => {
      isAway = away
      reports = []
      if (away) for (const socket of sockets) socket.terminate()
    },
    linkCount: () => links,
    nodeCount: () => keys.size,
    stop: async () => {
      for (const socket of webSockets.clients) socket.terminate()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}
