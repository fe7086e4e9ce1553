import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { adminAccount, seedToken, startTestServer, type TestServer } from '../http/server.testing.ts'
import { password, startTestRegistry, type TestRegistry } from '../registry/testing.ts'
import { startFakeRegistry } from './client/fake-registry.testing.ts'

let server: TestServer
let upstream: TestRegistry
let token = ''
let readerToken = ''

beforeAll(async () => {
  upstream = await startTestRegistry()
  server = await startTestServer({
    async seed(store) {
      readerToken = await seedToken(store, 'user')
    },
  })
  const login = await server.call('POST', '/api/v1/login', { body: adminAccount })
  token = login.body.token
})
afterAll(async () => {
  await server.close()
  await upstream.remove()
})

const path = '/api/v1/external-registries'
const call = (method: string, at: string, body?: unknown) =>
  server.call(method, at, { token, ...(body === undefined ? {} : { body }) })
let made = 0
async function create(data: Record<string, unknown> = {}) {
  const name = `registry-${++made}`
  const answer = await call('POST', path, {
    data: { name, url: upstream.url, username: 'admin', password, ...data },
  })
  expect(answer.body).toMatchObject({ kind: 'external-registry' })
  return answer.body
}

describe('a password', () => {
  test('is written and never read: not by get, list, audit, export, change or file', async () => {
    const secret = 'a-secret-of-this-very-test'
    const registry = await create({ password: secret })
    expect(registry.data).toEqual({
      type: 'docker',
      name: registry.data.name,
      url: upstream.url,
      username: 'admin',
      passwordSet: true,
    })
    const shown = await Promise.all(
      [`${path}/${registry.id}`, path, '/api/v1/audit', '/api/v1/export'].map((at) => call('GET', at)),
    )
    for (const answer of shown) {
      expect(answer.status).toBe(200)
      expect(JSON.stringify(answer.body)).not.toMatch(/a-secret-of-this|sealedPassword/)
    }
    for (const name of await readdir(server.directory)) {
      const content = await readFile(join(server.directory, name)).catch(() => Buffer.alloc(0))
      expect([name, content.includes(secret)]).toEqual([name, false])
    }
  })

  test('stays through changes that leave it out, and goes with null', async () => {
    const { id } = await create()
    const renamed = await call('PATCH', `${path}/${id}`, { data: { name: 'renamed' } })
    expect(renamed.body.data).toMatchObject({ name: 'renamed', passwordSet: true })
    expect((await call('POST', `${path}/${id}/test`)).body.working).toBe(true)
    const without = await call('PATCH', `${path}/${id}`, { data: { password: null, username: '' } })
    expect(without.body.data.passwordSet).toBe(false)
  })

  test('does not go to another address or for another user, by change or by document', async () => {
    const { id, data } = await create()
    for (const change of [{ url: 'https://elsewhere.example' }, { username: 'eve' }]) {
      const answer = await call('PATCH', `${path}/${id}`, { data: change })
      expect([answer.status, answer.body.error.details[0].path]).toEqual([400, 'data.password'])
    }
    const moved = {
      kind: 'external-registry',
      name: data.name,
      spec: { url: 'https://elsewhere.example', username: 'admin' },
    }
    expect((await call('POST', '/api/v1/apply', { documents: [moved] })).status).toBe(400)
    const given = await call('PATCH', `${path}/${id}`, { data: { url: 'https://elsewhere.example', password: 'new' } })
    expect(given.status).toBe(200)
  })

  test('is in no document; applying one keeps what is stored, and refuses a password', async () => {
    const { data } = await create()
    const { documents } = (await call('GET', '/api/v1/export')).body
    const document = documents.find((one: { name: string }) => one.name === data.name)
    expect(document).toEqual({
      kind: 'external-registry',
      name: data.name,
      spec: { type: 'docker', url: upstream.url, username: 'admin' },
    })
    expect((await call('POST', '/api/v1/apply', { documents: [document] })).body.changes).toEqual([])
    const withPassword = { ...document, spec: { ...document.spec, password: 'x' } }
    expect((await call('POST', '/api/v1/apply', { documents: [withPassword] })).status).toBe(400)
    const image = {
      kind: 'image',
      name: 'from/document',
      spec: { location: { internal: true, mirrorOf: { externalRegistry: 'fresh', repository: 'a/b' } } },
    }
    const fresh = { ...document, name: 'fresh' }
    const applied = await call('POST', '/api/v1/apply', { documents: [image, fresh] })
    expect(applied.body.changes.map((change: { name: string }) => change.name)).toEqual(['fresh', 'from/document'])
    const again = (await call('GET', '/api/v1/export')).body.documents
    expect(again).toContainEqual({ ...image, spec: { ...image.spec, description: '' } })
    expect((await call('POST', '/api/v1/plan', { documents: again })).body.changes).toEqual([])
  })
})

describe('a test', () => {
  const testOf = async (data: Record<string, unknown>) => {
    const { id } = await create(data)
    const answer = await call('POST', `${path}/${id}/test`)
    const { status } = (await call('GET', `${path}/${id}`)).body
    expect(status).toEqual({
      state: answer.body.working ? 'working' : 'failing',
      message: answer.body.message,
      testedAt: answer.body.testedAt,
    })
    return answer.body
  }

  test('says that it signed in, or what is wrong', async () => {
    expect(await testOf({})).toMatchObject({ working: true, message: `Signed in to ${upstream.host} as admin.` })
    expect(await testOf({ password: 'wrong' })).toMatchObject({
      working: false,
      message: `${upstream.host} does not accept the user name or the password.`,
    })
    expect(await testOf({ username: '', password: undefined })).toMatchObject({
      working: false,
      message: `${upstream.host} asks for credentials, and none are stored for it.`,
    })
    expect((await testOf({ url: `https://${upstream.host}` })).message).toContain('does not speak TLS')
    expect((await testOf({ url: 'http://127.0.0.1:1' })).message).toContain('cannot be reached')
    const website = new URL(server.url).host
    expect((await testOf({ url: `http://${website}`, password: 'no user' })).working).toBe(false)
  })

  test('of an npm registry asks who we are, or whether it is there', async () => {
    const npm = await startFakeRegistry((request, response, at) => {
      if (at === '/npm/-/ping') response.end('{}')
      else if (at !== '/npm/-/whoami') return false
      else if (request.headers.authorization === 'Bearer good') response.end('{"username":"robot"}')
      else response.writeHead(401).end()
      return true
    })
    const npmTest = (more: object) => testOf({ type: 'npm', url: `${npm.url.href}npm`, username: '', ...more })
    expect(await npmTest({ password: 'good' })).toMatchObject({
      working: true,
      message: `Signed in to ${npm.host} as robot.`,
    })
    expect(await npmTest({ password: 'bad' })).toMatchObject({ working: false })
    expect(await npmTest({ password: undefined })).toMatchObject({ working: true, message: `${npm.host} answers.` })
    expect((await npmTest({ url: npm.url.href, password: undefined })).message).toContain('no npm registry')
    await npm.stop()
  })

  test('no longer counts after a change', async () => {
    const { id } = await create()
    await call('POST', `${path}/${id}/test`)
    const changed = await call('PATCH', `${path}/${id}`, { data: { password: 'another' } })
    expect(changed.body.status.state).toBe('untested')
  })

  test('and every change are for administrators; others may look', async () => {
    const { id } = await create()
    const as = (method: string, at: string, body?: unknown) =>
      server.call(method, at, { token: readerToken, ...(body === undefined ? {} : { body }) })
    expect((await as('GET', `${path}/${id}`)).status).toBe(200)
    expect((await as('POST', `${path}/${id}/test`)).status).toBe(403)
    expect((await as('PATCH', `${path}/${id}`, { data: { name: 'x' } })).status).toBe(403)
    const source = { source: 'docker.io/library/nginx', repository: 'x' }
    expect((await as('POST', '/api/v1/images/import', source)).status).toBe(403)
  })
})

describe('images and their registries', () => {
  const image = (name: string, location: object) => call('POST', '/api/v1/images', { data: { name, location } })

  test('a registry that images name is not deleted, nor moved away from under them', async () => {
    const { id } = await create()
    const made = await image('mirror/one', { internal: true, mirrorOf: { externalRegistryId: id, repository: 'a' } })
    expect(made.status).toBe(201)
    const external = await image('outside/one', {
      internal: false,
      externalImage: `${upstream.host}/team/app`,
      externalRegistryId: id,
    })
    expect(external.status).toBe(201)
    const refused = await call('DELETE', `${path}/${id}`)
    expect([refused.status, refused.body.error.message]).toEqual([
      409,
      expect.stringMatching(/images (mirror|outside)\/one, (mirror|outside)\/one/),
    ])
    expect((await call('PATCH', `${path}/${id}`, { data: { url: 'https://x.example', password: 'p' } })).status).toBe(
      409,
    )
    for (const one of [made, external]) await call('DELETE', `/api/v1/images/${one.body.id}`)
    expect((await call('DELETE', `${path}/${id}`)).status).toBe(204)
  })

  test('an image names a registry that is there, of its kind, and at its own host', async () => {
    const { id } = await create()
    const npm = await create({ type: 'npm' })
    const named = (externalRegistryId: string, externalImage: string) =>
      image('wrong/one', { internal: false, externalImage, externalRegistryId })
    expect((await named(id, 'docker.io/library/nginx')).status).toBe(409)
    expect((await named(npm.id, `${upstream.host}/a`)).status).toBe(409)
    expect((await named('019a0000-0000-7000-8000-000000000000', `${upstream.host}/a`)).status).toBe(404)
  })
})

test.each([
  { url: 'ftp://registry.example' },
  { url: 'https://ada:secret@registry.example' },
  { url: 'https://registry.example/path' },
  { url: 'https://registry.example?x=1' },
  { url: 'registry.example' },
  { username: 'a:b' },
  { username: '' },
  { type: 'maven' },
  { name: 'Not A Name' },
])('%o is refused', async (data) => {
  const body = { data: { name: 'refused', url: 'https://registry.example', username: 'ada', password: 'p', ...data } }
  expect((await call('POST', path, body)).status).toBe(400)
})
