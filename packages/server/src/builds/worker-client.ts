import { type ClientRequest, type IncomingMessage, request as requestHttp } from 'node:http'
import { request as requestHttps } from 'node:https'
import {
  type CorebuildCapabilities,
  type CorebuildJob,
  type CorebuildLine,
  type CorebuildResult,
  corebuildCapabilitiesSchema,
  corebuildLineSchema,
  corebuildLinesType,
  corebuildPaths,
  corebuildResultSchema,
  corebuildTokenHeader,
  type ErrorCode,
  FreeholdError,
} from '@freehold/contracts'
import type { Secret } from '../secrets/index.ts'

/** What became of a job that was given to a worker. */
export type JobOutcome =
  | { kind: 'result'; result: CorebuildResult }
  /** It takes no more for now; the job never began. */
  | { kind: 'busy'; retryAfterMs: number }
  /** It ended without a result, or with what is none. `reason` ends a sentence that begins with the worker's name. */
  | { kind: 'lost'; reason: string }

/** One build worker, spoken to. */
export interface WorkerClient {
  /** Throws `unavailable` with a sentence where it cannot be reached or is no build worker. */
  capabilities(signal: AbortSignal): Promise<CorebuildCapabilities>
  /**
   * Whether it takes our token, found out without a job; `unknown` of a worker of old, and of one that cannot be asked. A
   * worker that knows how to cancel jobs says so when it is asked to end one that never was.
   */
  admits(signal: AbortSignal): Promise<'yes' | 'no' | 'unknown'>
  /**
   * Runs a job and answers when it has ended; aborting the signal cancels it. `onSign` is called for everything that
   * shows that the worker lives, `onLine` for what it says.
   */
  build(
    job: CorebuildJob,
    options: { signal: AbortSignal; onLine: (line: CorebuildLine) => void; onSign: () => void },
  ): Promise<JobOutcome>
  /** Asks it to end a job; going away from `build` does that too, where nothing stands in between. */
  cancel(jobId: string): Promise<void>
}

const capabilitiesBytes = 64 * 1024
const capabilitiesMs = 5_000
/** Ids of our jobs begin with that of a build. */
const neverAJob = 'is-the-token-right'
/** A result carries the log once more. */
const lineBytesAtMost = 24 * 1024 * 1024
const answerBytesAtMost = 256 * 1024 * 1024
const garbageLinesAtMost = 20
const retryAfterMs = { least: 1_000, most: 60_000, preset: 10_000 }

export function createWorkerClient({ url, token }: { url: string; token: Secret | null }): WorkerClient {
  const headers: Record<string, string> =
    token === null ? {} : { authorization: `Bearer ${token.reveal()}`, [corebuildTokenHeader]: token.reveal() }

  return {
    async capabilities(signal) {
      const limit = AbortSignal.any([signal, AbortSignal.timeout(capabilitiesMs)])
      try {
        const response = await send(`${url}${corebuildPaths.capabilities}`, { method: 'GET', signal: limit })
        const text = await readText(response, capabilitiesBytes)
        if (response.statusCode !== 200) throw unreachable(`it answers ${response.statusCode}`)
        const parsed = corebuildCapabilitiesSchema.safeParse(jsonOf(text))
        if (!parsed.success) throw unreachable('its answer is not that of a build worker')
        return parsed.data
      } catch (error) {
        if (error instanceof FreeholdError) throw error
        throw unreachable(limit.aborted ? `it did not answer within ${capabilitiesMs / 1000} s` : reasonOf(error))
      }
    },

    async admits(signal) {
      const limit = AbortSignal.any([signal, AbortSignal.timeout(capabilitiesMs)])
      try {
        const address = `${url}${corebuildPaths.jobs}${neverAJob}`
        const response = await send(address, { method: 'DELETE', headers, signal: limit })
        const said = jsonOf(await readText(response, capabilitiesBytes))
        // What stands before a worker may refuse a DELETE for reasons of its own: the word must be the worker's.
        const code = isObject(said) && 'success' in said && 'code' in said ? said.code : undefined
        if (code === 'unauthenticated') return 'no'
        return code === 'not-found' ? 'yes' : 'unknown'
      } catch {
        return 'unknown'
      }
    },

    async build(job, { signal, onLine, onSign }) {
      const body = JSON.stringify({ ...(token === null ? {} : { apiToken: token.reveal() }), job })
      let response: IncomingMessage
      try {
        response = await send(`${url}${corebuildPaths.baseosImage}`, {
          method: 'POST',
          signal,
          headers: { ...headers, 'content-type': 'application/json', accept: corebuildLinesType },
          body,
        })
      } catch (error) {
        return { kind: 'lost', reason: reasonOf(error) }
      }
      onSign()
      try {
        const isLines = response.headers['content-type']?.startsWith(corebuildLinesType) === true
        if (response.statusCode === 200 && isLines) return await readLines(response, { onLine, onSign })
        return await readWhole(response, onSign)
      } catch (error) {
        return { kind: 'lost', reason: reasonOf(error) }
      } finally {
        response.destroy()
      }
    },

    async cancel(jobId) {
      const address = `${url}${corebuildPaths.jobs}${encodeURIComponent(jobId)}`
      const response = await send(address, { method: 'DELETE', headers, signal: AbortSignal.timeout(capabilitiesMs) })
      response.resume()
    },
  }
}

async function readLines(
  response: IncomingMessage,
  { onLine, onSign }: { onLine: (line: CorebuildLine) => void; onSign: () => void },
): Promise<JobOutcome> {
  let garbage = 0
  for await (const text of linesOf(response, onSign)) {
    if (text.trim() === '') continue
    const value = jsonOf(text)
    if (value === undefined) {
      garbage += 1
      if (garbage > garbageLinesAtMost) return { kind: 'lost', reason: 'sends what no build worker would' }
      continue
    }
    const line = corebuildLineSchema.safeParse(value)
    if (!line.success) {
      if (isObject(value) && 'result' in value) return { kind: 'lost', reason: 'gave a result that cannot be read' }
      continue
    }
    if ('result' in line.data) return outcomeOf(line.data.result, response)
    onLine(line.data)
  }
  return { kind: 'lost', reason: 'ended the connection without a result' }
}

/** Lines of a stream, each and all of them bounded. */
async function* linesOf(response: IncomingMessage, onSign: () => void): AsyncGenerator<string> {
  const decoder = new TextDecoder()
  let pieces: string[] = []
  let pendingBytes = 0
  let allBytes = 0
  for await (const chunk of response as AsyncIterable<Buffer>) {
    onSign()
    allBytes += chunk.length
    pendingBytes += chunk.length
    if (allBytes > answerBytesAtMost || pendingBytes > lineBytesAtMost) throw new Error('sends without an end')
    const parts = decoder.decode(chunk, { stream: true }).split('\n')
    const rest = parts.pop() ?? ''
    for (const part of parts) {
      yield pieces.join('') + part
      pieces = []
      pendingBytes = Buffer.byteLength(rest)
    }
    pieces.push(rest)
  }
  yield pieces.join('')
}

async function readWhole(response: IncomingMessage, onSign: () => void): Promise<JobOutcome> {
  const value = jsonOf(await readText(response, lineBytesAtMost, onSign))
  const said = isObject(value) && !('code' in value) ? { ...value, code: codeOf(response.statusCode) } : value
  const result = corebuildResultSchema.safeParse(said)
  if (result.success) return outcomeOf(result.data, response)
  if (response.statusCode === 503) return { kind: 'busy', retryAfterMs: retryAfterOf(response) }
  if (response.statusCode === 401 || response.statusCode === 403) {
    const error = 'The worker does not accept the token that is configured for it.'
    return { kind: 'result', result: { success: false, error, code: 'unauthenticated', logs: [] } }
  }
  return { kind: 'lost', reason: `answered ${response.statusCode} without a result that can be read` }
}

/** A refusal by status, before the job began, is no failure of the job. */
function outcomeOf(result: CorebuildResult, response: IncomingMessage): JobOutcome {
  const isBusy = !result.success && result.code === 'unavailable' && response.statusCode === 503
  return isBusy ? { kind: 'busy', retryAfterMs: retryAfterOf(response) } : { kind: 'result', result }
}

/** Workers of old give no code, but the status that belongs to it. */
function codeOf(status: number | undefined): ErrorCode {
  if (status === 401 || status === 403) return 'unauthenticated'
  if (status === 503) return 'unavailable'
  return status !== undefined && status >= 400 && status < 500 ? 'invalid-input' : 'internal'
}

function retryAfterOf(response: IncomingMessage): number {
  const seconds = Number(response.headers['retry-after'] ?? Number.NaN)
  if (!Number.isFinite(seconds)) return retryAfterMs.preset
  return Math.min(retryAfterMs.most, Math.max(retryAfterMs.least, seconds * 1000))
}

function send(
  address: string,
  options: { method: string; signal: AbortSignal; headers?: Record<string, string>; body?: string },
): Promise<IncomingMessage> {
  const { method, signal, headers = {}, body } = options
  const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>()
  const length = body === undefined ? {} : { 'content-length': String(Buffer.byteLength(body)) }
  const make = address.startsWith('https:') ? requestHttps : requestHttp
  // A connection of its own: going away from it is how a job is cancelled.
  const sent: ClientRequest = make(address, { method, signal, agent: false, headers: { ...headers, ...length } })
  sent.on('socket', (socket) => socket.setKeepAlive(true, 30_000))
  sent.on('response', resolve)
  sent.on('error', reject)
  // What asks for another protocol (RFC 9110 §15.2.2) is no answer and no error: the connection ends, that is all.
  sent.on('close', () => reject(new Error('broke the connection off')))
  sent.end(body)
  return promise
}

async function readText(response: IncomingMessage, limitBytes: number, onSign?: () => void): Promise<string> {
  const chunks: Buffer[] = []
  let sizeBytes = 0
  for await (const chunk of response as AsyncIterable<Buffer>) {
    onSign?.()
    sizeBytes += chunk.length
    if (sizeBytes > limitBytes) throw new Error('answers more than it may')
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString()
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null
}

function unreachable(reason: string): FreeholdError {
  return new FreeholdError('unavailable', `It cannot be asked: ${reason}.`)
}

const reasons: Record<string, string> = {
  ECONNREFUSED: 'nothing listens at its address',
  ECONNRESET: 'broke the connection off',
  ENOTFOUND: 'its hostname is not known',
  EHOSTUNREACH: 'there is no way to its address',
  ETIMEDOUT: 'it does not answer',
  ABORT_ERR: 'it was not waited for any longer',
}

/** The end of a sentence; errors of the system say addresses, never what was sent. */
function reasonOf(error: unknown): string {
  const code = error instanceof Error && 'code' in error ? String(error.code) : ''
  if (reasons[code] !== undefined) return reasons[code]
  return code === '' && error instanceof Error ? error.message : `the connection failed (${code || 'unknown'})`
}
