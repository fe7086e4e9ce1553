import { copyFileSync, existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { deviceKind, imageKind, manifestKind, tagKind } from '@freehold/contracts'
import { type Clock, createRandom, type Random } from '@freehold/reconcile'
import { actor, type SimulatedFleet, startFleet } from '../../packages/server/src/fleet.testing.ts'
import { createDevice, type Fate, type SimulatedDevice } from './devices-device.ts'
import { createDeviceNetwork, type DeviceNetwork } from './devices-network.ts'
import { createDevicesWatch, type DevicesWatch } from './devices-watch.ts'
import { createWheelClock, type WheelClock } from './wheel.ts'

const minuteMs = 60_000
export const regions = 10
/** The control plane's own loops, which run every second or so, are let run this often. */
const serverQuantumMs = 20_000

export interface World {
  clock: WheelClock
  random: Random
  network: DeviceNetwork
  devices: SimulatedDevice[]
  watch: DevicesWatch
  /** How often each release fails. */
  badShare: Map<string, number>
  plane(): SimulatedFleet
  isUp(): boolean
  /** The process dies: what it had not written is lost. Or it ends as it should. */
  restart(options: { isKilled: boolean; downMs: number }): Promise<void>
  /** Time goes by, with the facts written each minute as the store does each second. */
  pass(durationMs: number): Promise<void>
  idOf(nodeId: string): Promise<string | undefined>
  close(): Promise<void>
}

export async function buildWorld(options: { seed: number; size: number }): Promise<World> {
  const random = createRandom(options.seed)
  const startMs = Date.parse('2026-03-01T00:00:00Z')
  const clock = createWheelClock({ startMs, settle })
  const badShare = new Map<string, number>()
  let directory = newDirectory()
  let plane: SimulatedFleet | undefined = await open()
  const watch = createDevicesWatch({ store: () => running().store, now: () => clock.now() })
  const network = createDeviceNetwork({
    clock,
    random,
    controlPlane: () => plane,
    onPassed: watch.onPassed,
    onFault: watch.fault,
  })
  await pushImage(plane)
  const { joinToken } = await plane.call<{ joinToken: string }>(plane.fleet.handlers.joinTokens.create, {
    body: { data: { name: 'fleet', uses: null, expiresInSeconds: 30 * 86_400, deviceLabels: {} } },
  })
  const devices = Array.from({ length: options.size }, (_, index) => {
    const place = { nodeId: `device-${index}`, region: index % regions }
    return createDevice({
      ...place,
      intervalMs: ([15, 30, 60][index % 3] ?? 15) * minuteMs,
      clock,
      random,
      joinToken,
      send: network.send(place),
      target: async (path) => {
        const isCut = plane === undefined || network.partitioned.has(place.region)
        if (isCut || (network.isStormy && random.below(20) === 0)) throw new Error('It was not reached.')
        return plane?.target(path)
      },
      fateOf: (releaseId, nodeId) => fateOf(badShare.get(releaseId) ?? 0, `${releaseId}${nodeId}`),
      isStormy: () => network.isStormy,
      onBegin: watch.onBegin,
      onAction: watch.onAction,
      onFault: watch.fault,
    })
  })

  async function settle(): Promise<void> {
    await turn()
    for (let turns = 0; network.inFlight() > 0 && turns < 5_000; turns++) await turn()
  }

  function running(): SimulatedFleet {
    if (plane === undefined) throw new Error('The control plane is down.')
    return plane
  }

  function open(): Promise<SimulatedFleet> {
    const slow: Clock = {
      ...clock,
      now: () => clock.now(),
      after: (delayMs, callback) => clock.after(Math.max(serverQuantumMs, delayMs), callback),
    }
    return startFleet({
      directory,
      clock: slow,
      random,
      elapsed: () => clock.now() - startMs,
      onProblem: (line) => watch.fault(line.slice(0, 600)),
    })
  }

  return {
    clock,
    random,
    network,
    devices,
    watch,
    badShare,
    plane: running,
    isUp: () => plane !== undefined,
    async restart({ isKilled, downMs }) {
      const before = running()
      const old = directory
      if (isKilled) {
        directory = newDirectory()
        for (const file of readdirSync(old)) {
          if (!/lock|-shm/.test(file)) copyFileSync(join(old, file), join(directory, file))
        }
      }
      plane = undefined
      await before.fleet.stop()
      await before.store.close()
      if (isKilled) rmSync(old, { recursive: true, force: true })
      await clock.advance(downMs)
      plane = await open()
    },
    async pass(durationMs) {
      const endMs = clock.now() + durationMs
      while (clock.now() < endMs) {
        await clock.advance(Math.min(minuteMs, endMs - clock.now()))
        await plane?.store.facts.flush()
      }
    },
    idOf: async (nodeId) => (await running().store.find(deviceKind, 'nodeId', nodeId))?.id,
    async close() {
      for (const device of devices) device.cutPower()
      await plane?.fleet.stop()
      await plane?.store.close()
      rmSync(directory, { recursive: true, force: true })
    },
  }
}

function turn(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve)
  })
}

/** Thousands of commits, each waiting for a disk, would only test the disk; where there is memory for it, it is taken. */
function newDirectory(): string {
  return mkdtempSync(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'freehold-devices-simulation-'))
}

/** The same for a release on a device, however often it tries. */
function fateOf(share: number, text: string): Fate {
  let mixed = 0
  for (let index = 0; index < text.length; index++) mixed = (Math.imul(mixed, 31) + text.charCodeAt(index)) >>> 0
  const at = createRandom(mixed).next()
  if (at >= share) return 'good'
  return at < share / 2 ? 'broken' : 'sick'
}

/** Rows as a push to the registry leaves them; every release is made of this image. */
async function pushImage({ store }: SimulatedFleet): Promise<void> {
  const digest = `sha256:${'1'.repeat(64)}`
  await store.transaction(actor, async (transaction) => {
    await transaction.create(imageKind, {
      data: { name: 'shop/web', description: '', location: { internal: true } as const },
    })
    await transaction.create(manifestKind, {
      data: {
        repository: 'shop/web',
        digest,
        mediaType: 'application/vnd.oci.image.manifest.v1+json',
        size: 100,
        artifactType: 'application/vnd.oci.image.config.v1+json',
        annotations: {},
        blobs: [],
        manifests: [],
        subject: null,
        pushedBy: 'ada',
      },
    })
    await transaction.create(tagKind, {
      data: { repository: 'shop/web', name: '1', digest, pushedBy: 'ada' },
      status: { pushedAt: new Date(0).toISOString() },
    })
  })
}
