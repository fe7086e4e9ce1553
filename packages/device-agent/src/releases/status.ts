import type { DeviceStatus } from '@freehold/contracts'
import type { Refusal } from '../updates/index.ts'
import { actionsStatus } from './actions.ts'
import type { Half, HalfName } from './half.ts'
import type { Seen } from './plan.ts'
import type { StoredReleases } from './stored.ts'

type ReleasesStatus = NonNullable<DeviceStatus['releases']>

/** What a process that only reports knows; the one that runs knows more. */
export function storedStatus(stored: StoredReleases | undefined): Pick<DeviceStatus, 'releases' | 'actions'> {
  if (!stored) return { releases: null, actions: [] }
  const none = { app: null, host: null }
  const releases = releasesStatus({ stored, seen: null, reasons: none, progress: none, refusal: null })
  return { releases, actions: actionsStatus(stored.actions) }
}

/** What is reported; null where this device never had anything to do with releases. */
export function releasesStatus(options: {
  stored: StoredReleases
  seen: Record<HalfName, Pick<Seen, 'running' | 'soak'>> | null
  reasons: Record<HalfName, string | null>
  progress: Record<HalfName, number | null>
  refusal: Refusal | null
}): ReleasesStatus | null {
  const { stored, seen, reasons, progress, refusal } = options
  const { trust, newest, app, host } = stored
  if (newest === null && refusal === null && app === null && host === null) return null
  const half = (name: HalfName) => {
    const told = stored[name]
    return told && progressOf(told, { reason: reasons[name], percent: progress[name], seen: seen?.[name] ?? null })
  }
  const { root, timestamp, snapshot, targets } = trust.seen
  return {
    app: half('app'),
    host: half('host'),
    counter: newest?.counter ?? null,
    refusal,
    trusted: { root, timestamp, snapshot, targets },
  }
}

function progressOf(
  half: Half,
  options: { reason: string | null; percent: number | null; seen: Pick<Seen, 'running' | 'soak'> | null },
): NonNullable<ReleasesStatus['app']> {
  const { reason, percent, seen } = options
  const { releaseId, version, attempt, phase, message, log } = half
  return {
    releaseId,
    version,
    attempt,
    // A release that is being left is still the one that was watched, until it is gone.
    state: phase === 'rolling-back' ? 'soaking' : phase,
    message: (phase === 'rolling-back' ? `It is being left again. ${message}` : (reason ?? message)).slice(0, 1000),
    downloadProgress: phase === 'downloading' ? percent : null,
    running: seen?.running ?? null,
    log: log === '' ? null : log.slice(-8000),
  }
}
