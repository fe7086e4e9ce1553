import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { listRoutes } from '@freehold/contracts'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { mapError } from './errors.ts'
import { createPages } from './pages.ts'
import { sendError } from './response.ts'
import { startTestServer, type TestServer } from './server.testing.ts'

describe('a real server', () => {
  let server: TestServer
  beforeAll(async () => {
    server = await startTestServer()
  })
  afterAll(() => server.close())

  test.each(['/', '/docs/api', '/api/v1/status', '/health', '/nothing.js'])(
    'sends the security headers with %s',
    async (path) => {
      const { headers } = await server.call('GET', path)
      const policy = headers.get('content-security-policy') ?? ''
      expect(policy).toContain("default-src 'none'")
      expect(policy).toContain("script-src 'self';")
      expect(policy).not.toMatch(/script-src[^;]*unsafe/)
      expect(policy).toContain("frame-ancestors 'none'")
      expect(headers.get('x-content-type-options')).toBe('nosniff')
      expect(headers.get('strict-transport-security')).toBeNull()
    },
  )

  test('the API reference runs no inline script, and all it loads is served here', async () => {
    const { body } = await server.call('GET', '/docs/api')
    const scripts = [...body.matchAll(/<script([^>]*)>([^<]*)<\/script>/g)]
    expect(scripts.length).toBe(2)
    for (const [, attributes, inline] of scripts) {
      expect(inline).toBe('')
      expect(attributes).toMatch(/src="\/docs\/api\//)
    }
    const addresses = [...body.matchAll(/(?:src|href)="([^"]+)"/g)].map(([, address]) => address as string)
    for (const address of addresses)
      expect([address, (await server.call('GET', address)).status]).toEqual([address, 200])
  })

  test('openapi.json has every route, its access and its errors', async () => {
    const { body, headers } = await server.call('GET', '/openapi.json')
    expect(headers.get('content-type')).toContain('application/json')
    for (const { name, route } of listRoutes()) {
      const operation = body.paths[route.path.replace(/:(\w+)/g, '{$1}')][route.method.toLowerCase()]
      expect(operation.operationId).toBe(name)
      expect(operation['x-access']).toBe(route.access)
      expect(Object.keys(operation.responses)).toContain(String(route.status))
    }
  })

  test('metrics need somebody who may read the status', async () => {
    expect((await server.call('GET', '/metrics')).status).toBe(401)
  })
})

test('behind a proxy that does TLS, browsers are told to stay with it', async () => {
  const server = await startTestServer({
    environment: { SERVEZONE_SSLMODE: 'external', SERVEZONE_URL: 'cloud.example.com' },
  })
  try {
    const { headers } = await server.call('GET', '/health')
    expect(headers.get('strict-transport-security')).toContain('max-age=')
    expect(server.server.url).toBe('https://cloud.example.com')
  } finally {
    await server.close()
  }
})

describe('a built dashboard', () => {
  let directory = ''
  let server: Server
  let url = ''
  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'freehold-pages-'))
    const pages = createPages({ dashboardDirectory: join(directory, 'dist'), version: '1' })
    server = createServer((request, response) => {
      pages(new URL(request.url ?? '/', 'http://x').pathname, request, response).catch((error: unknown) =>
        sendError(response, mapError(error, 'test')),
      )
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
    await writeFile(join(directory, 'secret.txt'), 'secret')
  })
  afterAll(async () => {
    server.closeAllConnections()
    server.close()
    await rm(directory, { recursive: true, force: true })
  })

  test('is said to be missing until it is there, then served without a restart', async () => {
    expect(await (await fetch(`${url}/`)).text()).toContain('has not been built')
    await mkdir(join(directory, 'dist', 'assets'), { recursive: true })
    await writeFile(join(directory, 'dist', 'index.html'), '<!doctype html><title>Dashboard</title>')
    await writeFile(join(directory, 'dist', 'assets', 'index-Ab12Cd34.js'), 'export {}')
    expect(await (await fetch(`${url}/`)).text()).toContain('Dashboard')
  })

  test('answers every page address with its index, but no file that is not there', async () => {
    expect(await (await fetch(`${url}/services/some-id`)).text()).toContain('Dashboard')
    expect((await fetch(`${url}/assets/gone-12345678.js`)).status).toBe(404)
  })

  test('lets browsers keep hashed files for ever and ask about the rest', async () => {
    const asset = await fetch(`${url}/assets/index-Ab12Cd34.js`)
    expect(asset.headers.get('cache-control')).toContain('immutable')
    expect(asset.headers.get('content-type')).toContain('text/javascript')
    const index = await fetch(`${url}/index.html`)
    expect(index.headers.get('cache-control')).toBe('no-cache')
    const again = await fetch(`${url}/index.html`, { headers: { 'if-none-match': index.headers.get('etag') ?? '' } })
    expect(again.status).toBe(304)
  })

  test.each(['/../secret.txt', '/%2e%2e/secret.txt', '/..%2fsecret.txt', '/assets/..%5c..%5csecret.txt'])(
    'serves nothing outside of it: %s',
    async (path) => {
      expect(await (await fetch(`${url}${path}`)).text()).not.toContain('secret\n')
      expect(await (await fetch(`${url}${path}`)).text()).not.toBe('secret')
    },
  )

  test('takes only GET', async () => {
    expect((await fetch(`${url}/`, { method: 'POST' })).status).toBe(405)
  })
})
