import type { Engine, RegistryAuth } from './engine.ts'
import { EngineRefusal } from './engine.ts'
import { readEvents, readLogLines } from './frames.ts'
import { createEngineHttp, type EngineRequest } from './http.ts'
import type { EngineInfo, SwarmNetwork, SwarmNode, SwarmService, SwarmTask } from './types.ts'

/** The Docker Engine at an address (`unix:///path` or `tcp://host:port`). */
export function createEngineClient(options: { address: string; timeLimitMs?: number }): Engine {
  const http = createEngineHttp(options)
  const get = async <T>(path: string, signal: AbortSignal, query?: Record<string, string>): Promise<T> =>
    (await http.json({ method: 'GET', path, signal, ...(query ? { query } : {}) })) as T
  const post = (path: string, signal: AbortSignal, more: Partial<EngineRequest>) =>
    http.json({ method: 'POST', path, signal, ...more })
  const labelled = (label: string) => ({ filters: JSON.stringify({ label: [label] }) })

  return {
    address: http.address,
    info: (signal) => get<EngineInfo>('/info', signal),
    nodes: (signal) => get<SwarmNode[]>('/nodes', signal),
    services: (signal) => get<SwarmService[]>('/services', signal),
    tasks: ({ label }, signal) => get<SwarmTask[]>('/tasks', signal, labelled(label)),
    networks: (signal) => get<SwarmNetwork[]>('/networks', signal),
    initSwarm: async ({ advertiseAddress }, signal) => {
      await post('/swarm/init', signal, {
        body: { AdvertiseAddr: advertiseAddress, ListenAddr: listenAddress(advertiseAddress) },
        timeLimitMs: 60_000,
      })
    },
    createOverlayNetwork: async ({ name, labels }, signal) => {
      const body = { Name: name, Driver: 'overlay', Attachable: true, CheckDuplicate: true, Labels: labels }
      await post('/networks/create', signal, { body })
    },
    createService: async ({ spec, registryAuth }, signal) => {
      await post('/services/create', signal, { body: spec, headers: authHeaders(registryAuth) })
    },
    updateService: async ({ id, version, spec, registryAuth }, signal) => {
      await post(`/services/${encodeURIComponent(id)}/update`, signal, {
        query: { version: String(version) },
        body: spec,
        headers: authHeaders(registryAuth),
      })
    },
    removeService: async ({ id }, signal) => {
      await goneIsFine(http.json({ method: 'DELETE', path: `/services/${encodeURIComponent(id)}`, signal }))
    },
    containers: async ({ label }, signal) => {
      const found = await get<{ Id: string; Labels: Record<string, string> | null }[]>(
        '/containers/json',
        signal,
        labelled(label),
      )
      return found.map(({ Id, Labels }) => ({ id: Id, labels: Labels ?? {} }))
    },
    containerHealth: async ({ id }, signal) => {
      const found = await goneIsFine(
        get<{ State?: { Health?: { Status: string; Log?: { Output?: string }[] | null } | null } }>(
          `/containers/${encodeURIComponent(id)}/json`,
          signal,
        ),
      )
      const health = found?.State?.Health
      if (!health || !isHealthStatus(health.Status)) return null
      const output = health.Log?.at(-1)?.Output ?? ''
      return { status: health.Status, message: output.trim().split('\n').at(-1)?.slice(0, 300) ?? '' }
    },
    containerAddresses: (signal) => gatewayAddresses((path) => get(path, signal)),
    taskLogs: ({ id, tail }, signal) =>
      logLines(`/tasks/${encodeURIComponent(id)}/logs`, { tail, follow: false, details: false }, signal),
    serviceLogs: ({ id, tail, follow }, signal) =>
      logLines(`/services/${encodeURIComponent(id)}/logs`, { tail, follow, details: true }, signal),
    events: async function* (signal) {
      const filters = JSON.stringify({ type: ['service', 'node', 'container', 'network'] })
      yield* readEvents(await http.stream({ method: 'GET', path: '/events', query: { filters }, signal }))
    },
  }

  async function* logLines(
    path: string,
    { tail, follow, details }: { tail: number; follow: boolean; details: boolean },
    signal: AbortSignal,
  ) {
    const query = { stdout: '1', stderr: '1', timestamps: '1', details: details ? '1' : '0' }
    const answer = await http.stream({
      method: 'GET',
      path,
      query: { ...query, tail: String(tail), follow: follow ? '1' : '0' },
      signal,
    })
    try {
      yield* readLogLines(answer, { details })
    } finally {
      answer.destroy()
    }
  }
}

/**
 * A task on an overlay network also has an endpoint on the node's own bridge `docker_gwbridge`, reachable from the
 * node without joining the overlay. Containers without one are looked for on the default bridge.
 */
async function gatewayAddresses(get: (path: string) => Promise<unknown>): Promise<Map<string, string>> {
  const addresses = new Map<string, string>()
  for (const bridge of ['bridge', 'docker_gwbridge']) {
    const network = (await goneIsFine(get(`/networks/${bridge}`))) as
      | { Containers?: Record<string, { IPv4Address?: string; IPv6Address?: string }> | null }
      | undefined
    for (const [id, endpoint] of Object.entries(network?.Containers ?? {})) {
      const address = (endpoint.IPv4Address || endpoint.IPv6Address || '').split('/')[0]
      if (address) addresses.set(id, address)
    }
  }
  return addresses
}

/** X-Registry-Auth (Engine API, "Authentication"): the URL-safe base64 of JSON, padded as Go's decoder wants it. */
function authHeaders(auth: RegistryAuth | null): Record<string, string> {
  if (!auth) return {}
  const { username, password, host } = auth
  const value = JSON.stringify({ username, password, serveraddress: host })
  return { 'x-registry-auth': Buffer.from(value).toString('base64').replaceAll('+', '-').replaceAll('/', '_') }
}

/** Where only this machine is advertised, only this machine shall be able to knock. */
function listenAddress(advertiseAddress: string): string {
  return advertiseAddress === '127.0.0.1' ? '127.0.0.1:2377' : '0.0.0.0:2377'
}

async function goneIsFine<T>(work: Promise<T>): Promise<T | undefined> {
  try {
    return await work
  } catch (error) {
    if (error instanceof EngineRefusal && error.status === 404) return undefined
    throw error
  }
}

function isHealthStatus(status: string): status is 'starting' | 'healthy' | 'unhealthy' {
  return status === 'starting' || status === 'healthy' || status === 'unhealthy'
}
