import type { releaseInput } from '@freehold/contracts'
import type { z } from 'zod'

export type ReleaseInput = z.input<typeof releaseInput>
type ServiceInput = NonNullable<ReleaseInput['services']>[number]

/** A container as texts, while it is being typed; the key keeps its fields in place. */
export interface ServiceDraft {
  key: number
  name: string
  image: string
  /** `NAME=value`, one a line. */
  environment: string
  /** `80:8080` or `53:53/udp`, one a line: on the device, in the container. */
  ports: string
  /** `name:/path`, one a line. */
  volumes: string
  /** One argument a line. */
  command: string
  /** `key=value`, one a line. */
  labels: string
  restart: NonNullable<ServiceInput['restart']>
  network: NonNullable<ServiceInput['network']>
  privileged: boolean
}

export interface ReleaseDraft {
  type: 'app' | 'host'
  product: string
  version: string
  notes: string
  /** One a line. */
  deviceTypes: string
  services: ServiceDraft[]
  hostDeviceType: string
  hostapp: string
  baserunner: string
  minimumVersion: string
  /** Base64. */
  licenseBundle: string | null
}

/** What the server would say of a field, by the path it would name. */
export type Faults = Record<string, string>

export function emptyService(key: number): ServiceDraft {
  return {
    key,
    name: '',
    image: '',
    environment: '',
    ports: '',
    volumes: '',
    command: '',
    labels: '',
    restart: 'always',
    network: 'bridge',
    privileged: false,
  }
}

export function emptyDraft(): ReleaseDraft {
  return {
    type: 'app',
    product: '',
    version: '',
    notes: '',
    deviceTypes: '',
    services: [emptyService(0)],
    hostDeviceType: '',
    hostapp: '',
    baserunner: '',
    minimumVersion: '',
    licenseBundle: null,
  }
}

/** The release a draft asks for, and the lines nobody can read; only without any it can be sent. */
export function inputOf(draft: ReleaseDraft): { input: ReleaseInput; faults: Faults } {
  const faults: Faults = {}
  const { version, notes } = draft
  if (draft.type === 'host') {
    const host = {
      deviceType: draft.hostDeviceType,
      hostapp: draft.hostapp,
      baserunner: orNull(draft.baserunner),
      minimumVersion: orNull(draft.minimumVersion),
      licenseBundle: draft.licenseBundle,
    }
    return { input: { product: 'baseos', version, type: 'host', notes, services: [], host }, faults }
  }
  const services = draft.services.map((service, index) => serviceOf(service, `data.services.${index}`, faults))
  const deviceTypes = linesOf(draft.deviceTypes)
  return { input: { product: draft.product, version, type: 'app', notes, deviceTypes, services, host: null }, faults }
}

function serviceOf(draft: ServiceDraft, path: string, faults: Faults): ServiceInput {
  const command = linesOf(draft.command)
  return {
    name: draft.name,
    image: draft.image.trim(),
    environment: pairsOf(draft.environment, `${path}.environment`, faults),
    command: command.length === 0 ? null : command,
    ports: linesOf(draft.ports).flatMap((line) => portOf(line, `${path}.ports`, faults)),
    volumes: linesOf(draft.volumes).flatMap((line) => volumeOf(line, `${path}.volumes`, faults)),
    labels: pairsOf(draft.labels, `${path}.labels`, faults),
    restart: draft.restart,
    network: draft.network,
    privileged: draft.privileged,
  }
}

function portOf(line: string, path: string, faults: Faults) {
  const match = /^(\d{1,5}):(\d{1,5})(?:\/(tcp|udp))?$/.exec(line)
  if (match === null) {
    faults[path] = `“${line}” is no port: write 80:8080, or 53:53/udp`
    return []
  }
  const protocol = match[3] === 'udp' ? ('udp' as const) : ('tcp' as const)
  return [{ host: Number(match[1]), container: Number(match[2]), protocol }]
}

function volumeOf(line: string, path: string, faults: Faults) {
  const at = line.indexOf(':')
  if (at <= 0) {
    faults[path] = `“${line}” is no volume: write data:/data`
    return []
  }
  return [{ name: line.slice(0, at), path: line.slice(at + 1) }]
}

function pairsOf(text: string, path: string, faults: Faults): Record<string, string> {
  return Object.fromEntries(
    linesOf(text).flatMap((line) => {
      const at = line.indexOf('=')
      if (at > 0) return [[line.slice(0, at).trim(), line.slice(at + 1)]]
      faults[path] = `“${line}” has no value: write NAME=value`
      return []
    }),
  )
}

function linesOf(text: string): string[] {
  return text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '')
}

function orNull(text: string): string | null {
  return text.trim() === '' ? null : text.trim()
}
