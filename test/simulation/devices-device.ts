import type { ReleaseManifest } from '@freehold/contracts'
import type { Clock, Random } from '@freehold/reconcile'
import {
  type AgentParts,
  type Disk,
  DriverLocked,
  newDisk,
  type ReleaseDriver,
  type SimulatedAgent,
  startAgent,
} from '../../packages/device-agent/src/device.testing.ts'

/** How a release fares on a device: `broken` cannot be brought there, `sick` runs and is not well. */
export type Fate = 'good' | 'broken' | 'sick'

/** What a device is besides its agent; outlives power cuts. */
export interface Machine {
  running: string | null
  before: string | null
  isCommitted: boolean
  downloaded: Set<string>
  isLocked: boolean
}

export interface SimulatedDevice {
  readonly nodeId: string
  readonly region: number
  readonly intervalMs: number
  readonly disk: Disk
  readonly machine: Machine
  agent(): SimulatedAgent | undefined
  isAwake(): boolean
  powerOn(): Promise<void>
  /** The power goes, whatever is being done. */
  cutPower(): void
  /** Suspended: nothing runs, and what is due then happens when it wakes. */
  sleep(): void
  wake(): void
}

export interface DeviceOptions extends Pick<AgentParts, 'send' | 'target' | 'joinToken' | 'onFault'> {
  nodeId: string
  region: number
  intervalMs: number
  clock: Clock
  random: Random
  fateOf: (releaseId: string, nodeId: string) => Fate
  /** True: things go wrong that are nobody's fault. */
  isStormy: () => boolean
  /** Told before a release is downloaded, and before it is applied. */
  onBegin: (device: SimulatedDevice, manifest: ReleaseManifest) => void
  onAction: (device: SimulatedDevice, actionId: string) => void
}

/** A device: its agent is real, its clock stops while it sleeps, its time of day is wrong by up to a year. */
export function createDevice(options: DeviceOptions): SimulatedDevice {
  const { nodeId, region, intervalMs, clock, random } = options
  const disk = newDisk(nodeId)
  const manifests = new Map<string, string>()
  const machine: Machine = {
    running: null,
    before: null,
    isCommitted: true,
    downloaded: new Set(),
    isLocked: false,
  }
  const wrongByMs = (random.next() * 2 - 1) * 365 * 86_400_000
  let life: Life | undefined
  let agent: SimulatedAgent | undefined
  let asleepSinceMs: number | null = null
  let boots = 0

  const device: SimulatedDevice = {
    nodeId,
    region,
    intervalMs,
    disk,
    machine,
    agent: () => agent,
    isAwake: () => agent !== undefined && asleepSinceMs === null,
    async powerOn() {
      if (life !== undefined) return
      const born = createLife(clock)
      life = born
      boots += 1
      const started = await startAgent({
        disk,
        clock: born.clock,
        random,
        monotonicMs: born.monotonicMs,
        wallMs: () => clock.now() + wrongByMs,
        bootId: `${nodeId}-${boots}`,
        intervalMs,
        joinToken: options.joinToken,
        send: (request) =>
          born.isOver() ? Promise.reject(new Error('There is no power.')) : options.send(request).then(born.whenAwake),
        driver: driverOf(born),
        act: async ({ id }) => {
          options.onAction(device, id)
          return { outcome: 'done', message: 'It was done.' }
        },
        target: options.target,
        manifests,
        onFault: options.onFault,
      })
      if (born.isOver()) started.die()
      else agent = started
    },
    cutPower() {
      life?.end()
      agent?.die()
      life = undefined
      agent = undefined
      asleepSinceMs = null
    },
    sleep() {
      if (life === undefined || asleepSinceMs !== null) return
      asleepSinceMs = clock.now()
      life.freeze()
    },
    wake() {
      if (asleepSinceMs === null) return
      asleepSinceMs = null
      life?.thaw()
    },
  }

  function driverOf(born: Life): ReleaseDriver {
    const alive = () => {
      if (born.isOver()) throw new Error('There is no power.')
    }
    const take = async (longestMs: number, signal: AbortSignal) => {
      await born.clock.sleep(1_000 + random.below(longestMs), signal)
      signal.throwIfAborted()
      alive()
    }
    const isBad = () => options.isStormy() && random.below(60) === 0
    return {
      name: 'simulated',
      unsupported: async () => null,
      running: async () => {
        alive()
        return machine.running
      },
      async download(manifest, { signal, onProgress }) {
        options.onBegin(device, manifest)
        await take(5 * 60_000, signal)
        onProgress(50)
        await take(5 * 60_000, signal)
        if (isBad() || options.fateOf(manifest.releaseId, nodeId) === 'broken') throw new Error('The image is gone.')
        machine.downloaded.add(manifest.releaseId)
      },
      async apply({ releaseId, ...manifest }, { force, signal }) {
        options.onBegin(device, { releaseId, ...manifest })
        if (machine.isLocked && !force) throw new DriverLocked('An application holds the lock.')
        await take(30_000, signal)
        if (!machine.downloaded.has(releaseId)) throw new Error('It was not downloaded.')
        if (machine.running === releaseId) return 'applied'
        machine.before = machine.running
        machine.isCommitted = false
        machine.running = releaseId
        if (isBad()) throw new Error('A container did not start.')
        return 'applied'
      },
      health: async ({ releaseId }) => {
        const isHealthy = machine.running === releaseId && options.fateOf(releaseId, nodeId) !== 'sick'
        return { isHealthy, message: isHealthy ? 'It is well.' : 'It is sick.', log: isHealthy ? '' : 'last words' }
      },
      commit: async () => {
        alive()
        machine.isCommitted = true
        machine.downloaded = new Set(machine.running === null ? [] : [machine.running])
      },
      async rollBack(signal) {
        await take(30_000, signal)
        if (!machine.isCommitted) {
          machine.isCommitted = true
          machine.running = machine.before
        }
        return 'returned'
      },
    }
  }

  return device
}

interface Life {
  clock: Clock
  monotonicMs(): number
  isOver(): boolean
  /** What comes from outside is noticed once the device is awake. */
  whenAwake<Value>(value: Value): Promise<Value>
  freeze(): void
  thaw(): void
  end(): void
}

/** From power on to power cut: a clock whose timers end with it, and that stands still while the device sleeps. */
function createLife(world: Clock): Life {
  const born = world.now()
  let isOver = false
  let frozenAtMs: number | null = null
  let sleptMs = 0
  let held: (() => void)[] = []
  const run = (callback: () => void) => {
    if (isOver) return
    if (frozenAtMs === null) callback()
    else held.push(callback)
  }
  const clock: Clock = {
    now: () => world.now(),
    after(delayMs, callback) {
      let isCancelled = false
      const cancel = world.after(delayMs, () => run(() => (isCancelled ? undefined : callback())))
      return () => {
        isCancelled = true
        cancel()
      }
    },
    sleep: (delayMs, signal) =>
      new Promise((resolve) => {
        if (signal?.aborted) return resolve()
        const done = () => {
          cancel()
          signal?.removeEventListener('abort', done)
          resolve()
        }
        const cancel = clock.after(delayMs, done)
        signal?.addEventListener('abort', done, { once: true })
      }),
  }
  return {
    clock,
    monotonicMs: () => (frozenAtMs ?? world.now()) - born - sleptMs,
    isOver: () => isOver,
    whenAwake: (value) => new Promise((resolve) => run(() => resolve(value))),
    freeze() {
      frozenAtMs = world.now()
    },
    thaw() {
      if (frozenAtMs === null) return
      sleptMs += world.now() - frozenAtMs
      frozenAtMs = null
      const due = held
      held = []
      for (const callback of due) callback()
    },
    end() {
      isOver = true
      held = []
    },
  }
}
