import type { ServerResponse } from 'node:http'
import {
  type CorebuildLine,
  type CorebuildResult,
  corebuildLimits,
  corebuildLinesType,
  type FreeholdError,
} from '@freehold/contracts'

/** Sends JSON with its length. */
export function sendJson(
  response: ServerResponse,
  status: number,
  value: unknown,
  headers: Record<string, string> = {},
): void {
  const text = JSON.stringify(value)
  response.writeHead(status, {
    'content-type': 'application/json; charset=utf-8',
    'content-length': Buffer.byteLength(text),
    ...headers,
  })
  response.end(text)
}

/** The result of a job that failed, or of a request that is none. */
export function failureOf(error: FreeholdError, logs: string[] = []): CorebuildResult & { success: false } {
  return { success: false, error: error.message, code: error.code, logs }
}

export function sendFailure(response: ServerResponse, error: FreeholdError, logs: string[] = []): void {
  const { retryAfterSeconds } = error
  const headers: Record<string, string> =
    retryAfterSeconds === undefined ? {} : { 'retry-after': String(retryAfterSeconds) }
  if (error.code === 'unauthenticated') headers['www-authenticate'] = 'Bearer'
  // What is left of a body that was not read would be taken for the next request.
  if (!response.req.complete) headers.connection = 'close'
  sendJson(response, error.status, failureOf(error, logs), headers)
}

/** What a job says to its caller while it runs, and at its end. */
export interface Teller {
  line(line: Exclude<CorebuildLine, { result: CorebuildResult }>): void
  end(result: CorebuildResult, failure: FreeholdError | undefined): void
}

/** The result alone, with its status. */
export function plainTeller(response: ServerResponse): Teller {
  return {
    line: () => undefined,
    end(result, failure) {
      if (failure === undefined) sendJson(response, 200, result)
      else sendFailure(response, failure, result.logs)
    },
  }
}

/** A caller that does not read gets no more than this kept for it; lines are left out then, never the result. */
const unreadBytes = 1024 * 1024

/** Status 200 at once, then lines; an empty one where nothing else was said for a while. */
export function linesTeller(response: ServerResponse): Teller {
  response.writeHead(200, {
    'content-type': corebuildLinesType,
    'cache-control': 'no-store',
    'x-accel-buffering': 'no',
  })
  response.flushHeaders()
  const write = (text: string) => {
    if (response.writableLength < unreadBytes && !response.destroyed) response.write(`${text}\n`)
    alive.refresh()
  }
  const alive = setInterval(() => write(''), corebuildLimits.quietMs / 3)
  response.once('close', () => clearInterval(alive))
  return {
    line: (line) => write(JSON.stringify(line)),
    end(result) {
      clearInterval(alive)
      response.end(`${JSON.stringify({ result })}\n`)
    },
  }
}
