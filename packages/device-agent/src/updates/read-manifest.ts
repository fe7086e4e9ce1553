/** Reads manifests of releases by hand; contracts' `releaseManifestSchema` is the law, and tests hold this to it. */
import type { ReleaseManifest, ReleaseService } from '@freehold/contracts'
import { type Fields, isFields, parseJson } from '../parse.ts'
import { isId } from './read-assignment.ts'

/** Null: it is not one. */
export function readManifest(text: string): ReleaseManifest | null {
  try {
    return manifestOf(parseJson(text))
  } catch (error) {
    if (error instanceof NotAManifest) return null
    throw error
  }
}

class NotAManifest extends Error {}

function need(isRight: boolean): asserts isRight {
  if (!isRight) throw new NotAManifest()
}

const patterns = {
  name: /^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$/,
  version: /^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?$/,
  deviceType: /^[a-z0-9]([a-z0-9_-]*[a-z0-9])?$/,
  repository: /^[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(\/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*$/,
  digest: /^(sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$/,
  environmentName: /^[A-Za-z_][A-Za-z0-9_]{0,254}$/,
  labelName: /^[A-Za-z0-9]([A-Za-z0-9._/-]{0,61}[A-Za-z0-9])?$/,
  path: /^\/[^:\0]*$/,
}

function manifestOf(value: unknown): ReleaseManifest {
  need(isFields(value) && value.schemaVersion === 1)
  const { releaseId } = value
  need(isId(releaseId))
  return {
    schemaVersion: 1,
    releaseId,
    product: textOf(value.product, patterns.name),
    version: textOf(value.version, patterns.version, 64),
    type: oneOf(value.type, ['app', 'host']),
    deviceTypes: listOf(value.deviceTypes, Infinity, deviceTypeOf),
    services: listOf(value.services, Infinity, serviceOf),
    host: value.host === null ? null : hostOf(value.host),
  }
}

function serviceOf(value: unknown): ReleaseService {
  const fields = exactly(value, [
    'name',
    'image',
    'environment',
    'command',
    'ports',
    'volumes',
    'restart',
    'network',
    'privileged',
    'labels',
  ])
  const { command = null, privileged = false, labels = {} } = fields
  need(typeof privileged === 'boolean')
  need(isFields(labels) && Object.keys(labels).length <= 64)
  return {
    name: textOf(fields.name, patterns.name),
    image: imageOf(fields.image),
    environment: textsOf(fields.environment ?? absent(fields.environment, {}), patterns.environmentName, 8192),
    command: command === null ? null : listOf(command, 64, (argument) => textOf(argument, /^/, 4096)),
    ports: fields.ports === undefined ? [] : listOf(fields.ports, 64, portOf),
    volumes: fields.volumes === undefined ? [] : listOf(fields.volumes, 32, volumeOf),
    restart: oneOf(fields.restart ?? absent(fields.restart, 'always'), restarts),
    network: oneOf(fields.network ?? absent(fields.network, 'bridge'), ['bridge', 'host']),
    privileged,
    labels: textsOf(labels, patterns.labelName, 256),
  }
}

const restarts = ['always', 'unless-stopped', 'on-failure', 'no'] as const

/** The default counts for what is not there, not for null. */
function absent<Default>(value: unknown, otherwise: Default): Default {
  need(value === undefined)
  return otherwise
}

function portOf(value: unknown): ReleaseService['ports'][number] {
  const { host, container, protocol } = exactly(value, ['host', 'container', 'protocol'])
  need(isPort(host) && isPort(container))
  return { host, container, protocol: oneOf(protocol ?? absent(protocol, 'tcp'), ['tcp', 'udp']) }
}

function volumeOf(value: unknown): ReleaseService['volumes'][number] {
  const { name, path } = exactly(value, ['name', 'path'])
  return { name: textOf(name, patterns.name), path: textOf(path, patterns.path, 512) }
}

function hostOf(value: unknown): NonNullable<ReleaseManifest['host']> {
  const fields = exactly(value, ['deviceType', 'hostapp', 'baserunner', 'minimumVersion', 'licenseBundle'])
  const { deviceType, hostapp, baserunner, minimumVersion, licenseBundle } = fields
  return {
    deviceType: deviceTypeOf(deviceType),
    hostapp: imageOf(hostapp),
    baserunner: baserunner === null ? null : imageOf(baserunner),
    minimumVersion: minimumVersion === null ? null : textOf(minimumVersion, patterns.version, 64),
    licenseBundle: licenseBundle === null ? null : textOf(licenseBundle, patterns.digest),
  }
}

function imageOf(value: unknown): ReleaseService['image'] {
  const { repository, digest } = exactly(value, ['repository', 'digest'])
  return { repository: textOf(repository, patterns.repository, 255), digest: textOf(digest, patterns.digest) }
}

function deviceTypeOf(value: unknown): string {
  return textOf(value, patterns.deviceType, 64)
}

/** A field that this agent does not know may change what the others mean. */
function exactly(value: unknown, names: readonly string[]): Fields {
  need(isFields(value) && Object.keys(value).every((name) => names.includes(name)))
  return value
}

function textOf(value: unknown, pattern: RegExp, characters = Infinity): string {
  need(typeof value === 'string' && value.length <= characters && pattern.test(value))
  return value
}

function textsOf(value: unknown, names: RegExp, characters: number): Record<string, string> {
  need(isFields(value))
  return Object.fromEntries(
    Object.entries(value).map(([name, text]) => [textOf(name, names), textOf(text, /^/, characters)]),
  )
}

function listOf<Item>(value: unknown, items: number, read: (item: unknown) => Item): Item[] {
  need(Array.isArray(value) && value.length <= items)
  return value.map(read)
}

function oneOf<Word extends string>(value: unknown, words: readonly Word[]): Word {
  const word = words.find((known) => known === value)
  need(word !== undefined)
  return word
}

function isPort(value: unknown): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value >= 1 && value <= 65_535
}
