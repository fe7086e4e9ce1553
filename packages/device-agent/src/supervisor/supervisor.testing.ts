import { existsSync } from 'node:fs'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import type { PlayedLocalMode } from './local-mode.testing.ts'

/**
 * A fake Supervisor, built from what balena-supervisor v19.0.5 was measured to answer; not the Supervisor itself. An
 * update goes on by one phase with each look at `/v1/device`, so no test waits for time.
 */
export interface FakeSupervisor {
  url: URL
  key: string
  /** What an update would bring; the same as `commit`: nothing new. */
  target: string
  commit: string
  /** Where the lock file of the device's application lies. */
  lockDirectory: string
  /** It refuses the key in a header, as some do. */
  refusesHeader: boolean
  /** Instant updates are off: 202 without force. */
  isPassive: boolean
  /** The next download fails. */
  failsDownload: boolean
  /** Answers this instead, once for each call. */
  next: { status: number; body: string }[]
  /** `/v2/state/status` never answers: the engine is slow. */
  isEngineStuck: boolean
  /** Every connection is cut. */
  isAway: boolean
  /** No cloud owns the device: no key is asked for, and a local target state may be set. Null: a cloud does. */
  localMode: PlayedLocalMode | null
  /** Method, address with its query, and the Authorization header, of every request. */
  seen: { call: string; authorization: string | undefined; body: string }[]
  stop(): Promise<void>
}

type Phase = 'idle' | 'checking' | 'downloading' | 'applying' | 'locked' | 'failed'

export async function startFakeSupervisor(options: {
  lockDirectory: string
  key?: string
  localMode?: PlayedLocalMode
}): Promise<FakeSupervisor> {
  let phase: Phase = 'idle'
  let isForced = false
  const server = createServer((request, response) => void answer(request, response))

  const isLocked = () => !isForced && existsSync(join(fake.lockDirectory, 'updates.lock'))
  const advance = () => {
    if (phase === 'idle') return
    if (phase === 'checking' && fake.target === fake.commit) phase = 'idle'
    else if (phase === 'checking') phase = fake.failsDownload ? 'failed' : 'downloading'
    else if (phase === 'downloading') phase = isLocked() ? 'locked' : 'applying'
    else if (phase === 'locked' && !isLocked()) phase = 'applying'
    else if (phase === 'applying') {
      fake.commit = fake.target
      phase = 'idle'
    }
  }
  const device = () => ({
    api_port: 48484,
    os_version: 'balenaOS 6.1.2',
    mac_address: 'DE:AD:BE:EF:00:01',
    supervisor_version: '19.0.5',
    update_pending: phase === 'downloading' || phase === 'applying' || phase === 'locked',
    update_downloaded: phase === 'applying' || phase === 'locked',
    update_failed: phase === 'locked' || phase === 'failed',
    ...(phase === 'locked' || phase === 'applying' ? {} : { commit: fake.commit }),
    status: phase === 'downloading' ? 'Downloading' : 'Idle',
    download_progress: phase === 'downloading' ? 42 : null,
    ip_address: '10.0.0.7',
    ...fake.localMode?.device(),
  })
  const apps = () => ({
    status: 'success',
    appState: phase === 'idle' || phase === 'failed' ? 'applied' : 'applying',
    overallDownloadProgress: null,
    containers: [
      { status: 'Running', serviceName: 'main', appId: 1, imageId: 1, containerId: 'c1', createdAt: '2026' },
    ],
    images: [
      { name: 'registry/v2/abc@sha256:0', appId: 1, serviceName: 'main', status: 'Downloaded', downloadProgress: null },
    ],
    release: fake.commit,
  })

  const answer = async (request: IncomingMessage, response: ServerResponse) => {
    const url = new URL(request.url ?? '/', 'http://fake')
    const body = await textOf(request)
    fake.seen.push({ call: `${request.method} ${request.url}`, authorization: request.headers.authorization, body })
    if (fake.isAway) return void request.socket.destroy()
    const send = (status: number, content: unknown) => {
      const isText = typeof content === 'string'
      response.writeHead(status, { 'content-type': isText ? 'text/plain' : 'application/json' })
      response.end(isText ? content : JSON.stringify(content))
    }
    if (url.pathname === '/ping') return send(200, 'OK')
    const header = /^(?:Bearer|ApiKey) (\w+)$/i.exec(request.headers.authorization ?? '')?.[1]
    const given = fake.refusesHeader ? url.searchParams.get('apikey') : (header ?? url.searchParams.get('apikey'))
    if (given !== fake.key && !fake.localMode?.isOn) return send(401, 'Unauthorized')
    const instead = fake.next.shift()
    if (instead) return send(instead.status, instead.body)
    const { force = false } = JSON.parse(body || '{}') as { force?: boolean }
    switch (`${request.method} ${url.pathname}`) {
      case 'GET /v1/device':
        advance()
        await fake.localMode?.advance()
        return send(200, device())
      case 'GET /v2/state/status':
        return fake.isEngineStuck ? undefined : send(200, { ...apps(), ...(await fake.localMode?.status()) })
      case 'GET /v2/local/device-info':
        return send(200, { status: 'success', info: { arch: 'aarch64', deviceType: 'raspberrypi4-64' } })
      case 'GET /v2/local/target-state':
        return send(200, { status: 'success', state: fake.localMode?.told() ?? emptyTarget })
      case 'POST /v2/local/target-state': {
        const refusal = fake.localMode?.isOn
          ? fake.localMode.set(JSON.parse(body))
          : 'Target state can only set when device is in local mode'
        if (refusal === null) return send(200, { status: 'success', message: 'OK' })
        return send(400, { status: 'failed', message: refusal })
      }
      case 'GET /v2/version':
        return send(200, { status: 'success', version: '19.0.5' })
      case 'POST /v1/update':
        if (fake.isPassive && !force) return send(202, '')
        phase = 'checking'
        isForced = force
        return send(204, '')
      case 'POST /v1/reboot':
        isForced = force
        if (isLocked()) return send(423, { Data: '', Error: 'Lockfile exists for { appId: 1, service: main }' })
        return send(202, { Data: 'OK', Error: null })
      default:
        return send(404, 'Not found')
    }
  }
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  const fake: FakeSupervisor = {
    url: new URL(`http://127.0.0.1:${port}`),
    key: options.key ?? 'supervisorkey0123456789',
    target: 'aaaa',
    commit: 'aaaa',
    lockDirectory: options.lockDirectory,
    refusesHeader: false,
    isPassive: false,
    failsDownload: false,
    next: [],
    isEngineStuck: false,
    isAway: false,
    localMode: options.localMode ?? null,
    seen: [],
    stop: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
  return fake
}

const emptyTarget = { local: { name: 'device', config: {}, apps: {} } }

async function textOf(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = []
  for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk)
  return Buffer.concat(chunks).toString('utf8')
}
