import {
  type Build,
  buildArchitectures,
  buildDownloadPath,
  type buildInput,
  flashingHint,
  imageKinds,
  routes,
} from '@freehold/contracts'
import { type Command, Option } from 'commander'
import type { z } from 'zod'
import type { Api } from '../api.ts'
import { tellEnd, watchBuild } from '../build.ts'
import { CliError, type ExitCode, exitCodes } from '../exit-codes.ts'
import { find } from '../nouns/lookup.ts'
import { findNoun, listNouns } from '../nouns/noun.ts'
import { collect, parseLabel, wholeNumber } from '../nouns/values.ts'
import { createProgressMeter } from '../output/progress.ts'
import { plain, safeLogLine } from '../output/text.ts'
import { type Environment, handle, operand, type Runtime } from '../runtime.ts'
import { downloadVerified } from '../transfers/download.ts'
import { readSshKey, readWifi, type WifiOptions } from './build-secrets.ts'

const buildArgument = 'id, or a hostname that only one build has'

/** Adds what `builds` has besides the commands made from the contract. */
export function addBuildCommands(program: Command, environment: Environment): void {
  const builds = program.commands.find((command) => command.name() === 'builds')
  if (builds === undefined) throw new Error('The contract has no builds.')
  addCreate(builds, environment)
  addWatch(builds, environment)
  addLog(builds, environment)
  addDownload(builds, environment)
}

interface CreateOptions extends WifiOptions {
  kind: (typeof imageKinds)[number]
  architecture: (typeof buildArchitectures)[number]
  base?: string
  ubuntuVersion?: string
  hostname?: string
  sshUser?: string
  sshKey?: string
  label?: string[]
  compression?: 'xz' | 'zst' | 'none'
  heartbeatIntervalMs?: number
  tokenExpiresInSeconds?: number
  keepForDays?: number
  wait?: boolean
  download?: string | true
}

function addCreate(parent: Command, environment: Environment): void {
  const command = parent
    .command('create')
    .description('Build an image that one device enrols with. With --wait: exit 0 only if it was built.')
    .addOption(new Option('--kind <kind>', 'what is built').choices(imageKinds).makeOptionMandatory())
    .addOption(
      new Option('--architecture <architecture>', 'of the device').choices(buildArchitectures).makeOptionMandatory(),
    )
    .option('--base <name|id>', "base image; without it Ubuntu's own, for ubuntu-iso alone")
    .option('--ubuntu-version <version>', "of Ubuntu's own; default 24.04")
    .option('--hostname <name>', 'of the device; default: baseos- and the end of the id of the build')
    .option('--ssh-user <name>', 'who may sign in by SSH, of ubuntu-iso; default baseos')
    .option('--ssh-key <file>', 'the public key of who may, such as ~/.ssh/id_ed25519.pub; default: nobody may')
    .option('--wifi-ssid <name>', 'a Wi-Fi network; its passphrase is asked for unless one of the next three is given')
    .option('--wifi-passphrase-file <file>', 'the first line of this file is the passphrase')
    .option('--wifi-passphrase-stdin', 'the first line of standard input is the passphrase')
    .option('--wifi-open', 'the network has no passphrase')
    .option('--wifi-hidden', 'the network does not say its name')
    .option(
      '--label <key=value>',
      'label of the device that enrols with it, and of the build (repeatable); device groups choose by them',
      collect,
    )
    .addOption(
      new Option('--compression <kind>', 'of balena-raw; zst is much faster, a fifth larger; default xz').choices([
        'xz',
        'zst',
        'none',
      ]),
    )
    .addOption(
      new Option('--heartbeat-interval-ms <number>', 'how often the device says that it lives').argParser(
        wholeNumber(5000),
      ),
    )
    .addOption(
      new Option('--token-expires-in-seconds <number>', 'the device must enrol until then; default 30 days').argParser(
        wholeNumber(3600),
      ),
    )
    .addOption(
      new Option('--keep-for-days <number>', 'the image is removed after that; default 14').argParser(wholeNumber(1)),
    )
    .option('--wait', 'follow it until it has ended, with its log')
    .option('--download [file]', 'with --wait: fetch the image then, to this file or one named by the build')
  handle<CreateOptions>(command, environment, async ({ options, runtime }) => {
    if (options.download !== undefined && options.wait !== true) {
      throw new CliError(
        exitCodes.usage,
        '--download goes with --wait.',
        'Add --wait, or use `freehold builds download`.',
      )
    }
    const api = await runtime.api()
    const data = await inputOf(runtime, api, options)
    const labels = data.deviceLabels === undefined ? {} : { labels: data.deviceLabels }
    const build = await api.call(routes.builds.create, { body: { data, ...labels } })
    const { output } = runtime
    if (options.wait === true) {
      if (!output.json) output.note(`Build ${build.id}.`)
      const file = typeof options.download === 'string' ? options.download : undefined
      return waitFor(runtime, { api, id: build.id, download: options.download === undefined ? null : { file } })
    }
    if (output.json) output.document(build)
    else {
      output.line(`Building: ${build.id}.`)
      output.note(`→ \`freehold builds watch ${build.id}\` follows it.`)
    }
    return undefined
  })
}

async function inputOf(runtime: Runtime, api: Api, options: CreateOptions): Promise<z.input<typeof buildInput>> {
  const { kind, architecture, base, label, sshKey } = options
  const baseImage = base === undefined ? undefined : await find(api, findNoun(listNouns(), 'base-images'), base)
  const wifi = await readWifi(runtime.io, options)
  const given = {
    ubuntuVersion: options.ubuntuVersion,
    hostname: options.hostname,
    sshUser: options.sshUser,
    compression: options.compression,
    heartbeatIntervalMs: options.heartbeatIntervalMs,
    tokenExpiresInSeconds: options.tokenExpiresInSeconds,
    keepForDays: options.keepForDays,
    baseImageId: baseImage?.id,
    sshPublicKey: sshKey === undefined ? undefined : await readSshKey(sshKey),
    wifi,
    deviceLabels: label === undefined ? undefined : Object.fromEntries(label.map(parseLabel)),
  }
  return { imageKind: kind, architecture, ...withoutUndefined(given) }
}

async function waitFor(
  runtime: Runtime,
  input: { api: Api; id: string; download: { file: string | undefined } | null },
): Promise<ExitCode> {
  const { api, id, download } = input
  const build = await watchBuild(runtime, { api, id })
  tellEnd(runtime, build)
  if (build.status.state !== 'succeeded') return exitCodes.failed
  if (download !== null) {
    const fetched = await fetchImage(runtime, { api, build, file: download.file })
    if (runtime.output.json) runtime.output.record({ download: fetched })
  }
  return exitCodes.ok
}

function addWatch(parent: Command, environment: Environment): void {
  const command = parent
    .command('watch')
    .description('Follow a build, with its log, until it has ended: exit 0 only if it succeeded.')
    .argument('<build>', buildArgument)
  handle(command, environment, async ({ operands, runtime }) => {
    const api = await runtime.api()
    const { id } = await find(api, findNoun(listNouns(), 'builds'), operand(operands, 0))
    return waitFor(runtime, { api, id, download: null })
  })
}

function addLog(parent: Command, environment: Environment): void {
  const command = parent
    .command('log')
    .description('What the build workers said of a build (NDJSON with --json).')
    .argument('<build>', buildArgument)
    .option('-f, --follow', 'go on until the build has ended')
  handle<{ follow?: boolean }>(command, environment, async ({ operands, options, runtime: { api: open, output } }) => {
    const api = await open()
    const { id } = await find(api, findNoun(listNouns(), 'builds'), operand(operands, 0))
    const query = options.follow === true ? { follow: 'true' } : {}
    for await (const line of api.lines(routes.builds.log, { params: { id }, query })) {
      if (output.json) output.record(line)
      else output.line(`${output.style('dim', line.at.slice(11, 19))}  ${safeLogLine(line.text)}`)
    }
    return undefined
  })
}

function addDownload(parent: Command, environment: Environment): void {
  const command = parent
    .command('download')
    .description(
      'Fetch the image of a build and check its sha256. Interrupted, it stops; run again, it goes on where it was.',
    )
    .argument('<build>', buildArgument)
    .option('--out <file>', 'where it goes; default: its own name, in this directory')
  handle<{ out?: string }>(command, environment, async ({ operands, options, runtime }) => {
    const api = await runtime.api()
    const build = await find(api, findNoun(listNouns(), 'builds'), operand(operands, 0))
    const fetched = await fetchImage(runtime, { api, build: build as unknown as Build, file: options.out })
    if (runtime.output.json) runtime.output.document(fetched)
    return undefined
  })
}

async function fetchImage(
  runtime: Runtime,
  { api, build, file: wantedFile }: { api: Api; build: Build; file: string | undefined },
): Promise<{ file: string; sizeBytes: number; sha256: string }> {
  const { output, io } = runtime
  const params = { id: build.id }
  const { url } = await runtime.target()
  const offer = () => api.call(routes.builds.download, { params, body: {} })
  const first = await offer()
  const file = wantedFile ?? safeName(first.filename)
  const meter = createProgressMeter(io, output)
  let offered: typeof first | undefined = first
  const came = await downloadVerified({
    wanted: { sizeBytes: first.sizeBytes, sha256: first.sha256 },
    file,
    signal: runtime.signal,
    onProgress: (doneBytes) => meter.report({ label: 'Downloading', doneBytes, totalBytes: first.sizeBytes }),
    onRetry: (reason) => {
      meter.clear()
      output.note(`The download broke off, trying again: ${plain(reason)}`)
    },
    address: async () => {
      // By the address that this command reaches the server at, whatever the server takes its own to be.
      const { search } = new URL((offered ?? (await offer())).url)
      offered = undefined
      return `${url.replace(/\/+$/, '')}${buildDownloadPath(build.id)}${search}`
    },
  })
  meter.clear()
  if (!output.json) {
    const said =
      came === 'present' ? `${file} is there already, and right.` : `Downloaded ${file}; its sha256 is right.`
    output.line(said)
    hint(runtime, build, file)
  }
  return { file, sizeBytes: first.sizeBytes, sha256: first.sha256 }
}

function hint({ output }: Runtime, { data: { imageKind, architecture } }: Build, file: string): void {
  const { command, programs, outcome } = flashingHint({ imageKind, architecture, file })
  output.note(outcome)
  output.note(`  ${command}`)
  if (programs.length > 0) output.note(`  or with ${programs.join(' or ')}.`)
  output.note('Keep it as you would a password: whoever has it can enrol one device.')
}

/** A name of the server's is a name in this directory, and no hidden file. */
function safeName(filename: string): string {
  const name = plain(filename)
    .replace(/[/\\]/g, '-')
    .replace(/^[.-]+/, '')
  return name === '' ? 'image' : name
}

type Given<Fields> = { [Name in keyof Fields]?: Exclude<Fields[Name], undefined> }

function withoutUndefined<Fields extends object>(fields: Fields): Given<Fields> {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as Given<Fields>
}
