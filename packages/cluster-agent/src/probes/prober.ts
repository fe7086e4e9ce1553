import { connect } from 'node:net'
import { request } from '../node-http.ts'
import type { HealthTarget } from './targets.ts'

/** One look at a container. `message` is for people. */
export interface ProbeResult {
  passing: boolean
  message: string
}

/** Asks containers over the network; a simulation puts its own in place. Never rejects. */
export interface Prober {
  http(target: HealthTarget & { path: string }, signal: AbortSignal): Promise<ProbeResult>
  tcp(target: HealthTarget, signal: AbortSignal): Promise<ProbeResult>
}

/** HTTP: any status from 200 to 399 within the time limit. TCP: the port accepts a connection. */
export function createProber(): Prober {
  return {
    http: ({ address, port, path, timeLimitMs }, signal) =>
      new Promise((resolve) => {
        const limited = AbortSignal.any([signal, AbortSignal.timeout(timeLimitMs)])
        const outgoing = request(
          { host: address, port, path, signal: limited, agent: false, headers: { 'user-agent': 'freehold-agent' } },
          (answer) => {
            const status = answer.statusCode ?? 0
            answer.destroy()
            resolve({ passing: status >= 200 && status < 400, message: `${path} on port ${port} answered ${status}.` })
          },
        )
        outgoing.on('error', (error) =>
          resolve({ passing: false, message: `${path} on port ${port}: ${wordFor(error, limited, timeLimitMs)}.` }),
        )
        outgoing.end()
      }),
    tcp: ({ address, port, timeLimitMs }, signal) =>
      new Promise((resolve) => {
        const limited = AbortSignal.any([signal, AbortSignal.timeout(timeLimitMs)])
        const socket = connect({ host: address, port, signal: limited })
        socket.once('connect', () => {
          socket.destroy()
          resolve({ passing: true, message: `Port ${port} accepts connections.` })
        })
        socket.once('error', (error) =>
          resolve({ passing: false, message: `Port ${port}: ${wordFor(error, limited, timeLimitMs)}.` }),
        )
      }),
  }
}

function wordFor(error: Error, limited: AbortSignal, timeLimitMs: number): string {
  if (limited.aborted) return `no answer within ${timeLimitMs / 1000} s`
  const { code } = error as NodeJS.ErrnoException
  const words: Record<string, string> = {
    ECONNREFUSED: 'nothing listens there',
    EHOSTUNREACH: 'the container cannot be reached',
    ECONNRESET: 'the connection was cut',
  }
  return words[code ?? ''] ?? error.message
}
