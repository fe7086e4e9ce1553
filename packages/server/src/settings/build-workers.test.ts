import { settingsRoutes } from '@freehold/contracts'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { adminAccount, startTestServer, type TestServer } from '../http/server.testing.ts'

let server: TestServer
let token = ''
beforeAll(async () => {
  server = await startTestServer()
  token = (await server.call('POST', '/api/v1/login', { body: adminAccount })).body.token
})
afterAll(() => server.close())

const path = settingsRoutes.settings.update.path
const set = (body: object) => server.call('PATCH', path, { token, body })
const list = (entries: unknown) => set({ corebuildWorkersJson: JSON.stringify(entries) })
const secret = 'a-long-token-of-a-worker'

test('workers are shown with their tokens masked, and a masked one that is written back stays', async () => {
  const shown = (await list(['http://a.example/', { url: 'http://b.example', id: 'b', token: secret }])).body
  expect(JSON.parse(shown.corebuildWorkersJson)).toEqual([
    { url: 'http://a.example' },
    { url: 'http://b.example', id: 'b', token: '••••rker' },
  ])
  const again = await set({ corebuildWorkersJson: shown.corebuildWorkersJson })
  expect(again.body.corebuildWorkersJson).toBe(shown.corebuildWorkersJson)
  const audit = await server.call('GET', '/api/v1/audit?kind=settings', { token })
  expect(JSON.stringify(audit.body)).not.toContain(secret)
})

test('a masked token goes to no other address', async () => {
  await list([{ url: 'http://b.example', id: 'b', token: secret }])
  const moved = await list([{ url: 'http://evil.example', id: 'b', token: '••••rker' }])
  expect(moved.status).toBe(400)
  expect(moved.body.error.message).toContain('http://evil.example is not known here')
})

test('the single worker of older installations: its token stays with its address', async () => {
  const both = await set({ corebuildWorkerUrl: 'http://one.example:3060', corebuildWorkerToken: secret })
  expect(both.body).toMatchObject({ corebuildWorkerUrl: 'http://one.example:3060', corebuildWorkerToken: '••••rker' })
  expect((await set({ corebuildWorkerToken: '••••rker' })).body.corebuildWorkerToken).toBe('••••rker')
  expect((await set({ corebuildWorkerUrl: 'http://evil.example' })).status).toBe(400)
  expect((await set({ corebuildWorkerToken: '••••xxxx' })).status).toBe(400)
  const cleared = await server.call('DELETE', '/api/v1/settings/corebuildWorkerUrl', { token })
  expect(cleared.body).toMatchObject({ corebuildWorkerUrl: null, corebuildWorkerToken: null })
})

test.each([
  ['no JSON', 'http://a.example'],
  ['no array', '{"url":"http://a.example"}'],
  ['another protocol', '["ftp://a.example"]'],
  ['a name in the address', '["http://me:pass@a.example"]'],
  ['an unknown field', '[{"url":"http://a.example","tokn":"x"}]'],
  ['an id twice', '[{"url":"http://a.example","id":"x"},{"url":"http://b.example","id":"x"}]'],
])('%s is refused', async (_, corebuildWorkersJson) => {
  expect((await set({ corebuildWorkersJson })).status).toBe(400)
})
