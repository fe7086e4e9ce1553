import { connect } from 'node:net'
import { clusterKind } from '@freehold/contracts'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { adminAccount, startTestServer, type TestServer } from './server.testing.ts'

let server: TestServer
let token = ''
let clusterId = ''

beforeAll(async () => {
  server = await startTestServer({
    seed: async (store) => {
      const cluster = await store.transaction({ type: 'system', id: 'test', name: 'test' }, (transaction) =>
        transaction.create(clusterKind, { data: { name: 'main', description: '' } }),
      )
      clusterId = cluster.id
    },
  })
  token = (await server.call('POST', '/api/v1/login', { body: adminAccount })).body.token
})
afterAll(() => server.close())

let made = 0
const create = (data: Record<string, unknown>, labels?: Record<string, string>) => {
  made += 1
  const body = { data: { name: `web-${made}`, clusterId, ...data }, ...(labels === undefined ? {} : { labels }) }
  return server.call('POST', '/api/v1/services', { token, body })
}

it('refuses to deploy a version that is no tag and no digest', async () => {
  const service = (await create({})).body
  for (const imageVersion of ['', 'a/b c', 'sha256:12', `v${'1'.repeat(200)}`]) {
    const answer = await server.call('POST', `/api/v1/services/${service.id}/deploy`, { token, body: { imageVersion } })
    expect([answer.status, answer.body.error.details[0]]).toEqual([
      400,
      { path: 'imageVersion', message: 'a tag or a sha256 digest' },
    ])
  }
})

it('refuses texts that no container and no database takes, wherever they stand', async () => {
  const answers = await Promise.all([
    create({ environment: { A: 'a\0b' } }),
    create({ environment: { A: '\ud800' } }),
    create({ command: ['a\0b'] }),
    create({}, { team: '\0' }),
    server.call('GET', '/api/v1/services?search=%00', { token }),
    server.call('GET', '/api/v1/services?label=a%3D%00', { token }),
  ])
  expect(answers.map(({ status, body }) => [status, body.error.code])).toEqual(
    answers.map(() => [400, 'invalid-input']),
  )
  const whole = await create({ environment: { A: 'back\\u0000slash', B: '😀' } })
  expect(whole.body.data.environment).toEqual({ A: 'back\\u0000slash', B: '😀' })
})

it('says what a name of a variable or a label may be', async () => {
  const answer = await create({ environment: { 'not a name': '1' } })
  expect(answer.body.error.message).toBe('data.environment.not a name: the name must be: a name like DATABASE_URL.')
})

it('answers as ever where a client offers to upgrade to something else', async () => {
  const socket = connect(server.server.port, '127.0.0.1')
  const answer = await new Promise<string>((resolve, reject) => {
    let text = ''
    socket.on('data', (chunk) => {
      text += chunk
    })
    socket.on('close', () => resolve(text))
    socket.on('error', reject)
    socket.write(
      'POST /api/v1/login HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings, close\r\nUpgrade: h2c\r\n' +
        'HTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}',
    )
  })
  expect(answer.split('\r\n')[0]).toBe('HTTP/1.1 400 Bad Request')
  expect(answer).toContain('"code":"invalid-input"')
})
