/** The control plane's half of a simulated fleet: the nouns of devices on a store, their endpoints called without a network. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { FreeholdError, kinds, updateTargetKind } from '@freehold/contracts'
import type { Clock, Random } from '@freehold/reconcile'
import { openSqliteStore, type Store } from '@freehold/store'
import { pino } from 'pino'
import { createFleet, type Fleet } from './fleet.ts'
import { Secret } from './secrets/index.ts'
import { createRuntimeSettings } from './settings/index.ts'

export interface Answer {
  status: number
  headers: Record<string, string>
  body: string
}
type Handler = (input: never) => Promise<unknown>

export const actor = { type: 'user', id: 'ada', name: 'ada' } as const

export async function startFleet(options: {
  directory: string
  clock: Clock
  random: Random
  elapsed: () => number
  onProblem: (line: string) => void
}) {
  const { directory, clock, random, elapsed } = options
  // Facts are written when the simulation says so.
  const store = await openSqliteStore({
    directory,
    kinds: Object.values(kinds),
    now: () => clock.now(),
    factFlushMs: 3_600_000,
  })
  const fleet = createFleet({
    store,
    blobs: { send: () => Promise.reject(new Error('Nobody asks for blobs here.')) } as never,
    identity: { authenticate: () => Promise.reject(new FreeholdError('unauthenticated')) },
    settings: createRuntimeSettings({ store, key: new Secret(Buffer.alloc(32, 1)) }),
    secret: { deriveKey: () => new Secret(Buffer.alloc(32, 2)) } as never,
    registryHost: () => 'registry.test',
    keepArtifact: () => Promise.reject(new Error('Nobody keeps artifacts here.')),
    publicUrl: () => 'http://control-plane.test',
    clock,
    random,
    elapsed,
    // The machine may be slow; the time that goes by here is not its own.
    lag: { isBehind: () => false, close: () => undefined },
    log: pino({ level: 'warn' }, { write: options.onProblem }),
  })
  await fleet.prepare()
  fleet.start()

  return {
    store: store as Store,
    fleet: fleet as Fleet,
    /** A request as the door would hand it over. */
    async post(path: string, request: { authorization: string | undefined; body: string }): Promise<Answer> {
      const endpoint = fleet.endpoints.find((each) => each.path === path)
      if (endpoint === undefined) throw new Error(`There is no ${path}.`)
      const answer: Answer = { status: 0, headers: {}, body: '' }
      try {
        await endpoint.handle(incoming(request), outgoing(answer), { address: () => '192.0.2.1' })
      } catch (error) {
        if (!(error instanceof FreeholdError)) throw error
        const { code, message, status, retryAfterSeconds } = error
        const headers = retryAfterSeconds === undefined ? {} : { 'retry-after': String(retryAfterSeconds) }
        return { status, headers: { ...headers }, body: JSON.stringify({ error: { code, message } }) }
      }
      return answer
    },
    /** Calls a handler as the door would. */
    call: async <Result>(handler: Handler, input: { params?: object; query?: object; body?: object } = {}) =>
      (await handler({ query: {}, caller: { actor, identity: null }, ...input } as never)) as Result,
    /** The text of a signed target. */
    async target(path: string): Promise<string | undefined> {
      const found = await store.find(updateTargetKind, 'path', path)
      return found?.status.state === 'signed' ? (found.data.text ?? undefined) : undefined
    },
  }
}
export type SimulatedFleet = Awaited<ReturnType<typeof startFleet>>

/** As much of a request as the endpoints touch. */
function incoming({ authorization, body }: { authorization: string | undefined; body: string }): IncomingMessage {
  const request = {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...(authorization === undefined ? {} : { authorization }) },
    on(event: string, listener: (chunk?: Buffer) => void) {
      if (event === 'data') listener(Buffer.from(body))
      else if (event === 'end') queueMicrotask(listener)
      return request
    },
    off: () => request,
    pause: () => request,
  }
  return request as never
}

function outgoing(answer: Answer): ServerResponse {
  const response = {
    req: { method: 'POST' },
    setHeader(name: string, value: unknown) {
      answer.headers[name] = String(value)
      return response
    },
    writeHead(status: number, headers: Record<string, unknown> = {}) {
      answer.status = status
      for (const [name, value] of Object.entries(headers)) answer.headers[name] = String(value)
      return response
    },
    end(text?: string | Buffer) {
      answer.body = String(text ?? '')
    },
  }
  return response as never
}
