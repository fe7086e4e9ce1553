import { type Device, deviceCredentialKind, deviceKind } from '@freehold/contracts'
import type { Store, Stored } from '@freehold/store'
import type { Keeper } from './keeper.ts'
import { connectionOf, updateFailureKey } from './kind.ts'
import type { Live } from './live.ts'
import type { Presence } from './presence.ts'
import type { StatusWriter } from './status-writer.ts'

/** After a start, or a time in which nobody was heard, every device has this long to come back before it is judged. */
const graceMs = 5 * 60_000
/** So many devices do not fall silent at once: then it is us who are cut off. */
const deafDevices = 20
const deafMs = 30_000
const scanPage = 500
const scanEveryMs = 10 * 60_000
const retiredAtOnce = 200
const changesPage = 500

/**
 * Sees who fell silent. It judges by the time in which it could have heard: a restart of the control plane, or a
 * network that was gone, makes nobody offline who comes back, and so writes nothing.
 */
export function createWatcher(options: {
  store: Store
  presence: Presence
  statuses: StatusWriter
  keeper: Pick<Keeper, 'retire'>
  now: () => number
}) {
  const { store, presence, statuses, keeper, now } = options
  let listeningSinceMs = now()
  let lastLookMs = now()
  let scan: { cursor: string | null } | undefined
  let scannedAtMs = now()

  /** One look at everybody who was heard. */
  async function look(): Promise<void> {
    const nowMs = now()
    // A process that stood still (a suspended machine) could not hear either.
    if (nowMs - lastLookMs > deafMs || isDeaf(presence, nowMs)) listeningSinceMs = nowMs
    lastLookMs = nowMs
    const gone: Live[] = []
    for (const live of presence.all()) {
      if (!isGone(live, nowMs)) continue
      gone.push(live)
      if (gone.length === retiredAtOnce) break
    }
    for (const live of gone) statuses.markOffline(live.id, nowMs - live.lastAtMs, nowMs)
    // Its last report goes into the status too, so it is written before it is let go.
    while (gone.length > 0 && (await statuses.write()));
    await keeper.retire(gone.filter((live) => isGone(live, now())))
    await scanStored(nowMs)
  }

  function isGone(live: Live, nowMs: number): boolean {
    return isSilent({ lastAtMs: live.lastAtMs, intervalMs: live.intervalMs }, nowMs)
  }

  function isSilent(heard: { lastAtMs: number; intervalMs: number }, nowMs: number): boolean {
    const silentMs = nowMs - heard.lastAtMs
    const heardOfMs = nowMs - listeningSinceMs - graceMs
    return (
      connectionOf(silentMs, heard.intervalMs) === 'offline' &&
      (heard.lastAtMs > listeningSinceMs || connectionOf(Math.max(0, heardOfMs), heard.intervalMs) === 'offline')
    )
  }

  /** Devices that were online when the process before ended and did not come back; a page at a time. */
  async function scanStored(nowMs: number): Promise<void> {
    if (scan === undefined) {
      if (nowMs - scannedAtMs < scanEveryMs) return
      scan = { cursor: null }
    }
    const page = await store.list(deviceKind, {
      where: { state: 'online' },
      limit: scanPage,
      ...(scan.cursor === null ? {} : { cursor: scan.cursor }),
    })
    for (const device of page.items) {
      const heard = heardOf(device)
      if (presence.get(device.id) !== undefined || !isSilent(heard, nowMs)) continue
      statuses.markOffline(device.id, nowMs - heard.lastAtMs, nowMs)
    }
    scan = page.nextCursor === null ? undefined : { cursor: page.nextCursor }
    if (scan === undefined) scannedAtMs = nowMs
  }

  return { look }
}

function isDeaf(presence: Presence, nowMs: number): boolean {
  if (presence.size() < deafDevices) return false
  let lastAtMs = 0
  let leastIntervalMs = Number.POSITIVE_INFINITY
  for (const live of presence.all()) {
    // One is enough, and it is among the first.
    if (nowMs - live.lastAtMs <= deafMs) return false
    lastAtMs = Math.max(lastAtMs, live.lastAtMs)
    leastIntervalMs = Math.min(leastIntervalMs, live.intervalMs)
  }
  return nowMs - lastAtMs > Math.max(deafMs, leastIntervalMs)
}

function heardOf({ status }: Device): { lastAtMs: number; intervalMs: number } {
  return { lastAtMs: Date.parse(status.lastHeartbeatAt ?? status.since), intervalMs: status.intervalMs ?? 60_000 }
}

/** Follows what others change about devices and their tokens, so that nothing that was looked up stays wrong. */
export function createFollower(options: {
  store: Store
  presence: Presence
  statuses: Pick<StatusWriter, 'isUpdateWaiting'>
  onError: (error: unknown) => void
}) {
  const { store, presence, statuses, onError } = options
  let position: number | undefined
  let following: Promise<void> | undefined
  let wanted = false

  function wake(): void {
    wanted = true
    following ??= follow().finally(() => {
      following = undefined
    })
  }

  async function follow(): Promise<void> {
    while (wanted) {
      wanted = false
      try {
        await readAll()
      } catch (error) {
        onError(error)
        position = undefined
        for (const live of presence.all()) presence.distrust(live.id)
      }
    }
  }

  async function readAll(): Promise<void> {
    for (;;) {
      // Where nothing was read yet, nothing was looked up either.
      position ??= await store.version()
      const head = await store.version()
      if (head === position) return
      const changes = await store.changes(position, {
        kinds: [deviceKind.name, deviceCredentialKind.name],
        limit: changesPage,
      })
      for (const change of changes) apply(change)
      const last = changes.at(-1)?.version ?? head
      position = changes.length < changesPage ? Math.max(head, last) : last
    }
  }

  function apply(change: Awaited<ReturnType<Store['changes']>>[number]): void {
    if (change.kind === deviceCredentialKind.name) {
      const credential = (change.after ?? change.before) as Stored<typeof deviceCredentialKind> | null | undefined
      if (credential) presence.distrust(credential.data.deviceId)
      return
    }
    const live = presence.get(change.id)
    if (live === undefined) return
    if (change.operation !== 'status') presence.distrust(change.id)
    const after = change.after as Device | null
    if (after !== null) {
      live.hasClone = after.status.clone !== null
      live.storedState = after.status.state
      // What the device said since is newer than what was written.
      if (!statuses.isUpdateWaiting(change.id)) live.updateFailure = updateFailureKey(after.status.updateFailure)
    }
  }

  return { wake, settled: async () => following }
}
