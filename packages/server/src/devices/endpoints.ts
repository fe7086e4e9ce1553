import type { IncomingMessage, ServerResponse } from 'node:http'
import { deviceHeartbeatPath, deviceLimits, deviceRegisterPath, FreeholdError } from '@freehold/contracts'
import type { FrequentMount } from '../http/mounts.ts'
import { parsePart, refuseFaults } from '../http/parse.ts'
import { sendJson } from '../http/response.ts'
import { type Heartbeats, textIn } from './heartbeat.ts'
import type { Overload } from './overload.ts'
import type { Presence } from './presence.ts'
import { type createRegister, registerRequest } from './register.ts'
import { isOfNobody, type Strangers } from './strangers.ts'

const bodyTimeoutMs = 15_000

/** The two endpoints devices speak to. Nothing of what they send is ever logged. */
export function createEndpoints(options: {
  heartbeats: Heartbeats
  register: ReturnType<typeof createRegister>
  presence: Presence
  overload: Overload
  strangers: Strangers
}): FrequentMount[] {
  const { heartbeats, register, presence, overload, strangers } = options

  async function onHeartbeat(
    request: IncomingMessage,
    response: ServerResponse,
    context: { address: () => string },
  ): Promise<void> {
    checkHead(request)
    overload.refuse()
    const token = bearerOf(request)
    if (token === undefined) throw new FreeholdError('unauthenticated', 'A node token is needed: register first.')
    const body = await readBody(request)
    const answer = heartbeats.answer(token, body)
    if (typeof answer === 'string') return send(response, answer)
    overload.enter()
    try {
      send(response, await answer)
    } catch (error) {
      if (isOfNobody(error)) strangers.note(context.address())
      throw error
    } finally {
      overload.leave()
    }
  }

  async function onRegister(
    request: IncomingMessage,
    response: ServerResponse,
    context: { address: () => string },
  ): Promise<void> {
    checkHead(request)
    overload.refuse()
    const body = registrationIn(textIn(await readBody(request)))
    overload.enter()
    try {
      const outcome = await register(body, { bearer: bearerOf(request), address: context.address() })
      if (outcome.deviceId !== null) presence.distrust(outcome.deviceId)
      sendJson(response, outcome.status, outcome.answer)
    } finally {
      overload.leave()
    }
  }

  return [
    { path: deviceHeartbeatPath, handle: onHeartbeat },
    { path: deviceRegisterPath, handle: onRegister },
  ]
}

function registrationIn(text: string) {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (cause) {
    throw new FreeholdError('invalid-json', 'The body is not valid JSON in UTF-8.', { cause })
  }
  const parsed = parsePart(registerRequest, value, '')
  if ('value' in parsed) return parsed.value
  refuseFaults(parsed.faults)
  throw new FreeholdError('invalid-input')
}

function send(response: ServerResponse, json: string): void {
  response.writeHead(200, {
    'content-type': 'application/json; charset=utf-8',
    'content-length': Buffer.byteLength(json),
    'cache-control': 'no-store',
  })
  response.end(json)
}

function checkHead(request: IncomingMessage): void {
  if (request.method !== 'POST') throw new FreeholdError('method-not-allowed', 'This address takes POST.')
  const type = request.headers['content-type'] ?? ''
  if (!/^application\/json\b/i.test(type)) {
    throw new FreeholdError('unsupported-media-type', 'The content type must be application/json.')
  }
  if (Number(request.headers['content-length'] ?? 0) > deviceLimits.requestBytes) throw tooLarge()
}

/** Undefined where there is none, or one that cannot be a token. */
function bearerOf(request: IncomingMessage): string | undefined {
  const header = request.headers.authorization
  if (header === undefined || header.length > deviceLimits.tokenCharacters + 16) return undefined
  return /^Bearer +([A-Za-z0-9._~+/=-]{8,})$/i.exec(header)?.[1]
}

function readBody(request: IncomingMessage): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    let first: Buffer | undefined
    const more: Buffer[] = []
    let sizeBytes = 0
    const timer = setTimeout(
      () => finish(new FreeholdError('timeout', `The body did not arrive within ${bodyTimeoutMs / 1000} seconds.`)),
      bodyTimeoutMs,
    )
    const onData = (chunk: Buffer) => {
      sizeBytes += chunk.length
      if (sizeBytes > deviceLimits.requestBytes) finish(tooLarge())
      else if (first === undefined) first = chunk
      else more.push(chunk)
    }
    const onEnd = () => finish()
    const onClose = () => finish(new FreeholdError('invalid-json', 'The connection closed before the whole body came.'))
    const finish = (error?: FreeholdError) => {
      clearTimeout(timer)
      request.off('data', onData).off('end', onEnd).off('close', onClose).off('error', onClose)
      if (error !== undefined) {
        request.on('error', () => {}).pause()
        return reject(error)
      }
      if (first === undefined) resolve(Buffer.alloc(0))
      else resolve(more.length === 0 ? first : Buffer.concat([first, ...more]))
    }
    request.on('data', onData).on('end', onEnd).on('close', onClose).on('error', onClose)
  })
}

function tooLarge(): FreeholdError {
  return new FreeholdError('body-too-large', `The body is larger than ${deviceLimits.requestBytes} bytes.`)
}
