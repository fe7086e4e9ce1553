import { connect } from 'node:net'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Answer, seedSession, seedToken, startTestServer, type TestServer } from './server.testing.ts'

let server: TestServer
let admin = ''
let session = ''

beforeAll(async () => {
  server = await startTestServer({
    async seed(store) {
      admin = await seedToken(store, 'admin')
      session = await seedSession(store, 'admin')
    },
  })
})
afterAll(() => server.close())

/** Every refusal has the one shape, says what to do, and writes nothing. */
async function refused(answer: Promise<Answer>, status: number, code: string): Promise<Answer> {
  const before = await storeVersion()
  const result = await answer
  expect({ status: result.status, code: result.body.error?.code }).toEqual({ status, code })
  const { error } = result.body
  expect(error.message.length).toBeGreaterThan(5)
  expect(error.action.length).toBeGreaterThan(5)
  expect(error.requestId).toBe(result.headers.get('x-request-id'))
  expect(await storeVersion()).toBe(before)
  return result
}

async function storeVersion(): Promise<number> {
  return (await server.call('GET', '/api/v1/status', { token: admin })).body.storeVersion
}

const goodUser = { name: 'anna', role: 'user', password: 'long enough for this' }

describe('a body', () => {
  test('names every fault at once, with dotted paths, unknown fields among them', async () => {
    const body = { data: { name: '-', role: 'king', password: 'short', colour: 'red' }, more: 1 }
    const { body: answer } = await refused(
      server.call('POST', '/api/v1/users', { token: admin, body }),
      400,
      'invalid-input',
    )
    const paths = answer.error.details.map((detail: { path: string }) => detail.path).toSorted()
    expect(paths).toEqual(['data.colour', 'data.name', 'data.password', 'data.role', 'more'])
  })

  test('says of a field that is not there that it is missing', async () => {
    const body = { data: { role: 'user', password: goodUser.password } }
    const { body: answer } = await refused(
      server.call('POST', '/api/v1/users', { token: admin, body }),
      400,
      'invalid-input',
    )
    expect(answer.error.details).toEqual([{ path: 'data.name', message: 'is missing' }])
  })

  test.each([
    ['a list', '[]'],
    ['a text', '"x"'],
    ['null', 'null'],
    ['a number', '5'],
  ])('that is %s is refused', async (_, body) => {
    await refused(server.call('POST', '/api/v1/users', { token: admin, body }), 400, 'invalid-input')
  })

  test.each(['{', '{"data":}', '{"data":{}} x', '\u0000', "{'data':1}"])(
    'that is not JSON is refused: %j',
    async (body) => {
      await refused(server.call('POST', '/api/v1/users', { token: admin, body }), 400, 'invalid-json')
    },
  )

  test('that is missing is refused', async () => {
    await refused(server.call('POST', '/api/v1/users', { token: admin }), 400, 'invalid-input')
  })

  test('on a route that takes none is refused', async () => {
    await refused(server.call('POST', '/api/v1/logout', { token: session, body: { x: 1 } }), 400, 'invalid-input')
  })

  test('nested without end is refused', async () => {
    const body = `{"data":${'['.repeat(200_000)}${']'.repeat(200_000)}}`
    await refused(server.call('POST', '/api/v1/users', { token: admin, body }), 400, 'invalid-input')
  })

  test('cannot smuggle a prototype in', async () => {
    const body = '{"data":{"name":"x","role":"user","password":"long enough for this","__proto__":{"role":"admin"}}}'
    await refused(server.call('POST', '/api/v1/users', { token: admin, body }), 400, 'invalid-input')
  })

  test.each(['text/plain', 'application/x-www-form-urlencoded', 'multipart/form-data; boundary=x', ''])(
    'of the content type %j is refused',
    async (type) => {
      const answer = server.call('POST', '/api/v1/users', {
        token: admin,
        body: '{}',
        headers: { 'content-type': type },
      })
      await refused(answer, 415, 'unsupported-media-type')
    },
  )

  test('larger than the route accepts is refused, and the message has the limit', async () => {
    const body = JSON.stringify({ data: { ...goodUser, password: 'x'.repeat(2 * 1024 * 1024) } })
    const { body: answer } = await refused(
      server.call('POST', '/api/v1/users', { token: admin, body }),
      413,
      'body-too-large',
    )
    expect(answer.error.message).toContain('1048576')
  })

  test('that only turns out too large while it comes is refused', async () => {
    const head = `POST /api/v1/users HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${admin}\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n`
    const chunk = `10000\r\n${'x'.repeat(0x10000)}\r\n`
    const text = await rawExchange([head, ...Array<string>(40).fill(chunk), '0\r\n\r\n'])
    expect(text).toMatch(/^HTTP\/1\.1 413 /)
    expect(text).toContain('"code":"body-too-large"')
  })

  test('that stops halfway writes nothing', async () => {
    const before = await storeVersion()
    const full = JSON.stringify({ data: goodUser })
    await rawExchange(
      [
        `POST /api/v1/users HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${admin}\r\nContent-Type: application/json\r\nContent-Length: ${full.length}\r\n\r\n`,
        full.slice(0, 20),
      ],
      { endAtOnce: true },
    )
    expect(await storeVersion()).toBe(before)
  })
})

describe('an address', () => {
  test.each([
    ['a bad id', '/api/v1/users/not-an-id', 400, 'invalid-input'],
    ['an unknown id', '/api/v1/users/01900000-0000-7000-8000-000000000000', 404, 'not-found'],
    ['an unknown query parameter', '/api/v1/users?colour=red', 400, 'invalid-input'],
    ['a repeated parameter', '/api/v1/users?limit=1&limit=2', 400, 'invalid-input'],
    ['a limit of nothing', '/api/v1/users?limit=0', 400, 'invalid-input'],
    ['a limit too large', '/api/v1/users?limit=501', 400, 'invalid-input'],
    ['a limit that is no number', '/api/v1/users?limit=ten', 400, 'invalid-input'],
    ['a limit of the audit log too large', '/api/v1/audit?limit=501', 400, 'invalid-input'],
    ['a limit of the change feed', '/api/v1/changes?limit=1', 400, 'invalid-input'],
    ['a made-up cursor', '/api/v1/users?cursor=abcdef', 400, 'invalid-cursor'],
    ['a label that is none', '/api/v1/users?label=nothing', 400, 'invalid-input'],
    ['bad percent-encoding', '/api/v1/users/%E0%A4%A', 400, 'invalid-input'],
    ['an unknown kind to watch', '/api/v1/changes?kinds=castle', 400, 'invalid-input'],
    ['a version of the future to watch from', '/api/v1/changes?since=999999999', 410, 'feed-expired'],
    ['nothing there', '/api/v1/castles', 404, 'not-found'],
    ['nothing there, without version', '/api', 404, 'not-found'],
  ])('with %s is refused', async (_, path, status, code) => {
    await refused(server.call('GET', path, { token: admin }), status, code)
  })

  test('takes only its methods, and says which', async () => {
    const { headers } = await refused(
      server.call('PUT', '/api/v1/users', { token: admin, body: {} }),
      405,
      'method-not-allowed',
    )
    expect(headers.get('allow')).toBe('GET, POST')
  })

  test('is not found with a stale version', async () => {
    const { body } = await server.call('POST', '/api/v1/users', {
      token: admin,
      body: { data: { ...goodUser, name: 'stale' } },
    })
    const path = `/api/v1/users/${body.id}`
    await refused(
      server.call('PATCH', path, { token: admin, body: { version: 1, data: { role: 'admin' } } }),
      409,
      'stale-version',
    )
    await refused(server.call('DELETE', `${path}?version=1`, { token: admin }), 409, 'stale-version')
    await refused(
      server.call('POST', '/api/v1/users', { token: admin, body: { data: { ...goodUser, name: 'STALE' } } }),
      409,
      'already-exists',
    )
  })
})

describe('credentials', () => {
  test.each(['Basic YWRtaW46eA==', 'Bearer', 'Bearer a b', 'bearer nonsense', `Bearer ${'x'.repeat(300)}`])(
    'written as %j are none',
    async (authorization) => {
      await refused(server.call('GET', '/api/v1/identity', { headers: { authorization } }), 401, 'unauthenticated')
    },
  )

  test('a token in the cookie is none', async () => {
    const headers = { cookie: `freehold_session=${admin}` }
    await refused(server.call('GET', '/api/v1/identity', { headers }), 401, 'unauthenticated')
  })
})

describe('a cookie', () => {
  const cookie = () => `other=1; freehold_session=${session}`
  const patch = (headers: Record<string, string>) =>
    server.call('POST', '/api/v1/tokens', {
      body: { data: { name: 'made by cookie' } },
      headers: { cookie: cookie(), ...headers },
    })

  test('is enough to read', async () => {
    const { status, body } = await server.call('GET', '/api/v1/identity', { headers: { cookie: cookie() } })
    expect({ status, role: body.role }).toEqual({ status: 200, role: 'admin' })
  })

  test.each([
    ['without an origin', {}],
    ['from another site', { 'sec-fetch-site': 'cross-site' }],
    ['from a sibling domain', { 'sec-fetch-site': 'same-site' }],
    ['from another origin', { origin: 'http://evil.example' }],
    ['from an opaque origin', { origin: 'null' }],
  ])('does not count for a change %s', async (_, headers) => {
    await refused(patch(headers as Record<string, string>), 403, 'forbidden')
  })

  test('counts for a change from our own pages', async () => {
    expect((await patch({ 'sec-fetch-site': 'same-origin' })).status).toBe(201)
    expect((await patch({ origin: server.url })).status).toBe(201)
  })

  test('cannot be planted by another site signing somebody in', async () => {
    const body = { username: 'admin', password: 'correct horse battery' }
    await refused(
      server.call('POST', '/api/v1/login', { body, headers: { origin: 'http://evil.example' } }),
      403,
      'forbidden',
    )
  })
})

describe('the wire', () => {
  test('garbage is answered with 400 and closed', async () => {
    expect(await rawExchange(['this is not HTTP\r\n\r\n'])).toMatch(/^HTTP\/1\.1 400 /)
  })

  test('headers without end are answered with 431', async () => {
    expect(await rawExchange([`GET / HTTP/1.1\r\nHost: x\r\nX: ${'y'.repeat(40_000)}\r\n\r\n`])).toMatch(
      /^HTTP\/1\.1 431 /,
    )
  })

  test('an address with two slashes is a path, not a host', async () => {
    expect(await rawExchange(['GET //evil.example/api HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n'])).toMatch(
      /^HTTP\/1\.1 (200|404) /,
    )
  })

  test('an upgrade to nowhere is refused', async () => {
    const text = await rawExchange([
      'GET /api/v1/nowhere HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n',
    ])
    expect(text).toMatch(/^HTTP\/1\.1 404 /)
  })
})

/** Writes to the socket as it is and reads until the first answer is there or the connection ends. */
function rawExchange(parts: string[], options: { endAtOnce?: boolean } = {}): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(server.server.port, '127.0.0.1')
    let text = ''
    socket.on('data', (data) => {
      text += data
      if (/\r\n\r\n/.test(text)) socket.end()
    })
    socket.on('close', () => resolve(text))
    socket.on('error', (error: NodeJS.ErrnoException) =>
      error.code === 'EPIPE' || error.code === 'ECONNRESET' ? undefined : reject(error),
    )
    for (const part of parts) socket.write(part)
    if (options.endAtOnce === true) socket.end()
  })
}
