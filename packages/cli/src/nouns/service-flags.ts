import { type Command, Option } from 'commander'
import { CliError, exitCodes } from '../exit-codes.ts'
import type { Data } from '../input/assign.ts'
import { parseEnvironmentFile } from '../input/environment-file.ts'
import { readSource } from '../input/source.ts'
import type { Runtime } from '../runtime.ts'
import { collect, numberOf, words } from './values.ts'

interface ServiceOptions {
  env?: string[]
  envFile?: string[]
  unsetEnv?: string[]
  port?: string[]
  webPort?: string
  healthPath?: string
  healthPort?: string
  healthCommand?: string
  healthTcp?: boolean
  healthCheck?: boolean
  cpu?: string
  memory?: string
  volume?: string[]
  strategy?: string
  deadline?: string
  settle?: string
  command?: string
  signedBy?: string[]
  signatureAnnotation?: string[]
  requireDigest?: boolean
  admission?: boolean
}

/** Flags for the parts of a service that are not plain fields. */
export function addServiceFlags(command: Command, verb: 'create' | 'update'): void {
  command
    .option(
      '--env <KEY=value>',
      'variable of the environment; KEY alone takes the value of this shell (repeatable)',
      collect,
    )
    .option('--env-file <file>', 'variables from a file of KEY=value lines, - for standard input (repeatable)', collect)
    .option(
      '--port <target[:published]>',
      'container port published on the node, /udp for UDP (repeatable; replaces all)',
      collect,
    )
    .option('--web-port <number>', 'port the container serves on; asked for health')
    .option('--health-path <path>', 'healthy when HTTP GET of this path answers well')
    .option('--health-port <number>', 'port to ask for health instead of the web port')
    .option('--health-tcp', 'healthy when the port accepts connections')
    .option('--health-command <array>', 'healthy when this exits with 0 inside the container; a YAML array')
    .option('--cpu <cores>', 'most CPU cores a container may use')
    .option('--memory <MB>', 'most memory a container may use')
    .option('--volume <name:path[:ro]>', 'named volume (repeatable; replaces all)', collect)
    .addOption(new Option('--strategy <choice>', 'how a rollout replaces containers').choices(['auto', 'recreate']))
    .option('--deadline <seconds>', 'a new revision must be healthy within this time')
    .option('--settle <seconds>', 'how long it must stay healthy before the old one goes')
    .option('--command <array>', "replaces the image's entrypoint and arguments; a YAML array or one word")
    .option(
      '--signed-by <file>',
      'run only images signed by this public key, such as cosign.pub (repeatable: any one of them; replaces all)',
      collect,
    )
    .option('--signature-annotation <key=value>', 'what the signature must say (repeatable)', collect)
    .option('--require-digest', 'the image version must be a digest')
  if (verb === 'create') return
  command
    .option('--unset-env <KEY>', 'remove a variable (repeatable)', collect)
    .option('--no-health-check', 'forget the declared health check')
    .option('--no-require-digest', 'the image version may be a tag')
    .option('--no-admission', 'run any image, signed or not')
}

/** What the flags say, as a part of a service's `data` (for update: of its merge patch). */
export async function readServiceFlags(runtime: Runtime, given: object, verb: 'create' | 'update'): Promise<Data> {
  const options = given as ServiceOptions
  const environment = await readEnvironment(runtime, options)
  const ports: Data = {}
  if (options.webPort !== undefined) ports.web = numberOf('--web-port', options.webPort)
  if (options.port !== undefined) ports.published = options.port.map(parsePort)
  const resources: Data = {}
  if (options.cpu !== undefined) resources.cpuLimit = numberOf('--cpu', options.cpu)
  if (options.memory !== undefined) resources.memorySizeMB = numberOf('--memory', options.memory)
  const rollout: Data = {}
  if (options.strategy !== undefined) rollout.strategy = options.strategy
  if (options.deadline !== undefined) rollout.deadlineSeconds = numberOf('--deadline', options.deadline)
  if (options.settle !== undefined) rollout.settleSeconds = numberOf('--settle', options.settle)
  const healthCheck = readHealthCheck(options, verb)
  const admission = await readAdmission(runtime, options, verb)
  return {
    ...unlessEmpty('environment', environment),
    ...unlessEmpty('ports', ports),
    ...unlessEmpty('resources', resources),
    ...unlessEmpty('rollout', rollout),
    ...(healthCheck === undefined ? {} : { healthCheck }),
    ...(admission === undefined ? {} : { admission }),
    ...(options.volume === undefined ? {} : { volumes: options.volume.map(parseVolume) }),
    ...(options.command === undefined ? {} : { command: words('--command', options.command) }),
  }
}

/** `8080`, `8080:80`, `53:53/udp`: container first, as the contract's `target` and `published`. */
export function parsePort(text: string): Data {
  const match = /^(\d{1,5})(?::(\d{1,5}))?(?:\/(tcp|udp))?$/.exec(text)
  if (match === null) {
    throw new CliError(exitCodes.usage, `"${text}" is no port.`, 'Write target[:published][/udp], such as 8080:80.')
  }
  const [, target, published, protocol = 'tcp'] = match
  return { target: Number(target), published: Number(published ?? target), protocol }
}

/** `data:/var/lib/data`, `data:/var/lib/data:ro`. */
export function parseVolume(text: string): Data {
  const [name, path, mode, ...more] = text.split(':')
  const known = mode === undefined || mode === 'ro' || mode === 'rw'
  if (name === undefined || name === '' || path === undefined || !path.startsWith('/') || !known || more.length > 0) {
    throw new CliError(exitCodes.usage, `"${text}" is no volume.`, 'Write name:/path or name:/path:ro.')
  }
  return { name, path, readOnly: mode === 'ro' }
}

function readHealthCheck(options: ServiceOptions, verb: 'create' | 'update'): Data | null | undefined {
  if (options.healthCheck === false) return null
  const port = options.healthPort === undefined ? {} : { port: numberOf('--health-port', options.healthPort) }
  const kinds = [options.healthPath, options.healthTcp, options.healthCommand].filter((each) => each !== undefined)
  if (kinds.length > 1) {
    throw new CliError(
      exitCodes.usage,
      'A service has one health check.',
      'Give one of --health-path, --health-tcp, --health-command.',
    )
  }
  // A merge patch keeps what it does not name; another type of check must not inherit the fields of the old one.
  const clear = (...fields: string[]) =>
    verb === 'update' ? Object.fromEntries(fields.map((field) => [field, null])) : {}
  if (options.healthPath !== undefined) return { type: 'http', path: options.healthPath, ...port, ...clear('command') }
  if (options.healthTcp === true) return { type: 'tcp', ...port, ...clear('command', 'path') }
  if (options.healthCommand !== undefined) {
    return { type: 'command', command: words('--health-command', options.healthCommand), ...clear('path', 'port') }
  }
  if (options.healthPort === undefined) return undefined
  return verb === 'update' ? port : { type: 'tcp', ...port }
}

async function readAdmission(
  runtime: Runtime,
  options: ServiceOptions,
  verb: 'create' | 'update',
): Promise<Data | null | undefined> {
  const { signedBy, signatureAnnotation, requireDigest } = options
  const admission: Data = {}
  if (signedBy !== undefined) {
    const keys: string[] = []
    for (const file of signedBy) keys.push((await readSource(runtime.io, file)).text)
    admission.signedBy = keys
  }
  if (signatureAnnotation !== undefined) admission.annotations = Object.fromEntries(signatureAnnotation.map(parsePair))
  if (requireDigest !== undefined) admission.requireDigest = requireDigest
  if (options.admission !== false) return Object.keys(admission).length === 0 ? undefined : admission
  if (Object.keys(admission).length > 0) {
    throw new CliError(
      exitCodes.usage,
      '--no-admission forgets the rule that the other flags give.',
      'Give --no-admission alone, or leave it out.',
    )
  }
  return verb === 'update' ? null : undefined
}

function parsePair(text: string): [string, string] {
  const at = text.indexOf('=')
  if (at < 1) throw new CliError(exitCodes.usage, `"${text}" is no annotation.`, 'Write key=value.')
  return [text.slice(0, at), text.slice(at + 1)]
}

async function readEnvironment(runtime: Runtime, options: ServiceOptions): Promise<Data> {
  const variables: Data = {}
  for (const file of options.envFile ?? []) {
    const { text, name } = await readSource(runtime.io, file)
    Object.assign(variables, parseEnvironmentFile(text, name))
  }
  for (const text of options.env ?? []) {
    const at = text.indexOf('=')
    const name = at < 0 ? text : text.slice(0, at)
    const value = at < 0 ? runtime.io.environment[name] : text.slice(at + 1)
    if (name === '' || value === undefined) {
      throw new CliError(
        exitCodes.usage,
        `--env ${text}: there is no value.`,
        'Write KEY=value, or set KEY in this shell.',
      )
    }
    variables[name] = value
  }
  for (const name of options.unsetEnv ?? []) variables[name] = null
  return variables
}

function unlessEmpty(name: string, part: Data): Data {
  return Object.keys(part).length === 0 ? {} : { [name]: part }
}
