import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import {
  type DeviceHeartbeatAnswer,
  type DeviceRegisterAnswer,
  deviceHeartbeatPath,
  deviceHeartbeatRequestSchema,
  deviceRegisterPath,
  deviceRegisterRequestSchema,
} from '@freehold/contracts'

/** A fake control plane: the protocol as contracts tell it, held in memory, with faults to order; not the real one. */
export interface FakeControlPlane {
  url: URL
  joinTokens: Set<string>
  nodes: Map<string, FakeNode>
  /** New devices wait until `approved` holds their id. */
  approval: boolean
  approved: Set<string>
  desired: { generation: number; [field: string]: unknown } | null
  intervalMs: number | null
  /** Every heartbeat's answer offers another token. */
  rotatesAlways: boolean
  tokenLifeMs: number | null
  retryAfterSeconds: number
  /** Answers this instead, once for each call. */
  next: { status: number; body: string; headers?: Record<string, string>; cut?: boolean }[]
  isAway: boolean
  /** What lies below `/updates/`, by path. */
  updates: ReadonlyMap<string, string>
  nowMs: () => number
  seen: { path: string; bearer: string | null; body: Record<string, unknown>; outcome: string }[]
  /** One request as over HTTP, for simulations without sockets. */
  answer(path: string, bearer: string | null, body: string): { status: number; body: unknown }
  stop(): Promise<void>
}

export interface FakeNode {
  secret: string | null
  tokens: string[]
  heartbeats: number
  bootIds: Set<string>
  lastStatus: Record<string, unknown>
}

export function createFakeControlPlane(): Omit<FakeControlPlane, 'url' | 'stop'> {
  let made = 0
  const at = () => new Date(fake.nowMs()).toISOString()
  const expiries = new Map<string, number>()
  const makeToken = () => {
    const token = `nodetoken-${++made}-${'x'.repeat(24)}`
    if (fake.tokenLifeMs !== null) expiries.set(token, fake.nowMs() + fake.tokenLifeMs)
    return token
  }
  const expiresAt = () => (fake.tokenLifeMs === null ? null : new Date(fake.nowMs() + fake.tokenLifeMs).toISOString())
  const rhythm = () => ({ at: at(), heartbeatIntervalMs: fake.intervalMs })

  const register = (bearer: string | null, json: unknown): { status: number; body: DeviceRegisterAnswer | unknown } => {
    const parsed = deviceRegisterRequestSchema.safeParse(json)
    if (!parsed.success) return problem(400, 'invalid-input', parsed.error.message)
    const { nodeId, joinToken, deviceSecret = null, status, bootId } = parsed.data
    const node = fake.nodes.get(nodeId)
    const refused = (reason: string) => ({
      status: 403,
      body: { state: 'refused', reason, message: 'No.', retryAfterSeconds: fake.retryAfterSeconds, at: at() },
    })
    if (node) {
      const isProved = (bearer !== null && node.tokens.includes(bearer)) || (deviceSecret ?? '') === node.secret
      if (!isProved) return refused('known-node')
    } else if (!fake.joinTokens.has(bearer ?? '') && !fake.joinTokens.has(joinToken ?? '')) {
      return refused('join-token-unknown')
    }
    if (fake.approval && !fake.approved.has(nodeId)) {
      const message = 'An operator must approve this device.'
      return {
        status: 202,
        body: { state: 'waiting', nodeId, message, retryAfterSeconds: fake.retryAfterSeconds, ...rhythm() },
      }
    }
    const nodeToken = makeToken()
    fake.nodes.set(nodeId, {
      secret: deviceSecret ?? null,
      tokens: [nodeToken, ...(node?.tokens ?? [])],
      heartbeats: node?.heartbeats ?? 0,
      bootIds: new Set([...(node?.bootIds ?? []), bootId ?? '']),
      lastStatus: status,
    })
    return { status: 200, body: { state: 'accepted', nodeId, nodeToken, nodeTokenExpiresAt: expiresAt(), ...rhythm() } }
  }

  const heartbeat = (
    bearer: string | null,
    json: unknown,
  ): { status: number; body: DeviceHeartbeatAnswer | unknown } => {
    const parsed = deviceHeartbeatRequestSchema.safeParse(json)
    if (!parsed.success) return problem(400, 'invalid-input', parsed.error.message)
    const { nodeId, generation, rotateToken, status, bootId } = parsed.data
    const node = fake.nodes.get(nodeId)
    if (!node) return problem(404, 'not-found', 'No such node.')
    const index = node.tokens.indexOf(bearer ?? '')
    if (index < 0) return problem(401, 'unauthenticated', `The token ${bearer} is not this node's.`)
    if (fake.nowMs() > (expiries.get(bearer ?? '') ?? Infinity)) return problem(401, 'token-expired', 'Expired.')
    // The newest came first; using one ends those before it.
    node.tokens.splice(index + 1)
    node.heartbeats += 1
    node.bootIds.add(bootId ?? '')
    node.lastStatus = status
    const wanted = fake.desired?.generation ?? 0
    const offered = rotateToken || fake.rotatesAlways ? makeToken() : undefined
    if (offered !== undefined) node.tokens = [offered, bearer ?? '']
    return {
      status: 200,
      body: {
        ...rhythm(),
        generation: wanted,
        ...(wanted !== generation && fake.desired ? { desiredState: fake.desired } : {}),
        ...(offered === undefined ? {} : { nodeToken: offered, nodeTokenExpiresAt: expiresAt() }),
      },
    }
  }

  const fake: Omit<FakeControlPlane, 'url' | 'stop'> = {
    joinTokens: new Set(['join-token-0123456789']),
    nodes: new Map(),
    approval: false,
    approved: new Set(),
    desired: null,
    intervalMs: null,
    rotatesAlways: false,
    tokenLifeMs: null,
    retryAfterSeconds: 1,
    next: [],
    isAway: false,
    updates: new Map(),
    nowMs: () => Date.now(),
    seen: [],
    answer: (path, bearer, text) => {
      const json = JSON.parse(text) as Record<string, unknown>
      const answered =
        path === deviceRegisterPath
          ? register(bearer, json)
          : path === deviceHeartbeatPath
            ? heartbeat(bearer, json)
            : problem(404, 'no-route', 'Nothing here.')
      const { state } = answered.body as { state?: string }
      fake.seen.push({ path, bearer, body: json, outcome: state ?? String(answered.status) })
      return answered
    },
  }
  return fake
}

/** The same over HTTP on a free port. */
export async function startFakeControlPlane(): Promise<FakeControlPlane> {
  const fake = createFakeControlPlane()
  const answer = async (request: IncomingMessage, response: ServerResponse) => {
    const chunks: Buffer[] = []
    for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk)
    if (running.isAway) return void request.socket.destroy()
    const [, file] = /^\/updates\/(.+)$/.exec(request.url ?? '') ?? []
    if (file !== undefined) {
      const text = running.updates.get(file)
      response.writeHead(text === undefined ? 404 : 200)
      return void response.end(text)
    }
    const instead = running.next.shift()
    const bearer = /^Bearer (\S+)$/.exec(request.headers.authorization ?? '')?.[1] ?? null
    if (instead && !instead.cut) {
      response.writeHead(instead.status, instead.headers)
      return void response.end(instead.body)
    }
    const { status, body } = running.answer(request.url ?? '/', bearer, Buffer.concat(chunks).toString('utf8'))
    // The answer was made and is lost on the way.
    if (instead?.cut) return void request.socket.destroy()
    response.writeHead(status, { 'content-type': 'application/json' })
    response.end(JSON.stringify(body))
  }
  const server = createServer((request, response) => void answer(request, response))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  const running: FakeControlPlane = Object.assign(fake, {
    url: new URL(`http://127.0.0.1:${port}`),
    stop: () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  })
  return running
}

function problem(status: number, code: string, message: string) {
  return { status, body: { error: { code, message } } }
}
