import type { ChangeEntry, Route, routes } from '@freehold/contracts'
import type { z } from 'zod'
import type { ApiError } from './errors.ts'

type AllRoutes = typeof routes
/** Routes that answer with newline-delimited JSON; a test holds this list against the contract. */
export const lineRoutes = ['services.logs', 'builds.log', 'images.import'] as const
/** Routes that answer with server-sent events. */
export const feedRoutes = ['changes.watch'] as const
type LineRoute = (typeof lineRoutes)[number]
type FeedRoute = (typeof feedRoutes)[number]

/** A query as one writes it: typed values (`follow: true`), optional where the route has a default. */
type QueryOf<Q extends z.ZodType> = {
  [Name in keyof z.input<Q>]: (Name extends keyof z.output<Q> ? z.output<Q>[Name] : never) | undefined
}
/** A part is absent where the route takes none, and optional where all in it is optional. */
type Part<Name extends string, Value> = [Value] extends [undefined]
  ? unknown
  : Record<string, never> extends Value
    ? { [K in Name]?: Value }
    : { [K in Name]: Value }

/** What a call of this route takes: `params`, `query` and `body` where it has them, and always a signal. */
export type Input<R extends Route> = Part<'params', z.input<R['params']>> &
  Part<'query', z.input<R['query']> extends undefined ? undefined : QueryOf<R['query']>> &
  Part<'body', z.input<R['body']>> & { signal?: AbortSignal | undefined }
export type Output<R extends Route> = z.output<R['output']> extends undefined ? undefined : z.output<R['output']>

export type Call<R extends Route> =
  Record<string, never> extends Input<R>
    ? (input?: Input<R>) => Promise<Output<R>>
    : (input: Input<R>) => Promise<Output<R>>
/** Leaving the loop (or aborting the signal) ends the request. */
export type Streamed<R extends Route> = (input: Input<R>) => AsyncIterable<z.output<R['output']>>

/** How the feed's connection stands; `disconnected` says why and when it is tried again. */
export type ConnectionState =
  | { state: 'connected' }
  | { state: 'disconnected'; error: ApiError | null; retryInMs: number }

export interface WatchInput {
  /** Store version after which to begin; default: now (asked once, so that a reconnect misses nothing). */
  since?: number | undefined
  /** Only changes of these kinds (`service`, `rollout` …); default: all one may read. */
  kinds?: readonly string[] | undefined
  signal?: AbortSignal | undefined
  onConnection?: ((state: ConnectionState) => void) | undefined
}
type Watch = (input?: WatchInput) => AsyncIterable<ChangeEntry>

type VerbOf<Noun extends string, Verb extends string, R> = R extends Route
  ? `${Noun}.${Verb}` extends FeedRoute
    ? Watch
    : `${Noun}.${Verb}` extends LineRoute
      ? Streamed<R>
      : Call<R>
  : never

/** All routes by noun and verb: `client.services.list({ query: { search: 'web' } })`. */
export type Client = {
  [Noun in keyof AllRoutes & string]: {
    [Verb in keyof AllRoutes[Noun] & string]: VerbOf<Noun, Verb, AllRoutes[Noun][Verb]>
  }
}
