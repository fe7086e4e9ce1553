import { type Route, routes } from '@freehold/contracts'
import { type Parts, readJson, send, type Transport } from './request.ts'
import { itemsOf, linesOf } from './stream.ts'
import type { Client, WatchInput } from './types.ts'
import { type Patience, watchChanges } from './watch.ts'

export type { Client } from './types.ts'

export interface ClientOptions {
  /** Address of the control plane, `https://cloud.example.com`; a path in front of the API may follow. */
  url: string
  /** A machine token or what login answered; a browser needs none, its cookie does. */
  token?: string | undefined
  /** Shown in the list of sessions; browsers send their own. */
  userAgent?: string | undefined
  fetch?: typeof fetch
  /** How long a request may take until its answer begins; default 30 s. */
  timeoutMs?: number
  /** How the change feed reconnects; default 0.5 s doubling to 15 s, silent for at most 45 s. */
  reconnect?: Partial<Patience>
}

/**
 * Makes a client. Its functions throw `ApiError` (a `FreeholdError` with action and request id); without a network it
 * is `unavailable` and names the address. Throws TypeError for a URL that is none.
 */
export function createClient(options: ClientOptions): Client {
  const transport: Transport = {
    url: new URL(options.url).href,
    token: options.token,
    userAgent: options.userAgent,
    fetch: options.fetch ?? ((input, init) => fetch(input, init)),
    timeoutMs: options.timeoutMs ?? 30_000,
  }
  const patience: Patience = {
    firstMs: 500,
    maxMs: 15_000,
    random: Math.random,
    silenceMs: 45_000,
    ...options.reconnect,
  }
  const verb = (route: Route) => {
    if (route.format === 'sse') return (input: WatchInput = {}) => watchChanges(transport, patience, input)
    if (route.format === 'ndjson') return (input: Parts) => streamLines(transport, route, input)
    return async (input: Parts = {}) => readJson(await send(transport, route, input), input.signal)
  }
  const nouns = Object.entries(routes).map(([noun, verbs]) => [
    noun,
    Object.fromEntries(Object.entries(verbs).map(([name, route]) => [name, verb(route as Route)])),
  ])
  return Object.fromEntries(nouns) as Client
}

async function* streamLines(transport: Transport, route: Route, input: Parts): AsyncGenerator<unknown> {
  const response = await send(transport, route, input)
  yield* itemsOf(linesOf(response, { signal: input.signal, keepRest: true }))
}
