import { isAbsolute } from 'node:path'
import { deviceNodeIdPattern, deviceTokenPattern, FreeholdError } from '@freehold/contracts/lean'
import { type LogLevel, logLevels } from './log.ts'
import { parseJson } from './parse.ts'
import { Secret } from './secret.ts'

/** Everything the agent is configured by; `docs/device-agent.md` explains each variable. */
export interface Config {
  /** Null: no control plane, said as `not-configured`. */
  cloudlyUrl: URL | null
  joinToken: Secret | null
  nodeToken: Secret | null
  /** Fixed by the owner; wins over the one in the state file. */
  nodeId: string | null
  statePath: string
  heartbeatIntervalMs: number
  /** Null: no Supervisor, said as `not-configured`. */
  supervisorAddress: URL | null
  supervisorApiKey: Secret | null
  /** Null: no local API. */
  localApi: LocalApiAddress | null
  /** Where the local API's token is kept. */
  localTokenPath: string
  lockDirectory: string
  /** File of the first root of the signed channel; null: the control plane's, as it is when it is first asked. */
  updateRootPath: string | null
  /** As releases name it; null: not known. */
  deviceType: string | null
  /** `DOCKER_HOST`: where the host's engine is; undefined: the usual places are looked at. */
  dockerHost: string | undefined
  /** Where a host with two roots is laid out; null: it has none. */
  twoRootsDirectory: string | null
  /** Argument array that restarts a host with two roots; empty only without one. */
  restartCommand: readonly string[]
  /** Where the host's root is mounted; null: it is reached through its processes. */
  hostRoot: string | null
  /** Argument array of a program that exits with 0 where the host is well; null: none. */
  healthCommand: readonly string[] | null
  logLevel: LogLevel
}

export type LocalApiAddress = { kind: 'socket'; path: string } | { kind: 'loopback'; host: string; port: number }

/** The name of a variable, and what it must look like. */
type Fault = [name: string, expected: string]

/** Reads the environment; throws one `invalid-input` that names every fault, without the values. Empty means not set. */
export function readConfig(environment: Record<string, string | undefined>): Config {
  const faults: Fault[] = []
  const read = <Value>(name: string, expected: string, parse: (text: string) => Value | undefined): Value | null => {
    const text = environment[name]?.trim()
    if (!text) return null
    const value = parse(text)
    if (value === undefined) faults.push([name, expected])
    return value ?? null
  }
  const token = (name: string) =>
    read(name, 'a token without spaces, 8 to 512 characters', (text) =>
      deviceTokenPattern.test(text) ? new Secret(text) : undefined,
    )
  const path = (name: string) => read(name, 'an absolute path', (text) => (isAbsolute(text) ? text : undefined))
  const deviceType = (name: string) =>
    read(name, 'a type of device, such as raspberrypi4-64', (text) =>
      /^[a-z0-9]([a-z0-9_-]{0,62}[a-z0-9])?$/.test(text) ? text : undefined,
    )
  const url = (name: string, expected: string) => read(name, expected, parseHttpUrl)

  const statePath = path('BASEOS_STATE_PATH') ?? '/data/baseos/state.json'
  const localApi = read('BASEOS_LOCAL_API', 'unix:///absolute/path or http://127.0.0.1:port', parseLocalApi)
  const argv = (name: string) =>
    read(name, 'an argument array as JSON, like ["/sbin/reboot"], whose first is an absolute path', parseArgv)
  const twoRootsDirectory = path('BASEOS_TWO_ROOTS_DIR')
  const restartCommand = argv('BASEOS_HOST_RESTART_COMMAND')
  if (twoRootsDirectory !== null && restartCommand === null && !environment.BASEOS_HOST_RESTART_COMMAND?.trim()) {
    faults.push(['BASEOS_HOST_RESTART_COMMAND', 'needed with BASEOS_TWO_ROOTS_DIR: what restarts the host'])
  }
  const config: Config = {
    cloudlyUrl: url('BASEOS_CLOUDLY_URL', 'the address of the control plane, like https://cloud.example.com'),
    joinToken: token('BASEOS_JOIN_TOKEN'),
    nodeToken: token('BASEOS_NODE_TOKEN'),
    nodeId: read('BASEOS_NODE_ID', 'letters, digits and . _ : -, at most 128', (text) =>
      deviceNodeIdPattern.test(text) ? text : undefined,
    ),
    statePath,
    heartbeatIntervalMs:
      read('BASEOS_HEARTBEAT_INTERVAL_MS', 'whole milliseconds from 1000 to 86400000', parseIntervalMs) ?? 60_000,
    supervisorAddress: url('BALENA_SUPERVISOR_ADDRESS', 'the address of the Supervisor, like http://127.0.0.1:48484'),
    supervisorApiKey: read('BALENA_SUPERVISOR_API_KEY', 'the key of the Supervisor, without spaces', (text) =>
      /^[\x21-\x7e]{1,512}$/.test(text) ? new Secret(text) : undefined,
    ),
    localApi,
    localTokenPath: path('BASEOS_LOCAL_TOKEN_PATH') ?? defaultTokenPath(localApi, statePath),
    lockDirectory: path('BASEOS_LOCK_DIR') ?? '/tmp/balena',
    updateRootPath: path('BASEOS_UPDATE_ROOT'),
    deviceType: deviceType('BASEOS_DEVICE_TYPE') ?? deviceType('BALENA_DEVICE_TYPE'),
    dockerHost: environment.DOCKER_HOST,
    twoRootsDirectory,
    restartCommand: restartCommand ?? [],
    hostRoot: path('BASEOS_HOST_ROOT'),
    healthCommand: argv('BASEOS_HEALTH_COMMAND'),
    logLevel:
      read('BASEOS_LOG_LEVEL', logLevels.join(', '), (text) => logLevels.find((level) => level === text)) ?? 'info',
  }
  if (faults.length > 0) throw wrongSettings(faults)
  return config
}

function wrongSettings(faults: Fault[]): FreeholdError {
  const lines = faults.map(([name, expected]) => `  ${name}: ${expected}`)
  return new FreeholdError('invalid-input', `The settings of the device agent are wrong:\n${lines.join('\n')}`, {
    details: faults.map(([name, message]) => ({ path: name, message })),
  })
}

/** No user name or password in it: they would be logged with the address. */
function parseHttpUrl(text: string): URL | undefined {
  const url = URL.parse(text)
  if (!url || !/^https?:$/.test(url.protocol) || url.username || url.password || url.search || url.hash)
    return undefined
  return url
}

function parseIntervalMs(text: string): number | undefined {
  const value = Number(text)
  return /^\d+$/.test(text) && value >= 1_000 && value <= 86_400_000 ? value : undefined
}

function parseLocalApi(text: string): LocalApiAddress | undefined {
  const socket = /^unix:\/\/(\/.+)$/.exec(text)?.[1]
  if (socket !== undefined) return { kind: 'socket', path: socket }
  const [, host, port] = /^http:\/\/(127\.\d{1,3}\.\d{1,3}\.\d{1,3}|localhost|\[::1\]):(\d{1,5})\/?$/.exec(text) ?? []
  if (host === undefined || Number(port) > 65_535) return undefined
  return { kind: 'loopback', host: host === '[::1]' ? '::1' : host, port: Number(port) }
}

/** Never a line for a shell: it is started as it stands. */
function parseArgv(text: string): string[] | undefined {
  const value = parseJson(text)
  const isArgv = Array.isArray(value) && value.length > 0 && value.length <= 64
  if (!isArgv || !value.every((part) => typeof part === 'string' && part.length <= 4096 && !part.includes('\0'))) {
    return undefined
  }
  return isAbsolute(value[0] ?? '') ? value : undefined
}

/** Beside the socket, for whoever shares it; never there beside the state, which the sharer must not see. */
function defaultTokenPath(address: LocalApiAddress | null, statePath: string): string {
  const neighbour = address?.kind === 'socket' ? address.path : statePath
  return `${neighbour}.token`
}
