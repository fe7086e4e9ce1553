import { type CorebuildJob, type CorebuildS3, FreeholdError } from '@freehold/contracts'
import { type ImageConfig, parseConfig } from '@freehold/image-tool'
import type { AgentInstall } from '../config.ts'
import { endpointOf } from '../sinks/s3.ts'
import {
  archivePath,
  artifactScriptOf,
  defaultHeartbeatMs,
  environmentFileOf,
  environmentPath,
  gitScript,
  stateFolder,
  unitName,
  unitOf,
} from './installed.ts'

/** Where a base comes from; `ubuntu` is looked up when the job runs. */
export type BaseSource =
  | { url: string; sha256: string | undefined }
  | { ubuntu: string; architecture: 'amd64' | 'arm64' }

export type Destination =
  | { kind: 's3'; descriptor: CorebuildS3; key: string }
  | { kind: 'upload'; url: string; token: string }

/** All that is decided about a job before anything is done. */
export interface JobPlan {
  filename: string
  base: BaseSource
  /** Fetched into the workspace as `agentSource`. */
  agent: { url: string; sha256: string } | null
  /** The image that `config` makes of a base. */
  configFor(base: { url: string; sha256: string | undefined }): ImageConfig
  destination: Destination
}

/** File of the workspace that the image's configuration names. */
export const agentSource = 'device-agent.tar.gz'

/**
 * Turns a job into what to do. Pure. Throws `invalid-input`, naming the field of the job, for everything that the image tool,
 * systemd or S3 could misread.
 */
export function planJob(job: CorebuildJob, { agentInstall }: { agentInstall: AgentInstall }): JobPlan {
  requireValues(job)
  const destination = destinationOf(job)
  const filename = filenameOf(job, destination)
  const agent = agentOf(job, agentInstall)
  const shape = job.imageKind === 'ubuntu-iso' ? ubuntuShape(job, agent) : balenaShape(job)
  const configFor: JobPlan['configFor'] = ({ url, sha256 }) => {
    const base = sha256 === undefined ? { url, unverified: true } : { url, sha256 }
    return parsed({ ...shape, base, output: { path: `output/${filename}` } })
  }
  // Bases are looked up later; whatever is wrong is said now.
  configFor({ url: job.sourceImageUrl ?? 'https://base.invalid/', sha256: job.sourceImageSha256 })
  return { filename, base: baseOf(job), agent, configFor, destination }
}

function ubuntuShape(job: CorebuildJob, agent: JobPlan['agent']): Record<string, unknown> {
  const install = agent === null ? 'git' : 'artifact'
  // A base that the job names may be of any version, unless the job says of which.
  const version = job.ubuntuVersion ?? (job.sourceImageUrl === undefined ? defaultUbuntu : undefined)
  return {
    ...commonShape(job),
    ...(version === undefined ? {} : { ubuntuVersion: version }),
    hostname: job.hostname ?? hostnameOf(job.id),
    user: { name: job.sshUser ?? 'baseos', sshKeys: keysOf(job) },
    files: [
      { path: environmentPath, content: environmentFileOf(job, `${stateFolder}/state.json`), mode: '0600' },
      ...(agent === null ? [] : [{ path: archivePath, source: agentSource, mode: '0644' }]),
    ],
    units: [{ name: unitName, content: unitOf(install) }],
    installScript: agent === null ? gitScript() : artifactScriptOf(agent.sha256),
  }
}

function balenaShape(job: CorebuildJob): Record<string, unknown> {
  const content = environmentFileOf(job, containerStatePath)
  return {
    ...commonShape(job),
    ...(job.hostname === undefined ? {} : { hostname: job.hostname }),
    sshKeys: keysOf(job),
    config: {
      baseos: {
        cloudlyUrl: job.cloudlyUrl,
        joinToken: job.provisioningToken,
        heartbeatIntervalMs: job.heartbeatIntervalMs ?? defaultHeartbeatMs,
      },
    },
    files: [{ partition: 'boot', path: '/baseos/baserunner.env', content, mode: '0600' }],
    compression: job.compression ?? 'xz',
  }
}

/** There the agent is a container, and this is its volume. */
const containerStatePath = '/data/baseos/state.json'
const defaultUbuntu = '24.04'

function commonShape(job: CorebuildJob): Record<string, unknown> {
  return {
    version: 1,
    kind: job.imageKind,
    architecture: job.architecture,
    ...(job.wifi === undefined ? {} : { wifi: job.wifi }),
  }
}

/** A key file ends with a line feed; everything else is for the image tool to judge. */
function keysOf({ sshPublicKey }: CorebuildJob): string[] {
  const key = sshPublicKey?.replace(/\r?\n$/, '') ?? ''
  return key === '' ? [] : [key]
}

function hostnameOf(id: string): string {
  const label = id
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .slice(0, 50)
  return `baseos-${label}`.replace(/-+$/, '')
}

function baseOf(job: CorebuildJob): BaseSource {
  if (job.sourceImageUrl !== undefined) return { url: job.sourceImageUrl, sha256: job.sourceImageSha256 }
  if (job.imageKind === 'balena-raw' || job.architecture === 'rpi') {
    throw wrong('sourceImageUrl', 'is needed for balena-raw: the address of the image to start from')
  }
  return { ubuntu: job.ubuntuVersion ?? defaultUbuntu, architecture: job.architecture }
}

function agentOf(job: CorebuildJob, install: AgentInstall): JobPlan['agent'] {
  if (job.imageKind === 'balena-raw' || install === 'git') return null
  if (job.agent !== undefined) return job.agent
  if (install === 'as-asked') return null
  throw wrong(
    'agent',
    'is needed: this build worker installs the device agent from an archive alone (COREBUILD_AGENT_INSTALL)',
  )
}

function destinationOf(job: CorebuildJob): Destination {
  const { s3Descriptor, artifactKey, upload } = job
  if (s3Descriptor !== undefined && upload !== undefined) {
    throw wrong('upload', 'must not come with s3Descriptor: the image goes to one place')
  }
  if (upload !== undefined) return { kind: 'upload', ...upload }
  if (s3Descriptor === undefined) throw wrong('s3Descriptor', 'is needed, or upload: a place for the image')
  if (artifactKey === undefined) throw wrong('artifactKey', 'is needed with s3Descriptor: the name of the image there')
  if (!/^[a-z0-9][a-z0-9.-]+[a-z0-9]$/.test(s3Descriptor.bucketName)) {
    throw wrong('s3Descriptor.bucketName', 'must be small letters, digits, hyphens and dots')
  }
  endpointOf(s3Descriptor)
  return { kind: 's3', descriptor: s3Descriptor, key: artifactKey }
}

function filenameOf(job: CorebuildJob, destination: Destination): string {
  if (destination.kind === 's3') return destination.key.split('/').at(-1) ?? destination.key
  const compression = job.compression ?? 'xz'
  const ending = compression === 'none' ? 'img' : `img.${compression}`
  const name = /^[A-Za-z0-9][A-Za-z0-9-]*$/.test(job.hostname ?? '') ? job.hostname : `baseos-${job.architecture}`
  return `${name}.${job.imageKind === 'ubuntu-iso' ? 'iso' : ending}`
}

/** Values that go into files and headers as they are. */
function requireValues(job: CorebuildJob): void {
  const url = new URL(job.cloudlyUrl)
  // It stands in a file of lines: only what needs no quoting there, and nothing that logs should not see.
  if (!/^https?:\/\/[A-Za-z0-9.:[\]-]+(\/[A-Za-z0-9._~/-]*)?$/.test(job.cloudlyUrl) || url.username !== '') {
    throw wrong('cloudlyUrl', 'must be an address such as https://cloud.example.com, without user, query and fragment')
  }
  if (!/^[A-Za-z0-9._~+/=:@-]+$/.test(job.provisioningToken)) {
    throw wrong('provisioningToken', 'must be letters, digits and . _ ~ + / = : @ - alone')
  }
  if (job.upload !== undefined && !/^[\x21-\x7e]+$/.test(job.upload.token)) {
    throw wrong('upload.token', 'must be printable ASCII without spaces')
  }
  if (job.imageKind === 'ubuntu-iso' && job.architecture === 'rpi') {
    throw wrong('architecture', 'must be amd64 or arm64 for ubuntu-iso; a Raspberry Pi takes balena-raw')
  }
  if (job.artifactKey !== undefined && !isKey(job.artifactKey)) {
    throw wrong(
      'artifactKey',
      'must be names of letters, digits and . _ = + @ - with / between them, and none of . and ..',
    )
  }
}

function isKey(key: string): boolean {
  return key.split('/').every((name) => /^[A-Za-z0-9._=+@-]{1,200}$/.test(name) && name !== '.' && name !== '..')
}

/** Fields of the job that fields of the image tool's configuration come from. */
const fieldsOf: readonly [RegExp, string][] = [
  [/^ubuntuVersion/, 'ubuntuVersion'],
  [/^hostname/, 'hostname'],
  [/^user\.name/, 'sshUser'],
  [/^(user\.)?sshKeys/, 'sshPublicKey'],
  [/^wifi\.ssid/, 'wifi.ssid'],
  [/^wifi\.passphrase/, 'wifi.passphrase'],
  [/^wifi/, 'wifi'],
  [/^base\.sha256/, 'sourceImageSha256'],
  [/^base/, 'sourceImageUrl'],
  [/^output/, 'artifactKey'],
]

function parsed(input: Record<string, unknown>): ImageConfig {
  try {
    return parseConfig(input)
  } catch (error) {
    if (!(error instanceof FreeholdError)) throw error
    throw wrongFields(
      error.details.map(({ path, message }) => {
        const field = fieldsOf.find(([pattern]) => pattern.test(path))?.[1]
        return { path: field === undefined ? 'job' : `job.${field}`, message }
      }),
    )
  }
}

function wrong(field: string, message: string): FreeholdError {
  return wrongFields([{ path: `job.${field}`, message }])
}

/** One `invalid-input` with every field that is wrong; no value is repeated in it. */
export function wrongFields(details: { path: string; message: string }[]): FreeholdError {
  const list = details.map(({ path, message }) => `${path}: ${message}`)
  return new FreeholdError('invalid-input', `The job is wrong. ${list.join('; ')}`, { details })
}
