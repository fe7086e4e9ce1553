import type { IncomingMessage, ServerResponse } from 'node:http'
import { discardBody } from '../http/discard.ts'
import type { Client } from '../http/handler.ts'
import type { Visitor } from './access.ts'
import { RegistryError } from './errors.ts'

/** One request that was let in, and its answer. */
export interface Exchange {
  request: IncomingMessage
  response: ServerResponse
  query: URLSearchParams
  client: Client
  visitor: Visitor
}

/** Answers with JSON; to HEAD with its headers alone. */
export function sendJson(
  { request, response }: Pick<Exchange, 'request' | 'response'>,
  status: number,
  body: unknown,
  headers: Record<string, string> = {},
): void {
  const text = JSON.stringify(body)
  response.writeHead(status, {
    'content-type': 'application/json; charset=utf-8',
    'content-length': Buffer.byteLength(text),
    ...headers,
  })
  response.end(request.method === 'HEAD' ? undefined : text)
}

/** Answers without a body. */
export function sendEmpty({ response }: Pick<Exchange, 'response'>, status: number, headers: Record<string, string>) {
  response.writeHead(status, status === 204 ? headers : { 'content-length': 0, ...headers })
  response.end()
}

/** Answers a refusal; what is left of the request's body is thrown away before the exchange ends. */
export async function sendRefusal(
  { request, response }: Pick<Exchange, 'request' | 'response'>,
  error: RegistryError,
): Promise<void> {
  const text = JSON.stringify(error.body)
  response.writeHead(error.status, {
    'content-type': 'application/json; charset=utf-8',
    'content-length': Buffer.byteLength(text),
    ...error.headers,
  })
  if (request.method !== 'HEAD') response.write(text)
  await discardBody(request)
  response.end()
}

/** Runs `work`, which reads the request's body, and ends a client that sends nothing for `idleTimeoutMs`. */
export async function whileReceiving<T>(
  request: IncomingMessage,
  idleTimeoutMs: number,
  work: () => Promise<T>,
): Promise<T> {
  const stalled = () => request.destroy(new ClientGone(`The client sent nothing for ${idleTimeoutMs} ms.`))
  request.setTimeout(idleTimeoutMs, stalled)
  try {
    return await work()
  } finally {
    request.removeListener('timeout', stalled)
    if (!request.destroyed) request.setTimeout(0)
  }
}

/** The client stalled or left; there is nobody to answer. */
class ClientGone extends Error {}

/** True where the answer can reach nobody any more. */
export function isGone({ request, response }: Pick<Exchange, 'request' | 'response'>, error: unknown): boolean {
  return error instanceof ClientGone || response.destroyed || (request.destroyed && !request.complete)
}

/** Reads a small body whole. Throws `tooLarge()` as soon as it is beyond the limit. */
export async function readBody(
  request: IncomingMessage,
  options: { limitBytes: number; idleTimeoutMs: number; tooLarge: () => RegistryError },
): Promise<Buffer> {
  if (Number(request.headers['content-length'] ?? 0) > options.limitBytes) throw options.tooLarge()
  return whileReceiving(request, options.idleTimeoutMs, async () => {
    const chunks: Buffer[] = []
    let sizeBytes = 0
    const iterator: AsyncIterable<Buffer> = request.iterator({ destroyOnReturn: false })
    for await (const chunk of iterator) {
      sizeBytes += chunk.length
      if (sizeBytes > options.limitBytes) throw options.tooLarge()
      chunks.push(chunk)
    }
    return Buffer.concat(chunks)
  })
}

/** True where the request announces a body, be it of unknown length. */
export function hasBody(request: IncomingMessage): boolean {
  return request.headers['transfer-encoding'] !== undefined || Number(request.headers['content-length'] ?? 0) > 0
}

/** True where `If-None-Match` names this entity (RFC 9110 §13.1.2). */
export function isKnown(request: IncomingMessage, etag: string): boolean {
  const header = request.headers['if-none-match']
  if (header === undefined) return false
  return header.split(',').some((part) => ['*', etag].includes(part.trim().replace(/^W\//, '')))
}

/** A page size from the query: `n`, within 0 and `most`. Throws `page-invalid`. */
export function pageSize(query: URLSearchParams, most: number): number {
  const text = query.get('n')
  if (text === null) return most
  if (!/^\d{1,9}$/.test(text)) throw new RegistryError('page-invalid', 'n is a number of results, 0 or more.')
  return Math.min(Number(text), most)
}

/** The Link header of a further page, as a path with its query. */
export function nextLink(path: string, query: Record<string, string>): Record<string, string> {
  return { link: `<${path}?${new URLSearchParams(query)}>; rel="next"` }
}
