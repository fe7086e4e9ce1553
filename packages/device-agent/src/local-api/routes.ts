import { FreeholdError } from '@freehold/contracts/lean'
import { leaseLimitsMs, type UpdateLocks } from '../locks/update-locks.ts'
import { numberOf } from '../parse.ts'
import { SupervisorError } from '../supervisor/client.ts'
import type { UpdateStatus } from '../supervisor/update.ts'

/** What the local API needs of the agent. */
export interface LocalAgent {
  handshake(): { nodeId: string; agentVersion: string }
  status(): Promise<unknown>
  requestUpdate(options: { force: boolean; requestedBy: string }): Promise<UpdateStatus>
  lastUpdate(): UpdateStatus | null
  locks: UpdateLocks
}

export interface LocalAnswer {
  status: number
  body: unknown
  /** The answer stays open until `over` or the client goes; then `gone` is called. */
  until?: { over: Promise<void>; gone: () => Promise<void> }
}

type Body = Record<string, unknown>
type Handler = (call: { agent: LocalAgent; body: Body; owner: string }) => Promise<LocalAnswer> | LocalAnswer

/** Names of addresses below `/baseos/v1/`; a lock's owner is the last segment of its address. */
const routes: Record<string, Handler> = {
  'GET runtime': ({ agent }) => ({
    status: 200,
    body: { runtime: 'baseos', protocol: 1, ...agent.handshake(), capabilities: ['status', 'update', 'locks'] },
  }),
  'GET status': async ({ agent }) => ({ status: 200, body: await agent.status() }),
  'GET update': ({ agent }) => ({ status: 200, body: { update: agent.lastUpdate() } }),
  'POST update': async ({ agent, body }) => ({
    status: 202,
    body: { update: await agent.requestUpdate({ force: body.force === true, requestedBy: 'local-api' }) },
  }),
  'GET locks': ({ agent }) => ({ status: 200, body: { owners: agent.locks.owners() } }),
  'PUT locks/*': async ({ agent, body, owner }) => {
    const leaseMs = leaseMsOf(body)
    await agent.locks.take(owner, leaseMs)
    const answer = { status: 200, body: { owner, leaseSeconds: leaseMs / 1000 } }
    if (body.hold !== true) return answer
    const gone = async () => void (await agent.locks.release(owner))
    return { ...answer, until: { over: agent.locks.ended(owner), gone } }
  },
  'DELETE locks/*': async ({ agent, owner }) => {
    if (await agent.locks.release(owner)) return { status: 200, body: { owners: agent.locks.owners() } }
    throw new FreeholdError('not-found', `${owner} holds no update lock.`)
  },
}

/** Throws FreeholdError for everything the caller can do something about. */
export async function answerTo(call: {
  method: string
  path: string
  body: Body
  agent: LocalAgent
}): Promise<LocalAnswer> {
  const { method, path, body, agent } = call
  const [, name = '', owner = ''] = /^\/baseos\/v1\/([a-z]+)(?:\/([A-Za-z0-9._-]{1,64}))?$/.exec(path) ?? []
  const key = owner ? `${name}/*` : name
  const handler = routes[`${method} ${key}`]
  if (!handler) {
    const isKnown = Object.keys(routes).some((route) => route.endsWith(` ${key}`))
    throw isKnown
      ? new FreeholdError('method-not-allowed')
      : new FreeholdError('not-found', 'There is nothing at this address of the local API.')
  }
  try {
    return await handler({ agent, body, owner })
  } catch (error) {
    if (!(error instanceof SupervisorError)) throw error
    throw new FreeholdError(error.reason === 'locked' ? 'conflict' : 'unavailable', error.message, { cause: error })
  }
}

function leaseMsOf(body: Body): number {
  const leaseMs = (numberOf(body.leaseSeconds) ?? 300) * 1000
  if (leaseMs >= leaseLimitsMs.shortest && leaseMs <= leaseLimitsMs.longest) return leaseMs
  const { shortest, longest } = leaseLimitsMs
  throw new FreeholdError('invalid-input', `leaseSeconds is from ${shortest / 1000} to ${longest / 1000}.`)
}
