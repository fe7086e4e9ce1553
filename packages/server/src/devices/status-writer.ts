import { type Device, type DeviceSummary, deviceKind } from '@freehold/contracts'
import type { Actor, Store } from '@freehold/store'
import { createHaste } from './haste.ts'

type Status = Device['status']
type Change = (status: Status) => Status

/** Few enough that other work gets its turn between two batches. */
const batchSize = 100
/** After its first change of a failed update so many more are written of one device at once, then one in ten minutes. */
const updateHaste = { burst: 6, spacingMs: 10 * 60_000 }
const actor: Actor = { type: 'system', id: 'devices', name: 'devices' }

/**
 * Writes what is said about devices into their status, together: one transaction for up to a hundred of them. This is
 * where the events come from that the change feed and the audit log have: a device came, went offline, is doubled. A
 * device that says now this and now that of its update is written less often; what it said last is written in the end.
 */
export function createStatusWriter(options: {
  store: Store
  now: () => number
  /** What is known of the device now, for the lines of the status that lists show. */
  snapshot: (
    deviceId: string,
  ) => { lastHeartbeatAt: string; intervalMs: number; summary: DeviceSummary | null } | undefined
}) {
  const { store, snapshot } = options
  let waiting = new Map<string, Change>()
  const hasty = createHaste({ ...updateHaste, now: options.now })
  const heldUpdates = new Map<string, Status['updateFailure']>()
  const updatesInWriting = new Set<string>()

  function add(deviceId: string, change: Change): void {
    const before = waiting.get(deviceId)
    waiting.set(deviceId, before === undefined ? change : (status) => change(before(status)))
  }

  function mark(deviceId: string, state: 'online' | 'offline', message: string, atMs: number): void {
    add(deviceId, (status) => {
      if (status.state === 'revoked' || status.state === 'waiting') return status
      const since = status.state === state ? status.since : new Date(atMs).toISOString()
      return { ...status, ...snapshot(deviceId), state, message, since }
    })
  }

  function markUpdate(deviceId: string, updateFailure: Status['updateFailure']): void {
    if (hasty.take(deviceId) > 0) {
      heldUpdates.set(deviceId, updateFailure)
      return
    }
    heldUpdates.delete(deviceId)
    updatesInWriting.add(deviceId)
    add(deviceId, (status) => ({ ...status, updateFailure }))
  }

  return {
    markOnline: (deviceId: string, atMs: number) => mark(deviceId, 'online', 'Heard.', atMs),
    markOffline: (deviceId: string, silentMs: number, atMs: number) =>
      mark(deviceId, 'offline', `Not heard for ${Math.round(silentMs / 1000)} s.`, atMs),
    markUpdate,
    /** True where the store does not say yet what was marked last. */
    isUpdateWaiting: (deviceId: string) => heldUpdates.has(deviceId) || updatesInWriting.has(deviceId),
    markClone: (deviceId: string, atMs: number) =>
      add(deviceId, (status) => ({
        ...status,
        clone: {
          at: new Date(atMs).toISOString(),
          message:
            'Two devices take turns under this identity: the storage of one was copied to the other. Wipe one of them and let it register anew.',
        },
      })),
    waiting: () => waiting.size,
    /** Writes one batch. Resolves to whether there was anything to write. */
    async write(): Promise<boolean> {
      for (const [id, updateFailure] of heldUpdates) markUpdate(id, updateFailure)
      if (waiting.size === 0) return false
      const batch = [...waiting].slice(0, batchSize)
      for (const [id] of batch) waiting.delete(id)
      try {
        await store.transaction(actor, async (transaction) => {
          for (const [id, change] of batch) {
            const device = await transaction.get(deviceKind, id)
            if (device !== undefined) await transaction.setStatus(deviceKind, id, change(device.status))
          }
        })
      } catch (error) {
        const newer = waiting
        waiting = new Map(batch)
        for (const [id, change] of newer) add(id, change)
        throw error
      }
      for (const [id] of batch) if (!waiting.has(id)) updatesInWriting.delete(id)
      return true
    },
  }
}
export type StatusWriter = ReturnType<typeof createStatusWriter>
