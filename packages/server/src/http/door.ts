import { randomUUID } from 'node:crypto'
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Duplex } from 'node:stream'
import { FreeholdError } from '@freehold/contracts'
import type { Logger } from 'pino'
import type { Exchange } from './api.ts'
import { mapError } from './errors.ts'
import type { Client } from './handler.ts'
import type { Metrics } from './metrics.ts'
import type { FrequentMount, RawMount, UpgradeMount } from './mounts.ts'
import { sendError } from './response.ts'
import { setSecurityHeaders } from './security-headers.ts'

export interface DoorOptions {
  /** The contract's routes; resolves to false where none has this path. */
  api: (exchange: Exchange) => Promise<boolean>
  /** Everything for people: dashboard and API reference. */
  pages: (path: string, request: IncomingMessage, response: ServerResponse) => Promise<void>
  raw: readonly RawMount[]
  frequent: readonly FrequentMount[]
  upgrades: readonly UpgradeMount[]
  clientOf: (request: IncomingMessage) => Client
  metrics: Metrics
  log: Logger
  /** Browsers reach us by HTTPS. */
  secure: boolean
}

/** Not imported by name, which would read every export and so load the fetch client behind one of them (12 MB). */
const { createServer } = process.getBuiltinModule('node:http')

/** From here on callers of frequent paths are asked to connect anew for each call. */
const crowdedConnections = 4_000

/** Paths under which nothing but JSON is ever answered. */
const apiPrefixes = ['/api', '/baseos', '/typedrequest', '/health', '/metrics']

/**
 * The one port: API, registry, agent links and pages. `close` stops accepting, ends streams, waits for what is under
 * way for `limitMs`, then cuts it off.
 */
export function createDoor(options: DoorOptions) {
  const stopping = new AbortController()
  const raw = options.raw.toSorted((a, b) => b.prefix.length - a.prefix.length)
  const frequent = new Map(options.frequent.map((mount) => [mount.path, mount]))
  const upgraded = new Set<Duplex>()
  let connections = 0

  const upgradeOf = (request: IncomingMessage) =>
    options.upgrades.find(({ path }) => path === request.url?.split('?')[0])
  const server = createServer(
    {
      keepAlive: true,
      noDelay: true,
      // An offer to upgrade elsewhere may be ignored (RFC 9110 §7.8); Java's client offers h2c with every request.
      shouldUpgradeCallback: (request) => upgradeOf(request) !== undefined,
    },
    (request, response) => {
      const mount = frequent.get(request.url ?? '')
      if (mount === undefined) void answer(request, response)
      else void answerFrequent(mount, request, response)
    },
  )
  setLimits(server)
  server.on('connection', (socket) => {
    connections += 1
    socket.once('close', () => {
      connections -= 1
    })
  })
  server.on('upgrade', (request, socket, head) => upgrade(request, socket, head))
  server.on('clientError', refuseMalformed)

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const requestId = randomUUID()
    const startedAt = performance.now()
    const client = options.clientOf(request)
    const stop = new AbortController()
    const onStop = () => stop.abort()
    stopping.signal.addEventListener('abort', onStop)
    response.once('close', () => {
      stopping.signal.removeEventListener('abort', onStop)
      stop.abort()
      if (stopping.signal.aborted) request.socket.end()
      logAccess(request, response, { requestId, client, durationMs: performance.now() - startedAt })
    })
    response.on('error', (error) => options.log.debug({ err: error, requestId }, 'the client went away'))
    response.setHeader('x-request-id', requestId)
    setSecurityHeaders(response, { secure: options.secure })
    try {
      if (stopping.signal.aborted)
        throw new FreeholdError('unavailable', 'The server is stopping.', { retryAfterSeconds: 2 })
      await dispatch({ request, response, client, requestId, stop, url: urlOf(request) })
    } catch (error) {
      const mapped = mapError(error, requestId)
      if (mapped.unexpected) options.log.error({ err: error, requestId }, 'request failed')
      sendError(response, mapped)
    }
  }

  async function answerFrequent(
    mount: FrequentMount,
    request: IncomingMessage,
    response: ServerResponse,
  ): Promise<void> {
    const startedAt = performance.now()
    response.setHeader('x-content-type-options', 'nosniff')
    // Callers that are many must not hold every connection there is between two calls.
    if (connections > crowdedConnections || stopping.signal.aborted) response.setHeader('connection', 'close')
    try {
      if (stopping.signal.aborted)
        throw new FreeholdError('unavailable', 'The server is stopping.', { retryAfterSeconds: 2 })
      await mount.handle(request, response, { address: () => options.clientOf(request).address })
    } catch (error) {
      const requestId = randomUUID()
      const mapped = mapError(error, requestId)
      if (mapped.unexpected) options.log.error({ err: error, requestId, path: mount.path }, 'request failed')
      else if (options.log.isLevelEnabled('debug')) {
        options.log.debug({ requestId, path: mount.path, status: mapped.status }, 'refused')
      }
      response.on('error', (cause) => options.log.debug({ err: cause, requestId }, 'the client went away'))
      sendError(response, mapped)
    }
    options.metrics.answered({
      method: request.method ?? '',
      status: response.statusCode,
      durationMs: performance.now() - startedAt,
      streamed: false,
    })
  }

  async function dispatch(exchange: Exchange): Promise<void> {
    const { request, response, url } = exchange
    const mount = raw.find(({ prefix }) => isUnder(url.pathname, prefix))
    if (mount !== undefined) return mount.handle(request, response, exchange)
    if (await options.api(exchange)) return
    if (apiPrefixes.some((prefix) => isUnder(url.pathname, prefix))) {
      throw new FreeholdError(
        'not-found',
        `There is nothing at ${url.pathname.slice(0, 200)}; /docs/api lists what there is.`,
      )
    }
    await options.pages(url.pathname, request, response)
  }

  function upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    socket.on('error', (error) => options.log.debug({ err: error }, 'an upgraded connection failed'))
    const mount = upgradeOf(request)
    if (mount === undefined || stopping.signal.aborted) {
      socket.end(
        `HTTP/1.1 ${mount === undefined ? '404 Not Found' : '503 Service Unavailable'}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`,
      )
      return
    }
    upgraded.add(socket)
    socket.once('close', () => upgraded.delete(socket))
    mount.handle(request, socket, head, { client: options.clientOf(request) })
  }

  function logAccess(
    request: IncomingMessage,
    response: ServerResponse,
    context: { requestId: string; client: Client; durationMs: number },
  ): void {
    const method = request.method ?? ''
    const streamed = !response.hasHeader('content-length') && response.statusCode === 200
    options.metrics.answered({ method, status: response.statusCode, durationMs: context.durationMs, streamed })
    options.log.info(
      {
        requestId: context.requestId,
        method,
        // Without its query, which may carry a one-time token.
        path: (request.url ?? '').split('?')[0]?.slice(0, 500),
        status: response.statusCode,
        durationMs: Math.round(context.durationMs * 10) / 10,
        address: context.client.address,
        ...(response.writableFinished ? {} : { cutOff: true }),
      },
      'request',
    )
  }

  return {
    /** Resolves to the port that was really taken. Throws with a sentence where it cannot be had. */
    listen(bind: { host: string; port: number }): Promise<number> {
      return new Promise((resolve, reject) => {
        server.once('error', (error: NodeJS.ErrnoException) => reject(listenError(error, bind)))
        server.listen({ ...bind, backlog: 1024 }, () => {
          server.removeAllListeners('error')
          server.on('error', (error) => options.log.error({ err: error }, 'the listening socket failed'))
          resolve((server.address() as AddressInfo).port)
        })
      })
    },
    close(limitMs: number): Promise<void> {
      return new Promise((resolve) => {
        const cutOff = setTimeout(() => {
          for (const socket of upgraded) socket.destroy()
          server.closeAllConnections()
        }, limitMs)
        server.close(() => {
          clearTimeout(cutOff)
          resolve()
        })
        stopping.abort()
        server.closeIdleConnections()
        for (const socket of upgraded) socket.destroy()
      })
    },
  }
}

function setLimits(server: Server): void {
  server.headersTimeout = 15_000
  // Uploads to the registry take as long as they take; JSON bodies have a limit of their own.
  server.requestTimeout = 0
  // Above the 60 s after which common proxies drop an idle connection: we must not be the first to close.
  server.keepAliveTimeout = 75_000
  server.maxConnections = 10_000
  server.maxHeadersCount = 100
}

function refuseMalformed(error: NodeJS.ErrnoException, socket: Duplex): void {
  if (error.code === 'ECONNRESET' || !socket.writable) {
    socket.destroy()
    return
  }
  const status = error.code === 'HPE_HEADER_OVERFLOW' ? '431 Request Header Fields Too Large' : '400 Bad Request'
  socket.end(`HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`)
}

function urlOf(request: IncomingMessage): URL {
  const target = request.url ?? '/'
  // The host is of no interest here, and `//x` must not be taken for one.
  const url = target.startsWith('/') ? URL.parse(`http://localhost${target}`) : URL.parse(target)
  if (url === null) throw new FreeholdError('invalid-input', 'The address is not valid.')
  return url
}

function isUnder(path: string, prefix: string): boolean {
  return path === prefix || path.startsWith(`${prefix}/`)
}

function listenError(error: NodeJS.ErrnoException, bind: { host: string; port: number }): Error {
  const place = `${bind.host}:${bind.port}`
  const sentences: Record<string, string> = {
    EADDRINUSE: `${place} is already in use. Stop what listens there, or set SERVEZONE_PORT to another port.`,
    EACCES: `${place} may not be opened by this user. Set SERVEZONE_PORT to a port from 1024 on.`,
    EADDRNOTAVAIL: `This machine has no address ${bind.host}. Set FREEHOLD_BIND to one it has, or to 0.0.0.0.`,
    ENOTFOUND: `This machine has no address ${bind.host}. Set FREEHOLD_BIND to one it has, or to 0.0.0.0.`,
  }
  const sentence = sentences[error.code ?? '']
  return sentence === undefined ? error : new FreeholdError('conflict', sentence, { cause: error })
}
