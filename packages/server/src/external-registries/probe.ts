import type { ExternalRegistry } from '@freehold/contracts'
import { z } from 'zod'
import {
  type Credentials,
  createHttp,
  type HttpLimits,
  type RegistryClient,
  readBounded,
  UpstreamError,
} from './client/index.ts'

export interface Finding {
  working: boolean
  /** A sentence: what works, or what does not and what to do. */
  message: string
}

const probeLimitMs = 20_000
const answerLimitBytes = 1024 * 1024
const whoami = z.object({ username: z.string().max(500) })

type Npm = { url: URL; credentials: Credentials | null; limits?: Partial<HttpLimits> }

/** Signs in to a container registry (`/v2/`) within 20 seconds and says what came of it. */
export function probeContainerRegistry(
  client: RegistryClient,
  data: ExternalRegistry['data'],
  signal: AbortSignal,
): Promise<Finding> {
  return found(signal, async (bounded) => {
    const outcome = await client.signIn(bounded)
    if (outcome === 'proved') {
      return data.passwordSet ? `Signed in to ${client.host} as ${data.username}.` : `${client.host} lets anybody in.`
    }
    return data.passwordSet
      ? `${client.host} answers without asking who we are, so the password was not checked.`
      : `${client.host} answers without asking who we are.`
  })
}

/** Asks an npm registry who we are (`/-/whoami`), or without credentials whether it is there (`/-/ping`). */
export function probeNpmRegistry({ url, credentials, limits }: Npm, signal: AbortSignal): Promise<Finding> {
  const http = createHttp({ home: url, ...(limits === undefined ? {} : { limits }) })
  const ask = async (name: 'whoami' | 'ping', bounded: AbortSignal) => {
    const base = url.href.endsWith('/') ? url.href : `${url.href}/`
    const headers = credentials === null ? {} : { authorization: authorizationOf(credentials) }
    const answer = await http.send({ method: 'GET', url: new URL(`-/${name}`, base), headers, signal: bounded })
    return { status: answer.status, body: await readBounded(answer, answerLimitBytes) }
  }
  const work = async (bounded: AbortSignal): Promise<string> => {
    if (credentials !== null) {
      const { status, body } = await ask('whoami', bounded)
      if (status === 401 || status === 403) {
        throw new UpstreamError('unauthorized', `${url.host} does not accept the user name or the password.`)
      }
      const name = status === 200 ? whoami.safeParse(parsed(body)) : undefined
      if (name?.success) return `Signed in to ${url.host} as ${name.data.username}.`
    }
    const { status, body } = await ask('ping', bounded)
    if (status === 401 || status === 403) {
      throw new UpstreamError('unauthorized', `${url.host} asks for credentials, and none are stored for it.`)
    }
    if (status !== 200 || typeof parsed(body) !== 'object') {
      throw new UpstreamError('not-a-registry', `${url.host} answers, but it is no npm registry: /-/ping is not there.`)
    }
    return credentials === null
      ? `${url.host} answers.`
      : `${url.host} answers, but does not tell who we are, so the password was not checked.`
  }
  return found(signal, work).finally(() => http.close())
}

async function found(signal: AbortSignal, work: (bounded: AbortSignal) => Promise<string>): Promise<Finding> {
  const limit = AbortSignal.timeout(probeLimitMs)
  try {
    return { working: true, message: await work(AbortSignal.any([signal, limit])) }
  } catch (error) {
    if (signal.aborted) throw error
    if (limit.aborted) return { working: false, message: `It did not answer within ${probeLimitMs / 1000} s.` }
    if (error instanceof UpstreamError) return { working: false, message: error.message }
    throw error
  }
}

/** npm: a token is a bearer value; with a user name it is Basic. */
function authorizationOf({ username, password }: Credentials): string {
  if (username === '') return `Bearer ${password.reveal()}`
  return `Basic ${Buffer.from(`${username}:${password.reveal()}`).toString('base64')}`
}

function parsed(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString('utf8'))
  } catch {
    return undefined
  }
}
