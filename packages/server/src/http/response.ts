import type { ServerResponse } from 'node:http'
import { discardBody } from './discard.ts'
import type { MappedError } from './errors.ts'

/** Writes a JSON answer; headers that were set before stay. */
export function sendJson(response: ServerResponse, status: number, value: unknown): void {
  const text = JSON.stringify(value)
  response.writeHead(status, {
    'content-type': 'application/json; charset=utf-8',
    'content-length': Buffer.byteLength(text),
    'cache-control': 'no-store',
  })
  response.end(response.req.method === 'HEAD' ? undefined : text)
}

/** Writes a mapped error; what is left of the request's body is thrown away. */
export function sendError(response: ServerResponse, mapped: MappedError): void {
  if (response.headersSent) {
    response.destroy()
    return
  }
  for (const name of ['set-cookie', 'content-type', 'content-length', 'content-encoding', 'etag']) {
    response.removeHeader(name)
  }
  for (const [name, value] of Object.entries(mapped.headers)) response.setHeader(name, value)
  void discardBody(response.req)
  sendJson(response, mapped.status, mapped.body)
}
