import { randomUUID } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import {
  deviceErrorSchema,
  deviceHeartbeatAnswerSchema,
  deviceHeartbeatPath,
  deviceRegisterAnswerSchema,
  deviceRegisterPath,
} from '@freehold/contracts'
import { type Logger, pino } from 'pino'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { seedToken, startTestServer, type TestServer } from '../http/server.testing.ts'

let server: TestServer
let admin: string
const logged: string[] = []

beforeAll(async () => {
  server = await startTestServer({
    environment: { FREEHOLD_TRUSTED_PROXIES: '127.0.0.1' },
    log: pino({ level: 'trace' }, { write: (line: string) => logged.push(line) }) as Logger,
    async seed(store) {
      admin = await seedToken(store, 'admin')
    },
  })
})
afterAll(() => server.close())

type Body = Record<string, unknown>

/** A server that falls a second behind, as on a busy machine, sends devices away for a moment; they come again, as devices do. */
const call: TestServer['call'] = async (...input) => {
  for (;;) {
    const answer = await server.call(...input)
    if (answer.status !== 503) return answer
    await setTimeout(250)
  }
}

const api = async (method: string, path: string, body?: unknown) =>
  call(method, `/api/v1${path}`, { token: admin, ...(body === undefined ? {} : { body }) })

async function joinToken(data: Body = {}): Promise<{ id: string; value: string }> {
  const name = `t${randomUUID().slice(0, 8)}`
  const { status, body } = await api('POST', '/join-tokens', { data: { name, ...data } })
  expect(status).toBe(201)
  return { id: body.resource.id, value: body.joinToken }
}

async function register(body: Body, bearer?: string) {
  const answer = await call('POST', deviceRegisterPath, {
    body,
    ...(bearer === undefined ? {} : { token: bearer }),
  })
  const known = answer.status < 500 && answer.body.error === undefined
  return { ...answer, ...(known ? { body: deviceRegisterAnswerSchema.parse(answer.body) as Body } : {}) }
}

async function heartbeat(token: string, body: Body) {
  const answer = await call('POST', deviceHeartbeatPath, { body, token })
  if (answer.status === 200) deviceHeartbeatAnswerSchema.parse(answer.body)
  else deviceErrorSchema.parse(answer.body)
  return answer
}

const secretOf = () => `secret-${randomUUID()}`
async function enrolled(options: { deviceSecret?: string; data?: Body } = {}) {
  const nodeId = randomUUID()
  const token = await joinToken(options.data)
  const deviceSecret = options.deviceSecret ?? secretOf()
  const { body } = await register({ nodeId, deviceSecret, status: { hostname: `host-${nodeId}` } }, token.value)
  expect(body).toMatchObject({ state: 'accepted' })
  const device = await deviceOf(nodeId)
  return { nodeId, deviceSecret, joinToken: token, nodeToken: String(body.nodeToken), id: device.id as string }
}
async function deviceOf(nodeId: string) {
  const { body } = await api('GET', `/devices?search=${encodeURIComponent(`host-${nodeId}`)}`)
  return body.items[0]
}

describe('a device that floods', () => {
  it('is sent away for a second, and nobody else is', async () => {
    const [device, other] = [await enrolled(), await enrolled()]
    const answers = await Promise.all(
      Array.from({ length: 60 }, () => heartbeat(device.nodeToken, { nodeId: device.nodeId })),
    )
    const refused = answers.filter(({ status }) => status === 429)
    expect(refused.length).toBeGreaterThan(0)
    expect(refused[0]?.body).toMatchObject({ error: { code: 'too-many-requests' } })
    expect(refused[0]?.headers.get('retry-after')).toBe('1')
    expect(answers.filter(({ status }) => status === 200).length).toBeGreaterThanOrEqual(20)
    expect((await heartbeat(other.nodeToken, { nodeId: other.nodeId })).status).toBe(200)
  })
})

describe('tokens that nobody has', () => {
  const many = async (count: number, one: (index: number) => Promise<unknown>) => {
    for (let done = 0; done < count; done += 100) {
      await Promise.all(Array.from({ length: 100 }, (_each, index) => one(done + index)))
    }
  }
  const guess = (index: number) => `fhn_${String(index).padStart(43, 'x')}`

  it('are slowed down by address, and a good one behind the same address never is', async () => {
    const elsewhere = { 'x-forwarded-for': '198.51.100.9' }
    const device = await enrolled()
    const token = await joinToken({ uses: 10 })
    const post = (path: string, headers: Record<string, string>, bearer: string, body: Body) =>
      call('POST', path, { body, token: bearer, headers: { ...elsewhere, ...headers } })
    const seen = new Map<number, number>()
    let told: Awaited<ReturnType<typeof post>> | undefined
    const note = (answer: Awaited<ReturnType<typeof post>>) => {
      seen.set(answer.status, (seen.get(answer.status) ?? 0) + 1)
      if (answer.status === 429) told = answer
    }
    await many(800, async (index) => note(await post(deviceHeartbeatPath, {}, guess(index), { nodeId: `n${index}` })))
    expect([...seen.keys()]).toEqual([401])
    await many(800, async (index) =>
      note(await post(deviceRegisterPath, {}, `fhd_nobody-${index}`, { nodeId: `n${index}` })),
    )
    expect(seen.get(429)).toBeGreaterThan(0)
    expect(told?.headers.get('retry-after')).toBe('1')
    expect(told?.body).toMatchObject({ error: { code: 'too-many-requests' } })
    const { nodeId, nodeToken, deviceSecret } = device
    const good = await Promise.all([
      post(deviceHeartbeatPath, {}, nodeToken, { nodeId }),
      post(deviceRegisterPath, {}, 'fhd_of-long-ago', { nodeId, deviceSecret }),
      post(deviceRegisterPath, {}, token.value, { nodeId: randomUUID(), deviceSecret: secretOf() }),
    ])
    expect(good.map(({ status }) => status)).toEqual([200, 200, 200])
    const nearby = { 'x-forwarded-for': '198.51.100.10' }
    expect((await post(deviceHeartbeatPath, nearby, guess(0), { nodeId })).status).toBe(401)
    // What is asked of the files of releases counts with it.
    const files: number[] = []
    const file = '/updates/releases/shop/1.0.0/manifest.json'
    await many(200, async (index) =>
      files.push((await call('GET', file, { token: guess(index), headers: elsewhere })).status),
    )
    expect(files).toContain(429)
    expect((await call('GET', file, { token: nodeToken, headers: elsewhere })).status).toBe(404)
  })
})

describe('enrolment', () => {
  it('turns a join token into a node token that heartbeats are sent with', async () => {
    const device = await enrolled({ data: { deviceLabels: { site: 'berlin' } } })
    const { status, body } = await heartbeat(device.nodeToken, {
      nodeId: device.nodeId,
      status: { hostname: 'pi', agentVersion: '1.2.3' },
    })
    expect(status).toBe(200)
    expect(body).toMatchObject({ desiredState: { labels: { site: 'berlin' } } })
    expect(body.desiredState.generation).toBe(body.generation)
    const shown = (await api('GET', `/devices/${device.id}`)).body
    expect(shown).toMatchObject({
      labels: { site: 'berlin' },
      data: { access: 'allowed' },
      status: { state: 'online', intervalMs: 60_000, summary: { hostname: 'pi', agentVersion: '1.2.3' } },
    })
    const again = await heartbeat(device.nodeToken, { nodeId: device.nodeId, generation: body.generation })
    expect(again.body).not.toHaveProperty('desiredState')
    // One that refused what it was told asks for all of it again.
    const anew = await heartbeat(device.nodeToken, { nodeId: device.nodeId, generation: 0 })
    expect(anew.body).toMatchObject({ generation: body.generation, desiredState: { labels: { site: 'berlin' } } })
    await api('PATCH', `/devices/${device.id}`, { data: { name: 'kitchen' } })
    const changed = await heartbeat(device.nodeToken, { nodeId: device.nodeId, generation: body.generation })
    expect(changed.body.desiredState).toMatchObject({ name: 'kitchen' })
    expect(changed.body.generation).not.toBe(body.generation)
  })

  const refusals: [string, (token: { id: string; value: string }) => Promise<unknown>, string][] = [
    ['used twice', async ({ value }) => register({ nodeId: randomUUID() }, value), 'join-token-used'],
    ['revoked', ({ id }) => api('POST', `/join-tokens/${id}/revoke`), 'join-token-revoked'],
  ]
  it.each(refusals)('refuses a join token that was %s, and notes it', async (_name, before, reason) => {
    const token = await joinToken()
    await before(token)
    const nodeId = randomUUID()
    const { status, body } = await register({ nodeId }, token.value)
    expect(status).toBe(403)
    expect(body).toMatchObject({ state: 'refused', reason })
    const { body: audit } = await api('GET', `/audit?kind=join-token&id=${token.id}`)
    expect(audit.items[0].after.status.lastRefusal).toMatchObject({ reason, nodeId, address: '127.0.0.1' })
    expect(await api('GET', `/devices?search=${nodeId}`)).toMatchObject({ body: { items: [] } })
  })

  it('refuses no and unknown join tokens, each with its own reason', async () => {
    expect((await register({ nodeId: randomUUID() })).body).toMatchObject({ reason: 'join-token-missing' })
    const unknown = await register({ nodeId: randomUUID() }, 'fhd_nobody-knows-this-one')
    expect(unknown.body).toMatchObject({ reason: 'join-token-unknown' })
  })

  it('lets as many devices in as a token says, and a lost answer costs nothing', async () => {
    const token = await joinToken({ uses: 2 })
    const lost = { nodeId: randomUUID(), deviceSecret: secretOf() }
    for (let attempt = 0; attempt < 3; attempt += 1) {
      expect((await register(lost, token.value)).status).toBe(200)
    }
    expect((await register({ nodeId: randomUUID() }, token.value)).status).toBe(200)
    expect((await register({ nodeId: randomUUID() }, token.value)).body).toMatchObject({ reason: 'join-token-used' })
    expect((await api('GET', `/join-tokens/${token.id}`)).body.status).toMatchObject({ used: 2, refusals: 1 })
  })

  it('lets devices in by the generic token while it is set', async () => {
    const baseosJoinToken = `generic-${randomUUID()}`
    expect((await api('PATCH', '/settings', { baseosJoinToken })).body).toMatchObject({
      baseosJoinToken: `••••${baseosJoinToken.slice(-4)}`,
      baseosApproval: 'automatic',
    })
    expect((await register({ nodeId: randomUUID(), joinToken: baseosJoinToken })).status).toBe(200)
    expect((await register({ nodeId: randomUUID() }, baseosJoinToken)).status).toBe(200)
    await api('DELETE', '/settings/baseosJoinToken')
    expect((await register({ nodeId: randomUUID() }, baseosJoinToken)).body).toMatchObject({
      reason: 'join-token-unknown',
    })
  })

  it('keeps devices waiting until an operator says yes', async () => {
    await api('PATCH', '/settings', { baseosApproval: 'manual' })
    try {
      const token = await joinToken()
      const nodeId = randomUUID()
      const body = { nodeId, deviceSecret: secretOf(), status: { hostname: `host-${nodeId}` } }
      expect(await register(body, token.value)).toMatchObject({ status: 202, body: { state: 'waiting' } })
      expect((await register({ ...body, deviceSecret: secretOf() }, token.value)).status).toBe(403)
      const device = await deviceOf(nodeId)
      expect(device.status).toMatchObject({ state: 'waiting', claim: { attempts: 1 } })
      expect((await api('GET', '/devices?attention=approve')).body.items).toHaveLength(1)
      expect((await api('POST', `/devices/${device.id}/approve`)).body.status.state).toBe('enrolled')
      expect(await register(body, token.value)).toMatchObject({ status: 200, body: { state: 'accepted' } })
    } finally {
      await api('DELETE', '/settings/baseosApproval')
    }
  })
})

describe('a known device', () => {
  it('is nobody without proof, which is shown, and comes back by an operator word once', async () => {
    const device = await enrolled()
    await heartbeat(device.nodeToken, { nodeId: device.nodeId })
    const other = await joinToken({ uses: 5 })
    const claim = { nodeId: device.nodeId, deviceSecret: secretOf() }
    expect(await register(claim, other.value)).toMatchObject({ status: 403, body: { reason: 'known-node' } })
    const { body: shown } = await api('GET', `/devices/${device.id}`)
    expect(shown.status.claim).toMatchObject({ address: '127.0.0.1', attempts: 1 })
    expect((await api('GET', '/devices?attention=claim')).body.items.map((one: Body) => one.id)).toContain(device.id)
    await api('POST', `/devices/${device.id}/readopt`)
    const stranger = await register({ nodeId: device.nodeId, deviceSecret: secretOf() }, other.value)
    expect(stranger.body).toMatchObject({ reason: 'known-node' })
    await register(claim, other.value)
    const back = await register(claim, other.value)
    expect(back).toMatchObject({ status: 200, body: { state: 'accepted' } })
    expect((await heartbeat(device.nodeToken, { nodeId: device.nodeId })).status).toBe(401)
    expect((await heartbeat(String(back.body.nodeToken), { nodeId: device.nodeId })).status).toBe(200)
    expect((await api('GET', `/devices/${device.id}`)).body).toMatchObject({
      data: { readoptUntil: null },
      status: { state: 'online', claim: null },
    })
  })

  it('that another one claimed to be is no longer shown as such once somebody has seen it', async () => {
    const { id, nodeId } = await enrolled()
    const other = await joinToken()
    await register({ nodeId, deviceSecret: secretOf() }, other.value)
    expect((await api('GET', `/devices/${id}`)).body.status.claim).toMatchObject({ attempts: 1 })
    expect((await api('POST', `/devices/${id}/acknowledge`)).body.status).toMatchObject({ claim: null, clone: null })
  })

  it('proves itself by its node token or its secret', async () => {
    const device = await enrolled()
    expect((await register({ nodeId: device.nodeId }, device.nodeToken)).status).toBe(200)
    expect((await register({ nodeId: device.nodeId, deviceSecret: device.deviceSecret })).status).toBe(200)
  })

  it('is shut out when revoked, at once, and says why', async () => {
    const device = await enrolled()
    expect((await heartbeat(device.nodeToken, { nodeId: device.nodeId })).status).toBe(200)
    await api('POST', `/devices/${device.id}/revoke`)
    expect(await heartbeat(device.nodeToken, { nodeId: device.nodeId })).toMatchObject({
      status: 403,
      body: { error: { code: 'forbidden' } },
    })
    const again = await register({ nodeId: device.nodeId, deviceSecret: device.deviceSecret })
    expect(again.body).toMatchObject({ state: 'refused', reason: 'revoked' })
    await api('DELETE', `/devices/${device.id}`)
    expect((await heartbeat(device.nodeToken, { nodeId: device.nodeId })).status).toBe(401)
  })

  it('has a token for itself alone, and changes it with overlap', async () => {
    const [one, other] = [await enrolled(), await enrolled()]
    expect((await heartbeat(one.nodeToken, { nodeId: other.nodeId })).status).toBe(403)
    const { body } = await heartbeat(one.nodeToken, { nodeId: one.nodeId, rotateToken: true })
    expect(body.nodeToken).toMatch(/^fhn_/)
    expect((await heartbeat(one.nodeToken, { nodeId: one.nodeId })).status).toBe(200)
    expect((await heartbeat(body.nodeToken, { nodeId: one.nodeId })).status).toBe(200)
    expect((await heartbeat(one.nodeToken, { nodeId: one.nodeId })).status).toBe(401)
    const repeated = await heartbeat(body.nodeToken, { nodeId: one.nodeId, rotateToken: true })
    expect(repeated.body).not.toHaveProperty('nodeToken')
  })

  it('tells its last report and its history', async () => {
    const { nodeToken, nodeId, id } = await enrolled()
    const machine = { load: 0.5, memoryBytes: 1000, memoryFreeBytes: 250, temperatureCelsius: 51.4 }
    await heartbeat(nodeToken, { nodeId, status: { hostname: 'pi', machine } })
    const { body } = await api('GET', `/devices/${id}/report`)
    expect(body.report).toMatchObject({ hostname: 'pi', machine: { load: 0.5, uptimeSeconds: null } })
    expect(body).toMatchObject({ lastHeartbeatAt: expect.any(String), day: expect.any(Array) })
  })
})

describe('hostile input', () => {
  it('is answered with an error of the table, and never with ours', async () => {
    const { nodeToken, nodeId } = await enrolled()
    const bodies: [unknown, number][] = [
      ['', 400],
      ['{', 400],
      ['null', 400],
      ['[]', 400],
      [`{"nodeId":"${nodeId}","status":${'['.repeat(20_000)}`, 400],
      [{}, 400],
      [{ nodeId: '../../etc' }, 400],
      [{ nodeId: 'x'.repeat(200) }, 400],
      [{ nodeId, intervalMs: 0 }, 400],
      [{ nodeId, intervalMs: 1e300 }, 400],
      [{ nodeId, generation: -1 }, 400],
      [{ nodeId, status: { hostname: 'x'.repeat(254) } }, 400],
      [{ nodeId, status: { problems: Array(17).fill('x') } }, 400],
      [{ nodeId, status: { apps: { containers: Array(65).fill({}) } } }, 400],
      [{ nodeId, unknown: { constructor: 1, __proto__: 2 }, status: { other: 1, hostname: 7 } }, 200],
      [{ nodeId, status: 'none' }, 200],
      [{ nodeId, status: { hostname: 'a\u0000b\ud800' } }, 200],
      [`{"nodeId":"${nodeId}","pad":"${'x'.repeat(70_000)}"}`, 413],
    ]
    for (const [body, expected] of bodies) {
      const { status } = await heartbeat(nodeToken, body as Body)
      expect([status, JSON.stringify(body).slice(0, 60)]).toEqual([expected, JSON.stringify(body).slice(0, 60)])
      expect((await call('POST', deviceRegisterPath, { body })).status).toBeLessThan(500)
    }
    expect((await heartbeat('short', { nodeId })).status).toBe(401)
    expect((await call('GET', deviceHeartbeatPath)).status).toBe(405)
    expect((await call('POST', '/baseos/v1/nodes/other', { body: {} })).status).toBe(404)
  })
})

it('leaves no token in store, audit or feed, nor in any line of the log at its lowest level', async () => {
  const device = await enrolled()
  await heartbeat(device.nodeToken, { nodeId: device.nodeId })
  // Refused in every way, by the device's own and by foreign tokens.
  const values = [device.nodeToken, device.deviceSecret, device.joinToken.value]
  for (const value of values) {
    await heartbeat(value, { nodeId: randomUUID() })
    await register({ nodeId: device.nodeId, joinToken: value }, value)
    await call('POST', deviceRegisterPath, { body: `{"joinToken":"${value}"`, token: value })
    await call('GET', '/updates/releases/shop/1.0.0/manifest.json', { token: value })
  }
  const { body } = await api('GET', '/audit?limit=500')
  const list = await api('GET', '/join-tokens')
  for (const value of values) {
    expect(JSON.stringify(body)).not.toContain(value)
    expect(JSON.stringify(list.body)).not.toContain(value)
    expect(logged.filter((line) => line.includes(value))).toEqual([])
  }
  expect(JSON.stringify(body)).not.toMatch(/"hash":"[^"]{43}"[^}]*"purpose"/)
  expect(logged.length).toBeGreaterThan(10)
  for (const file of readdirSync(server.directory, { recursive: true, withFileTypes: true })) {
    if (!file.isFile()) continue
    const bytes = readFileSync(join(file.parentPath, file.name))
    for (const value of values) expect([file.name, bytes.includes(value)]).toEqual([file.name, false])
  }
})
