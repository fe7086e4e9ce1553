import { afterAll, beforeAll, expect, test } from 'vitest'
import { seedSession, seedToken, startTestServer, type TestServer } from '../http/server.testing.ts'

let server: TestServer
let admin = ''
let api = ''
let session = ''

beforeAll(async () => {
  server = await startTestServer({
    async seed(store) {
      admin = await seedToken(store, 'admin')
      api = await seedToken(store, 'api')
      session = await seedSession(store, 'user')
    },
  })
})
afterAll(() => server.close())

interface Event {
  id?: string
  event?: string
  data?: string
}

/** Opens the watch and reads events until enough have come, or to the end. */
async function watch(options: {
  query?: string
  token?: string
  headers?: Record<string, string>
  count: number
}): Promise<Event[]> {
  const stop = new AbortController()
  const response = await fetch(`${server.url}/api/v1/changes${options.query ?? ''}`, {
    headers: { authorization: `Bearer ${options.token ?? admin}`, ...options.headers },
    signal: stop.signal,
  })
  expect(response.status).toBe(200)
  expect(response.headers.get('content-type')).toContain('text/event-stream')
  const events: Event[] = []
  let text = ''
  for await (const chunk of response.body ?? []) {
    text += new TextDecoder().decode(chunk)
    const parts = text.split('\n\n')
    text = parts.pop() ?? ''
    events.push(...parts.map(parseEvent).filter((event) => event.data !== undefined))
    if (events.length >= options.count) break
  }
  stop.abort()
  return events.slice(0, options.count)
}

function parseEvent(text: string): Event {
  const fields = text.split('\n').map((line): [string, string] => {
    const at = line.indexOf(':')
    return [line.slice(0, at), line.slice(at + 2)]
  })
  return Object.fromEntries(fields.filter(([name]) => name !== ''))
}

let users = 0
async function makeUser(): Promise<number> {
  users += 1
  const body = { data: { name: `user${users}`, role: 'user', password: 'long enough for this' } }
  return (await server.call('POST', '/api/v1/users', { token: admin, body })).body.version
}

const idsOf = (events: Event[]) => events.map((event) => Number(event.id))

test('the id of an event is the version, and Last-Event-ID goes on after it', async () => {
  const versions = [await makeUser(), await makeUser(), await makeUser()]
  const since = (versions[0] ?? 0) - 1
  const first = await watch({ query: `?since=${since}&kinds=user`, count: 2 })
  expect(idsOf(first)).toEqual(versions.slice(0, 2))
  const headers = { 'last-event-id': String(first.at(-1)?.id) }
  const rest = await watch({ query: `?since=${since}&kinds=user`, headers, count: 1 })
  expect(idsOf(rest)).toEqual(versions.slice(2))
})

test('what happens while watching arrives, without the hash of the password', async () => {
  const since = (await server.call('GET', '/api/v1/status', { token: admin })).body.storeVersion
  const watching = watch({ query: `?since=${since}&kinds=user`, count: 1 })
  const version = await makeUser()
  const [event] = await watching
  expect(event?.id).toBe(String(version))
  expect(event?.data).not.toContain('passwordHash')
  expect(JSON.parse(event?.data ?? '')).toMatchObject({ kind: 'user', operation: 'create', version })
})

test('somebody who may not read users sees no change of them, and may not ask for them', async () => {
  const since = (await server.call('GET', '/api/v1/status', { token: admin })).body.storeVersion
  await makeUser()
  const { status, body } = await server.call('GET', '/api/v1/changes?kinds=user', { token: api })
  expect({ status, code: body.error.code }).toEqual({ status: 403, code: 'forbidden' })
  const stop = new AbortController()
  const response = await fetch(`${server.url}/api/v1/changes?since=${since}`, {
    headers: { authorization: `Bearer ${api}` },
    signal: stop.signal,
  })
  const reader = response.body?.getReader()
  const opening = new TextDecoder().decode((await reader?.read())?.value)
  expect(opening).toBe('retry: 2000\n\n')
  stop.abort()
})

test.each([['abc'], ['-1'], ['1.5']])('a Last-Event-ID of %s is refused', async (id) => {
  const { status } = await server.call('GET', '/api/v1/changes', { token: admin, headers: { 'last-event-id': id } })
  expect(status).toBe(400)
})

test('a watch ends at once when its token is revoked, and says why', async () => {
  const made = await server.call('POST', '/api/v1/tokens', { token: admin, body: { data: { name: 'short' } } })
  const response = await fetch(`${server.url}/api/v1/changes`, {
    headers: { authorization: `Bearer ${made.body.token}` },
  })
  const whole = response.text()
  await server.call('DELETE', `/api/v1/tokens/${made.body.resource.id}`, { token: admin })
  expect(await whole).toMatch(/event: error\ndata: .*"code":"token-expired"/)
})

test('a watch ends when its user may less than before', async () => {
  const body = { data: { name: 'falling', role: 'admin', password: 'long enough for this' } }
  const user = await server.call('POST', '/api/v1/users', { token: admin, body })
  const login = await server.call('POST', '/api/v1/login', {
    body: { username: 'falling', password: 'long enough for this' },
  })
  const response = await fetch(`${server.url}/api/v1/changes?kinds=user`, {
    headers: { authorization: `Bearer ${login.body.token}` },
  })
  const whole = response.text()
  await server.call('PATCH', `/api/v1/users/${user.body.id}`, { token: admin, body: { data: { role: 'user' } } })
  expect(await whole).toMatch(/event: error\ndata: .*"code":"forbidden"/)
})

test('the audit trail is the same log, newest first, a page at a time', async () => {
  const version = await makeUser()
  const { body } = await server.call('GET', '/api/v1/audit?limit=1&kind=user', { token: admin })
  expect(body.items).toHaveLength(1)
  expect(body.items[0]).toMatchObject({ version, operation: 'create', actor: { type: 'token' } })
  const older = await server.call('GET', `/api/v1/audit?limit=1&kind=user&before=${version}`, { token: admin })
  expect(older.body.items[0].version).toBeLessThan(version)
})

test('a signed-in person can watch with the cookie alone, as EventSource does', async () => {
  const cookie = `freehold_session=${session}`
  const response = await fetch(`${server.url}/api/v1/changes`, {
    headers: { cookie },
    signal: AbortSignal.timeout(10_000),
  })
  expect(response.status).toBe(200)
  await response.body?.cancel()
})
