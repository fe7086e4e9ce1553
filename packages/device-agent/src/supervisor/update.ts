import type { DeviceStatus } from '@freehold/contracts'
import type { SupervisorApps, SupervisorDevice } from './client.ts'

/** An update that was asked for; it outlives the agent, which may be what the update replaces. */
export interface PendingUpdate {
  id: string
  /** `command`, `local-api` or `control-plane`. */
  requestedBy: string
  /** What ran before; null where the Supervisor did not tell. */
  commitBefore: string | null
}

export type Outcome = 'requested' | 'applying' | 'applied' | 'locked' | 'failed' | 'nothing-new' | 'ignored' | 'unknown'
export type UpdateStatus = NonNullable<DeviceStatus['update']>

/** One look at the Supervisor, `atMs` after the request; `problem` where it could not be asked. */
export interface Look {
  atMs: number
  device: SupervisorDevice | null
  apps: SupervisorApps | null
  problem: string | null
}

/** What was seen so far of one update. */
export interface Watch {
  outcome: Outcome
  message: string
  commitAfter: string | null
  /** Something was under way at one of the looks: a download, a missing commit, an application. */
  moved: boolean
  /** Since when every look has shown the same. */
  same: { as: Outcome; sinceMs: number; looks: number } | null
  /** Nothing more will come of it. */
  settled: boolean
}

export const newWatch: Watch = {
  outcome: 'requested',
  message: 'The Supervisor was asked and has not shown anything yet.',
  commitAfter: null,
  moved: false,
  same: null,
  settled: false,
}

/** How long a picture must stay the same before it is believed, and how long a watch lasts in all. */
export interface WatchLimits {
  /** The Supervisor begins within two seconds of a request; with nothing begun for this long there is nothing new. */
  idleMs: number
  /** It clears its flags between attempts; a lock or failure is believed when it stays. */
  stuckMs: number
  totalMs: number
}

export const watchLimits: WatchLimits = { idleMs: 15_000, stuckMs: 4_000, totalMs: 15 * 60_000 }

/**
 * What a look adds. `/v1/update` answers 204 whatever will come of it, so only what the Supervisor shows later counts:
 * another commit and everything applied is `applied`; the same commit and nothing begun is `nothing-new`; all three
 * flags without a commit is what a lock looks like; a failure flag without a download is a failure. Locks open
 * and failures are tried again, so both stay watched until the limit.
 */
export function look(watch: Watch, pending: PendingUpdate, seen: Look, limits: WatchLimits = watchLimits): Watch {
  if (watch.settled) return watch
  const picture = pictureOf(pending, seen, watch.moved)
  const same =
    watch.same?.as === picture.as
      ? { ...watch.same, looks: watch.same.looks + 1 }
      : { as: picture.as, sinceMs: seen.atMs, looks: 1 }
  const lasted = seen.atMs - same.sinceMs
  const isOver = seen.atMs >= limits.totalMs
  const moved = watch.moved || picture.as === 'applying' || picture.as === 'locked'
  const next = { ...watch, moved, same }
  switch (picture.as) {
    case 'applied':
      return { ...next, ...told(picture), commitAfter: seen.device?.commit ?? null, settled: true }
    case 'nothing-new': {
      const isBelieved = lasted >= limits.idleMs && same.looks >= 3
      if (isBelieved) return { ...next, ...told(picture), commitAfter: seen.device?.commit ?? null, settled: true }
      break
    }
    case 'locked':
    case 'failed':
      if (lasted >= limits.stuckMs && same.looks >= 2) return { ...next, ...told(picture), settled: isOver }
      break
    case 'applying':
      if (!isOver) return { ...next, ...told(picture) }
      break
    case 'unknown':
      return isOver ? { ...next, ...told(picture), settled: true } : { ...next, message: picture.message }
  }
  if (!isOver) return next
  const message = `It was still not done after ${Math.round(limits.totalMs / 60_000)} minutes. ${picture.message}`
  return { ...next, outcome: 'unknown', message, settled: true }
}

/** What one look shows by itself. */
function pictureOf(pending: PendingUpdate, seen: Look, moved: boolean): { as: Outcome; message: string } {
  const { device, apps } = seen
  if (!device) return { as: 'unknown', message: seen.problem ?? 'The Supervisor did not answer.' }
  const isDownloading = device.downloadProgress !== null && device.downloadProgress < 100
  if (device.updateFailed && device.updateDownloaded && device.commit === null) {
    return { as: 'locked', message: 'It is downloaded and waits: an update lock is held. The Supervisor tries again.' }
  }
  if (device.updateFailed) {
    return { as: 'failed', message: 'The Supervisor says that the update failed; it tries again by itself.' }
  }
  if (device.commit === null || device.updatePending || isDownloading || (apps !== null && apps.state !== 'applied')) {
    const share = isDownloading ? ` ${Math.round(device.downloadProgress ?? 0)} % are downloaded.` : ''
    return { as: 'applying', message: `The Supervisor is at it.${share}` }
  }
  if (apps === null) return { as: 'unknown', message: seen.problem ?? 'The state of the applications is not known.' }
  if (pending.commitBefore !== null && device.commit !== pending.commitBefore) {
    return { as: 'applied', message: `Release ${device.commit} runs.` }
  }
  if (pending.commitBefore === null && moved) return { as: 'applied', message: `Release ${device.commit} runs.` }
  return { as: 'nothing-new', message: 'There is no newer release for this device.' }
}

function told(picture: { as: Outcome; message: string }): { outcome: Outcome; message: string } {
  return { outcome: picture.as, message: picture.message }
}

/** What a watch tells the control plane and people. */
export function updateStatus(watch: Watch, pending: PendingUpdate, elapsedMs: number): UpdateStatus {
  return {
    id: pending.id,
    requestedBy: pending.requestedBy,
    outcome: watch.outcome,
    message: watch.message,
    commitBefore: pending.commitBefore,
    commitAfter: watch.commitAfter,
    elapsedMs: Math.round(elapsedMs),
  }
}
