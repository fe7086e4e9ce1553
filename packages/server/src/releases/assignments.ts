import { deviceKind, type ReleaseType, releaseRolloutKind, releaseTypes } from '@freehold/contracts'
import type { Store } from '@freehold/store'
import type { KeptAssignment, StoredAssignment } from './kind.ts'

const factOf = { app: 'assignedApp', host: 'assignedHost' } as const
const factNames = Object.values(factOf)
/** Devices whose facts are read at once. */
const batchSize = 500

export interface AssignmentChange {
  deviceId: string
  type: ReleaseType
  /** Null: takes it back; the device keeps what is there. */
  releaseId: string | null
  /** Null: no rollout decided it, as when everything goes back to what it was. */
  rolloutId: string | null
  attempt: number
}

/** What devices were assigned. */
export interface Assignments {
  /** Those that have one, by device. */
  get(deviceIds: readonly string[], type: ReleaseType): Promise<Map<string, StoredAssignment>>
  /** Durable when it resolves; then the devices hear of it with their next heartbeat. */
  assign(changes: readonly AssignmentChange[]): Promise<void>
}

/**
 * Assignments are facts of the device: there are as many as devices, rollouts change all of them, and the audit log has
 * the rollout. Each is small, the newest alone counts, and it goes with the device.
 */
export function createAssignments(options: {
  store: Store
  now: () => number
  /** Called with the devices whose assignment changed, once that is durable. */
  onAssigned: (deviceIds: readonly string[]) => void
}) {
  const { store, now, onAssigned } = options
  let waiting: Promise<void> | undefined
  let flushing: Promise<void> = Promise.resolve()

  /** Whoever comes while facts are being written waits for the next writing, together with all others. */
  function flush(): Promise<void> {
    waiting ??= flushing.then(() => {
      waiting = undefined
      const flushed = store.facts.flush()
      flushing = flushed.catch(() => {})
      return flushed
    })
    return waiting
  }

  async function keptOf(deviceId: string): Promise<Record<ReleaseType, KeptAssignment | undefined>> {
    const facts = await store.facts.get(deviceKind, deviceId, factNames)
    return { app: readKept(facts, 'app'), host: readKept(facts, 'host') }
  }

  async function keptOfMany(deviceIds: readonly string[], type: ReleaseType): Promise<Map<string, KeptAssignment>> {
    const found = new Map<string, KeptAssignment>()
    for (let at = 0; at < deviceIds.length; at += batchSize) {
      const facts = await store.facts.getMany(deviceKind, deviceIds.slice(at, at + batchSize), [factOf[type]])
      for (const [id, values] of facts) {
        const kept = readKept(values, type)
        if (kept !== undefined) found.set(id, kept)
      }
    }
    return found
  }

  async function assign(changes: readonly AssignmentChange[]): Promise<void> {
    const at = new Date(now()).toISOString()
    const channels = await channelsOf(changes)
    for (const { deviceId, type, releaseId, rolloutId, attempt } of changes) {
      const channelId = channels.get(rolloutId ?? keyOf(deviceId, type)) ?? null
      const kept: KeptAssignment = { releaseId, rolloutId, attempt, channelId, at }
      store.facts.set(deviceKind, deviceId, factOf[type], kept)
    }
    await flush()
    onAssigned(changes.map(({ deviceId }) => deviceId))
  }

  /** The channel each change belongs to: its rollout's; of one without a rollout, that of the assignment before. */
  async function channelsOf(changes: readonly AssignmentChange[]): Promise<Map<string, string | null>> {
    const channels = new Map<string, string | null>()
    for (const rolloutId of new Set(changes.map((change) => change.rolloutId))) {
      if (rolloutId === null) continue
      channels.set(rolloutId, (await store.get(releaseRolloutKind, rolloutId))?.data.channelId ?? null)
    }
    for (const type of releaseTypes) {
      const ids = changes
        .filter((change) => change.rolloutId === null && change.type === type)
        .map((one) => one.deviceId)
      for (const [id, kept] of await keptOfMany(ids, type)) channels.set(keyOf(id, type), kept.channelId)
    }
    return channels
  }

  return {
    keptOf,
    get: keptOfMany,
    assign,
    /**
     * What a device gets that joins a channel; durable when it resolves. It counts as stored when the channel got the
     * release, `since`, so that whatever the channel gets after that is newer, also what it had got already unheard.
     */
    async join(input: {
      deviceId: string
      type: ReleaseType
      releaseId: string
      channelId: string
      attempt: number
      since: string | null
    }): Promise<KeptAssignment> {
      const { deviceId, type, releaseId, channelId, attempt } = input
      const at = input.since ?? new Date(now()).toISOString()
      const kept: KeptAssignment = { releaseId, rolloutId: null, attempt, channelId, at }
      store.facts.set(deviceKind, deviceId, factOf[type], kept)
      await flush()
      return kept
    },
  }
}
export type KeptAssignments = ReturnType<typeof createAssignments>

/** What the facts of a device say of one half. */
export function readKept(facts: Record<string, unknown>, type: ReleaseType): KeptAssignment | undefined {
  return facts[factOf[type]] as KeptAssignment | undefined
}

const keyOf = (deviceId: string, type: ReleaseType) => `${deviceId}/${type}`
