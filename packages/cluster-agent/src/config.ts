import { hostname } from 'node:os'
import { FreeholdError } from '@freehold/contracts'
import { z } from 'zod'
import { parseAddress } from './docker/http.ts'
import { type LogLevel, logLevels } from './log.ts'

const defaultSocket = 'unix:///var/run/docker.sock'

/** Everything an agent is configured by. */
const configSchema = z.object({
  CLOUDLY_URL: z
    .url({ protocol: /^https?$/, error: 'the address of the control plane, like https://cloud.example.com' })
    .describe('Address of the control plane'),
  JUMPCODE: z
    .string()
    .min(8)
    .max(200)
    .optional()
    .describe('One-time code to join a cluster; needed until it has joined'),
  DOCKER_HOST: z
    .string()
    .refine(isEngineAddress, 'unix:///path or tcp://host:port')
    .default(defaultSocket)
    .describe('Address of the Docker engine'),
  FREEHOLD_AGENT_DIR: z
    .string()
    .min(1)
    .default('/var/lib/freehold-agent')
    .describe('Folder of its key and its last desired state'),
  FREEHOLD_AGENT_NAME: z.string().min(1).max(253).default(hostname).describe('Name of this node in the control plane'),
  FREEHOLD_SWARM_INIT: z
    .enum(['on', 'off'])
    .default('on')
    .describe('Make this machine a Swarm of its own where it is in none'),
  FREEHOLD_SWARM_ADVERTISE_ADDR: z
    .string()
    .regex(/^[A-Za-z0-9.:[\]_-]+$/, 'an address or interface other nodes reach this one by')
    .default('127.0.0.1')
    .describe('What a new Swarm tells other nodes; the default keeps it on this machine'),
  FREEHOLD_LOG_LEVEL: z.enum(logLevels).default('info').describe('The least important thing it logs'),
})

export interface Config {
  controlPlaneUrl: string
  jumpCode: string | null
  engineAddress: string
  directory: string
  name: string
  swarm: { init: boolean; advertiseAddress: string }
  logLevel: LogLevel
}

/** Reads the environment; throws one `invalid-input` that names every fault, without the values. */
export function readConfig(environment: Record<string, string | undefined>): Config {
  const given = Object.fromEntries(
    Object.keys(configSchema.shape).flatMap((name) => (environment[name] ? [[name, environment[name]]] : [])),
  )
  const parsed = configSchema.safeParse(given)
  if (!parsed.success) {
    const details = parsed.error.issues.map(({ path, message }) => ({ path: path.join('.'), message }))
    const faults = details.map(({ path, message }) => `  ${path}: ${environment[path] ? message : 'is not set'}`)
    throw new FreeholdError('invalid-input', `The agent cannot start; its settings are wrong:\n${faults.join('\n')}`, {
      details,
    })
  }
  const config = parsed.data
  return {
    controlPlaneUrl: config.CLOUDLY_URL,
    jumpCode: config.JUMPCODE ?? null,
    engineAddress: config.DOCKER_HOST,
    directory: config.FREEHOLD_AGENT_DIR,
    name: config.FREEHOLD_AGENT_NAME,
    swarm: { init: config.FREEHOLD_SWARM_INIT === 'on', advertiseAddress: config.FREEHOLD_SWARM_ADVERTISE_ADDR },
    logLevel: config.FREEHOLD_LOG_LEVEL,
  }
}

function isEngineAddress(address: string): boolean {
  try {
    parseAddress(address)
    return true
  } catch {
    return false
  }
}
