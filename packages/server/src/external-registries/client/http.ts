import { Agent as HttpAgent, request as httpRequest, type IncomingHttpHeaders, type IncomingMessage } from 'node:http'
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https'
import { createAddressRules } from './addresses.ts'
import { fromSocketError, UpstreamError } from './errors.ts'

export interface HttpAnswer {
  status: number
  headers: IncomingHttpHeaders
  /** Must be read to its end or destroyed. */
  body: IncomingMessage
  url: URL
}

export interface HttpRequest {
  method: 'GET' | 'HEAD'
  url: URL
  headers?: Record<string, string>
  signal?: AbortSignal | undefined
}

export interface HttpLimits {
  /** Until an answer's head is there; default 15 s. */
  answerMs: number
  /** Between two pieces of a body; default 30 s. */
  idleMs: number
}

export interface Http {
  /** Follows redirects; `authorization` goes to no other origin. Throws `UpstreamError`. */
  send(request: HttpRequest): Promise<HttpAnswer>
  close(): void
}

const defaultLimits: HttpLimits = { answerMs: 15_000, idleMs: 30_000 }
const redirectLimit = 5
const redirects = [301, 302, 303, 307, 308]
const userAgent = 'freehold'

/** Requests to one registry and to where it sends us, within the rules of `addresses.ts`. */
export function createHttp(options: { home: URL; limits?: Partial<HttpLimits> }): Http {
  const limits = { ...defaultLimits, ...options.limits }
  const rules = createAddressRules(options.home)
  const pool = { keepAlive: true, maxSockets: 16, maxFreeSockets: 4 }
  const agents = { 'http:': new HttpAgent(pool), 'https:': new HttpsAgent(pool) }

  async function send(request: HttpRequest): Promise<HttpAnswer> {
    let { url, headers = {} } = request
    for (let hop = 0; hop <= redirectLimit; hop++) {
      await rules.check(url)
      const answer = await once({ ...request, url, headers })
      const { location } = answer.headers
      if (!redirects.includes(answer.status) || location === undefined) return answer
      answer.body.destroy()
      const next = parseLocation(location, url)
      if (next.origin !== url.origin) headers = without(headers, 'authorization')
      url = next
    }
    throw new UpstreamError('broken', `${options.home.host} redirects more than ${redirectLimit} times.`)
  }

  function once({ method, url, headers, signal }: HttpRequest): Promise<HttpAnswer> {
    const { promise, resolve, reject } = Promise.withResolvers<HttpAnswer>()
    const isSecure = url.protocol === 'https:'
    const call = (isSecure ? httpsRequest : httpRequest)(url, {
      method,
      headers: { 'user-agent': userAgent, ...headers },
      agent: isSecure ? agents['https:'] : agents['http:'],
      lookup: rules.lookupFor(url),
      ...(signal === undefined ? {} : { signal }),
    })
    const timer = setTimeout(() => {
      call.destroy(new UpstreamError('timeout', `${url.host} did not answer within ${limits.answerMs / 1000} s.`))
    }, limits.answerMs)
    call.on('response', (body) => {
      clearTimeout(timer)
      body.setTimeout(limits.idleMs, () => {
        body.destroy(new UpstreamError('timeout', `${url.host} sent nothing for ${limits.idleMs / 1000} s.`))
      })
      resolve({ status: body.statusCode ?? 0, headers: body.headers, body, url })
    })
    call.on('error', (error) => {
      clearTimeout(timer)
      reject(signal?.aborted ? signal.reason : fromSocketError(error, url.host))
    })
    call.end()
    return promise
  }

  return {
    send,
    close() {
      agents['http:'].destroy()
      agents['https:'].destroy()
    },
  }
}

/** Reads a small body whole. Throws `too-large` beyond the limit. */
export async function readBounded({ body, url }: HttpAnswer, limitBytes: number): Promise<Buffer> {
  const chunks: Buffer[] = []
  let sizeBytes = 0
  try {
    for await (const chunk of body as AsyncIterable<Buffer>) {
      sizeBytes += chunk.length
      if (sizeBytes > limitBytes) {
        throw new UpstreamError('too-large', `${url.host} answers with more than ${limitBytes} bytes.`)
      }
      chunks.push(chunk)
    }
  } catch (error) {
    throw fromSocketError(error, url.host)
  }
  return Buffer.concat(chunks)
}

function parseLocation(location: string, from: URL): URL {
  if (URL.canParse(location, from)) return new URL(location, from)
  throw new UpstreamError('broken', `${from.host} redirects to something that is no address.`)
}

function without(headers: Record<string, string>, name: string): Record<string, string> {
  return Object.fromEntries(Object.entries(headers).filter(([key]) => key !== name))
}
