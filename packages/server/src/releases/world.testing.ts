/** Releases and devices of one control plane on a store, with real requests of devices over loopback. */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import {
  type Channel,
  channelKind,
  type Device,
  deviceHeartbeatAnswerSchema,
  deviceHeartbeatPath,
  deviceRegisterPath,
  FreeholdError,
  imageKind,
  manifestKind,
  type Release,
  releaseInput,
  signedAssignmentSchema,
  tagKind,
} from '@freehold/contracts'
import { systemClock, systemRandom } from '@freehold/reconcile'
import type { Actor, Store } from '@freehold/store'
import { pino } from 'pino'
import { createDevicesNoun, createStrangers, type OnProgress } from '../devices/index.ts'
import { Secret } from '../secrets/index.ts'
import { createRuntimeSettings } from '../settings/index.ts'
import { createImageResolver, createReleasesNoun, type RolloutTerms } from './index.ts'
import { createTestChannel } from './signed-channel.testing.ts'

export const actor: Actor = { type: 'user', id: 'ada', name: 'ada' }
export const registryHost = 'cloud.example:8080'
type Handler = (input: never) => Promise<unknown>

export async function createWorld(store: Store, options: { keyIsHere?: boolean } = {}) {
  const signed = createTestChannel(options)
  const members = new Set<string>()
  const terms = new Map<string, RolloutTerms>()
  /** By release: the rollout that would give it back. */
  const reverting = new Map<string, string>()
  const heard: Parameters<OnProgress>[0][] = []
  const licenses: Buffer[] = []
  /** True: somebody deletes licence bundles as soon as they are kept. */
  const fate = { licensesAreLost: false }
  let shiftMs = 0
  const clock = { ...systemClock, now: () => Date.now() + shiftMs }
  const log = pino({ level: 'silent' })
  const releases = createReleasesNoun({
    store,
    updates: signed.updates,
    rollouts: {
      isMember: (deviceId, channelId) => members.has(`${deviceId}/${channelId}`),
      rolloutOf: (rolloutId) => terms.get(rolloutId),
      revertingTo: (releaseId) => reverting.get(releaseId),
    },
    resolveImage: createImageResolver({ registryHost: () => registryHost }),
    keepLicense: async ({ bytes }) => {
      licenses.push(bytes)
      const digest = digestOf('9')
      const reference = `baseos/licenses@${digest}`
      const isKept = (await store.find(manifestKind, 'reference', reference)) !== undefined
      if (!fate.licensesAreLost && !isKept) await pushed('baseos/licenses', 'x', { digit: '9' })
      return { artifact: { repository: 'baseos/licenses', digest }, blobDigest: digest, sizeBytes: bytes.length }
    },
    reconsider: (affected) => devices.reconsider(affected),
    clock,
    random: systemRandom,
    log,
  })
  signed.connect(releases)
  const devices = createDevicesNoun({
    store,
    settings: createRuntimeSettings({ store, key: new Secret(Buffer.alloc(32)) }),
    clock,
    random: systemRandom,
    publicUrl: () => 'http://localhost',
    strangers: createStrangers({ now: () => clock.now() }),
    releases,
    signAssignment: signed.signAssignment,
    onProgress: (progress) => heard.push(progress),
    log,
  })
  const server = createServer((request, response) => {
    const mount = devices.endpoints.find(({ path }) => path === request.url)
    mount?.handle(request, response, { address: () => '127.0.0.1' } as never).catch((error: unknown) => {
      response.statusCode = error instanceof FreeholdError ? error.status : 500
      response.end(JSON.stringify({ error: String(error) }))
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  releases.start()
  devices.start()

  /** An image in our registry, as a push leaves its rows; answers its digest. */
  async function pushed(repository: string, tag: string, options: { digit?: string; artifactType?: string } = {}) {
    const digest = digestOf(options.digit ?? '1')
    const mediaType = 'application/vnd.oci.image.manifest.v1+json'
    await store.transaction(actor, async (transaction) => {
      if ((await transaction.find(imageKind, 'name', repository)) === undefined) {
        const location = { internal: true } as const
        await transaction.create(imageKind, { data: { name: repository, description: '', location } })
      }
      await transaction.create(manifestKind, {
        data: {
          repository,
          digest,
          mediaType,
          size: 100,
          artifactType: options.artifactType ?? 'application/vnd.oci.image.config.v1+json',
          annotations: {},
          blobs: [],
          manifests: [],
          subject: null,
          pushedBy: 'ada',
        },
      })
      await transaction.create(tagKind, {
        data: { repository, name: tag, digest, pushedBy: 'ada' },
        status: { pushedAt: new Date(clock.now()).toISOString() },
      })
    })
    return digest
  }

  /** Calls a handler as the door would. */
  async function call<Answer>(handler: Handler, input: { params?: object; query?: object; body?: object } = {}) {
    return (await handler({ query: {}, caller: { actor, identity: null }, ...input } as never)) as Answer
  }

  async function post(path: string, token: string, body: object): Promise<Record<string, unknown>> {
    const headers = { 'content-type': 'application/json', authorization: `Bearer ${token}` }
    const response = await fetch(`${url}${path}`, { method: 'POST', headers, body: JSON.stringify(body) })
    const answer = (await response.json()) as Record<string, unknown>
    if (!response.ok) throw new Error(`${response.status}: ${JSON.stringify(answer)}`)
    return answer
  }

  /** A device that enrolled with these labels, and was not heard yet. */
  async function enrol(nodeId: string, deviceLabels: Record<string, string> = {}): Promise<TestDevice> {
    const { joinToken } = await call<{ joinToken: string }>(devices.handlers.joinTokens.create, {
      body: { data: { name: nodeId, uses: 1, expiresInSeconds: 3600, deviceLabels } },
    })
    const answer = await post(deviceRegisterPath, joinToken, { nodeId })
    const page = await call<{ items: Device[] }>(devices.handlers.devices.list, { query: { search: nodeId, limit: 1 } })
    return { nodeId, id: page.items[0]?.id ?? '', token: String(answer.nodeToken), generation: 0 }
  }

  /** One heartbeat. `assignment`: what came newly, its signature verified; undefined where nothing new came. */
  async function hear(device: TestDevice, report: object = {}) {
    const { nodeId, generation, token } = device
    const answer = await post(deviceHeartbeatPath, token, { nodeId, generation, status: report })
    const parsed = deviceHeartbeatAnswerSchema.parse(answer)
    if (parsed.desiredState === undefined || parsed.desiredState === null)
      return { isNew: false, assignment: undefined }
    device.generation = parsed.desiredState.generation
    const { assignment } = parsed.desiredState
    if (assignment === null || assignment === undefined) return { isNew: true, assignment: null }
    const verified = signed.verified(signedAssignmentSchema.parse(assignment))
    if (verified === undefined) throw new Error('The signature of the assignment does not hold.')
    return { isNew: true, assignment: verified }
  }

  return {
    store,
    releases,
    devices,
    signed,
    members,
    terms,
    reverting,
    heard,
    licenses,
    fate,
    call,
    enrol,
    hear,
    pass(durationMs: number) {
      shiftMs += durationMs
    },
    pushed,
    /** A release of one container of `shop/web:1`, or with what is given instead. */
    makeRelease(version: string, data: object = {}): Promise<Release> {
      const services = [{ name: 'web', image: 'shop/web:1' }]
      const input = releaseInput.parse({ product: 'shop', version, type: 'app', services, ...data })
      return call<Release>(releases.handlers.releases.create, { body: { data: input } })
    },
    makeChannel: (name: string, type: 'app' | 'host' = 'app') =>
      call<Channel>(releases.handlers.channels.create, { body: { data: { name, type, description: '' } } }),
    /** What a rollout does when it has succeeded. */
    async carry(channelId: string, releaseId: string | null): Promise<void> {
      const since = new Date(clock.now()).toISOString()
      await store.transaction(actor, (transaction) =>
        transaction.setStatus(channelKind, channelId, { releaseId, rolloutId: null, since }),
      )
    },
    async close(): Promise<void> {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
      await devices.stop()
      await releases.stop()
    },
  }
}
export type World = Awaited<ReturnType<typeof createWorld>>

export interface TestDevice {
  nodeId: string
  id: string
  token: string
  generation: number
}

export const digestOf = (digit: string) => `sha256:${digit.repeat(64)}`
