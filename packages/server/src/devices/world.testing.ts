import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { deviceKind, deviceRegisterRequestSchema, kinds } from '@freehold/contracts'
import { openSqliteStore, type Store } from '@freehold/store'
import { Secret } from '../secrets/index.ts'
import { createRuntimeSettings } from '../settings/index.ts'
import { createDesiredKeeper } from './desired.ts'
import { createHeartbeats } from './heartbeat.ts'
import { createJoinTokenHandlers } from './join-tokens.ts'
import { createKeeper, snapshotOf } from './keeper.ts'
import { createPresence } from './presence.ts'
import { createRegister } from './register.ts'
import { createStatusWriter } from './status-writer.ts'
import { createStrangers } from './strangers.ts'
import { createFollower, createWatcher } from './watcher.ts'

const actor = { type: 'user', id: 'ada', name: 'ada' } as const
export const minuteMs = 60_000
const noBasis = { groupId: null, appReleaseId: null, hostReleaseId: null, appRolloutId: null, hostRolloutId: null }

export const registration = (nodeId: string) =>
  deviceRegisterRequestSchema.parse({ nodeId, deviceSecret: `secret-of-${nodeId}` })

/** For tests: a store of its own, a clock that is set by hand, and control planes on them, one after the other. */
export async function openDeviceWorld() {
  const directory = await mkdtemp(join(tmpdir(), 'freehold-devices-'))
  const now = (): number => world.nowMs
  const store: Store = await openSqliteStore({ directory, kinds: Object.values(kinds), now: () => world.nowMs })

  /** The parts of one control plane on the store, driven by hand. */
  function controlPlane(options: { heartbeatsPerSecond?: number; whileComputing?: () => Promise<void> } = {}) {
    const desired = createDesiredKeeper({
      releases: {
        desiredFor: async () => {
          await options.whileComputing?.()
          return { app: null, host: null, basis: noBasis }
        },
      },
      sign: async (signed) => ({ signed, signatures: [] }),
      now,
      onProblem: (error) => {
        throw error
      },
    })
    const presence = createPresence({ now, desired })
    const statuses = createStatusWriter({ store, now, snapshot: (id) => snapshotOf(presence, presence.get(id)) })
    const heartbeats = createHeartbeats({ store, presence, statuses, desired, now, ...options })
    const keeper = createKeeper({ store, presence, now })
    const watcher = createWatcher({ store, presence, statuses, keeper, now })
    const follower = createFollower({
      store,
      presence,
      statuses,
      onError: (error) => {
        throw error
      },
    })
    const settings = createRuntimeSettings({ store, key: new Secret(Buffer.alloc(32)) })
    const register = createRegister({ store, settings, strangers: createStrangers({ now }), now })
    return { presence, statuses, heartbeats, keeper, watcher, follower, register }
  }
  type Plane = ReturnType<typeof controlPlane>

  async function makeJoinToken(uses: number | null = null): Promise<string> {
    const handlers = createJoinTokenHandlers({ store, publicUrl: () => 'http://localhost', now })
    const data = { name: `t${Math.random().toString(36).slice(2, 10)}`, uses, expiresInSeconds: 3600, deviceLabels: {} }
    const input = { body: { data }, caller: { actor, identity: null } }
    const made = (await handlers.create(input as never)) as { joinToken: string }
    return made.joinToken
  }

  /** Enrols so many devices and hears each once. */
  async function fleet(plane: Plane, size: number): Promise<{ nodeId: string; token: string }[]> {
    const joinToken = await makeJoinToken()
    const devices: { nodeId: string; token: string }[] = []
    for (let index = 0; index < size; index += 1) {
      const nodeId = `device-${index}`
      const { answer } = await plane.register(registration(nodeId), { bearer: joinToken, address: '::1' })
      if (answer.state !== 'accepted') throw new Error(JSON.stringify(answer))
      devices.push({ nodeId, token: answer.nodeToken })
    }
    await hear(plane, devices)
    while (await plane.statuses.write());
    return devices
  }

  async function hear(plane: Plane, devices: readonly { nodeId: string; token: string }[], body: object = {}) {
    const answers: string[] = []
    for (const { nodeId, token } of devices) {
      answers.push(await plane.heartbeats.answer(token, Buffer.from(JSON.stringify({ nodeId, ...body }))))
    }
    return answers.map((answer) => JSON.parse(answer) as Record<string, unknown>)
  }

  /** Lets time pass as the process would: a look every five seconds, whoever is heard once a minute. */
  async function pass(plane: Plane, forMs: number, heard: readonly { nodeId: string; token: string }[] = []) {
    const endMs = world.nowMs + forMs
    let nextMs = world.nowMs + minuteMs
    while (world.nowMs < endMs) {
      world.nowMs += 5_000
      if (world.nowMs >= nextMs) {
        await hear(plane, heard)
        nextMs += minuteMs
      }
      await plane.watcher.look()
      await plane.statuses.write()
      await plane.keeper.write()
    }
  }

  const states = async () => {
    const counts: Record<string, number> = {}
    for (const { status } of await store.all(deviceKind)) counts[status.state] = (counts[status.state] ?? 0) + 1
    return counts
  }

  const world = {
    nowMs: Date.parse('2026-03-01T00:00:00Z'),
    now,
    store,
    controlPlane,
    makeJoinToken,
    fleet,
    hear,
    pass,
    states,
    async close(): Promise<void> {
      await store.close()
      await rm(directory, { recursive: true, force: true })
    },
  }
  return world
}
export type DeviceWorld = Awaited<ReturnType<typeof openDeviceWorld>>
