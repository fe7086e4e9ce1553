import { type Client, createClient } from '@freehold/client'
import { type ChangeEntry, type Resource, type Route, routes } from '@freehold/contracts'
import type { z } from 'zod'
import type { Target } from './config.ts'

/** A resource of whichever kind, as the generated commands handle it. */
export type AnyResource = Resource<Record<string, unknown>, Record<string, unknown>>

export interface CallInput<R extends Route> {
  params?: z.input<R['params']>
  query?: z.input<R['query']>
  body?: z.input<R['body']>
}

interface WatchOptions {
  kinds: readonly string[]
  since: number | undefined
  signal: AbortSignal
  onLost(reason: string): void
}

/** The client as generated commands need it: any route of the contract, called by the route itself. */
export interface Api {
  /** Throws `FreeholdError` as the server answered it; `unavailable` where none did. */
  call<R extends Route>(route: R, input?: CallInput<R>): Promise<z.output<R['output']>>
  /** Lines of an `ndjson` route, until the other side ends it. */
  lines<R extends Route>(route: R, input: CallInput<R>): AsyncIterable<z.output<R['output']>>
  /** Changes in order, over lost connections; ends by a throw (the signal's reason, or what trying again cannot mend). */
  changes(options: WatchOptions): AsyncIterable<ChangeEntry>
}

type AnyCall = (input: object) => Promise<unknown>
type AnyStream = (input: object) => AsyncIterable<unknown>

/** Opens the API of a server; every request ends with the signal. */
export function createApi(target: Target, signal: AbortSignal): Api {
  const client = createClient({ url: target.url, token: target.token ?? undefined, userAgent: 'freehold-cli' })
  return {
    call: async (route, input = {}) => (await (verbOf(client, route) as AnyCall)({ ...input, signal })) as never,
    lines: (route, input) => (verbOf(client, route) as AnyStream)({ ...input, signal }) as never,
    changes: ({ onLost, ...options }) =>
      client.changes.watch({
        ...options,
        onConnection: (connection) => {
          if (connection.state !== 'disconnected' || connection.error === null) return
          onLost(connection.error.message)
        },
      }),
  }
}

function verbOf(client: Client, route: Route): unknown {
  for (const [noun, verbs] of Object.entries(routes)) {
    const verb = Object.entries(verbs).find(([, each]) => each === route)
    if (verb !== undefined) return (client as unknown as Record<string, Record<string, unknown>>)[noun]?.[verb[0]]
  }
  throw new Error(`${route.method} ${route.path} is no route of the contract.`)
}
