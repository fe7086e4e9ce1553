import type { ClientRequest, IncomingMessage } from 'node:http'
import { FreeholdError } from '@freehold/contracts'
import { Agent, request as httpRequest } from '../node-http.ts'
import { EngineRefusal } from './engine.ts'

/** One request to the Engine API. `timeLimitMs` covers the whole answer, for streams only its head. */
export interface EngineRequest {
  method: 'GET' | 'POST' | 'DELETE'
  path: string
  query?: Record<string, string>
  body?: unknown
  headers?: Record<string, string>
  signal: AbortSignal
  timeLimitMs?: number
}

export interface EngineHttp {
  address: string
  json(request: EngineRequest): Promise<unknown>
  stream(request: EngineRequest): Promise<IncomingMessage>
}

const bodyLimitBytes = 64 * 1024 * 1024
const oldestApiVersion = '1.40'

/**
 * The Engine API over a Unix socket or plain TCP, in the newest API version the engine speaks (it is asked once a
 * connection works, and again after one failed, since engines are upgraded under running agents).
 */
export function createEngineHttp(options: { address: string; timeLimitMs?: number }): EngineHttp {
  const { address, timeLimitMs = 20_000 } = options
  const target = parseAddress(address)
  const agent = new Agent({ keepAlive: true, maxSockets: 32, timeout: 60_000 })
  let version: string | undefined

  const send = async (path: string, request: EngineRequest): Promise<IncomingMessage> => {
    const query = request.query ? `?${new URLSearchParams(request.query)}` : ''
    const body = request.body === undefined ? undefined : Buffer.from(JSON.stringify(request.body))
    try {
      return await new Promise<IncomingMessage>((resolve, reject) => {
        const outgoing: ClientRequest = httpRequest({
          ...target,
          agent,
          method: request.method,
          path: `${path}${query}`,
          signal: request.signal,
          headers: {
            host: 'docker',
            ...request.headers,
            ...(body ? { 'content-type': 'application/json', 'content-length': String(body.length) } : {}),
          },
        })
        outgoing.once('response', resolve)
        outgoing.once('error', reject)
        outgoing.end(body)
      })
    } catch (error) {
      version = undefined
      throw unavailable(address, error, request.signal)
    }
  }

  const negotiated = async (signal: AbortSignal): Promise<string> => {
    if (version) return version
    const answer = await send('/version', { method: 'GET', path: '/version', signal })
    const { ApiVersion = '' } = JSON.parse(await readBody(answer)) as { ApiVersion?: string }
    if (!/^\d+\.\d+$/.test(ApiVersion) || isOlder(ApiVersion, oldestApiVersion)) {
      throw new FreeholdError(
        'engine-unavailable',
        `The engine at ${address} speaks API version "${ApiVersion}"; the agent needs ${oldestApiVersion} or newer (Docker Engine 19.03). Upgrade the engine.`,
      )
    }
    version = ApiVersion
    return version
  }

  const open = async (request: EngineRequest, signal: AbortSignal): Promise<IncomingMessage> => {
    const answer = await send(`/v${await negotiated(signal)}${request.path}`, { ...request, signal })
    const status = answer.statusCode ?? 500
    if (status < 400) return answer
    throw new EngineRefusal(status, refusalText(await readBody(answer), status))
  }

  return {
    address,
    json: (request) =>
      withLimit(address, request, request.timeLimitMs ?? timeLimitMs, async (signal) => {
        const text = await readBody(await open(request, signal))
        return text === '' ? undefined : JSON.parse(text)
      }),
    stream: (request) => openStream(address, request, request.timeLimitMs ?? timeLimitMs, open),
  }
}

/** The head must come within the limit; the body may then last as long as the caller's signal lets it. */
async function openStream(
  address: string,
  request: EngineRequest,
  limitMs: number,
  open: (request: EngineRequest, signal: AbortSignal) => Promise<IncomingMessage>,
): Promise<IncomingMessage> {
  const head = new AbortController()
  const timer = setTimeout(() => head.abort(tooSlow(address, limitMs)), limitMs)
  try {
    return await open(request, AbortSignal.any([request.signal, head.signal]))
  } finally {
    clearTimeout(timer)
  }
}

async function withLimit<T>(
  address: string,
  request: EngineRequest,
  limitMs: number,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const limit = new AbortController()
  const timer = setTimeout(() => limit.abort(tooSlow(address, limitMs)), limitMs)
  const signal = AbortSignal.any([request.signal, limit.signal])
  try {
    return await work(signal)
  } catch (error) {
    throw signal.aborted ? signal.reason : error
  } finally {
    clearTimeout(timer)
  }
}

/** `unix:///path` or `tcp://host:port` (without TLS: for a socket proxy beside the agent). */
export function parseAddress(address: string): { socketPath: string } | { host: string; port: number } {
  const url = URL.parse(address)
  if (url?.protocol === 'unix:' && url.pathname.startsWith('/')) return { socketPath: decodeURIComponent(url.pathname) }
  if (url?.protocol === 'tcp:' || url?.protocol === 'http:') {
    return { host: url.hostname.replace(/^\[|\]$/g, ''), port: Number(url.port || 2375) }
  }
  throw new FreeholdError('invalid-input', `"${address}" is not unix:///path or tcp://host:port.`)
}

async function readBody(answer: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = []
  let sizeBytes = 0
  for await (const chunk of answer) {
    sizeBytes += (chunk as Buffer).length
    if (sizeBytes > bodyLimitBytes) {
      answer.destroy()
      throw new EngineRefusal(500, `The engine's answer is larger than ${bodyLimitBytes} bytes.`)
    }
    chunks.push(chunk as Buffer)
  }
  return Buffer.concat(chunks).toString('utf8')
}

function refusalText(body: string, status: number): string {
  try {
    const { message } = JSON.parse(body) as { message?: unknown }
    if (typeof message === 'string') return message.slice(0, 1000)
  } catch {
    // Not JSON: the text itself is all there is.
  }
  return body.trim().slice(0, 1000) || `status ${status}`
}

function unavailable(address: string, error: unknown, signal: AbortSignal): unknown {
  if (signal.aborted) return signal.reason
  const code = (error as NodeJS.ErrnoException).code ?? 'no connection'
  const why =
    { ENOENT: 'there is no such socket', ECONNREFUSED: 'nothing listens there', EACCES: 'this user may not open it' }[
      code
    ] ?? code
  return new FreeholdError('engine-unavailable', `The Docker engine at ${address} does not answer: ${why}.`, {
    cause: error,
  })
}

function tooSlow(address: string, limitMs: number): FreeholdError {
  return new FreeholdError('engine-unavailable', `The Docker engine at ${address} did not answer within ${limitMs} ms.`)
}

function isOlder(version: string, other: string): boolean {
  const [major = 0, minor = 0] = version.split('.').map(Number)
  const [otherMajor = 0, otherMinor = 0] = other.split('.').map(Number)
  return major < otherMajor || (major === otherMajor && minor < otherMinor)
}
