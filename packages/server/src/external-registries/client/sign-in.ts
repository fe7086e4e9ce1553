import { z } from 'zod'
import type { Secret } from '../../secrets/index.ts'
import { type Challenge, parseChallenges } from './challenge.ts'
import { UpstreamError } from './errors.ts'
import { type Http, type HttpAnswer, type HttpRequest, readBounded } from './http.ts'

export interface Credentials {
  username: string
  password: Secret
}

/** Requests that prove who asks, the way the registry challenges for it. */
export interface SignedHttp {
  /** `scope`: what a bearer token must allow, such as `repository:library/nginx:pull`; empty: nothing in particular. */
  send(request: HttpRequest & { scope: string }): Promise<HttpAnswer>
  /** How the registry asked for credentials so far; `none`: it never did. */
  asked(): 'none' | 'basic' | 'bearer'
}

const tokenAnswer = z.object({
  token: z.string().optional(),
  access_token: z.string().optional(),
  expires_in: z.number().optional(),
})
const tokenAnswerLimitBytes = 1024 * 1024
/** Docker Registry, "Token Authentication Specification": 60 s where the answer says nothing. */
const defaultLifetimeSeconds = 60
const marginMs = 10_000
const tokensKept = 1000

/**
 * Basic (RFC 7617) or bearer tokens (Docker Registry, "Token Authentication Specification"), as the 401 asks. Tokens are
 * kept in memory until shortly before they end. Credentials go to the registry and to its token service alone.
 */
export function createSignedHttp(options: {
  http: Http
  home: URL
  credentials: Credentials | null
  now: () => number
}): SignedHttp {
  const { http, home, credentials, now } = options
  const tokens = new Map<string, { value: string; endsAt: number }>()
  let asked: 'none' | 'basic' | 'bearer' = 'none'
  const basic =
    credentials === null
      ? undefined
      : () => `Basic ${Buffer.from(`${credentials.username}:${credentials.password.reveal()}`).toString('base64')}`

  const known = (scope: string): string | undefined => {
    const token = tokens.get(scope)
    if (token !== undefined && token.endsAt > now()) return `Bearer ${token.value}`
    return asked === 'basic' ? basic?.() : undefined
  }
  const attempt = ({ scope: _scope, ...request }: HttpRequest & { scope: string }, authorization?: string) =>
    http.send({
      ...request,
      headers: { ...request.headers, ...(authorization === undefined ? {} : { authorization }) },
    })

  async function send(request: HttpRequest & { scope: string }): Promise<HttpAnswer> {
    const first = await attempt(request, known(request.scope))
    if (first.status !== 401) return first
    first.body.destroy()
    tokens.delete(request.scope)
    const authorization = await answerTo(parseChallenges(first.headers['www-authenticate']), request)
    const second = await attempt(request, authorization)
    if (second.status !== 401) return second
    second.body.destroy()
    throw unauthorized()
  }

  async function answerTo(challenges: readonly Challenge[], request: HttpRequest & { scope: string }): Promise<string> {
    const bearer = challenges.find(({ scheme, parameters }) => scheme === 'bearer' && parameters.realm !== undefined)
    if (bearer !== undefined) {
      asked = 'bearer'
      return `Bearer ${await fetchToken(bearer.parameters, request)}`
    }
    if (challenges.some(({ scheme }) => scheme === 'basic')) {
      asked = 'basic'
      if (basic === undefined) throw unauthorized()
      return basic()
    }
    throw new UpstreamError('unauthorized', `${home.host} asks for a way to sign in that Freehold does not know.`)
  }

  async function fetchToken(
    { realm = '', service, scope: challenged }: Record<string, string>,
    { scope, signal }: { scope: string; signal?: AbortSignal | undefined },
  ): Promise<string> {
    if (!URL.canParse(realm)) throw new UpstreamError('broken', `${home.host} names no address for its tokens.`)
    const url = new URL(realm)
    if (service !== undefined) url.searchParams.set('service', service)
    for (const wanted of new Set([scope, scope === '' ? (challenged ?? '') : ''])) {
      if (wanted !== '') url.searchParams.append('scope', wanted)
    }
    if (credentials !== null) url.searchParams.set('account', credentials.username)
    const authorization = basic?.()
    const answer = await http.send({
      method: 'GET',
      url,
      signal,
      headers: authorization === undefined ? {} : { authorization },
    })
    const body = await readBounded(answer, tokenAnswerLimitBytes)
    if (answer.status === 401 || answer.status === 403) throw unauthorized()
    if (answer.status === 429) throw tooMany(answer)
    if (answer.status !== 200) {
      throw new UpstreamError('broken', `${url.host} answers ${answer.status} where a token was asked for.`)
    }
    const { token, access_token, expires_in = defaultLifetimeSeconds } = parseToken(body, url.host)
    const value = token ?? access_token
    if (value === undefined) throw new UpstreamError('broken', `${url.host} answers without a token.`)
    if (tokens.size >= tokensKept) tokens.clear()
    tokens.set(scope, { value, endsAt: now() + expires_in * 1000 - marginMs })
    return value
  }

  const unauthorized = () =>
    new UpstreamError(
      'unauthorized',
      credentials === null
        ? `${home.host} asks for credentials, and none are stored for it.`
        : `${home.host} does not accept the user name or the password.`,
    )

  return { send, asked: () => asked }
}

function parseToken(body: Buffer, host: string): z.output<typeof tokenAnswer> {
  try {
    return tokenAnswer.parse(JSON.parse(body.toString('utf8')))
  } catch (cause) {
    throw new UpstreamError('broken', `${host} answers with something that is no token.`, { cause })
  }
}

/** The answer 429 as an error that says how long to wait. */
export function tooMany({ headers, url }: HttpAnswer): UpstreamError {
  const seconds = Number(headers['retry-after'])
  const retryAfterSeconds = Number.isFinite(seconds) && seconds > 0 ? Math.min(Math.ceil(seconds), 86_400) : undefined
  const wait = retryAfterSeconds === undefined ? 'later' : `in ${retryAfterSeconds} s`
  return new UpstreamError('too-many-requests', `${url.host} has had too many requests from here; try again ${wait}.`, {
    retryAfterSeconds,
  })
}
