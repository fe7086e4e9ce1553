import { FreeholdError, type Route, type Routes, routes } from '@freehold/contracts'
import type { z } from 'zod'
import { authorize } from '../http/authorize.ts'
import type { AllHandlers, Caller, Client, Input } from '../http/handler.ts'
import { parsePart, refuseFaults } from '../http/parse.ts'

export interface CallContext {
  caller: Caller
  client: Client
  signal: AbortSignal
}

type Verb<N extends keyof Routes> = keyof Routes[N] & string
type Output<N extends keyof Routes, V extends Verb<N>> = Routes[N][V] extends Route
  ? z.output<Routes[N][V]['output']>
  : never

/** Does what the API route does, as this caller: same access rule, same parsing, same handler. */
export type Call = <N extends keyof Routes, V extends Verb<N>>(
  noun: N,
  verb: V,
  parts?: { params?: unknown; query?: unknown; body?: unknown },
) => Promise<Output<N, V>>

type AnyHandler = (input: Input<Route>) => Promise<unknown>

export function createCall(handlers: AllHandlers, context: CallContext): Call {
  return async (noun, verb, parts = {}) => {
    const route = (routes[noun] as unknown as Record<string, Route>)[verb]
    const handler = (handlers[noun] as unknown as Record<string, AnyHandler>)[verb]
    if (route === undefined || handler === undefined) throw new Error(`There is no route ${noun}.${verb}.`)
    const { params } = parts
    const id = typeof params === 'object' && params !== null && 'id' in params ? String(params.id) : undefined
    authorize(context.caller, route.access, { noun, id })
    const input = {
      params: parse(route.params, params, 'request'),
      query: parse(route.query, parts.query, 'request'),
      body: parse(route.body, parts.body, 'request'),
      ...context,
      setHeader: () => {},
    }
    return (await handler(input)) as never
  }
}

/** Every page of a list. */
export async function listAll<Item>(
  page: (query: { limit: number; cursor?: string }) => Promise<{ items: Item[]; nextCursor: string | null }>,
): Promise<Item[]> {
  const items: Item[] = []
  let cursor: string | null = null
  do {
    const found: { items: Item[]; nextCursor: string | null } = await page({
      limit: 500,
      ...(cursor === null ? {} : { cursor }),
    })
    items.push(...found.items)
    cursor = found.nextCursor
  } while (cursor !== null)
  return items
}

function parse<S extends z.ZodType>(schema: S, value: unknown, prefix: string): z.output<S> {
  const parsed = parsePart(schema, value, prefix)
  if ('value' in parsed) return parsed.value
  refuseFaults(parsed.faults)
  throw new FreeholdError('invalid-input')
}
