import type { AnyResource } from '../api.ts'
import { age, bytes } from '../output/text.ts'
import { hostnameOf, nameOf, shortIdOf } from './lookup.ts'

/** What a cell may need besides its resource. */
export interface ColumnContext {
  now: Date
  /** Name of a resource that is referred to by id; the id where it is unknown. */
  nameOfId(id: unknown): string
}

export interface Column {
  title: string
  cell(resource: AnyResource, context: ColumnContext): string
  /** The field with the id that `nameOfId` will be asked for. */
  refers?: string
}

/** Columns of a noun's table. One that is not listed here is shown by name and age. */
export function columnsOf(plural: string): Column[] {
  return columns[plural] ?? [name, created]
}

const name: Column = { title: 'NAME', cell: nameOf }
const id: Column = { title: 'ID', cell: (resource) => resource.id }
const created: Column = { title: 'AGE', cell: (resource, { now }) => age(resource.createdAt, now) }
const state: Column = { title: 'STATE', cell: (resource) => text(resource.status.state) }
const message: Column = { title: 'MESSAGE', cell: (resource) => text(resource.status.message) }

function data(title: string, field: string): Column {
  return { title, cell: (resource) => text(resource.data[field]) }
}
function status(title: string, field: string): Column {
  return { title, cell: (resource) => text(resource.status[field]) }
}
function reference(title: string, field: string): Column {
  return { title, refers: field, cell: (resource, { nameOfId }) => nameOfId(resource.data[field]) }
}

function optionalReference(title: string, field: string): Column {
  return { title, refers: field, cell: (resource, { nameOfId }) => nameOrNothing(resource.data[field], nameOfId) }
}
function nameOrNothing(id: unknown, nameOfId: (id: unknown) => string): string {
  return typeof id === 'string' ? nameOfId(id) : ''
}

function where(location: unknown): string {
  const source = field(field(location, 'mirrorOf'), 'repository')
  return source === undefined ? text(field(location, 'externalImage') ?? 'here') : `mirror of ${text(source)}`
}

const columns: Record<string, Column[]> = {
  clusters: [
    name,
    state,
    { title: 'MACHINES', cell: ({ status: { swarmNodes } }) => String(list(swarmNodes).length) },
    status('ENGINE', 'engineVersion'),
    created,
    message,
  ],
  nodes: [
    name,
    reference('CLUSTER', 'clusterId'),
    state,
    { title: 'ROLE', cell: ({ status: { role, leader } }) => (leader === true ? 'leader' : text(role)) },
    status('AGENT', 'agentVersion'),
    status('ENGINE', 'engineVersion'),
    status('ADDRESS', 'address'),
    message,
  ],
  services: [
    name,
    reference('CLUSTER', 'clusterId'),
    state,
    { title: 'HEALTHY', cell: ({ status: { replicas } }) => healthy(replicas) },
    status('REVISION', 'currentRevisionNumber'),
    data('VERSION', 'imageVersion'),
    created,
    message,
  ],
  images: [
    name,
    { title: 'WHERE', cell: ({ data: { location } }) => where(location) },
    { title: 'VERSIONS', cell: ({ status: { versions } }) => String(list(versions).length) },
    { title: 'NEWEST', cell: ({ status: { versions } }) => text(field(list(versions)[0], 'versionString')) },
    { title: 'SIZE', cell: ({ status: { versions } }) => size(field(list(versions)[0], 'size')) },
    { title: 'USED', cell: ({ status: { usedBytes } }) => size(usedBytes) },
    { title: 'PUSHED', cell: ({ status: { lastPushAt } }, { now }) => ago(lastPushAt, now) },
    { title: 'BY', cell: ({ status: { versions } }) => text(field(list(versions)[0], 'pushedBy')) },
  ],
  'damaged-blobs': [
    data('DIGEST', 'digest'),
    data('DAMAGE', 'reason'),
    { title: 'PUSH AGAIN', cell: ({ data: { images } }) => firstOf(list(images).map(text)) },
    created,
  ],
  'external-registries': [
    name,
    data('TYPE', 'type'),
    data('URL', 'url'),
    data('USER', 'username'),
    flag('PASSWORD', 'passwordSet'),
    state,
    message,
  ],
  devices: [
    name,
    { title: 'ID', cell: ({ id: whole }) => shortIdOf(whole) },
    state,
    { title: 'HEARD', cell: ({ status: { lastHeartbeatAt } }, { now }) => ago(lastHeartbeatAt, now) },
    { title: 'OS', cell: ({ status: { summary } }) => text(field(summary, 'osVersion')) },
    { title: 'AGENT', cell: ({ status: { summary } }) => text(field(summary, 'agentVersion')) },
    { title: 'LABELS', cell: ({ labels }) => labelsText(labels) },
    { title: 'ATTENTION', cell: attention },
    message,
  ],
  'release-rollouts': [
    reference('CHANNEL', 'channelId'),
    reference('RELEASE', 'releaseId'),
    state,
    { title: 'PHASE', cell: ({ status: { phase, phases } }) => `${Number(phase) + 1}/${list(phases).length}` },
    {
      title: 'DONE',
      cell: ({ data, status }) => `${text(field(status.counts, 'succeeded'))}/${text(data.memberCount)}`,
    },
    created,
    id,
    message,
  ],
  builds: [
    id,
    { title: 'HOSTNAME', cell: hostnameOf },
    state,
    data('KIND', 'imageKind'),
    data('FOR', 'architecture'),
    { title: 'BASE', refers: 'baseImageId', cell: baseOf },
    { title: 'SIZE', cell: ({ status: { artifact } }) => size(field(artifact, 'sizeBytes')) },
    created,
    message,
  ],
  'base-images': [
    name,
    data('KIND', 'imageKind'),
    data('FOR', 'architecture'),
    state,
    { title: 'SIZE', cell: ({ status: { blob } }) => size(field(blob, 'sizeBytes')) },
    { title: 'FROM', cell: ({ data: { url } }) => text(url ?? 'uploaded') },
    created,
    message,
  ],
  'join-tokens': [
    name,
    data('BEGINS', 'prefix'),
    {
      title: 'USED',
      cell: ({ data, status }) => `${text(status.used)}/${data.uses === null ? 'any' : text(data.uses)}`,
    },
    status('REFUSED', 'refusals'),
    data('EXPIRES', 'expiresAt'),
    flag('REVOKED', 'revoked'),
    { title: 'GIVES', cell: ({ data: { deviceLabels } }) => labelsText(deviceLabels) },
  ],
  releases: [
    name,
    data('TYPE', 'type'),
    state,
    { title: 'SERVICES', cell: ({ data: { services } }) => String(list(services).length) },
    { title: 'FOR', cell: ({ data: { deviceTypes } }) => list(deviceTypes).map(text).join(' ') || 'any' },
    created,
    message,
  ],
  channels: [
    name,
    data('TYPE', 'type'),
    {
      title: 'RELEASE',
      refers: 'releaseId',
      cell: ({ status }, { nameOfId }) => nameOrNothing(status.releaseId, nameOfId),
    },
    { title: 'ROLLOUT', cell: ({ status: { rolloutId } }) => text(rolloutId) },
    { title: 'SINCE', cell: ({ status: { since } }, { now }) => ago(since, now) },
  ],
  'device-groups': [
    name,
    data('PRIORITY', 'priority'),
    { title: 'SELECTS', cell: ({ data: { selector } }) => labelsText(selector) || 'every device' },
    optionalReference('APP CHANNEL', 'appChannelId'),
    optionalReference('HOST CHANNEL', 'hostChannelId'),
    optionalReference('PINNED APP', 'pinnedAppReleaseId'),
    optionalReference('PINNED HOST', 'pinnedHostReleaseId'),
  ],
  users: [name, data('ROLE', 'role'), data('TYPE', 'type'), flag('DISABLED', 'disabled'), created],
  tokens: [
    name,
    data('BEGINS', 'prefix'),
    data('ROLE', 'role'),
    reference('USER', 'userId'),
    data('EXPIRES', 'expiresAt'),
    id,
  ],
  enrolments: [
    data('BEGINS', 'prefix'),
    reference('CLUSTER', 'clusterId'),
    data('USES LEFT', 'usesLeft'),
    data('EXPIRES', 'expiresAt'),
    id,
  ],
  revisions: [
    reference('SERVICE', 'serviceId'),
    data('NUMBER', 'number'),
    data('VERSION', 'imageVersion'),
    { title: 'DIGEST', cell: ({ data: { imageDigest } }) => text(imageDigest).slice(0, 19) },
    created,
    id,
  ],
  rollouts: [
    reference('SERVICE', 'serviceId'),
    data('REVISION', 'revisionNumber'),
    status('PHASE', 'phase'),
    data('TRIGGER', 'trigger'),
    created,
    id,
    message,
  ],
}

function baseOf({ data: { baseImageId, ubuntuVersion } }: AnyResource, { nameOfId }: ColumnContext): string {
  if (typeof baseImageId !== 'string') return `Ubuntu ${text(ubuntuVersion)}`
  const name = nameOfId(baseImageId)
  // Whoever may read builds may read base images: one that is not found is not there.
  return name === baseImageId ? `deleted base image (${baseImageId})` : name
}

function labelsText(labels: unknown): string {
  return typeof labels === 'object' && labels !== null
    ? Object.entries(labels)
        .map((pair) => pair.join('='))
        .join(' ')
    : ''
}

function attention({ data: { access, readoptUntil }, status }: AnyResource): string {
  const claimed = status.claim !== null && status.claim !== undefined
  const failure = status.updateFailure
  const doubled = status.clone !== null && status.clone !== undefined
  return [
    ...(access === 'waiting' ? ['approve it'] : []),
    ...(doubled ? ['two devices'] : []),
    ...(claimed ? ['claimed'] : []),
    ...(typeof failure === 'object' && failure !== null ? [`failed ${text(field(failure, 'version'))}`] : []),
    ...(typeof readoptUntil === 'string' ? ['may come back'] : []),
  ].join(', ')
}

function flag(title: string, fieldName: string): Column {
  return { title, cell: (resource) => (resource.data[fieldName] === true ? 'yes' : '') }
}

function text(value: unknown): string {
  return value === null || value === undefined ? '' : String(value)
}

/** Any one of them will do, so the first is enough to read. */
function firstOf([first = '', ...others]: string[]): string {
  return others.length === 0 ? first : `${first}, or one of ${others.length} more`
}

function list(value: unknown): unknown[] {
  return Array.isArray(value) ? value : []
}

function field(value: unknown, fieldName: string): unknown {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>)[fieldName] : undefined
}

function healthy(replicas: unknown): string {
  return `${text(field(replicas, 'healthy'))}/${text(field(replicas, 'wanted'))}`
}

function size(value: unknown): string {
  return typeof value === 'number' ? bytes(value) : ''
}

function ago(at: unknown, now: Date): string {
  return typeof at === 'string' ? age(at, now) : ''
}
