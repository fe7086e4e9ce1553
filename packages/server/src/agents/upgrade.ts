import type { IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'
import { agentFrameLimitBytes, agentLinkPath } from '@freehold/contracts'
import { type WebSocket, WebSocketServer } from 'ws'
import type { LinkTransport } from './transport.ts'

/** The WebSocket end of the agent link: completes the upgrade at `agentLinkPath` and hands each connection to `accept`. */
export function createAgentUpgrade(options: { accept: (transport: LinkTransport) => void }): {
  path: string
  handle(request: IncomingMessage, socket: Duplex, head: Buffer): void
  /** Ends every connection. */
  close(): void
} {
  const server = new WebSocketServer({ noServer: true, maxPayload: agentFrameLimitBytes, perMessageDeflate: false })
  return {
    path: agentLinkPath,
    handle: (request, socket, head) => {
      server.handleUpgrade(request, socket, head, (webSocket) => options.accept(transportOf(webSocket)))
    },
    close: () => {
      for (const webSocket of server.clients) webSocket.terminate()
      server.close()
    },
  }
}

function transportOf(webSocket: WebSocket): LinkTransport {
  const closed: (() => void)[] = []
  webSocket.on('close', () => {
    for (const listener of closed) listener()
  })
  /** A broken connection or an oversized frame; `close` follows by itself. */
  webSocket.on('error', () => webSocket.terminate())
  return {
    send: (text) => {
      if (webSocket.readyState === webSocket.OPEN) webSocket.send(text)
    },
    close: (reason) => {
      webSocket.close(1000, reason.slice(0, 100))
      const timer = setTimeout(() => webSocket.terminate(), 2000)
      timer.unref()
      webSocket.once('close', () => clearTimeout(timer))
    },
    onMessage: (listener) => {
      webSocket.on('message', (data, isBinary) => {
        if (isBinary) webSocket.close(1003, 'text frames only')
        else listener(data.toString())
      })
    },
    onClose: (listener) => closed.push(listener),
    queuedBytes: () => webSocket.bufferedAmount,
  }
}
