import { deviceHeartbeatPath, deviceRegisterPath } from '@freehold/contracts'
import { labAdministrator, pushSmallImage } from '../../../../../test/system/lab/index.ts'
import type { Dashboard } from '../../dashboard.testing.ts'

interface Assigned {
  releaseId: string
  version: string
  attempt: number
  held: boolean
}
interface Assignment {
  app: Assigned | null
  host: Assigned | null
  actions: { id: string; kind: string }[]
}

/** What a played device says of the release it was given; null: it says nothing of it. */
export type Plays = (
  device: PlayedDevice,
  assigned: Assigned,
) => { state: string; message?: string; log?: string; downloadProgress?: number } | null

/** A device that is no more than its protocol: it registers, sends heartbeats, and believes what it is told. */
export interface PlayedDevice {
  name: string
  assignment: Assignment | null
  /** Sends one heartbeat, and keeps what is answered. */
  beat(plays?: Plays): Promise<void>
}

/** Enrols devices of these names, with a join token that gives them these labels. */
export async function playDevices(
  dashboard: Dashboard,
  options: { names: readonly string[]; labels: Record<string, string> },
): Promise<PlayedDevice[]> {
  const { joinToken } = await dashboard.client.joinTokens.create({
    body: { data: { name: `for-${options.names[0]}`, uses: options.names.length, deviceLabels: options.labels } },
  })
  return Promise.all(options.names.map((name) => enrol(dashboard.freehold.url, { name, joinToken })))
}

/** A heartbeat of each of them. */
export async function beatAll(devices: readonly PlayedDevice[], plays?: Plays): Promise<void> {
  await Promise.all(devices.map((device) => device.beat(plays)))
}

/** Pushes a small image to `repository:tag` of the registry. */
export function pushImageTo(dashboard: Dashboard, image: { repository: string; tag: string }) {
  const target = { url: dashboard.freehold.url, ...labAdministrator(), repository: image.repository }
  return pushSmallImage(target, { tag: image.tag, layers: [`the layer of ${image.repository}:${image.tag}`] })
}

async function enrol(url: string, options: { name: string; joinToken: string }): Promise<PlayedDevice> {
  const { name, joinToken } = options
  const registration = { nodeId: name, deviceSecret: `secret-of-${name}`, status: statusOf(name, {}) }
  const { nodeToken } = await post<{ nodeToken: string }>(url + deviceRegisterPath, registration, joinToken)
  let generation = 0
  let running: string | null = null
  const done = new Map<string, string>()
  const device: PlayedDevice = {
    name,
    assignment: null,
    async beat(plays) {
      const app = device.assignment?.app ?? null
      const said = app === null ? null : (plays?.(device, app) ?? null)
      if (said?.state === 'succeeded') running = app?.releaseId ?? null
      const progress = app && said && { ...app, message: '', log: null, downloadProgress: null, ...said, running }
      const actions = [...done].map(([id, message]) => ({ id, outcome: 'done', message }))
      const body = { nodeId: name, generation, status: statusOf(name, { releases: { app: progress }, actions }) }
      const answer = await post<Answer>(url + deviceHeartbeatPath, body, nodeToken)
      generation = answer.generation
      if (answer.desiredState) device.assignment = answer.desiredState.assignment?.signed ?? null
      for (const action of device.assignment?.actions ?? []) done.set(action.id, `${action.kind} was played`)
    },
  }
  await device.beat()
  return device
}

interface Answer {
  generation: number
  desiredState?: { assignment: { signed: Assignment } | null } | null
}

function statusOf(hostname: string, more: object) {
  return {
    hostname,
    agentVersion: '0.1.0',
    machine: {
      architecture: 'arm64',
      operatingSystem: 'balenaOS 6.1.24',
      load: 0.4,
      memoryBytes: 100,
      memoryFreeBytes: 40,
    },
    supervisor: { state: 'available', version: '19.0.5' },
    ...more,
  }
}

async function post<Body>(url: string, body: object, bearer: string): Promise<Body> {
  const response = await fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization: `Bearer ${bearer}` },
    body: JSON.stringify(body),
  })
  const text = await response.text()
  if (!response.ok) throw new Error(`POST ${url} was answered with ${response.status}: ${text}`)
  return JSON.parse(text) as Body
}
