import { createHmac } from 'node:crypto'
import { createServer } from 'node:http'
import { FreeholdError } from '@freehold/contracts'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createRegistry } from './registry.ts'
import {
  basic,
  codesOf,
  password,
  pushImage,
  pushParts,
  putManifest,
  startTestRegistry,
  type TestRegistry,
} from './testing.ts'

let registry: TestRegistry
beforeAll(async () => {
  registry = await startTestRegistry()
  await pushImage(registry, 'team/app', 'latest', 'layer')
  await pushImage(registry, 'other/app', 'latest', 'other layer')
})
afterAll(() => registry.remove())

interface TokenAnswer {
  token: string
  access_token: string
  scope: string
  expires_in: number
  issued_at: string
}

async function tokenFor(user: string, ...scopes: string[]): Promise<TokenAnswer> {
  const query = new URLSearchParams([['service', registry.host], ...scopes.map((scope) => ['scope', scope])])
  const response = await registry.send('GET', `/v2/token?${query}`, { user })
  expect(response.status).toBe(200)
  return (await response.json()) as TokenAnswer
}

const withToken = (method: string, path: string, token: string, body?: string) =>
  registry.send(method, path, {
    user: null,
    headers: { authorization: `Bearer ${token}` },
    ...(body === undefined ? {} : { body }),
  })

describe('the challenge (RFC 6750 §3, Docker "Token Authentication Specification")', () => {
  it.each([
    ['GET', '/v2/', undefined],
    ['GET', '/v2/team/app/manifests/latest', 'repository:team/app:pull'],
    ['GET', '/v2/team/app/tags/list', 'repository:team/app:pull'],
    ['PUT', '/v2/team/app/manifests/latest', 'repository:team/app:pull,push'],
    ['POST', '/v2/team/app/blobs/uploads/', 'repository:team/app:pull,push'],
    ['DELETE', '/v2/team/app/manifests/latest', 'repository:team/app:delete'],
    ['GET', '/v2/_catalog', 'registry:catalog:*'],
    [
      'POST',
      `/v2/team/app/blobs/uploads/?mount=sha256:${'0'.repeat(64)}&from=other/app`,
      'repository:team/app:pull,push repository:other/app:pull',
    ],
  ])('asks %s %s for %s', async (method, path, scope) => {
    const response = await registry.send(method, path, { user: null })
    expect([response.status, await codesOf(response)]).toEqual([401, ['UNAUTHORIZED']])
    expect(response.headers.get('www-authenticate')).toBe(
      `Bearer realm="${registry.url}/v2/token",service="${registry.host}"${scope === undefined ? '' : `,scope="${scope}"`}`,
    )
    expect(response.headers.get('docker-distribution-api-version')).toBe('registry/2.0')
  })
})

describe('tokens', () => {
  it('grant pull to whoever may pull, and push and delete to administrators alone', async () => {
    const all = 'repository:team/app:pull,push,delete'
    expect((await tokenFor('admin', all)).scope).toBe(all)
    expect((await tokenFor('admin', 'repository:team/app:*')).scope).toBe(all)
    expect((await tokenFor('user', all)).scope).toBe('repository:team/app:pull')
    expect((await tokenFor('api', all)).scope).toBe('repository:team/app:pull')
    expect((await tokenFor('user', 'registry:catalog:*')).scope).toBe('registry:catalog:*')
    expect((await tokenFor('cluster-team', 'registry:catalog:*')).scope).toBe('')
    expect((await tokenFor('user', 'repository:a:pull repository:b:pull', 'repository:c:pull', 'x')).scope).toBe(
      'repository:a:pull repository:b:pull repository:c:pull',
    )
  })

  it('of an agent pull what its cluster runs and nothing else', async () => {
    const scopes = ['repository:team/app:pull,push', 'repository:other/app:pull']
    const { token, scope } = await tokenFor('cluster-team', ...scopes)
    expect(scope).toBe('repository:team/app:pull')
    expect((await withToken('GET', '/v2/team/app/manifests/latest', token)).status).toBe(200)
    expect((await withToken('GET', '/v2/other/app/manifests/latest', token)).status).toBe(401)
  })

  it('are good for what they grant, and a wider one is asked for otherwise', async () => {
    const { token } = await tokenFor('admin', 'repository:team/app:pull')
    expect((await withToken('GET', '/v2/', token)).status).toBe(200)
    expect((await withToken('GET', '/v2/team/app/manifests/latest', token)).status).toBe(200)
    const refused = await withToken('DELETE', '/v2/team/app/manifests/latest', token)
    expect([refused.status, await codesOf(refused)]).toEqual([401, ['UNAUTHORIZED']])
    expect(refused.headers.get('www-authenticate')).toContain(
      'scope="repository:team/app:delete",error="insufficient_scope"',
    )
  })

  it('mount only from where they may pull', async () => {
    const manifest = JSON.parse(await (await registry.send('GET', '/v2/other/app/manifests/latest')).text())
    const path = `/v2/team/app/blobs/uploads/?mount=${manifest.layers[0].digest}&from=other/app`
    const narrow = await tokenFor('admin', 'repository:team/app:pull,push')
    expect((await withToken('POST', path, narrow.token)).status).toBe(202)
    const wide = await tokenFor('admin', 'repository:team/app:pull,push', 'repository:other/app:pull')
    expect((await withToken('POST', path, wide.token)).status).toBe(201)
  })

  it('come by POST too, for a password or a machine token', async () => {
    const post = (form: Record<string, string>) =>
      registry.send('POST', '/v2/token', { user: null, body: new URLSearchParams(form) })
    const scope = 'repository:team/app:pull'
    const byPassword = await post({ grant_type: 'password', username: 'user', password, scope, client_id: 'test' })
    const answer = (await byPassword.json()) as TokenAnswer
    expect([byPassword.status, answer.scope]).toEqual([200, scope])
    expect((await withToken('GET', '/v2/team/app/tags/list', answer.access_token)).status).toBe(200)
    const wrong = [
      { grant_type: 'password', username: 'user', password: 'wrong' },
      { grant_type: 'password', username: 'user' },
      { grant_type: 'refresh_token', refresh_token: 'nonsense' },
      { grant_type: 'authorization_code', code: 'x' },
    ]
    for (const form of wrong) expect((await post(form)).status, JSON.stringify(form)).toBe(401)
  })

  it('are refused to nobody and to wrong passwords', async () => {
    expect((await registry.send('GET', '/v2/token', { user: null })).status).toBe(401)
    expect((await registry.send('GET', '/v2/token', { user: 'stranger' })).status).toBe(401)
    const headers = { authorization: `Basic ${Buffer.from('admin:wrong').toString('base64')}` }
    for (const path of ['/v2/token', '/v2/']) {
      const response = await registry.send('GET', path, { user: null, headers })
      expect([response.status, await codesOf(response)]).toEqual([401, ['UNAUTHORIZED']])
    }
  })

  it('end with the machine token they were given for', async () => {
    const { expires_in } = await tokenFor('api-brief', 'repository:team/app:pull')
    expect(expires_in).toBeGreaterThan(0)
    expect(expires_in).toBeLessThanOrEqual(60)
  })

  it('may be sessions or machine tokens too, with the rights of their role', async () => {
    const path = '/v2/team/app/manifests/latest'
    expect((await withToken('GET', path, 'session-user')).status).toBe(200)
    expect((await withToken('DELETE', path, 'session-user')).status).toBe(403)
    expect((await withToken('GET', path, 'session-stranger')).status).toBe(401)
  })

  it('expire', async () => {
    const { token, expires_in, issued_at } = await tokenFor('admin', 'repository:team/app:pull')
    expect(expires_in).toBe(300)
    expect(Date.parse(issued_at)).toBe(registry.clock.ms)
    registry.clock.ms += 299_000
    expect((await withToken('GET', '/v2/team/app/tags/list', token)).status).toBe(200)
    registry.clock.ms += 1000
    const response = await withToken('GET', '/v2/team/app/tags/list', token)
    expect(response.status).toBe(401)
    expect(response.headers.get('www-authenticate')).toContain('error="invalid_token"')
  })

  it('are believed only whole and with our signature', async () => {
    const { token } = await tokenFor('admin', 'repository:team/app:pull')
    const [header = '', claims = '', signature = ''] = token.split('.')
    const raised = Buffer.from(
      JSON.stringify({
        ...JSON.parse(Buffer.from(claims, 'base64url').toString()),
        access: [{ type: 'repository', name: 'team/app', actions: ['pull', 'push', 'delete'] }],
      }),
    ).toString('base64url')
    const none = Buffer.from(JSON.stringify({ alg: 'none', typ: 'JWT' })).toString('base64url')
    const foreign = createHmac('sha256', 'another secret').update(`${header}.${raised}`).digest('base64url')
    for (const forged of [
      `${header}.${raised}.${signature}`,
      `${header}.${raised}.${foreign}`,
      `${none}.${raised}.`,
      `${header}.${claims}.`,
      `${header}.${claims}`,
      header,
      'x',
      `${token}x`,
    ]) {
      expect((await withToken('GET', '/v2/team/app/tags/list', forged)).status, forged).toBe(401)
    }
  })
})

describe('HTTP Basic on every endpoint', () => {
  it('works for whoever may, and says 403 to whoever may not', async () => {
    const pull = await registry.send('GET', '/v2/team/app/manifests/latest', { user: 'user' })
    expect(pull.status).toBe(200)
    const manifest = await pushParts(registry, 'team/app', 'layer')
    const refusals = [
      await registry.send('PUT', '/v2/team/app/manifests/x', { user: 'user', body: manifest }),
      await registry.send('POST', '/v2/team/app/blobs/uploads/', { user: 'api' }),
      await registry.send('DELETE', '/v2/team/app/manifests/latest', { user: 'user' }),
      await registry.send('GET', '/v2/other/app/manifests/latest', { user: 'cluster-team' }),
      await registry.send('GET', '/v2/_catalog', { user: 'cluster-team' }),
    ]
    for (const response of refusals) expect([response.status, await codesOf(response)]).toEqual([403, ['DENIED']])
    expect((await putManifest(registry, 'team/app', 'x', manifest)).status).toBe(201)
  })

  it('passes on that someone guesses too often', async () => {
    const throttled = createRegistry({
      store: registry.store,
      blobs: registry.blobs,
      log: { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} },
      keys: { tokens: 'x', uploads: 'y' },
      publicUrl: registry.url,
      authenticateBasic: async () => {
        throw new FreeholdError('too-many-requests', 'Too many attempts.', { retryAfterSeconds: 7 })
      },
      onPush: () => {},
      clock: { now: () => 0, sleep: async () => {} },
      scrub: { bytesPerSecond: 1, periodMs: 1 },
    })
    const server = createServer((request, response) => {
      void throttled.handle(request, response, { client: { address: '', userAgent: '' } })
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const address = server.address()
    const port = typeof address === 'object' ? address?.port : undefined
    const headers = { authorization: basic('admin') }
    const response = await fetch(`http://127.0.0.1:${port}/v2/`, { headers })
    expect([response.status, response.headers.get('retry-after'), await codesOf(response)]).toEqual([
      429,
      '7',
      ['TOOMANYREQUESTS'],
    ])
    server.closeAllConnections()
    await new Promise((resolve) => server.close(resolve))
  })
})
