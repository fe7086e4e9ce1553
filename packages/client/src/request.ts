import type { Route } from '@freehold/contracts'
import { ApiError, errorOf, unreachable } from './errors.ts'

export interface Transport {
  url: string
  token: string | undefined
  userAgent: string | undefined
  fetch: typeof fetch
  /** How long the head of an answer may take, in milliseconds. */
  timeoutMs: number
}

/** The parts of any input, as the untyped machinery sees them. */
export interface Parts {
  params?: Record<string, string> | undefined
  query?: Record<string, unknown> | undefined
  body?: unknown
  signal?: AbortSignal | undefined
}

/** The address of a call: parameters percent-encoded (RFC 3986 §2.1), undefined query values left out. */
function addressOf(base: string, path: string, parts: Pick<Parts, 'params' | 'query'>): string {
  const filled = path.replaceAll(/:([A-Za-z]+)/g, (_, name: string) => {
    const value = parts.params?.[name]
    if (value === undefined) throw new ApiError('invalid-input', `The address ${path} needs ${name}.`)
    return encodeURIComponent(value)
  })
  const search = new URLSearchParams()
  for (const [name, value] of Object.entries(parts.query ?? {})) {
    if (value !== undefined) search.set(name, String(value))
  }
  const query = search.size === 0 ? '' : `?${search}`
  return `${base.replace(/\/+$/, '')}${filled}${query}`
}

/** Sends a request and hands back its answer if it succeeded; the body is still to be read. Throws `ApiError`. */
export async function send(
  transport: Transport,
  route: Pick<Route, 'method' | 'path' | 'format'>,
  parts: Parts,
  extraHeaders: Record<string, string> = {},
): Promise<Response> {
  const url = addressOf(transport.url, route.path, parts)
  const tooLate = new AbortController()
  const timer = setTimeout(() => tooLate.abort(), transport.timeoutMs)
  const signals = parts.signal === undefined ? [tooLate.signal] : [parts.signal, tooLate.signal]
  try {
    const response = await transport.fetch(url, {
      method: route.method,
      headers: { ...headersOf(transport, route, parts), ...extraHeaders },
      body: parts.body === undefined ? null : JSON.stringify(parts.body),
      signal: AbortSignal.any(signals),
    })
    if (response.ok) return response
    throw errorOf(
      {
        status: response.status,
        requestId: response.headers.get('x-request-id'),
        retryAfter: response.headers.get('retry-after'),
      },
      await response.text(),
      url,
    )
  } catch (error) {
    if (error instanceof ApiError || parts.signal?.aborted) throw error
    if (tooLate.signal.aborted) {
      throw new ApiError('timeout', `${new URL(url).origin} did not answer within ${transport.timeoutMs / 1000} s.`)
    }
    throw unreachable(url, error)
  } finally {
    clearTimeout(timer)
  }
}

/** The JSON of an answer; undefined where it has none (204). */
export async function readJson(response: Response, signal: AbortSignal | undefined): Promise<unknown> {
  if (response.status === 204) return undefined
  let text: string
  try {
    text = await response.text()
  } catch (error) {
    throw signal?.aborted ? error : unreachable(response.url, error)
  }
  try {
    return JSON.parse(text)
  } catch (cause) {
    throw new ApiError('unavailable', `${new URL(response.url).origin} answered with something that is not JSON.`, {
      action: 'Check that the address is the one of Freehold and what stands in front of it.',
      cause,
    })
  }
}

const accepted = { json: 'application/json', ndjson: 'application/x-ndjson', sse: 'text/event-stream' }

function headersOf(transport: Transport, route: Pick<Route, 'format'>, parts: Parts): Record<string, string> {
  return {
    accept: accepted[route.format],
    ...(parts.body === undefined ? {} : { 'content-type': 'application/json' }),
    ...(transport.token === undefined ? {} : { authorization: `Bearer ${transport.token}` }),
    ...(transport.userAgent === undefined ? {} : { 'user-agent': transport.userAgent }),
  }
}
