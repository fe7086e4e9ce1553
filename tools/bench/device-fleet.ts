import { connect, type Socket } from 'node:net'
import { systemClock, systemRandom } from '@freehold/reconcile'
import { type Assigned, createAgents, type Progress } from './device-agents.ts'
import { percentile } from './row.ts'

/**
 * A fleet of devices that speaks the device protocol over real connections, by hand, so that it costs less than what it
 * measures. It is a process of its own: `{run: …}` comes as a message, the figures go back as one.
 */
export interface FleetRun {
  url: string
  path: string
  /** Bearer and body of each request. */
  requests: 'devices' | 'registrations'
  devices: number
  connections: number
  /** Requests a second, each at its time whatever the server does; null: each connection sends as soon as it may. */
  perSecond: number | null
  seconds: number
  /** What came before is not counted. */
  warmUpSeconds: number
  /** Devices go on until each of them has been answered once, however often they are sent away. */
  untilAllAnswered: boolean
  joinToken?: string
  /** Devices speak when the agent would, take what they are assigned, and report it as the agent does; `perSecond` is null. */
  agentIntervalMs?: number
}
export interface FleetResult {
  answered: number
  /** Everything but 200 and a 503 that says when to come back. */
  errors: number
  sentAway: number
  reconnects: number
  perSecond: number
  p50Ms: number
  p99Ms: number
  longestMs: number
  /** When the last device had its first answer. */
  allAnsweredAfterSeconds: number | null
  firstError: string | null
  /** Devices that were told a release, and when 95 % of all had been: milliseconds since 1970. */
  told: number
  toldMostAt: number | null
  /** Heartbeats that said something new of a release. */
  reported: number
}

export function nodeIdOf(index: number): string {
  return `bench-${index}`
}
export function nodeTokenOf(index: number): string {
  return `fhn_bench-node-token-of-device-${String(index).padStart(8, '0')}`
}

/** What devices remember from one run to the next. */
interface Memory {
  /** Of the desired state each holds; it is said from then on, as the contract asks. */
  generations: Map<number, number>
  releases: Map<number, Progress>
}
if (process.send !== undefined) {
  const memory: Memory = { generations: new Map(), releases: new Map() }
  process.on('message', ({ run }: { run: FleetRun }) => {
    fly(run, memory).then(
      (result) => process.send?.({ result }),
      (error: unknown) => process.send?.({ error: String(error) }),
    )
  })
}

interface Line {
  socket: Socket | undefined
  isFree: boolean
  device: number
  dueMs: number
  received: string
}

function fly(run: FleetRun, { generations, releases }: Memory): Promise<FleetResult> {
  const url = new URL(run.url)
  const startedMs = performance.now()
  const timesMs: number[] = []
  const answeredOnce = new Uint8Array(run.devices)
  let told = 0
  let toldMostAt: number | null = null
  const retries: { device: number; atMs: number }[] = []
  const waiting: { device: number; dueMs: number }[] = []
  const result = { answered: 0, errors: 0, sentAway: 0, reconnects: 0 }
  let firstError: string | null = null
  let missing = run.devices
  let allAnsweredAfterSeconds: number | null = null
  let scheduled = 0
  const lines: Line[] = Array.from({ length: run.connections }, () => ({
    socket: undefined,
    isFree: false,
    device: -1,
    dueMs: 0,
    received: '',
  }))
  const sinceStart = () => performance.now() - startedMs
  const agents =
    run.agentIntervalMs === undefined
      ? undefined
      : createAgents({
          clock: systemClock,
          random: systemRandom,
          monotonicMs: () => performance.now(),
          intervalMs: run.agentIntervalMs,
          releases,
          speak: (device) => waiting.push({ device, dueMs: sinceStart() }),
        })

  return new Promise((resolve) => {
    for (const line of lines) open(line)
    agents?.start(run.devices)
    const timer = setInterval(tick, 2)

    function open(line: Line): void {
      const socket = connect({ host: url.hostname, port: Number(url.port), noDelay: true })
      line.socket = socket
      line.received = ''
      socket.on('connect', () => free(line))
      socket.on('data', (chunk: Buffer) => receive(line, chunk))
      socket.on('error', () => {})
      socket.on('close', () => lost(line))
    }

    function lost(line: Line): void {
      if (line.socket === undefined) return
      line.socket = undefined
      line.isFree = false
      if (line.device >= 0) waiting.unshift({ device: line.device, dueMs: line.dueMs })
      line.device = -1
      result.reconnects += 1
      setTimeout(() => open(line), 200)
    }

    function tick(): void {
      const nowMs = sinceStart()
      if (run.perSecond !== null) {
        const until = Math.min(Math.floor((nowMs / 1000) * run.perSecond), run.seconds * run.perSecond)
        for (; scheduled < until; scheduled += 1) {
          waiting.push({ device: scheduled % run.devices, dueMs: (scheduled / run.perSecond) * 1000 })
        }
      }
      for (let at = retries.length - 1; at >= 0; at -= 1) {
        const retry = retries[at]
        if (retry === undefined || retry.atMs > nowMs) continue
        waiting.push({ device: retry.device, dueMs: nowMs })
        retries.splice(at, 1)
      }
      for (const line of lines) {
        if (waiting.length === 0) break
        if (line.isFree) next(line)
      }
      const isOver = run.untilAllAnswered
        ? missing === 0 || nowMs > run.seconds * 10_000
        : nowMs > run.seconds * 1000 && (waiting.length === 0 || nowMs > run.seconds * 1000 + 5_000)
      if (isOver) finish()
    }

    function free(line: Line): void {
      line.isFree = true
      line.device = -1
      next(line)
    }

    function next(line: Line): void {
      let job = waiting.shift()
      if (job === undefined && agents === undefined && run.perSecond === null && sinceStart() < run.seconds * 1000) {
        job = { device: scheduled % run.devices, dueMs: sinceStart() }
        scheduled += 1
      }
      if (job === undefined) return
      line.isFree = false
      line.device = job.device
      line.dueMs = job.dueMs
      agents?.onSent(job.device)
      line.socket?.write(
        requestOf(run, {
          device: job.device,
          generation: generations.get(job.device) ?? 0,
          progress: releases.get(job.device),
          host: url.host,
        }),
      )
    }

    function receive(line: Line, chunk: Buffer): void {
      line.received += chunk.toString('latin1')
      const head = line.received.indexOf('\r\n\r\n')
      if (head < 0) return
      const length = Number(/content-length: (\d+)/i.exec(line.received.slice(0, head))?.[1] ?? 0)
      if (line.received.length < head + 4 + length) return
      const answer = line.received
      line.received = ''
      note(line, answer)
      free(line)
    }

    function note(line: Line, answer: string): void {
      // The server ends connections that lie idle, and says so.
      if (line.device < 0) return
      const status = answer.slice(9, 12)
      if (status === '200') {
        result.answered += 1
        if (run.requests === 'devices') remember(line.device, answer)
        if (sinceStart() >= run.warmUpSeconds * 1000) timesMs.push(sinceStart() - line.dueMs)
        if (answeredOnce[line.device] === 0) {
          answeredOnce[line.device] = 1
          missing -= 1
          if (missing === 0) allAnsweredAfterSeconds = sinceStart() / 1000
        }
        return
      }
      const retryAfter = /retry-after: (\d+)/i.exec(answer)?.[1]
      if (status === '503' && retryAfter !== undefined) {
        result.sentAway += 1
        retries.push({ device: line.device, atMs: sinceStart() + Number(retryAfter) * 1000 })
        return
      }
      result.errors += 1
      firstError ??= answer.slice(0, 2000)
    }

    function remember(device: number, answer: string): void {
      generations.set(device, Number(/"generation":(\d+)/.exec(answer)?.[1] ?? 0))
      if (agents?.onAnswer(device, assignedIn(answer)) !== true) return
      told += 1
      if (told === Math.ceil(run.devices * 0.95)) toldMostAt = Date.now()
    }

    function finish(): void {
      clearInterval(timer)
      agents?.stop()
      for (const line of lines) {
        const { socket } = line
        line.socket = undefined
        socket?.destroy()
      }
      resolve({
        ...result,
        perSecond: timesMs.length / Math.max(0.001, sinceStart() / 1000 - run.warmUpSeconds),
        p50Ms: percentile(timesMs, 0.5),
        p99Ms: percentile(timesMs, 0.99),
        longestMs: timesMs.reduce((most, time) => Math.max(most, time), 0),
        allAnsweredAfterSeconds,
        firstError,
        told,
        toldMostAt,
        reported: agents?.reported() ?? 0,
      })
    }
  })
}

function requestOf(
  run: FleetRun,
  job: { device: number; generation: number; progress: Progress | undefined; host: string },
): string {
  const { device, generation, progress, host } = job
  const isRegistration = run.requests === 'registrations'
  const bearer = isRegistration ? (run.joinToken ?? '') : nodeTokenOf(device)
  const body = isRegistration
    ? JSON.stringify({ nodeId: `new-${device}`, deviceSecret: `secret-of-device-${device}`, status: reportOf(device) })
    : JSON.stringify({
        protocol: 1,
        nodeId: nodeIdOf(device),
        bootId: '0198c0de-0000-7000-8000-00000000abcd',
        sentAt: '2026-01-01T00:00:00.000Z',
        generation,
        intervalMs: 60_000,
        rotateToken: false,
        status: { ...reportOf(device), ...releasesOf(progress) },
      })
  return (
    `POST ${run.path} HTTP/1.1\r\nHost: ${host}\r\nAuthorization: Bearer ${bearer}\r\n` +
    `Content-Type: application/json\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`
  )
}

function assignedIn(answer: string): Assigned | null {
  if (!answer.includes('"assignment":{')) return null
  const body = JSON.parse(answer.slice(answer.indexOf('\r\n\r\n') + 4)) as {
    desiredState: { assignment: { signed: { app: Assigned | null } } }
  }
  return body.desiredState.assignment.signed.app
}

function releasesOf(progress: Progress | undefined): object {
  if (progress === undefined) return {}
  const { releaseId, attempt, phase, message } = progress
  const running = phase === 'soaking' || phase === 'succeeded' ? releaseId : null
  const app = { releaseId, attempt, version: '1.0.0', state: phase, message, running, log: null }
  return { releases: { app, host: null, counter: 1, refusal: null } }
}

/** As long as what the device agent sends beside a Supervisor with one app. */
function reportOf(device: number) {
  return {
    agentVersion: '0.1.0',
    hostname: `device-${device}`,
    machine: {
      architecture: 'arm64',
      operatingSystem: 'balenaOS 6.1.24',
      cpuCores: 4,
      load: 0.42,
      memoryBytes: 4_000_000_000,
      memoryFreeBytes: 3_000_000_000,
      storageBytes: 32_000_000_000,
      storageFreeBytes: 20_000_000_000,
      temperatureCelsius: 51.2,
      uptimeSeconds: 123_456,
      addresses: ['10.0.0.17'],
      timeZone: 'Europe/Berlin',
    },
    supervisor: { state: 'available', version: '19.0.5', problem: null },
    device: {
      osVersion: 'balenaOS 6.1.24',
      supervisorVersion: '19.0.5',
      macAddress: 'AA:BB:CC:DD:EE:FF',
      ipAddress: '10.0.0.17',
      commit: '0123456789abcdef0123456789abcdef',
      status: 'Idle',
      updatePending: false,
      updateDownloaded: false,
      updateFailed: false,
      downloadProgress: null,
    },
    apps: {
      state: 'applied',
      release: '0123456789abcdef0123456789abcdef',
      downloadProgress: null,
      containers: [
        { serviceName: 'main', status: 'Running', containerId: '0123456789ab', createdAt: '2026-01-01T00:00:00Z' },
      ],
      images: [{ name: 'registry/main@sha256:0', serviceName: 'main', status: 'Downloaded', downloadProgress: null }],
    },
    update: null,
    locks: [],
    problems: [],
  }
}
