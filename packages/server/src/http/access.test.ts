import { randomUUID } from 'node:crypto'
import { listRoutes, mayDo, type Role, type Route, roles } from '@freehold/contracts'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { makeCredential } from '../identity/index.ts'
import { seedSession, seedToken, startTestServer, type TestServer } from './server.testing.ts'

/** Every route of the contract, walked by every kind of caller against a real server. */
const routes = listRoutes()
let server: TestServer
const credentials = new Map<string, string>()

beforeAll(async () => {
  server = await startTestServer({
    async seed(store) {
      for (const role of ['admin', 'user', 'api'] as const)
        credentials.set(`${role} token`, await seedToken(store, role))
      credentials.set('cluster session', await seedSession(store, 'cluster'))
      const past = new Date(Date.now() - 1000).toISOString()
      credentials.set('expired token', await seedToken(store, 'admin', { expiresAt: past }))
      credentials.set('expired session', await seedSession(store, 'admin', { expiresAt: past }))
    },
  })
  credentials.set('unknown token', makeCredential('fht_').value)
})
afterAll(() => server.close())

/** Status and code of a call with an empty body, closed as soon as its head has come. */
async function head(route: Route, token: string | undefined): Promise<{ status: number; code: string | undefined }> {
  const path = route.path.replace(/:\w+/g, randomUUID())
  const stop = new AbortController()
  const response = await fetch(`${server.url}${path}`, {
    method: route.method,
    headers: {
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
      ...(route.method === 'GET' ? {} : { 'content-type': 'application/json' }),
    },
    ...(route.method === 'GET' || route.method === 'DELETE' ? {} : { body: '{}' }),
    signal: stop.signal,
  })
  const isError =
    response.headers.get('content-type')?.startsWith('application/json') === true && response.status >= 400
  const code = isError ? ((await response.json()) as { error: { code: string } }).error.code : undefined
  if (!isError) stop.abort()
  return { status: response.status, code }
}

test('the contract has routes to walk, and each one names an access rule', () => {
  expect(routes.length).toBeGreaterThan(35)
  for (const { route } of routes) expect(route.access).toBeTruthy()
})

describe.each(routes)('$name', ({ route }) => {
  test('without credentials only public routes answer', async () => {
    const { status, code } = await head(route, undefined)
    if (route.access === 'public') expect([401, 403]).not.toContain(status)
    else expect({ status, code }).toEqual({ status: 401, code: 'unauthenticated' })
  })

  test.each(['expired token', 'expired session', 'unknown token'])('an %s is refused', async (name) => {
    const { status, code } = await head(route, credentials.get(name))
    if (route.access === 'public') expect([401, 403]).not.toContain(status)
    else expect({ status, code }).toEqual({ status: 401, code: 'token-expired' })
  })

  const callers: [string, Role][] = [
    ['admin token', 'admin'],
    ['user token', 'user'],
    ['api token', 'api'],
    ['cluster session', 'cluster'],
  ]
  test.each(callers)('the table decides for an %s', async (name, role) => {
    const { status, code } = await head(route, credentials.get(name))
    const allowed = route.access === 'public' || mayDo(role, route.access)
    if (allowed) expect([401, 403]).not.toContain(status)
    else expect({ status, code }).toEqual({ status: 403, code: 'forbidden' })
  })
})

test('every role of the contract was walked', () => {
  expect([...roles].toSorted()).toEqual(['admin', 'api', 'cluster', 'user'])
})
