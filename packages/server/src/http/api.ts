import type { IncomingMessage, ServerResponse } from 'node:http'
import { type ErrorDetail, FreeholdError, listRoutes, type Route } from '@freehold/contracts'
import { TrieRouter } from 'hono/router/trie-router'
import type { Logger } from 'pino'
import { authorize } from './authorize.ts'
import { readJsonBody } from './body.ts'
import { mapError } from './errors.ts'
import type { AllHandlers, Caller, Client, Input } from './handler.ts'
import { refuseForeignOrigin } from './origin.ts'
import { isNothing, parsePart, queryObject, refuseFaults } from './parse.ts'
import { sendJson } from './response.ts'
import { createTextMemory, type OnRightsChange, sendStream } from './stream.ts'

/** What a request's credentials prove. `byCookie`: a browser sent them by itself, so its origin must be checked. */
export interface Authenticated {
  caller: Caller
  byCookie: boolean
  /** A cookie whose life was prolonged. */
  setCookie?: string
}
/** Throws `unauthenticated` or `token-expired`. */
export type Authenticate = (request: IncomingMessage) => Promise<Authenticated>

export interface Exchange {
  request: IncomingMessage
  response: ServerResponse
  url: URL
  client: Client
  requestId: string
  /** Aborted when the client goes away or the server stops. */
  stop: AbortController
}

type AnyHandler = (input: Input<Route>) => Promise<unknown>
interface Endpoint {
  name: string
  route: Route
  handler: AnyHandler
}

const anybody: Caller = { identity: null, actor: { type: 'system', id: 'anonymous', name: 'anonymous' } }

/**
 * Implements the contract. Each request goes the same way: match, authenticate, authorize, read and parse, handler,
 * answer. The returned function throws what the door maps; it resolves to false where no route has this path.
 */
export function implement(options: {
  handlers: AllHandlers
  authenticate: Authenticate
  onRightsChange: OnRightsChange
  log: Logger
}): (exchange: Exchange) => Promise<boolean> {
  const router = createRouter(options.handlers)
  const textOf = createTextMemory()

  return async (exchange) => {
    const endpoint = findEndpoint(exchange)
    if (endpoint === undefined) return false
    const { route } = endpoint.value
    const authenticated = await admit(endpoint, exchange)
    const input = await readInput(endpoint, exchange, authenticated.caller)
    const isHead = exchange.request.method === 'HEAD'
    if (route.format !== 'json' && isHead) {
      exchange.response.writeHead(200).end()
      return true
    }
    const output = await endpoint.value.handler(input)
    const stillThe = async ({ identity }: Caller) => {
      const again = await admit(endpoint, exchange)
      if (again.caller.identity?.role !== identity?.role) {
        throw new FreeholdError('forbidden', 'Your rights have changed; connect again.')
      }
    }
    if (route.format === 'json') sendOutput(endpoint.value, exchange.response, output)
    else {
      await sendStream({
        response: exchange.response,
        format: route.format,
        items: output as AsyncIterable<unknown>,
        stop: exchange.stop,
        stillAllowed: () => stillThe(authenticated.caller),
        onRightsChange: options.onRightsChange,
        mapError: (error) => {
          const mapped = mapError(error, exchange.requestId)
          if (mapped.unexpected) options.log.error({ err: error, requestId: exchange.requestId }, 'stream failed')
          return mapped
        },
        textOf,
      })
    }
    return true
  }

  function findEndpoint({ request, response, url }: Exchange): Matched | undefined {
    try {
      return router(request.method ?? '', url.pathname)
    } catch (error) {
      if (error instanceof MethodNotAllowed) response.setHeader('allow', error.methods)
      throw error
    }
  }

  /** Authentication, origin and the access rule: nothing of the request but its head has been read before this. */
  async function admit(endpoint: Matched, { request, response }: Exchange): Promise<Authenticated> {
    const { route, name } = endpoint.value
    const isUnsafe = route.method !== 'GET'
    if (route.access === 'public') {
      if (isUnsafe) refuseForeignOrigin(request.headers, { byCookie: false })
      return { caller: anybody, byCookie: false }
    }
    const authenticated = await options.authenticate(request)
    if (isUnsafe && authenticated.byCookie) refuseForeignOrigin(request.headers, { byCookie: true })
    if (authenticated.setCookie !== undefined && !response.headersSent) {
      response.setHeader('set-cookie', authenticated.setCookie)
    }
    authorize(authenticated.caller, route.access, { noun: name.split('.')[0] ?? name, id: endpoint.params.id })
    return authenticated
  }
}

interface Matched {
  value: Endpoint
  params: Record<string, string>
}

function createRouter(handlers: AllHandlers): (method: string, path: string) => Matched | undefined {
  const router = new TrieRouter<Endpoint>()
  const methodsOf = new TrieRouter<string>()
  for (const { name, route } of listRoutes()) {
    const [noun = '', verb = ''] = name.split('.')
    const handler = (handlers as unknown as Record<string, Record<string, AnyHandler>>)[noun]?.[verb]
    if (handler === undefined) throw new Error(`The route ${name} has no handler.`)
    router.add(route.method, route.path, { name, route, handler })
    methodsOf.add('ANY', route.path, route.method)
  }
  return (method, path) => {
    const [[match]] = router.match(method === 'HEAD' ? 'GET' : method, path)
    if (match !== undefined) return { value: match[0], params: decodeParams(match[1]) }
    const methods = methodsOf.match('ANY', path)[0].map(([name]) => name)
    if (methods.length === 0) return undefined
    throw new MethodNotAllowed([...new Set(methods)].toSorted())
  }
}

/** Becomes `method-not-allowed` with the Allow header that RFC 9110 §15.5.6 asks for. */
class MethodNotAllowed extends FreeholdError {
  readonly methods: string

  constructor(methods: string[]) {
    super('method-not-allowed', `This address takes ${methods.join(', ')}.`)
    this.methods = methods.join(', ')
  }
}

function decodeParams(raw: Record<string, string | number>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(raw).map(([name, value]) => {
      try {
        return [name, decodeURIComponent(String(value))]
      } catch (cause) {
        throw new FreeholdError('invalid-input', `${name} in the address is not valid percent-encoding.`, { cause })
      }
    }),
  )
}

async function readInput(endpoint: Matched, exchange: Exchange, caller: Caller): Promise<Input<Route>> {
  const { route } = endpoint.value
  const body = route.method === 'GET' ? undefined : await readJsonBody(exchange.request, route.bodyLimitBytes)
  const query = queryObject(exchange.url.searchParams) ?? (isNothing(route.query) ? undefined : {})
  const resumeAt = exchange.request.headers['last-event-id']
  if (route.format === 'sse' && typeof resumeAt === 'string' && resumeAt !== '' && query !== undefined) {
    query.since = resumeAt
  }
  const faults: ErrorDetail[] = []
  const parse = <S extends Route['query']>(schema: S, value: unknown, prefix: string) => {
    const parsed = parsePart(schema, value, prefix)
    faults.push(...parsed.faults)
    return 'value' in parsed ? parsed.value : undefined
  }
  const parsed = {
    params: parse(route.params, isNothing(route.params) ? undefined : endpoint.params, 'params'),
    query: parse(route.query, query, 'query'),
    body: parse(route.body, body, ''),
  }
  refuseFaults(faults)
  return {
    ...parsed,
    caller,
    client: exchange.client,
    signal: exchange.stop.signal,
    setHeader: (name, value) => exchange.response.setHeader(name, value),
  }
}

/** An output that does not fit the contract is our fault, not the client's: it becomes `internal`. */
function sendOutput(endpoint: Endpoint, response: ServerResponse, output: unknown): void {
  const { route, name } = endpoint
  const parsed = parsePart(route.output, output, '')
  if (!('value' in parsed)) {
    throw new Error(`The output of ${name} breaks the contract: ${JSON.stringify(parsed.faults.slice(0, 5))}`)
  }
  if (route.status === 204) response.writeHead(204).end()
  else sendJson(response, route.status, parsed.value)
}
