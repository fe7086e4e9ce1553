import type { Channel, DeviceGroup, ErrorDetail, Release, ReleaseType } from '@freehold/contracts'
import { FreeholdError } from '@freehold/contracts'

/** What all host releases are releases of. */
const hostProduct = 'baseos'

/** What was stored about a device and one half of it: what it got from a rollout, or from the channel it joined. */
export interface StoredAssignment {
  /** Null: it was taken back, and nothing was there before. */
  releaseId: string | null
  rolloutId: string | null
  attempt: number
  /** When it was stored; of a device that joined a channel: when that got the release. */
  at: string
}
/** `channelId`: of the channel that decided it; null where nothing tells. */
export interface KeptAssignment extends StoredAssignment {
  channelId: string | null
}

export interface Pins {
  pinnedAppReleaseId: string | null
  pinnedHostReleaseId: string | null
}
const pinOf = { app: 'pinnedAppReleaseId', host: 'pinnedHostReleaseId' } as const
const channelOf = { app: 'appChannelId', host: 'hostChannelId' } as const

/** In the order in which they are asked: by priority, then by name. */
export function inOrder(groups: readonly DeviceGroup[]): DeviceGroup[] {
  return groups.toSorted(
    ({ data: one }, { data: other }) => one.priority - other.priority || (one.name < other.name ? -1 : 1),
  )
}

/** True where the labels hold all that the selector names; an empty one selects every device. */
export function selects(selector: Record<string, string>, labels: Record<string, string>): boolean {
  for (const key in selector) if (!Object.hasOwn(labels, key) || labels[key] !== selector[key]) return false
  return true
}

/** The group a device with these labels belongs to; `groups` as `inOrder` gives them. */
export function groupOf(groups: readonly DeviceGroup[], labels: Record<string, string>): DeviceGroup | undefined {
  return groups.find(({ data }) => selects(data.selector, labels))
}

/** The channel that decides a half of the group's devices. */
export function channelIdOf(group: DeviceGroup | undefined, type: ReleaseType): string | null {
  return group?.data[channelOf[type]] ?? null
}

export type Decider = 'device-pin' | 'group-pin' | 'rollout' | 'channel'

/** What a device shall run, and who decided it. */
export interface Resolved {
  releaseId: string
  by: Decider
  rolloutId: string | null
  attempt: number
}

/**
 * What a device shall run of one half: its own pin, else its group's, else what it was assigned, which holds only while
 * its group follows a channel. Null: nothing is said, and what is there stays.
 */
export function resolveRelease(options: {
  type: ReleaseType
  device: Pins
  group: DeviceGroup | undefined
  assigned: StoredAssignment | undefined
}): Resolved | null {
  const { type, device, group, assigned } = options
  const pin = pinOf[type]
  const own = device[pin]
  if (own !== null) return { releaseId: own, by: 'device-pin', rolloutId: null, attempt: 0 }
  const ofGroup = group?.data[pin] ?? null
  if (ofGroup !== null) return { releaseId: ofGroup, by: 'group-pin', rolloutId: null, attempt: 0 }
  if (channelIdOf(group, type) === null || assigned === undefined || assigned.releaseId === null) return null
  const { releaseId, rolloutId, attempt } = assigned
  return { releaseId, by: rolloutId === null ? 'channel' : 'rollout', rolloutId, attempt }
}

/** True where a pin decides, so that no channel does. */
export function isPinned(options: { type: ReleaseType; device: Pins; group: DeviceGroup | undefined }): boolean {
  const pin = pinOf[options.type]
  return options.device[pin] !== null || (options.group?.data[pin] ?? null) !== null
}

/**
 * The release that a device must be given because it joined the channel: it has none of that channel, or one from before
 * the channel changed while no rollout looked after it. Null: it has what it shall have. A member of an open rollout gets
 * its release from that alone, so that nobody skips a phase.
 */
export function releaseToJoin(options: {
  channel: Channel | undefined
  assigned: KeptAssignment | undefined
  isMember: boolean
}): string | null {
  const { channel, assigned, isMember } = options
  if (channel === undefined || isMember) return null
  const { releaseId, since } = channel.status
  if (releaseId === null || assigned?.releaseId === releaseId) return null
  if (assigned === undefined || assigned.releaseId === null) return releaseId
  // Who kept the release of a rollout that was aborted keeps it until the channel changes.
  const isOfChannel = assigned.channelId === null || assigned.channelId === channel.id
  return isOfChannel && !(since !== null && assigned.at < since) ? null : releaseId
}

type Data = Release['data']

/** Refuses what no schema of one field can see. Throws `invalid-input` naming every fault. */
export function checkRelease(data: Data): void {
  const faults = data.type === 'host' ? faultsOfHost(data) : faultsOfApp(data)
  const [first] = faults
  if (first === undefined) return
  throw new FreeholdError('invalid-input', `${first.path}: ${first.message}.`, { details: faults })
}

function faultsOfApp({ product, host, services }: Data): ErrorDetail[] {
  const faults: ErrorDetail[] = []
  const fault = (path: string, message: string) => faults.push({ path: `data.${path}`, message })
  if (product === hostProduct) fault('product', `${hostProduct} is what host releases are releases of`)
  if (host !== null) fault('host', 'a release of type app has no host; make a release of type host for it')
  if (services.length === 0) fault('services', 'a release of type app needs at least one')
  for (const name of repeated(services.map((service) => service.name))) fault('services', `two are called ${name}`)
  const ports = services.flatMap((service) => service.ports.map((port) => `${port.host}/${port.protocol}`))
  for (const port of repeated(ports)) fault('services', `the device's port ${port} is published twice`)
  for (const [index, service] of services.entries()) {
    if (service.network === 'host' && service.ports.length > 0) {
      fault(`services.${index}.ports`, 'a container on the network host publishes none: it has all the ports it opens')
    }
    for (const path of repeated(service.volumes.map((volume) => volume.path))) {
      fault(`services.${index}.volumes`, `two are mounted at ${path}`)
    }
  }
  return faults
}

function faultsOfHost({ product, version, host, services, deviceTypes }: Data): ErrorDetail[] {
  const faults: ErrorDetail[] = []
  const fault = (path: string, message: string) => faults.push({ path: `data.${path}`, message })
  if (product !== hostProduct) fault('product', `a host release is one of ${hostProduct}`)
  if (services.length > 0) fault('services', 'a host release has none; make a release of type app for them')
  if (host === null) {
    fault('host', 'a host release needs to say what its host is')
    return faults
  }
  if (deviceTypes.length > 0 && !deviceTypes.includes(host.deviceType)) {
    fault('deviceTypes', `the host is one for ${host.deviceType}, which is not among them`)
  }
  if (host.minimumVersion !== null && compareVersions(host.minimumVersion, version) >= 0) {
    fault('host.minimumVersion', `${host.minimumVersion} is not older than the release itself, ${version}`)
  }
  return faults
}

function repeated(values: readonly string[]): string[] {
  return [...new Set(values.filter((value, index) => values.indexOf(value) !== index))]
}

/** Below 0 where `one` comes before `other` (Semantic Versioning 2.0.0, §11; both without build metadata). */
export function compareVersions(one: string, other: string): number {
  const [left, right] = [parseVersion(one), parseVersion(other)]
  const byNumbers = compareLists(left.numbers, right.numbers)
  if (byNumbers !== 0) return byNumbers
  if (left.before.length === 0 || right.before.length === 0) return right.before.length - left.before.length
  return compareLists(left.before, right.before)
}

function parseVersion(version: string): { numbers: string[]; before: string[] } {
  const at = version.indexOf('-')
  const numbers = at < 0 ? version : version.slice(0, at)
  return { numbers: numbers.split('.'), before: at < 0 ? [] : version.slice(at + 1).split('.') }
}

function compareLists(one: readonly string[], other: readonly string[]): number {
  for (const [index, left] of one.entries()) {
    const right = other[index]
    if (right === undefined) return 1
    const order = comparePart(left, right)
    if (order !== 0) return order
  }
  return one.length - other.length
}

/** Numbers by their value, however long, and before words; words by ASCII. */
function comparePart(one: string, other: string): number {
  const areNumbers = [/^\d+$/.test(one), /^\d+$/.test(other)]
  if (areNumbers[0] !== areNumbers[1]) return areNumbers[0] ? -1 : 1
  if (one === other) return 0
  if (!areNumbers[0]) return one < other ? -1 : 1
  const [left, right] = [BigInt(one), BigInt(other)]
  return left < right ? -1 : left > right ? 1 : 0
}
