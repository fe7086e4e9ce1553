import type { AssignedRelease, Assignment } from '@freehold/contracts'
import { DriverLocked, type ReleaseDriver } from './driver.ts'

/** What a device has that outlives the agent: what runs, what was there before, what was downloaded. */
export interface FakeMachine {
  running: string | null
  before: string | null
  isCommitted: boolean
  downloaded: Set<string>
  calls: string[]
  /** Releases that never get well. */
  sick: Set<string>
  /** Releases whose download or application fails. */
  broken: Set<string>
  isLocked: boolean
  /** Without force no release is taken. */
  wantsForce: boolean
  /** `apply` and `rollBack` need a restart to take effect, as of a host. */
  restarts: boolean
  /** It does not answer what runs. */
  isDeaf: boolean
  /** Runs before and after each change, and may throw: the power goes. */
  onMoment: (call: string) => void
}

export function createFakeMachine(change: Partial<FakeMachine> = {}): FakeMachine {
  return {
    running: null,
    before: null,
    isCommitted: true,
    downloaded: new Set(),
    calls: [],
    sick: new Set(),
    broken: new Set(),
    isLocked: false,
    wantsForce: false,
    restarts: false,
    isDeaf: false,
    onMoment: () => undefined,
    ...change,
  }
}

/** Does to the fake machine what a driver does to a device. */
export function createFakeDriver(machine: FakeMachine): ReleaseDriver {
  const call = (name: string) => {
    machine.calls.push(name)
    machine.onMoment(name)
  }
  const switchTo = (releaseId: string | null) => {
    machine.running = releaseId
    machine.onMoment('switched')
  }
  return {
    name: 'fake',
    unsupported: async (_manifest, _signal, asked) =>
      machine.wantsForce && asked?.force !== true ? 'It is older than what runs.' : null,
    running: async () => (machine.isDeaf ? new Promise<never>(() => undefined) : machine.running),
    download: async ({ releaseId }, { onProgress }) => {
      call(`download ${releaseId}`)
      if (machine.broken.has(releaseId)) throw new Error('The image is gone.')
      onProgress(50)
      machine.downloaded.add(releaseId)
      machine.onMoment('downloaded')
    },
    apply: async ({ releaseId }, { force }) => {
      call(`apply ${releaseId}`)
      if (machine.isLocked && !force) throw new DriverLocked('An application holds the lock.')
      if (!machine.downloaded.has(releaseId)) throw new Error('It was not downloaded.')
      if (machine.running !== releaseId) {
        machine.before = machine.running
        machine.isCommitted = false
        switchTo(releaseId)
      }
      return machine.restarts ? 'restarting' : 'applied'
    },
    health: async ({ releaseId }) => {
      const isHealthy = machine.running === releaseId && !machine.sick.has(releaseId)
      return { isHealthy, message: isHealthy ? 'It is well.' : 'It is sick.', log: isHealthy ? '' : 'last words' }
    },
    commit: async ({ releaseId }) => {
      call(`commit ${releaseId}`)
      machine.isCommitted = true
    },
    rollBack: async () => {
      call('roll back')
      if (!machine.isCommitted) {
        machine.isCommitted = true
        switchTo(machine.before)
      }
      return machine.restarts ? 'restarting' : 'returned'
    },
  }
}

export function assignedRelease(releaseId: string, change: Partial<AssignedRelease> = {}): AssignedRelease {
  return {
    releaseId,
    version: '1.0.0',
    target: 'releases/kiosk/1.0.0/manifest.json',
    sha256: 'a'.repeat(64),
    rolloutId: null,
    attempt: 1,
    window: null,
    soakSeconds: 30,
    force: false,
    held: false,
    ...change,
  }
}

export function assignmentOf(change: Partial<Assignment> = {}): Assignment {
  return {
    _type: 'assignment',
    nodeId: 'kiosk-7',
    counter: 1,
    issuedAt: '2030-01-01T00:00:00.000Z',
    expiresAt: '2030-01-08T00:00:00.000Z',
    app: null,
    host: null,
    actions: [],
    ...change,
  }
}
