/** What is remembered of releases, as a part of the state file. */
import type { Assignment } from '@freehold/contracts'
import { fieldsOf, flagOf, isFields, listOf, numberOf, textOf } from '../parse.ts'
import { type NewestAssignment, noTrust, readAssignment, type Trust, type Zone } from '../updates/index.ts'
import type { ActionRecord } from './actions.ts'
import { type Half, phases } from './half.ts'

export interface StoredReleases {
  trust: Trust
  newest: NewestAssignment | null
  /** SHA-256 of what came and was judged to its end: the assignment's text and the time zone. */
  judged: string | null
  /** The highest time that was believed when an assignment was trusted. */
  believedMs: number
  /** Trusted; null: none. */
  assignment: Assignment | null
  zone: Zone | null
  app: Half | null
  host: Half | null
  actions: ActionRecord[]
}

export const noReleases: StoredReleases = {
  trust: noTrust,
  newest: null,
  judged: null,
  believedMs: 0,
  assignment: null,
  zone: null,
  app: null,
  host: null,
  actions: [],
}

/** What cannot be read is as if it were not there, each part by itself. */
export function readStoredReleases(value: unknown): StoredReleases {
  const stored = fieldsOf(value)
  const assignment = readAssignment(stored.assignment)
  return {
    trust: trustOf(stored.trust),
    newest: newestOf(stored.newest),
    judged: assignment ? hashOf(stored.judged) : null,
    believedMs: wholeOf(stored.believedMs),
    assignment,
    zone: zoneOf(stored.zone),
    app: halfOf(stored.app),
    host: halfOf(stored.host),
    actions: listOf(stored.actions, 32, actionOf).flatMap((record) => (record ? [record] : [])),
  }
}

function trustOf(value: unknown): Trust {
  const { firstRootSha256, seen } = fieldsOf(value)
  const { root, timestamp, snapshot, targets, keys } = fieldsOf(seen)
  return {
    firstRootSha256: hashOf(firstRootSha256),
    seen: {
      root: wholeOf(root),
      timestamp: wholeOf(timestamp),
      snapshot: wholeOf(snapshot),
      targets: wholeOf(targets),
      keys: textOf(keys, 8000) ?? '',
    },
  }
}

function newestOf(value: unknown): NewestAssignment | null {
  const { counter, sha256 } = fieldsOf(value)
  const hash = hashOf(sha256)
  return Number.isSafeInteger(counter) && hash !== null ? { counter: Number(counter), sha256: hash } : null
}

function zoneOf(value: unknown): Zone | null {
  if (!isFields(value)) return null
  const offsets = listOf(value.offsets, 100, (entry): Zone['offsets'] => {
    const [fromMs, minutes] = Array.isArray(entry) ? [numberOf(entry[0]), numberOf(entry[1])] : [null, null]
    return fromMs === null || minutes === null ? [] : [[fromMs, minutes]]
  }).flat()
  return { name: textOf(value.name, 64), offsets, problem: textOf(value.problem, 500) }
}

function halfOf(value: unknown): Half | null {
  const stored = fieldsOf(value)
  const [releaseId, sha256] = [textOf(stored.releaseId, 64), hashOf(stored.sha256)]
  const phase = phases.find((known) => known === stored.phase)
  if (releaseId === null || sha256 === null || phase === undefined) return null
  return {
    releaseId,
    version: textOf(stored.version, 64) ?? '',
    sha256,
    attempt: numberOf(stored.attempt) ?? 1,
    soakSeconds: wholeOf(stored.soakSeconds),
    phase,
    message: textOf(stored.message, 1000) ?? '',
    log: typeof stored.log === 'string' ? stored.log.slice(-8000) : '',
    tries: wholeOf(stored.tries),
    isRestarting: flagOf(stored.isRestarting) ?? false,
  }
}

const outcomes = ['begun', 'done', 'failed', 'locked', 'ignored', 'expired'] as const

function actionOf(value: unknown): ActionRecord | null {
  const stored = fieldsOf(value)
  const id = textOf(stored.id, 64)
  const outcome = outcomes.find((known) => known === stored.outcome)
  if (id === null || outcome === undefined) return null
  const kind = stored.kind === 'reboot' ? 'reboot' : 'update'
  return {
    id,
    kind,
    outcome,
    message: textOf(stored.message, 500) ?? '',
    kernelBootId: textOf(stored.kernelBootId, 64),
  }
}

function hashOf(value: unknown): string | null {
  return typeof value === 'string' && /^[0-9a-f]{64}$/.test(value) ? value : null
}

function wholeOf(value: unknown): number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 ? value : 0
}
