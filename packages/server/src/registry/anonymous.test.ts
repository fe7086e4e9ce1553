import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { codesOf, pushImage, startTestRegistry, type TestRegistry } from './testing.ts'
import { changeImage } from './usage.testing.ts'

let registry: TestRegistry
let layer: string
beforeAll(async () => {
  registry = await startTestRegistry()
  const { manifest } = await pushImage(registry, 'open/app', 'v1', 'open layer')
  layer = JSON.parse(manifest).layers[0].digest
  await pushImage(registry, 'closed/app', 'v1', 'closed layer')
  await changeImage(registry.store, 'open/app', { anonymousPull: true })
})
afterAll(() => registry.remove())

async function ask(...scopes: string[]) {
  const query = new URLSearchParams([['service', registry.host], ...scopes.map((scope) => ['scope', scope])])
  const response = await registry.send('GET', `/v2/token?${query}`, { user: null })
  const body = (await response.json()) as { token: string; scope: string }
  return { status: response.status, headers: response.headers, ...body }
}
const send = (method: string, path: string, token: string) =>
  registry.send(method, path, { user: null, headers: { authorization: `Bearer ${token}` } })

describe('without signing in (Docker "Token Authentication Specification")', () => {
  it('one is told by the challenge where a token is had, for a public repository too', async () => {
    const response = await registry.send('GET', '/v2/open/app/manifests/v1', { user: null })
    expect([response.status, response.headers.get('www-authenticate')]).toEqual([
      401,
      `Bearer realm="${registry.url}/v2/token",service="${registry.host}",scope="repository:open/app:pull"`,
    ])
  })

  it('one gets a token that pulls from public repositories and does nothing else', async () => {
    const { status, token, scope } = await ask('repository:open/app:pull,push,delete', 'repository:closed/app:pull')
    expect([status, scope]).toEqual([200, 'repository:open/app:pull'])
    expect((await send('GET', '/v2/open/app/manifests/v1', token)).status).toBe(200)
    expect((await send('GET', `/v2/open/app/blobs/${layer}`, token)).status).toBe(200)
    expect((await send('GET', '/v2/open/app/tags/list', token)).status).toBe(200)
    for (const [method, path] of [
      ['GET', '/v2/closed/app/manifests/v1'],
      ['PUT', '/v2/open/app/manifests/v1'],
      ['DELETE', '/v2/open/app/manifests/v1'],
      ['POST', '/v2/open/app/blobs/uploads/'],
      ['GET', '/v2/_catalog'],
    ] as const) {
      const refused = await send(method, path, token)
      expect([path, refused.status, await codesOf(refused)]).toEqual([path, 401, ['UNAUTHORIZED']])
    }
  })

  it('one does not learn whether a private repository is there', async () => {
    const { token } = await ask('repository:open/app:pull')
    const [closed, missing] = [await ask('repository:closed/app:pull'), await ask('repository:missing/app:pull')]
    expect(closed.status).toBe(401)
    expect({ ...closed, headers: closed.headers.get('www-authenticate') }).toEqual({
      ...missing,
      headers: missing.headers.get('www-authenticate'),
    })
    const answers = []
    for (const name of ['closed/app', 'missing/app']) {
      for (const path of ['manifests/v1', 'tags/list', `blobs/${layer}`]) {
        const response = await send('GET', `/v2/${name}/${path}`, token)
        answers.push([response.status, (await response.text()).replaceAll(name, '')])
      }
    }
    expect(answers.slice(0, 3)).toEqual(answers.slice(3))
  })

  it.each([
    ['no scope', []],
    ['the catalogue', ['registry:catalog:*']],
    ['pushing alone', ['repository:open/app:push']],
    ['a name that is none', ['repository:Open/../app:pull']],
  ])('one gets none for %s', async (_, scopes) => {
    expect((await ask(...scopes)).status).toBe(401)
  })

  it('one gets none any more once the repository is private again', async () => {
    await changeImage(registry.store, 'open/app', { anonymousPull: false })
    expect((await ask('repository:open/app:pull')).status).toBe(401)
    await changeImage(registry.store, 'open/app', { anonymousPull: true })
  })
})
