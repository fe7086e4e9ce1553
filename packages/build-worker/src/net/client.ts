import http from 'node:http'
import https from 'node:https'
import { FreeholdError } from '@freehold/contracts'
import type { AddressRule } from './addresses.ts'

export interface ClientRequest {
  method?: string
  headers: Record<string, string>
  body?: Buffer
  signal: AbortSignal
  /** Longest silence of the connection; 60 s where it is not given. */
  idleMs?: number
  /** Whether redirects are followed; not where a secret goes along. */
  follow?: boolean
  /** The reader is done with each chunk of the body when it asks for the next: its memory is given back at once then. */
  isPassing?: boolean
}

/** HTTP of one job, by its rule of addresses. Its connections are its own: what one job may dial, another may not. */
export interface Client extends Disposable {
  /** Rejects where no answer comes; a refused address with the rule's error. */
  send(url: string, request: ClientRequest): Promise<Response>
}

const longestRedirects = 5
const redirects = new Set([301, 302, 303, 307, 308])

export function createClient(rule: AddressRule): Client {
  const agents = {
    'http:': new http.Agent({ keepAlive: true, maxSockets: 8 }),
    'https:': new https.Agent({ keepAlive: true, maxSockets: 8 }),
  }
  const once = (url: URL, request: ClientRequest): Promise<http.IncomingMessage> =>
    new Promise((resolve, reject) => {
      rule.check(url)
      const secure = url.protocol === 'https:'
      const sent = (secure ? https : http).request(url, {
        method: request.method ?? 'GET',
        headers: {
          ...request.headers,
          ...(request.body === undefined ? {} : { 'content-length': request.body.length }),
        },
        signal: request.signal,
        agent: agents[secure ? 'https:' : 'http:'],
        lookup: rule.lookupFor(url),
      })
      sent.setTimeout(request.idleMs ?? 60_000, () => sent.destroy(new Error('the server says nothing')))
      sent.on('error', reject)
      // What asks for another protocol (RFC 9110 §15.2.2) is no answer and no error: the connection ends, that is all.
      sent.on('close', () => reject(new Error('the server broke the connection off')))
      sent.on('response', resolve)
      sent.end(request.body)
    })
  return {
    async send(address, request) {
      let url = new URL(address)
      for (let followed = 0; ; followed += 1) {
        const answer = await once(url, request)
        const location = redirects.has(answer.statusCode ?? 0) && request.follow ? answer.headers.location : undefined
        if (location === undefined) return responseOf(answer, request.isPassing === true)
        answer.destroy()
        const next = URL.canParse(location, url) ? new URL(location, url) : undefined
        const downgrades = url.protocol === 'https:' && next?.protocol !== 'https:'
        if (next === undefined || !/^https?:$/.test(next.protocol) || downgrades || followed === longestRedirects) {
          throw new FreeholdError('upstream-failed', `${url.host} redirects to where nothing is fetched from.`)
        }
        url = next
      }
    },
    [Symbol.dispose]() {
      agents['http:'].destroy()
      agents['https:'].destroy()
    },
  }
}

function responseOf(answer: http.IncomingMessage, isPassing: boolean): Response {
  const status = answer.statusCode ?? 0
  const headers = new Headers()
  for (const [name, value] of Object.entries(answer.headers)) {
    for (const one of [value ?? []].flat()) headers.append(name, one)
  }
  const isBare = status === 204 || status === 205 || status === 304
  if (isBare) answer.resume()
  return new Response(isBare ? null : bodyOf(answer, isPassing), { status, headers })
}

/** What is read of a socket at once; smaller buffers may be shared, and are not worth it. */
const ownBufferBytes = 16 * 1024

/**
 * The body as a stream without a queue of its own. Each read of a socket has a buffer of its own, which V8 would keep until
 * 64 MiB of them are garbage. Chunks of a chunked transfer share one, so those are left alone.
 */
function bodyOf(answer: http.IncomingMessage, isPassing: boolean): ReadableStream<Uint8Array> {
  const chunks = (answer as AsyncIterable<Buffer<ArrayBuffer>>)[Symbol.asyncIterator]()
  const gives = isPassing && answer.headers['transfer-encoding'] === undefined
  let last: Buffer<ArrayBuffer> | undefined
  return new ReadableStream(
    {
      async pull(controller) {
        if (gives && last !== undefined && last.length >= ownBufferBytes) last.buffer.transfer(0)
        const { done, value } = await chunks.next()
        last = done ? undefined : value
        if (last === undefined) controller.close()
        else controller.enqueue(last)
      },
      cancel: () => void answer.destroy(),
    },
    { highWaterMark: 0 },
  )
}

/** An address without what may be secret in it: user, password and query. */
export function nameOf(url: string): string {
  const { origin, pathname } = new URL(url)
  return origin + pathname
}
