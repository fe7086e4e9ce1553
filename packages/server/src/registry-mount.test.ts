import { clusterKind } from '@freehold/contracts'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { adminAccount, seedToken, startTestServer, type TestServer } from './http/server.testing.ts'

/** Who the registry lets in, behind the real door and with the real identities. */
let server: TestServer
let apiToken = ''
let expired = ''

beforeAll(async () => {
  server = await startTestServer({
    async seed(store) {
      apiToken = await seedToken(store, 'api', { userRole: 'user' })
      expired = await seedToken(store, 'api', { userRole: 'user', expiresAt: new Date(Date.now() - 1).toISOString() })
      const actor = { type: 'system', id: 'test', name: 'test' } as const
      await store.transaction(actor, (transaction) =>
        transaction.create(clusterKind, { data: { name: 'main', description: '' } }),
      )
    },
  })
})
afterAll(() => server.close())

const basic = (username: string, password: string) =>
  `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`

function askToken(authorization: string, actions = 'pull') {
  const scope = encodeURIComponent(`repository:workloads/web:${actions}`)
  return server.call('GET', `/v2/token?service=test&scope=${scope}`, { headers: { authorization } })
}

/** What a token of the registry grants, read from its claims. */
function grantsOf(token: string): string[] {
  const claims = JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString())
  return (claims.access as { actions: string[] }[]).flatMap((entry) => entry.actions).toSorted()
}

test('an administrator may push by name and password', async () => {
  const { status, body } = await askToken(basic(adminAccount.username, adminAccount.password), 'pull,push')
  expect(status).toBe(200)
  expect(grantsOf(body.token)).toEqual(['pull', 'push'])
})

test('a machine token of the role api may pull, and is granted no push', async () => {
  const { status, body } = await askToken(basic('ci', apiToken), 'pull,push')
  expect(status).toBe(200)
  expect(grantsOf(body.token)).toEqual(['pull'])
})

test.each([
  ['an expired token', () => basic('ci', expired)],
  ['a wrong password', () => basic('admin', 'wrong')],
  ['a cluster that does not exist', () => basic('cluster-01900000-0000-7000-8000-000000000000', 'x')],
])('%s is refused in the words of the registry', async (_, authorization) => {
  const { status, body } = await askToken(authorization())
  expect({ status, code: body.errors[0].code }).toEqual({ status: 401, code: 'UNAUTHORIZED' })
})

test('the first collection of garbage runs after the start, and the metrics say what the registry holds', async () => {
  const headers = { authorization: `Bearer ${apiToken}` }
  await expect
    .poll(async () => (await server.call('GET', '/metrics', { headers })).body)
    .toMatch(/^freehold_registry_blob_bytes 0$/m)
  const { body } = await server.call('GET', '/metrics', { headers })
  expect(body).toMatch(/^freehold_registry_freed_bytes_total 0$/m)
})
