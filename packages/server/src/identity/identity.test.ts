import { userKind } from '@freehold/contracts'
import { afterEach, describe, expect, test } from 'vitest'
import { adminAccount, seedSession, seedToken, startTestServer, type TestServer } from '../http/server.testing.ts'

let server: TestServer
afterEach(() => server.close())

const login = (account: { username: string; password: string }, headers: Record<string, string> = {}) =>
  server.call('POST', '/api/v1/login', { body: account, headers })

async function signIn(account = adminAccount): Promise<string> {
  const { body, status } = await login(account)
  expect(status).toBe(200)
  return body.token
}

const whoAmI = (token: string) => server.call('GET', '/api/v1/identity', { token })
const password = 'long enough for this'

async function makeUser(admin: string, name: string, role: 'admin' | 'user' = 'user') {
  const { body, status } = await server.call('POST', '/api/v1/users', {
    token: admin,
    body: { data: { name, role, password } },
  })
  expect(status).toBe(201)
  return body as { id: string; version: number }
}

describe('the first administrator', () => {
  const tokenOf = (link: string | null) => new URL(link ?? '').searchParams.get('token') ?? ''

  test('is made by the link, once, even by two at the same time', async () => {
    server = await startTestServer({ admin: false })
    expect((await server.call('GET', '/api/v1/setup')).body).toEqual({ needed: true })
    const body = { token: tokenOf(server.server.setupLink), ...adminAccount }
    const answers = await Promise.all([1, 2, 3].map(() => server.call('POST', '/api/v1/setup', { body })))
    expect(answers.map((answer) => answer.status).toSorted()).toEqual([200, 409, 409])
    const made = answers.find((answer) => answer.status === 200)
    expect(made?.body.identity).toMatchObject({ name: 'admin', role: 'admin' })
    expect((await whoAmI(made?.body.token)).status).toBe(200)
    expect((await server.call('GET', '/api/v1/setup')).body).toEqual({ needed: false })
    expect((await server.call('POST', '/api/v1/setup', { body })).body.error.code).toBe('conflict')
  })

  test('is not made with another token', async () => {
    server = await startTestServer({ admin: false })
    const body = { token: 'fhsetup_wrong', ...adminAccount }
    expect((await server.call('POST', '/api/v1/setup', { body })).body.error.code).toBe('wrong-credentials')
  })

  test('of the environment is made when there is none, and never changed', async () => {
    server = await startTestServer({ seed: (store) => seedSession(store, 'admin', { name: 'admin' }).then(() => {}) })
    expect(server.server.setupLink).toBeNull()
    expect((await login(adminAccount)).body.error.code).toBe('wrong-credentials')
  })
})

describe('signing in', () => {
  test('gives a session by cookie and by value, under the name in any case', async () => {
    server = await startTestServer()
    const { body, headers } = await login({ ...adminAccount, username: 'ADMIN' })
    const cookie = headers.get('set-cookie') ?? ''
    expect(cookie).toMatch(
      /^freehold_session=fhs_[A-Za-z0-9_-]{43}; Path=\/; Max-Age=604800; HttpOnly; SameSite=Strict$/,
    )
    expect(body.token).toBe(/freehold_session=([^;]+)/.exec(cookie)?.[1])
    expect((await whoAmI(body.token)).body).toMatchObject({ subject: 'user', name: 'admin', role: 'admin' })
  })

  test('behind TLS gives a cookie that only TLS carries', async () => {
    server = await startTestServer({
      environment: { SERVEZONE_SSLMODE: 'external', SERVEZONE_URL: 'cloud.example.com' },
    })
    expect((await login(adminAccount)).headers.get('set-cookie')).toMatch(/; Secure$/)
  })

  test('is slowed down after a few wrong passwords, and says for how long', async () => {
    server = await startTestServer()
    const wrong = { ...adminAccount, password: 'not the password' }
    const codes: string[] = []
    for (let attempt = 0; attempt < 5; attempt += 1) codes.push((await login(wrong)).body.error.code)
    expect(codes).toEqual(Array(5).fill('wrong-credentials'))
    const limited = await login(wrong)
    expect(limited.status).toBe(429)
    expect(Number(limited.headers.get('retry-after'))).toBeGreaterThanOrEqual(1)
    expect((await login({ ...wrong, username: 'nobody' })).status).toBe(401)
  })

  test('believes no forwarded address from a stranger', async () => {
    server = await startTestServer()
    const wrong = { ...adminAccount, password: 'not the password' }
    for (let attempt = 0; attempt < 5; attempt += 1) await login(wrong, { 'x-forwarded-for': `192.0.2.${attempt}` })
    expect((await login(wrong, { 'x-forwarded-for': '192.0.2.99' })).status).toBe(429)
  })

  test('says the same of a wrong name, a wrong password and a disabled user', async () => {
    server = await startTestServer()
    const admin = await signIn()
    const anna = await makeUser(admin, 'anna')
    await server.call('PATCH', `/api/v1/users/${anna.id}`, { token: admin, body: { data: { disabled: true } } })
    const answers = [
      await login({ username: 'nobody', password }),
      await login({ username: 'admin', password }),
      await login({ username: 'anna', password }),
    ]
    const bodies = answers.map(({ body, status }) => ({ status, ...body.error, requestId: '' }))
    expect(bodies[1]).toEqual(bodies[0])
    expect(bodies[2]).toEqual(bodies[0])
  })

  test('out ends the session and takes the cookie away', async () => {
    server = await startTestServer()
    const token = await signIn()
    const { status, headers } = await server.call('POST', '/api/v1/logout', { token })
    expect(status).toBe(204)
    expect(headers.get('set-cookie')).toMatch(/^freehold_session=; .*Max-Age=0/)
    expect((await whoAmI(token)).body.error.code).toBe('token-expired')
  })
})

describe('a session', () => {
  test('that has been used for a day lives a week from then on', async () => {
    let session = ''
    const inFiveDays = new Date(Date.now() + 5 * 86_400_000).toISOString()
    server = await startTestServer({
      async seed(store) {
        session = await seedSession(store, 'user', { expiresAt: inFiveDays })
      },
    })
    const { headers } = await server.call('GET', '/api/v1/identity', {
      headers: { cookie: `freehold_session=${session}` },
    })
    expect(headers.get('set-cookie')).toMatch(/^freehold_session=fhs_.*Max-Age=60\d{4}/)
    expect(Date.parse((await whoAmI(session)).body.expiresAt)).toBeGreaterThan(Date.parse(inFiveDays))
    const again = await server.call('GET', '/api/v1/identity', { headers: { cookie: `freehold_session=${session}` } })
    expect(again.headers.get('set-cookie')).toBeNull()
  })
})

describe('changing a password', () => {
  test('needs the present one, and ends the other sessions', async () => {
    server = await startTestServer()
    const [here, elsewhere] = [await signIn(), await signIn()]
    const change = (current: string) =>
      server.call('POST', '/api/v1/identity/password', {
        token: here,
        body: { current, next: 'another long password' },
      })
    expect((await change('wrong')).body.error.code).toBe('wrong-credentials')
    expect((await whoAmI(elsewhere)).status).toBe(200)
    expect((await change(adminAccount.password)).status).toBe(204)
    expect((await whoAmI(here)).status).toBe(200)
    expect((await whoAmI(elsewhere)).status).toBe(401)
    expect((await login(adminAccount)).status).toBe(401)
    expect((await login({ username: 'admin', password: 'another long password' })).status).toBe(200)
  })

  test('is not for tokens', async () => {
    let token = ''
    server = await startTestServer({
      async seed(store) {
        token = await seedToken(store, 'admin')
      },
    })
    const body = { current: 'x', next: 'another long password' }
    expect((await server.call('POST', '/api/v1/identity/password', { token, body })).body.error.code).toBe('conflict')
  })
})

describe('users', () => {
  test('never show their hash, in no answer', async () => {
    server = await startTestServer()
    const admin = await signIn()
    const anna = await makeUser(admin, 'anna')
    const answers = [
      await server.call('GET', '/api/v1/users', { token: admin }),
      await server.call('GET', `/api/v1/users/${anna.id}`, { token: admin }),
      await server.call('PATCH', `/api/v1/users/${anna.id}`, { token: admin, body: { labels: { team: 'a' } } }),
      await server.call('GET', '/api/v1/audit', { token: admin }),
    ]
    for (const { status, body } of answers) {
      expect(status).toBe(200)
      expect(JSON.stringify(body)).not.toMatch(/argon2id|passwordHash/)
    }
  })

  test.each([
    ['deleted', (id: string, token: string) => server.call('DELETE', `/api/v1/users/${id}`, { token })],
    [
      'demoted',
      (id: string, token: string) =>
        server.call('PATCH', `/api/v1/users/${id}`, { token, body: { data: { role: 'user' } } }),
    ],
    [
      'disabled',
      (id: string, token: string) =>
        server.call('PATCH', `/api/v1/users/${id}`, { token, body: { data: { disabled: true } } }),
    ],
  ])('the last active administrator cannot be %s', async (_, act) => {
    server = await startTestServer()
    const admin = await signIn()
    const me = (await whoAmI(admin)).body.userId
    const other = await makeUser(admin, 'second', 'admin')
    await server.call('PATCH', `/api/v1/users/${other.id}`, { token: admin, body: { data: { disabled: true } } })
    expect((await act(me, admin)).body.error).toMatchObject({ code: 'conflict' })
    await server.call('PATCH', `/api/v1/users/${other.id}`, { token: admin, body: { data: { disabled: false } } })
    expect((await act(me, admin)).status).toBeLessThan(300)
  })

  test('two administrators who delete each other at once leave one', async () => {
    server = await startTestServer()
    const first = await signIn()
    const firstId = (await whoAmI(first)).body.userId
    const { id: secondId } = await makeUser(first, 'second', 'admin')
    const second = await signIn({ username: 'second', password })
    const answers = await Promise.all([
      server.call('DELETE', `/api/v1/users/${secondId}`, { token: first }),
      server.call('DELETE', `/api/v1/users/${firstId}`, { token: second }),
    ])
    expect(answers.filter((answer) => answer.status === 204)).toHaveLength(1)
  })

  test('who are disabled, deleted or given a password lose their sessions at once', async () => {
    server = await startTestServer()
    const admin = await signIn()
    for (const [name, act] of [
      [
        'one',
        (id: string) =>
          server.call('PATCH', `/api/v1/users/${id}`, { token: admin, body: { data: { disabled: true } } }),
      ],
      ['two', (id: string) => server.call('DELETE', `/api/v1/users/${id}`, { token: admin })],
      [
        'three',
        (id: string) =>
          server.call('PATCH', `/api/v1/users/${id}`, {
            token: admin,
            body: { data: { password: 'given by the admin' } },
          }),
      ],
    ] as const) {
      const { id } = await makeUser(admin, name)
      const session = await signIn({ username: name, password })
      expect((await whoAmI(session)).status).toBe(200)
      expect((await act(id)).status).toBeLessThan(300)
      expect((await whoAmI(session)).body.error.code).toBe('token-expired')
    }
  })
})

describe('tokens', () => {
  test('are shown once, say when they were used, and end when they are deleted', async () => {
    server = await startTestServer()
    const admin = await signIn()
    const { body } = await server.call('POST', '/api/v1/tokens', { token: admin, body: { data: { name: 'ci' } } })
    expect(body.token).toMatch(/^fht_[A-Za-z0-9_-]{43}$/)
    expect(body.resource).toMatchObject({ data: { name: 'ci', role: 'api' }, status: { lastUsedAt: null } })
    expect((await whoAmI(body.token)).body).toMatchObject({ subject: 'token', name: 'ci', role: 'api' })
    const listed = await server.call('GET', '/api/v1/tokens', { token: admin })
    expect(JSON.stringify(listed.body)).not.toContain('"hash"')
    expect(Date.parse(listed.body.items[0].status.lastUsedAt)).toBeGreaterThan(0)
    await server.call('DELETE', `/api/v1/tokens/${body.resource.id}`, { token: admin })
    expect((await whoAmI(body.token)).body.error.code).toBe('token-expired')
  })

  test('die with their user and may no more than their user may now', async () => {
    server = await startTestServer()
    const admin = await signIn()
    const { id } = await makeUser(admin, 'second', 'admin')
    const second = await signIn({ username: 'second', password })
    const { body } = await server.call('POST', '/api/v1/tokens', {
      token: second,
      body: { data: { name: 'power', role: 'admin' } },
    })
    expect((await whoAmI(body.token)).body.role).toBe('admin')
    await server.call('PATCH', `/api/v1/users/${id}`, { token: admin, body: { data: { role: 'user' } } })
    expect((await whoAmI(body.token)).body.role).toBe('user')
    await server.call('DELETE', `/api/v1/users/${id}`, { token: admin })
    expect((await whoAmI(body.token)).body.error.code).toBe('token-expired')
    expect((await server.call('GET', '/api/v1/tokens', { token: admin })).body.items).toEqual([])
  })

  test.each([
    ['in the past', -1000],
    ['in twenty years', 20 * 365 * 86_400_000],
  ])('cannot end %s', async (_, fromNowMs) => {
    server = await startTestServer()
    const expiresAt = new Date(Date.now() + fromNowMs).toISOString()
    const answer = await server.call('POST', '/api/v1/tokens', {
      token: await signIn(),
      body: { data: { name: 'x', expiresAt } },
    })
    expect(answer.body.error).toMatchObject({ code: 'invalid-input', details: [{ path: 'data.expiresAt' }] })
  })
})

test('the store holds no credential as it is', async () => {
  let dump = ''
  server = await startTestServer()
  const session = await signIn()
  const { body } = await server.call('POST', '/api/v1/tokens', { token: session, body: { data: { name: 'ci' } } })
  dump += JSON.stringify((await server.call('GET', '/api/v1/audit?limit=500', { token: session })).body)
  expect(dump).not.toContain(session)
  expect(dump).not.toContain(body.token)
  expect(dump).not.toContain(adminAccount.password)
  expect(userKind.redact).toContain('passwordHash')
})
