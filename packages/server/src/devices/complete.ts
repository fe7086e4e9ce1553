import { type Device, deviceKind } from '@freehold/contracts'
import type { Actor, Store } from '@freehold/store'

/** Few enough that other work gets its turn between two batches. */
const batchSize = 100
const actor: Actor = { type: 'system', id: 'devices', name: 'devices' }
const addedData = { pinnedAppReleaseId: null, pinnedHostReleaseId: null, actions: [] } satisfies Partial<Device['data']>
const addedStatus = { updateFailure: null } satisfies Partial<Device['status']>

/**
 * Gives devices that an older version stored the fields it did not know, so that nobody else must ask whether they are
 * there. They are found by an index, so that it costs one look where there are none; a process that dies in between
 * goes on with the rest.
 */
export async function completeDevices(store: Store): Promise<void> {
  for (;;) {
    const { items } = await store.list(deviceKind, { where: { incomplete: 'yes' }, limit: batchSize })
    if (items.length === 0) return
    await store.transaction(actor, async (transaction) => {
      for (const { id } of items) {
        const device = await transaction.get(deviceKind, id)
        if (device === undefined) continue
        await transaction.update(deviceKind, id, { data: { ...addedData, ...device.data } })
        await transaction.setStatus(deviceKind, id, { ...addedStatus, ...device.status })
      }
    })
  }
}
