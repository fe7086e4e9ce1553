/**
 * Reads the answers of the control plane by hand: the schemas in contracts are the law and tests hold this to them, but
 * the library they need would cost a tenth of the memory an agent may use. Null: not an answer.
 */
import type { DeviceHeartbeatAnswer, DeviceRegisterAnswer } from '@freehold/contracts'
import { deviceLimits, deviceNodeIdPattern, deviceTokenPattern } from '@freehold/contracts/lean'
import { type Fields, isFields, numberOf, textOf } from '../parse.ts'

/** As in contracts, with null for what was not told. */
type Told<Value> = { [K in keyof Value]-?: Exclude<Value[K], undefined> }

export type RegisterAnswer = DeviceRegisterAnswer extends infer Answer
  ? Answer extends object
    ? Told<Answer>
    : never
  : never
export type HeartbeatAnswer = Told<DeviceHeartbeatAnswer>

export function readRegisterAnswer(value: unknown): RegisterAnswer | null {
  if (!isFields(value)) return null
  const at = timeOf(value.at)
  if (at === null) return null
  const heartbeatIntervalMs = intervalOf(value.heartbeatIntervalMs)
  const message = textOf(value.message, 1000) ?? ''
  const retryAfterSeconds = retryAfterOf(value.retryAfterSeconds)
  switch (value.state) {
    case 'accepted': {
      const [nodeId, nodeToken] = [nodeIdOf(value.nodeId), tokenOf(value.nodeToken)]
      if (nodeId === null || nodeToken === null) return null
      const nodeTokenExpiresAt = timeOf(value.nodeTokenExpiresAt)
      return { state: 'accepted', nodeId, nodeToken, nodeTokenExpiresAt, at, heartbeatIntervalMs }
    }
    case 'waiting': {
      const nodeId = nodeIdOf(value.nodeId)
      return nodeId === null ? null : { state: 'waiting', nodeId, message, retryAfterSeconds, at, heartbeatIntervalMs }
    }
    case 'refused':
      return { state: 'refused', reason: textOf(value.reason, 64) ?? 'unknown', message, retryAfterSeconds, at }
    default:
      return null
  }
}

export function readHeartbeatAnswer(value: unknown): HeartbeatAnswer | null {
  if (!isFields(value)) return null
  const [at, generation] = [timeOf(value.at), generationOf(value.generation)]
  if (at === null || generation === null) return null
  return {
    at,
    heartbeatIntervalMs: intervalOf(value.heartbeatIntervalMs),
    nodeToken: tokenOf(value.nodeToken),
    nodeTokenExpiresAt: timeOf(value.nodeTokenExpiresAt),
    generation,
    desiredState: desiredStateOf(value.desiredState),
  }
}

function desiredStateOf(value: unknown): (Fields & { generation: number }) | null {
  if (!isFields(value)) return null
  const generation = generationOf(value.generation)
  return generation === null || generation < 1 ? null : { ...value, generation }
}

function generationOf(value: unknown): number | null {
  return Number.isSafeInteger(value) && Number(value) >= 0 ? Number(value) : null
}

function timeOf(value: unknown): string | null {
  return typeof value === 'string' && value.length <= 40 && !Number.isNaN(Date.parse(value)) ? value : null
}

function tokenOf(value: unknown): string | null {
  return typeof value === 'string' && deviceTokenPattern.test(value) ? value : null
}

function nodeIdOf(value: unknown): string | null {
  return typeof value === 'string' && deviceNodeIdPattern.test(value) ? value : null
}

/** What lies outside the bounds counts as the nearest bound; what is no number as no wish. */
function intervalOf(value: unknown): number | null {
  const wanted = numberOf(value)
  if (wanted === null) return null
  return Math.round(Math.min(deviceLimits.intervalMaxMs, Math.max(deviceLimits.intervalMinMs, wanted)))
}

function retryAfterOf(value: unknown): number {
  return Math.min(deviceLimits.retryAfterMaxSeconds, Math.max(1, numberOf(value) ?? 60))
}
