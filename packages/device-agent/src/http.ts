import type { ClientRequest, IncomingMessage, RequestOptions } from 'node:http'
import { requestPlain, requestSecure } from './builtin.ts'

export interface Answer {
  status: number
  headers: IncomingMessage['headers']
  body: string
}

/** No answer, or none that could be read to its end. The message names host and path, never the query or a header. */
export class NoAnswerError extends Error {
  override readonly name = 'NoAnswerError'
}

/**
 * One request with one answer. `timeLimitMs` covers everything from the connection to the last byte; an answer larger
 * than `answerLimitBytes` is cut off and counts as none. Redirects are not followed: they would carry the token along.
 */
export function send(options: {
  url: URL
  method: 'GET' | 'POST' | 'PUT' | 'DELETE'
  /** Instead of the host of `url`. */
  socketPath?: string
  headers?: Record<string, string>
  body?: string
  timeLimitMs: number
  answerLimitBytes: number
  signal?: AbortSignal | undefined
}): Promise<Answer> {
  const { url, method, timeLimitMs, answerLimitBytes } = options
  const place = `${url.host}${url.pathname}`
  const signals = [AbortSignal.timeout(timeLimitMs), ...(options.signal ? [options.signal] : [])]
  return new Promise<Answer>((resolve, reject) => {
    const fail = (reason: string, cause?: unknown) =>
      reject(new NoAnswerError(`${place} gave no answer: ${reason}.`, cause === undefined ? undefined : { cause }))
    const failWith = (error: Error & { code?: string }) =>
      fail(
        error.name === 'AbortError' ? reasonOfAbort(options.signal, timeLimitMs) : (error.code ?? error.message),
        error,
      )
    let outgoing: ClientRequest
    try {
      outgoing = requestOf(url)(url, {
        method,
        agent: false,
        signal: AbortSignal.any(signals),
        ...(options.socketPath === undefined ? {} : { socketPath: options.socketPath }),
        headers: {
          accept: 'application/json',
          connection: 'close',
          ...headersOfBody(options.body),
          ...options.headers,
        },
      })
    } catch (error) {
      return failWith(error as Error)
    }
    outgoing.once('error', failWith)
    outgoing.once('response', (incoming) => {
      const chunks: Buffer[] = []
      let sizeBytes = 0
      incoming.on('data', (chunk: Buffer) => {
        sizeBytes += chunk.length
        if (sizeBytes <= answerLimitBytes) return void chunks.push(chunk)
        fail(`it is larger than ${answerLimitBytes} bytes`)
        outgoing.destroy()
      })
      incoming.once('error', failWith)
      incoming.once('aborted', () => fail('the connection broke off'))
      incoming.once('end', () =>
        resolve({
          status: incoming.statusCode ?? 0,
          headers: incoming.headers,
          body: Buffer.concat(chunks).toString('utf8'),
        }),
      )
    })
    outgoing.end(options.body)
  })
}

function headersOfBody(body: string | undefined): Record<string, string> {
  if (body === undefined) return {}
  return { 'content-type': 'application/json', 'content-length': String(Buffer.byteLength(body)) }
}

/** TLS is loaded by the first `https:` address, not before. */
export function requestOf(url: URL): (url: URL, options: RequestOptions) => ClientRequest {
  return url.protocol === 'https:' ? requestSecure : requestPlain
}

function reasonOfAbort(signal: AbortSignal | undefined, timeLimitMs: number): string {
  return signal?.aborted ? 'it was no longer wanted' : `none within ${timeLimitMs} ms`
}
