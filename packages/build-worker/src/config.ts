import { hostname } from 'node:os'
import { join, resolve } from 'node:path'
import { FreeholdError, Secret } from '@freehold/contracts'
import { z } from 'zod'
import { splitCommand } from './tool/command-line.ts'

export interface WorkerConfig {
  /** Undefined: all addresses of the machine. */
  host: string | undefined
  port: number
  token: Secret | null
  /** Absolute; jobs and the cache of base images lie below it. */
  workFolder: string
  workerId: string
  /** Null: the image tool of this repository, in this process. */
  toolCommand: readonly string[] | null
  maxRunningJobs: number
  maxWaitingJobs: number
  jobTimeoutMs: number
  cacheBytes: number
  /** Most that the worker and all programs it starts hold together; null: whatever there is. */
  memoryBytes: number | null
  agentInstall: AgentInstall
  ubuntuMirror: UbuntuMirror
  /** Whether images may be fetched from, and sent to, private addresses that are not the control plane's. */
  allowsPrivateAddresses: boolean
}

/** `as-asked`: the archive that the job names, and of callers that know of none the checkout. */
export type AgentInstall = 'as-asked' | 'artifact' | 'git'
/** Addresses without a slash at the end. */
export type UbuntuMirror = { amd64: string; arm64: string }

const count = (least: number, most: number) =>
  z
    .string()
    .regex(/^\d{1,15}$/, `a whole number from ${least} to ${most}`)
    .transform(Number)
    .refine((value) => value >= least && value <= most, `a whole number from ${least} to ${most}`)

/** Ubuntu serves the two architectures from different places. */
const ubuntu: UbuntuMirror = {
  amd64: 'https://releases.ubuntu.com',
  arm64: 'https://cdimage.ubuntu.com/releases',
}

const schema = z.object({
  COREBUILD_PORT: count(0, 65_535).default(3060),
  COREBUILD_HOST: z
    .string()
    .regex(/^[A-Za-z0-9.:-]{1,253}$/, 'an address of this machine')
    .optional(),
  COREBUILD_TOKEN: z
    .string()
    .regex(/^[\x21-\x7e]{8,1024}$/, '8 to 1024 characters without spaces')
    .optional(),
  COREBUILD_WORKDIR: z.string().max(1000).default(join('.nogit', 'workdir')),
  COREBUILD_WORKER_ID: z
    .string()
    .regex(/^[\x21-\x7e]{1,200}$/, 'at most 200 characters without spaces')
    .optional(),
  ISO_CREATOR_COMMAND: z.string().max(4000).refine(isCommand, 'a program and its arguments, quotes closed').optional(),
  COREBUILD_MAX_JOBS: count(1, 64).default(1),
  COREBUILD_MAX_WAITING: count(0, 1000).default(4),
  COREBUILD_JOB_TIMEOUT_MS: count(1000, 7 * 86_400_000).default(2 * 3_600_000),
  COREBUILD_CACHE_BYTES: count(0, 10 ** 15 - 1).default(32 * 1024 ** 3),
  COREBUILD_MEMORY_BYTES: count(256 * 1024 ** 2, 10 ** 15 - 1).optional(),
  COREBUILD_AGENT_INSTALL: z.enum(['artifact', 'git'], 'artifact or git').optional(),
  COREBUILD_UBUNTU_MIRROR: z
    .url({ protocol: /^https?$/, error: 'an http(s) address' })
    .max(1000)
    .optional(),
  COREBUILD_ALLOW_PRIVATE_SOURCES: z.enum(['on', 'off'], 'on or off').default('off'),
})

/** Reads the environment; throws one `invalid-input` that names every fault, without the values. Empty means not set. */
export function readConfig(environment: Record<string, string | undefined>): WorkerConfig {
  const given = Object.fromEntries(
    Object.keys(schema.shape).flatMap((name) => {
      const text = environment[name]?.trim()
      return text ? [[name, text]] : []
    }),
  )
  const parsed = schema.safeParse(given)
  if (!parsed.success) {
    const details = parsed.error.issues.map(({ path, message }) => ({ path: path.join('.'), message }))
    const faults = details.map(({ path, message }) => `  ${path}: ${message}`)
    throw new FreeholdError('invalid-input', `The settings of the build worker are wrong:\n${faults.join('\n')}`, {
      details,
    })
  }
  const config = parsed.data
  const mirror = config.COREBUILD_UBUNTU_MIRROR?.replace(/\/+$/, '')
  return {
    host: config.COREBUILD_HOST,
    port: config.COREBUILD_PORT,
    token: config.COREBUILD_TOKEN === undefined ? null : new Secret(config.COREBUILD_TOKEN),
    workFolder: resolve(config.COREBUILD_WORKDIR),
    workerId: config.COREBUILD_WORKER_ID ?? `${hostname()}-${process.pid}`,
    toolCommand: config.ISO_CREATOR_COMMAND === undefined ? null : splitCommand(config.ISO_CREATOR_COMMAND),
    maxRunningJobs: config.COREBUILD_MAX_JOBS,
    maxWaitingJobs: config.COREBUILD_MAX_WAITING,
    jobTimeoutMs: config.COREBUILD_JOB_TIMEOUT_MS,
    cacheBytes: config.COREBUILD_CACHE_BYTES,
    memoryBytes: config.COREBUILD_MEMORY_BYTES ?? null,
    agentInstall: config.COREBUILD_AGENT_INSTALL ?? 'as-asked',
    ubuntuMirror: mirror === undefined ? ubuntu : { amd64: mirror, arm64: mirror },
    allowsPrivateAddresses: config.COREBUILD_ALLOW_PRIVATE_SOURCES === 'on',
  }
}

function isCommand(text: string): boolean {
  try {
    splitCommand(text)
    return true
  } catch {
    return false
  }
}
