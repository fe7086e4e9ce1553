/** Reads assignments by hand; contracts' `assignmentSchema` is the law, and tests hold this to it. Null: not one. */
import type { AssignedRelease, Assignment } from '@freehold/contracts'
import { deviceNodeIdPattern } from '@freehold/contracts/lean'
import { type Fields, isFields } from '../parse.ts'

export function readAssignment(value: unknown): Assignment | null {
  if (!isFields(value) || value._type !== 'assignment') return null
  const { nodeId, counter, issuedAt, expiresAt, actions } = value
  const [app, host] = [halfOf(value.app), halfOf(value.host)]
  const read = Array.isArray(actions) && actions.length <= 16 ? actions.map(actionOf) : [null]
  const known = read.flatMap((action) => (action === null ? [] : [action]))
  if (typeof nodeId !== 'string' || !deviceNodeIdPattern.test(nodeId) || !isWhole(counter)) return null
  if (!isTime(issuedAt) || !isTime(expiresAt) || app === undefined || host === undefined) return null
  if (known.length !== read.length) return null
  return { _type: 'assignment', nodeId, counter, issuedAt, expiresAt, app, host, actions: known }
}

/** Undefined: it is none; null: none is assigned. */
function halfOf(value: unknown): AssignedRelease | null | undefined {
  if (value === null) return null
  if (!isFields(value)) return undefined
  const { releaseId, version, target, sha256, rolloutId, attempt, soakSeconds, force, held } = value
  const window = windowOf(value.window)
  if (!isId(releaseId) || (rolloutId !== null && !isId(rolloutId)) || window === undefined) return undefined
  if (typeof version !== 'string' || typeof target !== 'string' || typeof sha256 !== 'string') return undefined
  if (!isWhole(attempt) || !isWhole(soakSeconds)) return undefined
  if (typeof force !== 'boolean' || typeof held !== 'boolean') return undefined
  return { releaseId, version, target, sha256, rolloutId, attempt, window, soakSeconds, force, held }
}

const weekdays = ['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun'] as const
type Window = NonNullable<AssignedRelease['window']>

function windowOf(value: unknown): Window | null | undefined {
  if (value === null) return null
  if (!isFields(value) || Object.keys(value).some((name) => !['days', 'from', 'to'].includes(name))) return undefined
  const { days = [...weekdays], from, to } = value
  if (!isHour(from) || !isHour(to) || !Array.isArray(days) || days.length === 0) return undefined
  const known = days.flatMap((day) => weekdays.filter((weekday) => weekday === day))
  return known.length === days.length ? { days: known, from, to } : undefined
}

function actionOf(value: unknown): Assignment['actions'][number] | null {
  const { id, kind, force, expiresAt }: Fields = isFields(value) ? value : {}
  if (!isId(id) || (kind !== 'update' && kind !== 'reboot') || typeof force !== 'boolean' || !isTime(expiresAt)) {
    return null
  }
  return { id, kind, force, expiresAt }
}

function isHour(value: unknown): value is string {
  return typeof value === 'string' && /^([01]\d|2[0-3]):[0-5]\d$/.test(value)
}

/** RFC 9562, any version, and the two that mean nothing and everything. */
export function isId(value: unknown): value is string {
  const pattern =
    /^([0-9a-f]{8}-[0-9a-f]{4}-[1-8][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}|0{8}-(0{4}-){3}0{12}|f{8}-(f{4}-){3}f{12})$/i
  return typeof value === 'string' && pattern.test(value)
}

function isWhole(value: unknown): value is number {
  return Number.isSafeInteger(value)
}

/** RFC 3339 in UTC. */
function isTime(value: unknown): value is string {
  if (typeof value !== 'string' || !/^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d+)?)?Z$/.test(value)) return false
  return !Number.isNaN(Date.parse(value))
}
