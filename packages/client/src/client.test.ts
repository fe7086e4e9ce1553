import { errorTable, FreeholdError, listRoutes } from '@freehold/contracts'
import { afterEach, expect, test } from 'vitest'
import { createClient } from './client.ts'
import { ApiError, isAbort } from './errors.ts'
import { json, startAnswering } from './testing.ts'
import { feedRoutes, lineRoutes } from './types.ts'

const id = '01890a5d-ac96-774b-bcce-b302099a8057'
const stops: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const stop of stops.splice(0)) await stop()
})

async function answering(answer: Parameters<typeof startAnswering>[0]) {
  const server = await startAnswering(answer)
  stops.push(server.stop)
  return server
}

async function failureOf(promise: Promise<unknown>): Promise<ApiError> {
  const error = await promise.then(
    () => undefined,
    (thrown: unknown) => thrown,
  )
  expect(error).toBeInstanceOf(ApiError)
  return error as ApiError
}

test('there is a function for every route of the contract', () => {
  const client = createClient({ url: 'http://127.0.0.1:1' }) as unknown as Record<string, Record<string, unknown>>
  for (const { name } of listRoutes()) {
    const [noun = '', verb = ''] = name.split('.')
    expect(client[noun]?.[verb], name).toBeTypeOf('function')
  }
})

test('the types call streams what the contract calls streams', () => {
  const named = (format: string) => listRoutes().flatMap(({ name, route }) => (route.format === format ? [name] : []))
  expect(named('ndjson')).toEqual([...lineRoutes])
  expect(named('sse')).toEqual([...feedRoutes])
})

test('a call puts parameters, query and body where the route wants them', async () => {
  const server = await answering((_, response) => json(response, 200, { items: [], nextCursor: null, version: 7 }))
  const client = createClient({ url: `${server.url}/behind/`, token: 'secret', userAgent: 'freehold-cli/1' })
  const page = await client.services.list({ query: { search: 'a b&c', limit: 5, clusterId: undefined } })
  expect(page.version).toBe(7)
  await client.services.update({ params: { id: 'a/b' }, body: { version: 3, data: { scaleFactor: 2, command: null } } })
  expect(server.seen[0]).toMatchObject({
    method: 'GET',
    url: '/behind/api/v1/services?search=a+b%26c&limit=5',
    body: '',
    headers: { authorization: 'Bearer secret', 'user-agent': 'freehold-cli/1' },
  })
  expect(server.seen[1]).toMatchObject({
    method: 'PATCH',
    url: '/behind/api/v1/services/a%2Fb',
    body: '{"version":3,"data":{"scaleFactor":2,"command":null}}',
    headers: { 'content-type': 'application/json' },
  })
})

test('a missing parameter is refused before anything is sent', async () => {
  const server = await answering((_, response) => json(response, 200, {}))
  const client = createClient({ url: server.url })
  const error = await failureOf(client.services.get({ params: {} as { id: string } }))
  expect(error.code).toBe('invalid-input')
  expect(server.seen).toEqual([])
})

test('an answer without content is undefined', async () => {
  const server = await answering((_, response) => void response.writeHead(204).end())
  expect(await createClient({ url: server.url }).services.delete({ params: { id } })).toBeUndefined()
})

test('an error of the server keeps code, details, action and request id', async () => {
  const server = await answering((_, response) =>
    json(
      response,
      429,
      {
        error: {
          code: 'too-many-requests',
          message: 'Too many tries.',
          action: 'Wait.',
          details: [{ path: 'data.name', message: 'taken' }, 'nonsense'],
          requestId: 'r-1',
        },
      },
      { 'retry-after': '12' },
    ),
  )
  const error = await failureOf(
    createClient({ url: server.url }).auth.login({ body: { username: 'a', password: 'b' } }),
  )
  expect(error).toBeInstanceOf(FreeholdError)
  expect(error).toMatchObject({
    code: 'too-many-requests',
    message: 'Too many tries.',
    action: 'Wait.',
    requestId: 'r-1',
    details: [{ path: 'data.name', message: 'taken' }],
    retryAfterSeconds: 12,
  })
})

test('an unknown code of a newer server becomes internal and keeps its sentence', async () => {
  const server = await answering((_, response) => json(response, 418, { error: { code: 'teapot', message: 'Short.' } }))
  const error = await failureOf(createClient({ url: server.url }).status.get())
  expect(error).toMatchObject({ code: 'internal', message: 'Short.', action: errorTable.internal.action })
})

test.each([
  [502, 'unavailable'],
  [504, 'timeout'],
  [401, 'unauthenticated'],
  [404, 'not-found'],
  [413, 'body-too-large'],
  [400, 'internal'],
])('a page with status %i from something in between becomes %s', async (status, code) => {
  const server = await answering((_, response) => void response.writeHead(status).end('<h1>nginx</h1>'))
  const error = await failureOf(createClient({ url: server.url }).status.get())
  expect(error.code).toBe(code)
  expect(error.message).toContain(String(status))
})

test('a success that is not JSON is unavailable, not a crash', async () => {
  const server = await answering((_, response) => void response.writeHead(200).end('<h1>router login</h1>'))
  expect((await failureOf(createClient({ url: server.url }).status.get())).code).toBe('unavailable')
})

test('a server that cannot be reached is named', async () => {
  const server = await startAnswering(() => {})
  await server.stop()
  const error = await failureOf(createClient({ url: server.url }).status.get())
  expect(error.code).toBe('unavailable')
  expect(error.message).toBe(`${server.url} cannot be reached: nothing listens there.`)
})

test('a server that does not answer is a timeout', async () => {
  const server = await answering(() => {})
  const error = await failureOf(createClient({ url: server.url, timeoutMs: 50 }).status.get())
  expect(error.code).toBe('timeout')
})

test('an abort stays an abort', async () => {
  const abort = new AbortController()
  const server = await answering(() => abort.abort())
  const error = await createClient({ url: server.url })
    .status.get({ signal: abort.signal })
    .catch((thrown: unknown) => thrown)
  expect(isAbort(error)).toBe(true)
})

test('log lines come one by one, whatever way the bytes are cut', async () => {
  const lines = ['erste Zeile', 'zweite: ümläut €', 'dritte'].map((line) => ({
    at: '',
    stream: 'stdout',
    taskId: 't',
    nodeName: 'n',
    line,
  }))
  const bytes = Buffer.from(lines.map((line) => JSON.stringify(line)).join('\n'))
  const server = await answering(async (_, response) => {
    response.writeHead(200)
    for (const byte of bytes) {
      response.write(Buffer.of(byte))
      if (byte === 0xc3 || byte === 10) await new Promise(setImmediate)
    }
    response.end()
  })
  const client = createClient({ url: server.url })
  const seen: string[] = []
  for await (const { line } of client.services.logs({ params: { id }, query: { tail: 3, follow: true } })) {
    seen.push(line)
  }
  expect(seen).toEqual(lines.map(({ line }) => line))
  expect(server.seen[0]?.url).toBe(`/api/v1/services/${id}/logs?tail=3&follow=true`)
})

test('an error as the last log line is thrown after the lines before it', async () => {
  const line = { at: '', stream: 'stderr', taskId: 't', nodeName: 'n', line: 'one' }
  const server = await answering((_, response) => {
    response.write(`${JSON.stringify(line)}\n`)
    response.end(`${JSON.stringify({ error: { code: 'agent-offline', message: 'It left.' } })}\n`)
  })
  const seen: string[] = []
  const error = await failureOf(
    (async () => {
      for await (const { line: text } of createClient({ url: server.url }).services.logs({ params: { id } }))
        seen.push(text)
    })(),
  )
  expect(seen).toEqual(['one'])
  expect(error.code).toBe('agent-offline')
})

test('leaving the loop ends the request', async () => {
  let closed: () => void = () => {}
  const gone = new Promise<void>((resolve) => {
    closed = resolve
  })
  const server = await answering((_, response) => {
    response.on('close', closed)
    response.write(`${JSON.stringify({ line: 'one' })}\n`)
  })
  for await (const { line } of createClient({ url: server.url }).services.logs({ params: { id } })) {
    expect(line).toBe('one')
    break
  }
  await gone
})
