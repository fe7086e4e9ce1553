import { deviceNodeIdPattern, deviceTokenPattern } from '@freehold/contracts/lean'
import { randomBytes, randomUUID } from '../builtin.ts'
import { type Fields, fieldsOf, isFields, numberOf, textOf } from '../parse.ts'
import { noReleases, readStoredReleases, type StoredReleases } from '../releases/stored.ts'
import type { PendingUpdate } from '../supervisor/update.ts'

/** The content of the state file. `nodeId` and `nodeToken` are all that a file written by hand needs. */
export interface DeviceState {
  nodeId: string
  /** The newest one; plain text, so the file is the owner's alone. */
  nodeToken: string | null
  /** The one before it, kept until the newest was used with success. */
  previousNodeToken: string | null
  tokenLife: TokenLife | null
  /** Made before the first registration; proves that a later one comes from the same device. */
  deviceSecret: string
  /** Of `desiredState`; 0: none. */
  generation: number
  desiredState: Fields | null
  /** An update that was asked for and not judged yet: the Supervisor may have replaced this agent meanwhile. */
  pendingUpdate: PendingUpdate | null
  /** What is trusted, and how far it has come. */
  releases: StoredReleases
  /** What a newer agent stored; kept, so that a return to it finds it again. */
  others: Fields
}

/** How long the newest node token is good, by the server's clock. */
export interface TokenLife {
  expiresAtMs: number
  lifetimeMs: number
}

/** Of a device that begins anew. */
export function createState(options: { nodeId?: string | null } = {}): DeviceState {
  return {
    nodeId: options.nodeId ?? randomUUID(),
    nodeToken: null,
    previousNodeToken: null,
    tokenLife: null,
    deviceSecret: randomBytes(32).toString('base64url'),
    generation: 0,
    desiredState: null,
    pendingUpdate: null,
    releases: noReleases,
    others: {},
  }
}

const names = new Set(Object.keys(createState()))

/** What is stored as a state; null where it is none. Fields that are missing get what a new device has. */
export function readState(value: unknown): DeviceState | null {
  if (!isFields(value)) return null
  const nodeId = textOf(value.nodeId, 200)
  if (nodeId === null || !deviceNodeIdPattern.test(nodeId)) return null
  const desiredState = isFields(value.desiredState) ? value.desiredState : null
  const begun = createState({ nodeId })
  return {
    ...begun,
    nodeToken: tokenOf(value.nodeToken),
    previousNodeToken: tokenOf(value.previousNodeToken),
    tokenLife: tokenLifeOf(value.tokenLife),
    deviceSecret: tokenOf(value.deviceSecret) ?? begun.deviceSecret,
    generation: desiredState ? Math.max(0, Math.trunc(numberOf(value.generation) ?? 0)) : 0,
    desiredState,
    pendingUpdate: pendingUpdateOf(value.pendingUpdate),
    releases: readStoredReleases(value.releases),
    others: Object.fromEntries(Object.entries(value).filter(([name]) => !names.has(name))),
  }
}

/** The text of the file. */
export function writeState({ others, ...state }: DeviceState): string {
  return `${JSON.stringify({ ...others, ...state }, undefined, 2)}\n`
}

function tokenOf(value: unknown): string | null {
  return typeof value === 'string' && deviceTokenPattern.test(value) ? value : null
}

function tokenLifeOf(value: unknown): TokenLife | null {
  const { expiresAtMs, lifetimeMs } = fieldsOf(value)
  const [expires, lifetime] = [numberOf(expiresAtMs), numberOf(lifetimeMs)]
  return expires === null || lifetime === null ? null : { expiresAtMs: expires, lifetimeMs: lifetime }
}

function pendingUpdateOf(value: unknown): PendingUpdate | null {
  const { id, requestedBy, commitBefore } = fieldsOf(value)
  const [updateId, by] = [textOf(id, 64), textOf(requestedBy, 32)]
  if (updateId === null || by === null) return null
  return { id: updateId, requestedBy: by, commitBefore: textOf(commitBefore, 128) }
}
