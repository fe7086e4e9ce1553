import { copyFile, mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  channelKind,
  deviceData,
  deviceGroupInput,
  deviceGroupKind,
  deviceKind,
  kinds,
  type ReleaseRollout,
  releaseData,
  releaseKind,
  releaseRolloutInput,
  releaseRolloutKind,
} from '@freehold/contracts'
import { openSqliteStore, type Store } from '@freehold/store'
import { pino } from 'pino'
import type { z } from 'zod'
import type { AssignmentChange, Assignments, StoredAssignment } from '../releases/index.ts'
import { createEngine } from './engine.ts'
import { createMembersOf, type MembersOf } from './followers.ts'
import type { ChannelMember } from './plan.ts'
import { createReleaseRolloutHandlers } from './service.ts'

const startAt = Date.parse('2026-03-01T00:00:00Z')
const actor = { type: 'user', id: 'ada', name: 'ada' } as const
const caller = { identity: null, actor }

/** Assignments as the releases keep them: what was assigned outlives the process; it may be told to fail. */
function createAssignments(now: () => number) {
  const kept = new Map<string, StoredAssignment>()
  const log: AssignmentChange[] = []
  let failsAfter = Number.POSITIVE_INFINITY
  const assignments: Assignments = {
    get: async (deviceIds, type) =>
      new Map(
        deviceIds.flatMap((id): [string, StoredAssignment][] => {
          const assignment = kept.get(`${type} ${id}`)
          return assignment === undefined ? [] : [[id, assignment]]
        }),
      ),
    async assign(changes) {
      for (const { deviceId, type, ...change } of changes) {
        if (failsAfter-- <= 0) throw new Error('The power went away.')
        kept.set(`${type} ${deviceId}`, { ...change, at: new Date(now()).toISOString() })
        log.push({ deviceId, type, ...change })
      }
    },
  }
  return {
    ...assignments,
    /** All that was ever assigned, in order. */
    log,
    of: (deviceId: string) => kept.get(`app ${deviceId}`),
    /** After so many more assignments it fails. */
    failAfter: (count: number) => {
      failsAfter = count
    },
  }
}

/** A store with a channel, releases and devices, and engines on it that can be ended and begun again. */
export async function createBed(options: { followers?: readonly ChannelMember[] } = {}) {
  let directory = await mkdtemp(join(tmpdir(), 'freehold-release-rollouts-'))
  const time = { nowMs: startAt, elapsedMs: 0 }
  const now = () => time.nowMs
  const openStore = () => openSqliteStore({ directory, kinds: Object.values(kinds), now, factFlushMs: 3_600_000 })
  let store = await openStore()
  const assignments = createAssignments(now)
  const reconsidered: string[] = []
  const { channelId, canaryId } = await store.transaction(actor, async (transaction) => {
    const channel = await transaction.create(channelKind, { data: { name: 'stable', type: 'app', description: '' } })
    const group = (name: string, priority: number, selector: Record<string, string>) =>
      deviceGroupInput.parse({ name, priority, selector, appChannelId: channel.id })
    const canaries = group('canaries', 1, { channel: 'stable', group: 'canary' })
    const { id } = await transaction.create(deviceGroupKind, { data: canaries })
    await transaction.create(deviceGroupKind, { data: group('everyone', 2, { channel: 'stable' }) })
    return { channelId: channel.id, canaryId: id }
  })

  function boot() {
    const ofStore = createMembersOf({ store })
    const membersOf: MembersOf = async (id, deviceIds) => options.followers ?? ofStore(id, deviceIds)
    const engine = createEngine({
      store,
      assignments,
      membersOf,
      reconsider: (deviceIds) => reconsidered.push(...deviceIds),
      now,
      elapsed: () => time.elapsedMs,
      log: pino({ level: 'silent' }),
    })
    const handlers = createReleaseRolloutHandlers({ store, engine, membersOf, wake: () => {}, now })
    return { engine, handlers, membersOf }
  }

  let process = boot()
  await process.engine.load()

  const bed = {
    time,
    channelId,
    assignments,
    canaryId,
    reconsidered,
    get membersOf() {
      return process.membersOf
    },
    get store(): Store {
      return store
    },
    get engine() {
      return process.engine
    },
    get handlers() {
      return process.handlers
    },
    async release(
      version: string,
      state: 'signed' | 'unsigned' | 'withdrawn' = 'signed',
      type: 'app' | 'host' = 'app',
    ) {
      const data = releaseData.parse({
        product: 'shop',
        version,
        type,
        notes: '',
        deviceTypes: [],
        services: [],
        host: null,
      })
      const created = await store.transaction(actor, (transaction) =>
        transaction.create(releaseKind, { data, status: { state, message: '', target: null } }),
      )
      return created.id
    },
    devices: (count: number, labels: (index: number) => Record<string, string> = () => ({})) =>
      store.transaction(actor, async (transaction) => {
        const ids: string[] = []
        for (let index = 0; index < count; index++) {
          const data = deviceData.parse({
            name: `till-${index}`,
            nodeId: `node-${await transaction.version()}`,
            access: 'allowed',
            readoptUntil: null,
          })
          ids.push((await transaction.create(deviceKind, { data, labels: { channel: 'stable', ...labels(index) } })).id)
        }
        return ids
      }),
    async changeDevice(id: string, change: { access?: 'revoked'; pinned?: string; channel?: string }) {
      await store.transaction(actor, async (transaction) => {
        const device = await transaction.get(deviceKind, id)
        if (device === undefined) throw new Error('There is no such device.')
        const { access = device.data.access, pinned = device.data.pinnedAppReleaseId, channel } = change
        await transaction.update(deviceKind, id, {
          data: { ...device.data, access, pinnedAppReleaseId: pinned },
          ...(channel === undefined ? {} : { labels: { ...device.labels, channel } }),
        })
      })
    },
    create: (data: Omit<z.input<typeof releaseRolloutInput>, 'channelId'>) =>
      bed.call('create', {
        body: { data: releaseRolloutInput.parse({ channelId, ...data }) },
      }) as Promise<ReleaseRollout>,
    /** What the door hands to a handler. */
    inputOf: <Body>(input: { body: Body }) => ({
      params: undefined,
      query: undefined,
      caller,
      client: { address: '', userAgent: '' },
      signal: new AbortController().signal,
      setHeader: () => {},
      ...input,
    }),
    /** Calls a handler as the door does. */
    call: (verb: keyof typeof process.handlers, input: { id?: string; body?: unknown; query?: unknown }) =>
      (process.handlers[verb] as (input: unknown) => Promise<unknown>)({
        params: { id: input.id },
        body: input.body,
        query: input.query ?? { limit: 500 },
        caller,
      }),
    read: async (id: string): Promise<ReleaseRollout> => {
      const rollout = await store.get(releaseRolloutKind, id)
      if (rollout === undefined) throw new Error(`There is no rollout ${id}.`)
      return rollout
    },
    /** What a device says of the release it is assigned, unless it says so itself. */
    report(deviceId: string, state: string, said: { message?: string; releaseId?: string; attempt?: number } = {}) {
      const assignment = assignments.of(deviceId)
      process.engine.note({
        deviceId,
        type: 'app',
        progress: {
          releaseId: said.releaseId ?? assignment?.releaseId ?? null,
          version: null,
          attempt: said.attempt ?? assignment?.attempt ?? null,
          state,
          message: said.message ?? null,
          downloadProgress: null,
          running: null,
          log: null,
        },
      })
    },
    reportAll(deviceIds: readonly string[], state: string): void {
      for (const id of deviceIds) bed.report(id, state)
    },
    /** Brings a first release to everyone, as every fleet once did. */
    async settledFleet(releaseId: string, count: number, labels?: (index: number) => Record<string, string>) {
      const devices = await bed.devices(count, labels)
      await bed.create({ releaseId })
      bed.reportAll(devices, 'succeeded')
      await bed.run()
      if (bed.holders(devices, releaseId).length !== count) throw new Error('Not every device has the release.')
      return devices
    },
    async channel() {
      return (await store.get(channelKind, bed.channelId))?.status
    },
    /** Someone sets the time of day; nothing goes by. */
    setBack(durationMs: number): void {
      time.nowMs -= durationMs
    },
    /** Time goes by, for both clocks. */
    pass(durationMs: number): void {
      time.nowMs += durationMs
      time.elapsedMs += durationMs
    },
    /** Looks, as often as the engine asks for it at once. */
    async run(): Promise<void> {
      bed.pass(1_000)
      for (let round = 0; round < 1_000; round++) if ((await process.engine.run()).againInMs > 0) return
      throw new Error('The engine never comes to rest.')
    },
    /** The devices that are assigned a release now. */
    holders: (deviceIds: readonly string[], releaseId: string) =>
      deviceIds.filter((id) => assignments.of(id)?.releaseId === releaseId),
    /** A new process on what is on disk; facts that were never flushed are gone with the old one. */
    async restart(options: { kill: boolean }): Promise<void> {
      if (options.kill) await forgetUnflushed()
      else await process.engine.finish()
      process = boot()
      await process.engine.load()
    },
    async close(): Promise<void> {
      await store.close()
      await rm(directory, { recursive: true, force: true })
    },
  }

  /** Goes on with the files as they are on disk now: facts that wait in memory are lost, as by a kill. */
  async function forgetUnflushed(): Promise<void> {
    await process.engine.inTurn(async () => {})
    const next = await mkdtemp(join(tmpdir(), 'freehold-release-rollouts-'))
    for (const file of await readdir(directory)) {
      if (!file.includes('.lock')) await copyFile(join(directory, file), join(next, file))
    }
    await store.close()
    await rm(directory, { recursive: true, force: true })
    directory = next
    store = await openStore()
  }

  return bed
}
export type Bed = Awaited<ReturnType<typeof createBed>>
