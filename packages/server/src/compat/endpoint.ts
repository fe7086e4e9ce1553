import type { IncomingMessage } from 'node:http'
import type { Logger } from 'pino'
import type { Authenticate } from '../http/api.ts'
import { readJsonBody } from '../http/body.ts'
import type { AllHandlers, Caller, Client } from '../http/handler.ts'
import type { RawMount } from '../http/mounts.ts'
import { refuseForeignOrigin } from '../http/origin.ts'
import { parsePart, refuseFaults } from '../http/parse.ts'
import { sendJson } from '../http/response.ts'
import { createCall } from './call.ts'
import { answered, type Envelope, envelopeSchema, errorOf, type Outcome, unknownMethod } from './envelope.ts'
import { methods } from './methods.ts'

const bodyLimitBytes = 1024 * 1024
const anybody: Caller = { identity: null, actor: { type: 'system', id: 'anonymous', name: 'anonymous' } }

/**
 * `POST /typedrequest`. Who calls is said by `request.identity.jwt`, which is our session or machine token; cookies
 * count for nothing here. Only a body that is no envelope is an HTTP error; everything else is answered in it.
 */
export function createTypedRequests(options: {
  handlers: AllHandlers
  authenticate: Authenticate
  publicUrl: () => string
  log: Logger
}): RawMount {
  const { handlers, authenticate, publicUrl, log } = options

  const callerOf = async (jwt: string | undefined): Promise<Caller> => {
    if (jwt === undefined) return anybody
    const request = { headers: { authorization: `Bearer ${jwt}` } } as IncomingMessage
    return (await authenticate(request)).caller
  }
  const outcomeOf = async (
    { method, request }: Envelope,
    context: { client: Client; signal: AbortSignal; requestId: string },
  ): Promise<Outcome> => {
    const run = Object.hasOwn(methods, method) ? methods[method] : undefined
    if (run === undefined) return { error: { text: unknownMethod, data: {} } }
    try {
      const callAs = async (token: string | undefined) =>
        createCall(handlers, { caller: await callerOf(token), client: context.client, signal: context.signal })
      const jwt = jwtOf(request)
      const call = await callAs(jwt)
      return { response: await run(request, { call, callAs, jwt: jwt ?? '', publicUrl: publicUrl() }) }
    } catch (error) {
      const answer = errorOf(error, context.requestId)
      if ((answer.data as { code?: string }).code === 'internal') {
        log.error({ err: error, requestId: context.requestId, method }, 'typed request failed')
      }
      return { error: answer }
    }
  }

  return {
    prefix: '/typedrequest',
    async handle(request, response, { client, requestId }) {
      if (request.method !== 'POST') {
        response.writeHead(405, { allow: 'POST', 'content-length': 0 }).end()
        return
      }
      refuseForeignOrigin(request.headers, { byCookie: false })
      const parsed = parsePart(envelopeSchema, await readJsonBody(request, bodyLimitBytes), '')
      if (!('value' in parsed)) return refuseFaults(parsed.faults)
      const gone = new AbortController()
      response.once('close', () => gone.abort())
      const outcome = await outcomeOf(parsed.value, { client, requestId, signal: gone.signal })
      sendJson(response, 200, answered(parsed.value, outcome))
    },
  }
}

function jwtOf(request: Record<string, unknown>): string | undefined {
  const identity = request.identity
  if (typeof identity !== 'object' || identity === null || !('jwt' in identity)) return undefined
  return typeof identity.jwt === 'string' ? identity.jwt : undefined
}
