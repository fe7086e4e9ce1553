import { request as httpsRequest } from 'node:https'
import {
  agentFrameLimitBytes,
  agentLinkPath,
  agentRoutes,
  type ErrorCode,
  errorTable,
  FreeholdError,
} from '@freehold/contracts'
import WebSocket from 'ws'
import { request as httpRequest } from '../node-http.ts'
import type { Connection, Enrolment, Transport } from './transport.ts'

const connectLimitMs = 15_000

/** The control plane at `url` (http or https; certificates are verified). */
export function createWebSocketTransport({ url }: { url: string }): Transport {
  const { enrol } = agentRoutes.agents
  return {
    enrol: async (request, signal) => {
      const limited = AbortSignal.any([signal, AbortSignal.timeout(connectLimitMs)])
      const { status, body } = await postJson(new URL(enrol.path, url), request, limited)
      if (status === enrol.status) return enrol.output.parse(JSON.parse(body)) as Enrolment
      throw refusal(status, body)
    },
    connect: (handlers, signal) =>
      new Promise<Connection>((resolve, reject) => {
        const target = new URL(agentLinkPath, url)
        target.protocol = target.protocol === 'https:' ? 'wss:' : 'ws:'
        const socket = new WebSocket(target, {
          handshakeTimeout: connectLimitMs,
          maxPayload: agentFrameLimitBytes,
          perMessageDeflate: false,
        })
        let why = ''
        let opened = false
        const abort = () => socket.terminate()
        signal.addEventListener('abort', abort, { once: true })
        socket.on('message', (data, isBinary) => {
          if (!isBinary) handlers.onText(data.toString())
        })
        socket.on('error', (error) => {
          why = error.message
        })
        socket.on('close', (code, reason) => {
          signal.removeEventListener('abort', abort)
          const text = why || reason.toString() || `closed with code ${code}`
          if (opened) handlers.onClose(text)
          else reject(new FreeholdError('unavailable', `The control plane at ${url} cannot be reached: ${text}.`))
        })
        socket.on('open', () => {
          opened = true
          signal.removeEventListener('abort', abort)
          resolve({
            send: (message) =>
              new Promise((sent, failed) => {
                socket.send(JSON.stringify(message), (error) => (error ? failed(error) : sent()))
              }),
            close: (reason) => {
              why = reason
              socket.close(1000)
              // A peer that is gone never answers the closing handshake.
              setTimeout(() => socket.terminate(), 1000).unref()
            },
          })
        })
      }),
  }
}

function postJson(url: URL, content: unknown, signal: AbortSignal): Promise<{ status: number; body: string }> {
  const send = url.protocol === 'https:' ? httpsRequest : httpRequest
  const payload = JSON.stringify(content)
  return new Promise((resolve, reject) => {
    const headers = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(payload) }
    const outgoing = send(url, { method: 'POST', headers, signal, agent: false }, (answer) => {
      let body = ''
      answer.setEncoding('utf8')
      answer.on('data', (chunk: string) => {
        body = (body + chunk).slice(0, 64 * 1024)
      })
      answer.on('end', () => resolve({ status: answer.statusCode ?? 500, body }))
      answer.on('error', reject)
    })
    outgoing.on('error', (error) =>
      reject(
        new FreeholdError('unavailable', `The control plane at ${url.origin} cannot be reached: ${error.message}.`),
      ),
    )
    outgoing.end(payload)
  })
}

function refusal(status: number, body: string): FreeholdError {
  try {
    const { error } = JSON.parse(body) as { error?: { code?: string; message?: string } }
    if (error?.code && error.code in errorTable) return new FreeholdError(error.code as ErrorCode, error.message)
  } catch {
    // Not JSON: something else than a control plane answered.
  }
  return new FreeholdError('unavailable', `The control plane answered with status ${status}; is CLOUDLY_URL right?`)
}
