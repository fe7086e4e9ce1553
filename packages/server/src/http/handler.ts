import type { Identity, Route, routes } from '@freehold/contracts'
import type { Actor } from '@freehold/store'
import type { z } from 'zod'

/** Who calls: `identity` is null on public routes only. `actor` is what the audit log will say. */
export interface Caller {
  identity: Identity | null
  actor: Actor
  /** Of people who came with a session; absent for tokens and agents. */
  sessionId?: string
}

/** Where a request comes from, for throttling and the session list. */
export interface Client {
  address: string
  userAgent: string
}

/** Input of a handler, parsed by the route's schemas and let through by its access rule. */
export interface Input<R extends Route> {
  params: z.output<R['params']>
  query: z.output<R['query']>
  body: z.output<R['body']>
  caller: Caller
  client: Client
  /** Aborted when the client goes away or the server stops. */
  signal: AbortSignal
  setHeader(name: string, value: string): void
}

type Streamed<R extends Route> = AsyncIterable<z.output<R['output']>>
/**
 * What a handler answers: the output, or for `ndjson` and `sse` routes the lines as they come.
 * It throws `FreeholdError` for what the route declares; anything else becomes `internal`. A streaming handler throws
 * what it can before it answers: after the first byte an error can only be the stream's last line.
 */
type Handler<R extends Route> = (input: Input<R>) => Promise<z.output<R['output']> | Streamed<R>>

type AllRoutes = typeof routes
type Noun = keyof AllRoutes
/** The handlers a noun must give: exactly the verbs the contract names. */
export type Handlers<N extends Noun> = {
  [Verb in keyof AllRoutes[N]]: AllRoutes[N][Verb] extends Route ? Handler<AllRoutes[N][Verb]> : never
}
/** All of them; a route without a handler does not compile. */
export type AllHandlers = { [N in Noun]: Handlers<N> }
