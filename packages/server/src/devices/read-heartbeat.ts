import { cleanLines, cleanText, deviceLimits, deviceNodeIdPattern } from '@freehold/contracts'

/**
 * Reads a heartbeat as `deviceHeartbeatRequestSchema` does, by hand: the schema takes longer than everything else of a
 * heartbeat together. A test holds the two against each other: what one refuses, the other refuses. The report itself
 * is only measured here and kept as the text it came as; whoever shows it parses it by the schema.
 */
export interface Heartbeat {
  nodeId: string
  bootId: string | null
  sequence: number | null
  generation: number
  intervalMs: number
  rotateToken: boolean
  machine: Machine | null
  releases: ReportedReleases | null
}
/** What the device says of the releases it was assigned. */
export interface ReportedReleases {
  app: ReleaseProgress | null
  host: ReleaseProgress | null
  /** Of the newest assignment it verified. */
  counter: number | null
}
/** Where a device stands with a release. */
export interface ReleaseProgress {
  releaseId: string
  version: string | null
  attempt: number
  /** As the contract names them; a newer agent may say others. */
  state: string
  message: string
  downloadProgress: number | null
  /** The release that runs now; null: none of ours. */
  running: string | null
  /** Last lines of what failed. */
  log: string | null
}
export interface Machine {
  load: number | null
  memoryBytes: number | null
  memoryFreeBytes: number | null
  storageBytes: number | null
  storageFreeBytes: number | null
  temperatureCelsius: number | null
}

const defaultIntervalMs = 60_000

/** The heartbeat, or what is wrong with it as a sentence that begins with the field. */
export function readHeartbeat(body: unknown): Heartbeat | string {
  if (!isRecord(body)) return 'The request: an object is expected.'
  const { nodeId, bootId, sequence, sentAt, generation, intervalMs, rotateToken, protocol, status } = body
  if (typeof nodeId !== 'string' || !deviceNodeIdPattern.test(nodeId)) return 'nodeId: this cannot be a node id.'
  if (!isTextOrNothing(bootId, 64)) return 'bootId: a text of at most 64 characters is expected.'
  if (!isTextOrNothing(sentAt, 40)) return 'sentAt: a text of at most 40 characters is expected.'
  if (sequence !== undefined && sequence !== null && !isInteger(sequence, 0, Number.MAX_SAFE_INTEGER)) {
    return 'sequence: a whole number from 0 on is expected.'
  }
  if (generation !== undefined && !isInteger(generation, 0, Number.MAX_SAFE_INTEGER)) {
    return 'generation: a whole number from 0 on is expected.'
  }
  const { intervalMinMs, intervalMaxMs } = deviceLimits
  if (intervalMs !== undefined && !isInteger(intervalMs, intervalMinMs, intervalMaxMs)) {
    return `intervalMs: a whole number from ${intervalMinMs} to ${intervalMaxMs} is expected.`
  }
  if (rotateToken !== undefined && typeof rotateToken !== 'boolean') return 'rotateToken: true or false is expected.'
  if (protocol !== undefined && !isInteger(protocol, 1, 1000)) return 'protocol: a whole number is expected.'
  const report = isRecord(status) ? status : {}
  const fault = faultOf(report, reportShape)
  if (fault !== null) return `status.${fault}: longer than it may be.`
  return {
    nodeId,
    bootId: bootId ?? null,
    sequence: sequence ?? null,
    generation: generation ?? 0,
    intervalMs: intervalMs ?? defaultIntervalMs,
    rotateToken: rotateToken ?? false,
    machine: machineOf(report.machine),
    releases: releasesOf(report.releases),
  }
}

/** A number: the most characters of a text. An object: a group. An array: a list of one thing, and how many at most. */
type Shape = number | { readonly [name: string]: Shape } | readonly [Shape, number]
type Group = { readonly [name: string]: Shape }

const progressShape: Group = { releaseId: 64, version: 64, state: 32, message: 1000, running: 64, log: 8000 }

const reportShape: Group = {
  agentVersion: 64,
  hostname: 253,
  machine: { architecture: 32, operatingSystem: 200, timeZone: 64, addresses: [64, 16] },
  supervisor: { state: 32, version: 64, problem: 500 },
  device: { osVersion: 200, supervisorVersion: 64, macAddress: 200, ipAddress: 500, commit: 128, status: 64 },
  apps: {
    state: 32,
    release: 128,
    containers: [{ serviceName: 255, status: 64, containerId: 80, createdAt: 40 }, 64],
    images: [{ name: 500, serviceName: 255, status: 64 }, 64],
  },
  update: { id: 64, requestedBy: 32, outcome: 32, message: 1000, commitBefore: 128, commitAfter: 128 },
  releases: { app: progressShape, host: progressShape, refusal: { code: 64, message: 500 } },
  actions: [{ id: 64, outcome: 32, message: 500 }, 16],
  locks: [64, 32],
  problems: [500, 16],
}

/** Dotted path of the first text or list above its bound; what is of a wrong type counts as not said. */
function faultOf(group: Record<string, unknown>, shape: Group): string | null {
  for (const name in shape) {
    const fault = faultIn(group[name], shape[name] as Shape)
    if (fault !== null) return fault === '' ? name : `${name}.${fault}`
  }
  return null
}

function faultIn(value: unknown, shape: Shape): string | null {
  if (typeof shape === 'number') return typeof value === 'string' && value.length > shape ? '' : null
  if (!isList(shape)) return isRecord(value) ? faultOf(value, shape) : null
  if (!Array.isArray(value)) return null
  const [item, most] = shape
  if (value.length > most) return ''
  for (const [index, each] of value.entries()) {
    const fault = faultIn(each, item)
    if (fault !== null) return fault === '' ? String(index) : `${index}.${fault}`
  }
  return null
}

function isList(shape: Shape): shape is readonly [Shape, number] {
  return Array.isArray(shape)
}

function machineOf(value: unknown): Machine | null {
  if (!isRecord(value)) return null
  return {
    load: numberOrNull(value.load),
    memoryBytes: numberOrNull(value.memoryBytes),
    memoryFreeBytes: numberOrNull(value.memoryFreeBytes),
    storageBytes: numberOrNull(value.storageBytes),
    storageFreeBytes: numberOrNull(value.storageFreeBytes),
    temperatureCelsius: numberOrNull(value.temperatureCelsius),
  }
}

function releasesOf(value: unknown): ReportedReleases | null {
  if (!isRecord(value)) return null
  const { counter } = value
  return {
    app: progressOf(value.app),
    host: progressOf(value.host),
    counter: isInteger(counter, 0, Number.MAX_SAFE_INTEGER - 1) ? counter : null,
  }
}

/** Null where it does not say which release, which attempt, and where it stands. */
function progressOf(value: unknown): ReleaseProgress | null {
  if (!isRecord(value)) return null
  const { releaseId, attempt, state } = value
  if (typeof releaseId !== 'string' || !releaseIdPattern.test(releaseId) || typeof state !== 'string') return null
  if (!isInteger(attempt, 0, Number.MAX_SAFE_INTEGER)) return null
  return {
    releaseId,
    version: textOrNull(value.version),
    attempt,
    state: cleanText(state),
    message: textOrNull(value.message) ?? '',
    downloadProgress: numberOrNull(value.downloadProgress),
    running: textOrNull(value.running),
    log: typeof value.log === 'string' ? cleanLines(value.log) : null,
  }
}

const releaseIdPattern = /^[0-9a-f]{8}-[0-9a-f]{4}-[1-8][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/

function textOrNull(value: unknown): string | null {
  return typeof value === 'string' ? cleanText(value) : null
}

function numberOrNull(value: unknown): number | null {
  return typeof value === 'number' && Number.isFinite(value) ? value : null
}

function isInteger(value: unknown, least: number, most: number): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= least && value <= most
}

function isTextOrNothing(value: unknown, most: number): value is string | null | undefined {
  return value === undefined || value === null || (typeof value === 'string' && value.length <= most)
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
