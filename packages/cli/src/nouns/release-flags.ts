import { open } from 'node:fs/promises'
import type { Command } from 'commander'
import { CliError, exitCodes } from '../exit-codes.ts'
import type { Data } from '../input/assign.ts'
import type { Runtime } from '../runtime.ts'
import { collect } from './values.ts'

interface ReleaseOptions {
  service?: string[]
  deviceType?: string[]
  hostapp?: string
  baserunner?: string
  minimumVersion?: string
  licenseBundle?: string
  type?: string
}

/** The server takes no larger one. */
const licenseLimitBytes = 8 * 1024 * 1024

/** Flags for what a release is made of; ports, volumes and environment of services are written in a file. */
export function addReleaseFlags(command: Command, verb: 'create' | 'update'): void {
  if (verb === 'update') return
  command
    .option('--service <name=image>', 'a container, such as web=shop/web:1.4.0 (repeatable)', collect)
    .option('--device-type <type>', 'only for devices of this type, such as raspberrypi4-64 (repeatable)', collect)
    .option('--hostapp <image>', 'makes it a host release: the root file system, for the one --device-type')
    .option('--baserunner <image>', 'the device agent that belongs to the host')
    .option('--minimum-version <version>', 'hosts older than this must take another release between')
    .option('--license-bundle <file>', 'the licences of the host, a .tar.gz')
}

/** What the flags say, as a part of a release's `data`. */
export async function readReleaseFlags(_: Runtime, given: object, verb: 'create' | 'update'): Promise<Data> {
  if (verb === 'update') return {}
  const options = given as ReleaseOptions
  const { service, deviceType, hostapp } = options
  return {
    ...(service === undefined ? {} : { type: options.type ?? 'app', services: service.map(parseService) }),
    ...(deviceType === undefined ? {} : { deviceTypes: deviceType }),
    ...(hostapp === undefined ? withoutHost(options) : await hostOf(options, hostapp)),
  }
}

async function hostOf(options: ReleaseOptions, hostapp: string): Promise<Data> {
  const [deviceType, second] = options.deviceType ?? []
  if (deviceType === undefined || second !== undefined) {
    throw new CliError(
      exitCodes.usage,
      'A host release is for one type of device.',
      'Name it with --device-type, such as --device-type raspberrypi4-64.',
    )
  }
  const { baserunner, minimumVersion, licenseBundle } = options
  const host: Data = { deviceType, hostapp }
  if (baserunner !== undefined) host.baserunner = baserunner
  if (minimumVersion !== undefined) host.minimumVersion = minimumVersion
  if (licenseBundle !== undefined) host.licenseBundle = await readBase64(licenseBundle)
  return { type: 'host', product: 'baseos', host }
}

function withoutHost({ baserunner, minimumVersion, licenseBundle }: ReleaseOptions): Data {
  if (baserunner === undefined && minimumVersion === undefined && licenseBundle === undefined) return {}
  throw new CliError(
    exitCodes.usage,
    '--baserunner, --minimum-version and --license-bundle belong to a host.',
    'Give --hostapp as well.',
  )
}

/** `web=shop/web:1.4.0`. */
function parseService(text: string): Data {
  const at = text.indexOf('=')
  if (at < 1 || at === text.length - 1) {
    throw new CliError(exitCodes.usage, `"${text}" is no service.`, 'Write name=image, such as web=shop/web:1.4.0.')
  }
  return { name: text.slice(0, at), image: text.slice(at + 1) }
}

async function readBase64(file: string): Promise<string> {
  try {
    await using handle = await open(file, 'r')
    const { size } = await handle.stat()
    if (size > licenseLimitBytes) throw new Error(`it is larger than ${licenseLimitBytes} bytes`)
    return (await handle.readFile()).toString('base64')
  } catch (error) {
    throw new CliError(
      exitCodes.usage,
      `${file} cannot be read: ${(error as Error).message}`,
      'Check its name and that you may read it.',
    )
  }
}
