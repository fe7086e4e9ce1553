/**
 * How a device and its control plane speak: two raw endpoints, dialled by the device, JSON both ways, never compressed.
 *
 * `POST /baseos/v1/nodes/register` turns a join token into a node token. `Authorization: Bearer` carries the old node
 * token where the device has one (then the join token stands in the body as `joinToken`), else the join token, which
 * may stand in the body as well. What always holds:
 *
 * 1. A `nodeId` the server does not know is accepted for a join token that is good: `accepted`, or `waiting` where an
 *    operator must approve. A join token counts as used once per node, however often the answer was lost.
 * 2. A `nodeId` it knows is accepted only with proof: its node token in `Authorization` (also one expired, never one
 *    revoked), or the `deviceSecret` it first registered with. Without either it is `refused` as `known-node` and
 *    shown to operators; their word lets the next registration in.
 * 3. `waiting` is asked again with the same body after `retryAfterSeconds`; only who knows the same `deviceSecret`
 *    gets the answer. `refused` is asked again too, rarely: an operator may change their mind.
 * 4. Each accepted registration gives a new node token; those before it stay valid until it is used.
 *
 * `POST /baseos/v1/nodes/heartbeat` reports with the node token in `Authorization: Bearer`. What always holds:
 *
 * 5. The node token is good for this `nodeId` alone: with another id in the body the answer is 403 `forbidden`.
 * 6. Rotation: an answer may carry a new `nodeToken`, and does when asked with `rotateToken`. The device stores it and
 *    keeps the old one; it proves that it has the new one by using it, which ends the old one. Until then both are
 *    valid, the old one until it expires. A device falls back to the old one where the new one is refused, so an offer
 *    may replace one that was never used.
 * 7. `desiredState` comes only when the `generation` of the request is not the server's. The device stores it
 *    and says its generation from then on. A generation never says more than "equal or not".
 * 8. Errors have the body of `deviceErrorSchema`. 401 `unauthenticated` or `token-expired`, and 404 `not-found` (no
 *    such node): the device registers again with all the proof it has. 403 `forbidden` (revoked): it does so rarely.
 *    429 and 503 with `Retry-After` in seconds (RFC 9110 §10.2.3): it waits at least that long, jitter on top.
 *    Everything else: it tries again, slower each time.
 * 9. Clocks of devices are wrong. The server judges expiry by its own clock; a device compares `nodeTokenExpiresAt`
 *    only with `at` of the same answer.
 * 10. Unknown fields are ignored by both sides. In a status, a value of a wrong type counts as null; a text or list
 *    above its bound is refused (400 `invalid-input`), as is a body above `deviceLimits.requestBytes` (413).
 */
import { z } from 'zod'
import { deviceLimits, deviceNodeIdPattern, deviceTokenPattern } from './device-limits.ts'

export * from './device-limits.ts'

const nodeIdSchema = z.string().regex(deviceNodeIdPattern)
const tokenSchema = z.string().regex(deviceTokenPattern)
/** RFC 3339, UTC, by the server's clock. */
const serverTime = z.iso.datetime()
const interval = z.int().min(deviceLimits.intervalMinMs).max(deviceLimits.intervalMaxMs)
const retryAfterSeconds = z.int().min(1).max(deviceLimits.retryAfterMaxSeconds)

/** Text for people and lists; what is no character to be read becomes a space, so that every store and screen takes it. */
const text = (characters: number) =>
  z.preprocess((value) => (typeof value === 'string' ? cleanText(value) : null), z.string().max(characters).nullable())
/** As `text`, with line ends and tabs. */
const lines = (characters: number) =>
  z.preprocess((value) => (typeof value === 'string' ? cleanLines(value) : null), z.string().max(characters).nullable())
const number = z.preprocess((value) => (Number.isFinite(value) ? value : null), z.number().nullable())
const flag = z.preprocess((value) => (typeof value === 'boolean' ? value : null), z.boolean().nullable())
const list = <Item extends z.ZodType>(item: Item, items: number) =>
  z.preprocess((value) => (Array.isArray(value) ? value : []), z.array(item).max(items))
const group = <Shape extends z.ZodRawShape>(shape: Shape) =>
  z.preprocess((value) => (isRecord(value) ? value : null), z.object(shape).nullable())

const releaseProgress = group({
  releaseId: text(64),
  version: text(64),
  attempt: number,
  /** `staged`, `downloading`, `applying`, `soaking`, `succeeded`, `failed`, `rolled-back`, `not-supported`. */
  state: text(32),
  message: text(1000),
  /** Percent. */
  downloadProgress: number,
  /** The release that runs now; null: none of ours. */
  running: text(64),
  /** Last lines of what failed. */
  log: lines(8000),
})

/**
 * What a device says about itself and its Supervisor. Every field may be null: not known, or not told. Absent fields
 * read as null, lists as empty. The words in comments are what this agent says; a server keeps others as they are.
 */
export const deviceStatusSchema = z.object({
  agentVersion: text(64),
  hostname: text(253),
  /** What the device is, and how it does. */
  machine: group({
    /** As `process.arch` of Node says: `x64`, `arm64`, `arm`. */
    architecture: text(32),
    operatingSystem: text(200),
    cpuCores: number,
    /** Runnable processes, averaged over one minute. */
    load: number,
    memoryBytes: number,
    memoryFreeBytes: number,
    /** Of the file system that holds the agent's state. */
    storageBytes: number,
    storageFreeBytes: number,
    /** Of the processor, where the host tells. */
    temperatureCelsius: number,
    uptimeSeconds: number,
    addresses: list(text(64), 16),
    /** IANA name of the device's time zone, as `Europe/Berlin`. */
    timeZone: text(64),
  }),
  supervisor: group({
    /** `not-configured`, `available`, `unavailable`, `unauthorized` (the key is refused). */
    state: text(32),
    version: text(64),
    problem: text(500),
  }),
  /** `GET /v1/device` of the Supervisor. `commit` is null while an update waits for a lock. */
  device: group({
    osVersion: text(200),
    supervisorVersion: text(64),
    macAddress: text(200),
    ipAddress: text(500),
    commit: text(128),
    status: text(64),
    updatePending: flag,
    updateDownloaded: flag,
    updateFailed: flag,
    /** Percent. */
    downloadProgress: number,
  }),
  /** `GET /v2/state/status` of the Supervisor. */
  apps: group({
    /** `applied` or `applying`. */
    state: text(32),
    release: text(128),
    downloadProgress: number,
    containers: list(
      group({ serviceName: text(255), status: text(64), containerId: text(80), createdAt: text(40) }),
      64,
    ),
    images: list(group({ name: text(500), serviceName: text(255), status: text(64), downloadProgress: number }), 64),
  }),
  /** The last update that was asked of the Supervisor, and what came of it. */
  update: group({
    id: text(64),
    /** `command`, `local-api`, `control-plane`. */
    requestedBy: text(32),
    /** `requested`, `applying`, `applied`, `locked`, `failed`, `nothing-new`, `ignored`, `unknown`. */
    outcome: text(32),
    message: text(1000),
    commitBefore: text(128),
    commitAfter: text(128),
    elapsedMs: number,
  }),
  /** What comes of the release that the device was assigned, by half. */
  releases: group({
    app: releaseProgress,
    host: releaseProgress,
    /** Counter of the newest assignment that was verified. */
    counter: number,
    /** Why an assignment, or what it names, was not trusted. */
    refusal: group({ code: text(64), message: text(500), counter: number }),
    /** Highest versions seen of the signed channel's roles. */
    trusted: group({ root: number, timestamp: number, snapshot: number, targets: number }),
  }),
  /** What came of the actions an operator asked for: `done`, `failed`, `locked`, `ignored`, `expired`. */
  actions: list(group({ id: text(64), outcome: text(32), message: text(500) }), 16),
  /** Update locks that were taken through the agent, by name of their owner. */
  locks: list(text(64), 32),
  /** What is wrong, a sentence each, for people. */
  problems: list(text(500), 16),
})
export type DeviceStatus = z.output<typeof deviceStatusSchema>

const request = {
  /** Absent: 1. */
  protocol: z.int().min(1).max(1000).default(1),
  nodeId: nodeIdSchema,
  /**
   * Random, made at each start of the agent. One device never returns to an earlier one; where two take turns under
   * one `nodeId`, its storage was cloned.
   */
  bootId: z.string().max(64).nullish(),
  /** Counts the requests of one boot, from 1. A lower one that comes late tells nothing new. */
  sequence: z.int().min(0).nullish(),
  /** The device's clock, RFC 3339; only to show how wrong it is. */
  sentAt: z.string().max(40).nullish(),
  status: z.preprocess((value) => (isRecord(value) ? value : {}), deviceStatusSchema),
}

export const deviceRegisterRequestSchema = z.object({
  ...request,
  joinToken: tokenSchema.nullish(),
  /** Made by the device before its first registration and kept; the server stores a hash of it. See 2 and 3 above. */
  deviceSecret: tokenSchema.nullish(),
})
export type DeviceRegisterRequest = z.input<typeof deviceRegisterRequestSchema>

const welcome = {
  nodeToken: tokenSchema,
  /** Null: it does not expire. */
  nodeTokenExpiresAt: serverTime.nullish(),
}

/** What the server wants of the rhythm; null or absent: the interval the device is configured with. */
const rhythm = { at: serverTime, heartbeatIntervalMs: interval.nullish() }

/** Status 200 `accepted`, 202 `waiting`, 403 `refused`. */
export const deviceRegisterAnswerSchema = z.discriminatedUnion('state', [
  z.object({ state: z.literal('accepted'), nodeId: nodeIdSchema, ...welcome, ...rhythm }),
  z.object({
    state: z.literal('waiting'),
    nodeId: nodeIdSchema,
    message: z.string().max(1000),
    retryAfterSeconds,
    ...rhythm,
  }),
  z.object({
    state: z.literal('refused'),
    /** A server may add others; a device shows what it does not know. */
    reason: z
      .string()
      .max(64)
      .describe('join-token-missing, -unknown, -expired, -used, -revoked; known-node; revoked; closed'),
    message: z.string().max(1000),
    retryAfterSeconds,
    at: serverTime,
  }),
])
export type DeviceRegisterAnswer = z.output<typeof deviceRegisterAnswerSchema>

export const deviceHeartbeatRequestSchema = z.object({
  ...request,
  /** Of the desired state the device holds; 0: none. */
  generation: z.int().min(0).default(0),
  /** The interval it keeps now: late and offline are judged by it. Absent: 60,000. */
  intervalMs: interval.default(60_000),
  /** True: the device asks for a new node token, because the present one expires soon. */
  rotateToken: z.boolean().default(false),
})
export type DeviceHeartbeatRequest = z.input<typeof deviceHeartbeatRequestSchema>

/**
 * What the device shall be. An agent that does not know a field stores it all the same and changes nothing by it.
 * Nothing but `assignment` is ever acted upon, and that only once its signature holds (`updates.ts`).
 */
export const deviceDesiredStateSchema = z.looseObject({
  generation: z.int().min(1),
  /** A `signedAssignmentSchema`; the device reads and verifies it. */
  assignment: z.looseObject({}).nullish(),
})
export type DeviceDesiredState = z.output<typeof deviceDesiredStateSchema>

/** Status 200. */
export const deviceHeartbeatAnswerSchema = z.object({
  ...rhythm,
  nodeToken: welcome.nodeToken.nullish(),
  nodeTokenExpiresAt: welcome.nodeTokenExpiresAt,
  /** The server's generation of this device's desired state; 0: there is none. */
  generation: z.int().min(0),
  desiredState: deviceDesiredStateSchema.nullish(),
})
export type DeviceHeartbeatAnswer = z.output<typeof deviceHeartbeatAnswerSchema>

/** Every other answer of both endpoints, with the statuses of the error table. */
export const deviceErrorSchema = z.object({
  error: z.object({ code: z.string().max(64), message: z.string().max(2000) }),
})
export type DeviceError = z.output<typeof deviceErrorSchema>

/**
 * Control characters would break log lines and PostgreSQL's text; a lone surrogate is no UTF-8; what turns the direction
 * of writing or is not seen at all makes one text look like another. The joiners that scripts and emoji need stay.
 */
export function cleanText(value: string): string {
  return strange.test(value) ? value.toWellFormed().replace(allStrange, ' ') : value
}

/** As `cleanText`, but for line ends and tabs. */
export function cleanLines(value: string): string {
  return value.toWellFormed().replace(strangeButLines, ' ')
}

const strange = /(?![\u200c\u200d])[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/u
const allStrange = /(?![\u200c\u200d])[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu
const strangeButLines = /(?![\n\t\u200c\u200d])[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu

function isRecord(value: unknown): boolean {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
