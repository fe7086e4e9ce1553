import type { DeviceHeartbeatRequest, DeviceRegisterRequest } from '@freehold/contracts'
import { deviceHeartbeatPath, deviceLimits, deviceRegisterPath } from '@freehold/contracts/lean'
import { type Answer, NoAnswerError, send } from '../http.ts'
import { fieldsOf, parseJson, textOf } from '../parse.ts'
import { createRedactor, type Redactor, type Secret } from '../secret.ts'
import { type HeartbeatAnswer, type RegisterAnswer, readHeartbeatAnswer, readRegisterAnswer } from './answers.ts'

/** What came of asking the control plane. `message` is for people and holds no secret. */
export type Asked<Value> =
  | { kind: 'answered'; answer: Value }
  /** Too many requests, or starting, or stopping: come back after `retryAfterMs`. */
  | { kind: 'busy'; retryAfterMs: number; message: string }
  /** 401 or 404: this token is no good here. */
  | { kind: 'unknown'; message: string }
  /** 403: this device is not wanted. */
  | { kind: 'forbidden'; message: string }
  /** No answer, or none that makes sense. */
  | { kind: 'failed'; message: string }

/** Register and heartbeat over HTTP; it keeps no state and decides nothing. */
export class CloudlyConnector {
  readonly #url: URL
  readonly #timeLimitMs: number
  readonly #redactor: Redactor
  readonly #send: typeof send

  /** `send`: how requests travel; default: over HTTP. */
  constructor(options: { url: URL; timeLimitMs?: number; redactor?: Redactor; send?: typeof send }) {
    this.#url = options.url
    this.#send = options.send ?? send
    this.#timeLimitMs = options.timeLimitMs ?? 20_000
    this.#redactor = options.redactor ?? createRedactor()
  }

  register(
    request: DeviceRegisterRequest,
    bearer: Secret | null,
    signal?: AbortSignal,
  ): Promise<Asked<RegisterAnswer>> {
    // 403 carries the state `refused`, which is an answer.
    return this.#ask({ path: deviceRegisterPath, body: request, bearer, signal }, readRegisterAnswer, [200, 202, 403])
  }

  heartbeat(request: DeviceHeartbeatRequest, bearer: Secret, signal?: AbortSignal): Promise<Asked<HeartbeatAnswer>> {
    return this.#ask({ path: deviceHeartbeatPath, body: request, bearer, signal }, readHeartbeatAnswer, [200])
  }

  async #ask<Value>(
    call: { path: string; body: unknown; bearer: Secret | null; signal: AbortSignal | undefined },
    read: (value: unknown) => Value | null,
    statuses: readonly number[],
  ): Promise<Asked<Value>> {
    let answer: Answer
    try {
      answer = await this.#send({
        url: new URL(`${this.#url.pathname.replace(/\/+$/, '')}${call.path}`, this.#url),
        method: 'POST',
        headers: call.bearer ? { authorization: `Bearer ${call.bearer.reveal()}` } : {},
        body: JSON.stringify(call.body),
        timeLimitMs: this.#timeLimitMs,
        answerLimitBytes: deviceLimits.answerBytes,
        signal: call.signal,
      })
    } catch (error) {
      if (error instanceof NoAnswerError) return { kind: 'failed', message: error.message }
      throw error
    }
    const value = parseJson(answer.body)
    const told = statuses.includes(answer.status) ? read(value) : null
    if (told !== null) return { kind: 'answered', answer: told }
    return this.#refusalOf(answer, value)
  }

  #refusalOf(answer: Answer, body: unknown): Exclude<Asked<never>, { kind: 'answered' }> {
    const { message: theirs } = fieldsOf(fieldsOf(body).error)
    // Cleaned before it is cut: half a secret would not be known any more.
    const said = typeof theirs === 'string' ? textOf(this.#redactor.clean(theirs), 500) : null
    const message = `The control plane answered ${answer.status}${said ? `: ${said}` : ''}`
    const { status } = answer
    if (status === 429 || status === 503) {
      return { kind: 'busy', retryAfterMs: retryAfterMs(answer.headers['retry-after'], answer.headers.date), message }
    }
    if (status === 401) return { kind: 'unknown', message }
    // A proxy without a route for us answers 404 too; only the error table's body says that the node is unknown.
    if (status === 404 && fieldsOf(fieldsOf(body).error).code === 'not-found') return { kind: 'unknown', message }
    if (status === 403) return { kind: 'forbidden', message }
    if (status >= 200 && status < 300)
      return { kind: 'failed', message: `${message} with something else than expected.` }
    return { kind: 'failed', message }
  }
}

/** Seconds, or a date that is compared with the server's own clock (RFC 9110 §10.2.3); 0 where it says neither. */
export function retryAfterMs(header: string | undefined, date: string | undefined): number {
  const text = header?.trim() ?? ''
  const wantedMs = /^\d+$/.test(text) ? Number(text) * 1000 : Date.parse(text) - Date.parse(date ?? '')
  if (!Number.isFinite(wantedMs)) return 0
  return Math.min(deviceLimits.retryAfterMaxSeconds * 1000, Math.max(0, wantedMs))
}
