import type { ServerResponse } from 'node:http'
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

const lingerMs = 5_000

/**
 * Writes a mapped error. What is left of the request's body is read and thrown away for a few seconds (closing at
 * once would reset the connection and take the answer with it), then the connection ends.
 */
export function sendError(response: ServerResponse, mapped: MappedError): void {
  if (response.headersSent) {
    response.destroy()
    return
  }
  for (const name of ['set-cookie', 'content-type', 'content-length', 'content-encoding', 'etag']) {
    response.removeHeader(name)
  }
  for (const [name, value] of Object.entries(mapped.headers)) response.setHeader(name, value)
  const request = response.req
  if (!request.complete) {
    request.resume()
    const timer = setTimeout(() => {
      if (!request.complete) request.socket.destroy()
    }, lingerMs)
    timer.unref()
    request.once('close', () => clearTimeout(timer))
  }
  sendJson(response, mapped.status, mapped.body)
}
