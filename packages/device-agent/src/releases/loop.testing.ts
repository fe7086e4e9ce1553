import type { Assignment } from '@freehold/contracts'
import { canonicalSignedJson } from '@freehold/contracts/lean'
import { createFakeClock, createRandom } from '@freehold/reconcile'
import { createLog } from '../log.ts'
import type { Urgency } from '../nudge.ts'
import { createRedactor } from '../secret.ts'
import { createState, type DeviceState } from '../state/index.ts'
import { openStateStore } from '../state/store.ts'
import { sha256, testManifest } from '../updates/repository.testing.ts'
import type { ReleaseDriver } from './driver.ts'
import type { HalfName } from './half.ts'
import { createReleases } from './index.ts'
import type { Judge } from './judge.ts'
import { assignedRelease, createFakeDriver, type FakeMachine } from './plan.testing.ts'

export const second = 1_000
export const minute = 60 * second
export const startMs = Date.parse('2030-01-02T12:00:00Z')
export const ids = { old: uuid(1), new: uuid(2), newer: uuid(3), host: uuid(4) }
export function uuid(number: number): string {
  return `01890a5d-ac96-774b-bcce-b30209900${String(number).padStart(3, '0')}`
}

const texts = Object.entries(ids).map(([name, releaseId]) =>
  canonicalSignedJson(testManifest({ releaseId, type: name === 'host' ? 'host' : 'app' })),
)
const textOf = new Map(texts.map((text) => [sha256(text), text]))
const shaOf = new Map(texts.map((text) => [String(JSON.parse(text).releaseId), sha256(text)]))

export const assigned = (releaseId: string, change: Parameters<typeof assignedRelease>[1] = {}) =>
  assignedRelease(releaseId, { sha256: shaOf.get(releaseId) ?? '', ...change })

export const phaseOfCall: Record<string, string> = {
  download: 'downloading',
  apply: 'applying',
  roll: 'rolling-back',
  commit: 'soaking',
}

export class PowerCut extends Error {}

/** A device in memory: its disk and its machine outlive the agent, which starts anew after each power cut. */
export async function deviceOf(options: { app?: FakeMachine; host?: FakeMachine; assignment: Assignment | null }) {
  const clock = createFakeClock({ startMs })
  const machines: Partial<Record<HalfName, FakeMachine>> = { app: options.app, host: options.host } as never
  const disk: { state: DeviceState; onSave: (when: 'before' | 'after') => void } = {
    state: createState({ nodeId: 'kiosk-7' }),
    onSave: () => undefined,
  }
  disk.state = { ...disk.state, releases: { ...disk.state.releases, assignment: options.assignment } }
  let isNew = false
  const device = {
    clock,
    disk,
    machines,
    /** Answers of the control plane reach the agent. */
    isOnline: true,
    acted: [] as string[],
    /** How soon the control plane was to hear of each change. */
    changes: [] as Urgency[],
    /** What a report said at each change of the app: its state, and the release that runs. */
    told: [] as string[],
    boots: 0,
    agent: undefined as Awaited<ReturnType<typeof boot>> | undefined,
    assign: async (assignment: Assignment | null) => {
      await device.agent?.store.change((state) => ({ ...state, releases: { ...state.releases, assignment } }))
      isNew = true
      device.agent?.releases.noteAnswer()
    },
    /** The power goes and comes again; what the agent had in memory is lost. */
    cutPower: async () => {
      device.agent?.die()
      for (const machine of Object.values(machines)) if (machine) machine.restarts &&= true
      device.agent = await boot()
    },
    /** Lets time pass, with a heartbeat answered every ten seconds while online. */
    pass: async (durationMs: number) => {
      for (let passedMs = 0; passedMs < durationMs; passedMs += 10 * second) {
        await clock.advance(10 * second)
        if (device.isOnline) device.agent?.releases.noteAnswer()
      }
    },
    half: (name: HalfName = 'app') => disk.state.releases[name],
    reported: (name: HalfName = 'app') => device.agent?.releases.status().releases?.[name] ?? null,
  }
  const boot = async () => {
    device.boots += 1
    const life = { isOver: false }
    const alive = () => {
      if (life.isOver) throw new PowerCut('There is no power.')
    }
    const file = {
      load: async () => ({ state: disk.state, problem: null }),
      save: async (state: DeviceState) => {
        alive()
        disk.onSave('before')
        alive()
        disk.state = structuredClone(state)
        disk.onSave('after')
        alive()
      },
    }
    const store = await openStateStore({ file, nodeId: null })
    const judge: Judge = {
      run: async () => {
        isNew = false
        return { isChanged: false, againInMs: 24 * 60 * minute }
      },
      isDue: () => isNew,
      again: () => undefined,
      refusal: () => null,
      wantsAnew: () => false,
      noteAskedAnew: () => undefined,
    }
    const drivers = { app: driverOf(machines.app, alive), host: driverOf(machines.host, alive) }
    const redactor = createRedactor()
    const releases = createReleases({
      store,
      drivers,
      judge,
      act: async ({ id }) => {
        alive()
        device.acted.push(id)
        return { outcome: 'done', message: 'It was done.' }
      },
      manifestText: async (hash) => textOf.get(hash) ?? null,
      kernelBootId: `boot-${device.boots}`,
      clock,
      random: createRandom(1),
      monotonicMs: () => clock.now(),
      believedMs: () => (device.isOnline ? clock.now() : null),
      redactor,
      log: createLog({ write: () => undefined, redactor, level: 'silent' }),
      onChange: (urgency) => {
        device.changes.push(urgency)
        const app = device.reported()
        if (app) device.told.push(`${app.state}, ${app.running} runs`)
      },
    })
    releases.start()
    const die = () => {
      life.isOver = true
      void releases.stop()
    }
    return { releases, store, die }
  }
  device.agent = await boot()
  return device
}

/** A driver whose calls do nothing once the agent that made them is dead. */
function driverOf(machine: FakeMachine | undefined, alive: () => void): ReleaseDriver | null {
  if (!machine) return null
  const driver = createFakeDriver({
    ...machine,
    get running() {
      return machine.running
    },
    set running(value) {
      alive()
      machine.running = value
    },
    get before() {
      return machine.before
    },
    set before(value) {
      alive()
      machine.before = value
    },
    get isCommitted() {
      return machine.isCommitted
    },
    set isCommitted(value) {
      alive()
      machine.isCommitted = value
    },
    get isDeaf() {
      return machine.isDeaf
    },
    get isLocked() {
      return machine.isLocked
    },
    onMoment: (call) => {
      alive()
      machine.onMoment(call)
      alive()
    },
  })
  return driver
}
