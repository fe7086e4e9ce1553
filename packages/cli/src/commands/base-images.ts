import { basename } from 'node:path'
import { uploadResumably } from '@freehold/client'
import {
  type BaseImage,
  baseImageContentPath,
  type baseImageInput,
  buildArchitectures,
  FreeholdError,
  imageKinds,
  routes,
} from '@freehold/contracts'
import { type Command, Option } from 'commander'
import type { z } from 'zod'
import type { Api } from '../api.ts'
import { CliError, exitCodes } from '../exit-codes.ts'
import { find } from '../nouns/lookup.ts'
import { findNoun, listNouns } from '../nouns/noun.ts'
import { createProgressMeter } from '../output/progress.ts'
import { type Environment, handle, operand, type Runtime } from '../runtime.ts'
import { createSha256, type FileSource, openFileSource } from '../transfers/file-source.ts'

type NewBaseImage = z.input<typeof baseImageInput>

interface AddOptions {
  kind?: (typeof imageKinds)[number]
  architecture: (typeof buildArchitectures)[number]
  url?: string
  sha256?: string
  description?: string
}

/** Adds `base-images add`: by address and digest, or a file that is uploaded. */
export function addBaseImageCommands(program: Command, environment: Environment): void {
  const baseImages = program.commands.find((command) => command.name() === 'base-images')
  if (baseImages === undefined) throw new Error('The contract has no base images.')
  const command = baseImages
    .command('add')
    .alias('create')
    .description(
      'Add a base image: a file, which is uploaded, or --url with --sha256. An upload that broke off goes on when it is run again.',
    )
    .argument('<name>', 'what it shall be called')
    .argument('[file]', 'the image, as it is or packed (.zip, .gz, .xz, .zst)')
    .addOption(new Option('--kind <kind>', 'default: ubuntu-iso for an .iso, else balena-raw').choices(imageKinds))
    .addOption(
      new Option('--architecture <architecture>', 'of its devices').choices(buildArchitectures).makeOptionMandatory(),
    )
    .option('--url <url>', 'build workers fetch it there by themselves')
    .option('--sha256 <digest>', 'of the file as it is, packed images packed; with --url it is needed')
    .option('--description <text>', 'for people')
  handle<AddOptions>(command, environment, async ({ operands, options, runtime }) => {
    const name = operand(operands, 0)
    const file = operands[1]
    if ((file === undefined) === (options.url === undefined)) {
      throw new CliError(
        exitCodes.usage,
        'A base image is a file or an address, one of them.',
        'Name a file, or give --url and --sha256.',
      )
    }
    if (file !== undefined && /^https?:\/\//i.test(file)) {
      throw new CliError(exitCodes.usage, `${file} is an address, no file.`, 'Give it with --url, and its --sha256.')
    }
    const api = await runtime.api()
    const data = inputOf(name, file, options)
    const added =
      file === undefined
        ? await api.call(routes.baseImages.create, { body: { data } })
        : await addFile(runtime, { api, data, file })
    if (runtime.output.json) runtime.output.document(added)
    else {
      runtime.output.line(`Added base-image ${added.data.name}.`)
      const { imageKind, architecture } = added.data
      const line = `freehold builds create --kind ${imageKind} --architecture ${architecture} --base ${name} --wait`
      runtime.output.note(`→ \`${line}\` builds with it.`)
    }
    return undefined
  })
}

function inputOf(name: string, file: string | undefined, options: AddOptions): NewBaseImage {
  const { kind, architecture, url, sha256, description } = options
  const isIso = /\.iso$/i.test(basename(file ?? (URL.canParse(url ?? '') ? new URL(url ?? '').pathname : '')))
  return {
    name,
    imageKind: kind ?? (isIso ? 'ubuntu-iso' : 'balena-raw'),
    architecture,
    ...(description === undefined ? {} : { description }),
    ...(url === undefined ? {} : { url }),
    ...(sha256 === undefined ? {} : { sha256: sha256.toLowerCase() }),
  }
}

async function addFile(
  runtime: Runtime,
  { api, data, file }: { api: Api; data: NewBaseImage; file: string },
): Promise<BaseImage> {
  await using source = await openFileSource(file)
  const begun = await begin(api, data)
  await upload(runtime, { id: begun.id, name: data.name, source })
  return (await api.call(routes.baseImages.get, { params: { id: begun.id } })) as BaseImage
}

/** Makes the record, or takes the one whose upload was begun and not finished. */
async function begin(api: Api, data: NewBaseImage): Promise<BaseImage> {
  try {
    return (await api.call(routes.baseImages.create, { body: { data } })) as BaseImage
  } catch (error) {
    if (!(error instanceof FreeholdError) || error.code !== 'already-exists') throw error
    const there = (await find(api, findNoun(listNouns(), 'base-images'), data.name)) as unknown as BaseImage
    const { imageKind, architecture, url, sha256 } = there.data
    const isSame =
      imageKind === data.imageKind && architecture === data.architecture && sha256 === (data.sha256 ?? null)
    if (url !== null || there.status.state !== 'uploading' || !isSame) throw error
    return there
  }
}

async function upload(runtime: Runtime, input: { id: string; name: string; source: FileSource }): Promise<void> {
  const { io, output, signal } = runtime
  const { id, name, source } = input
  const { url, token } = await runtime.target()
  const meter = createProgressMeter(io, output)
  try {
    await uploadResumably({
      ...{ url, path: baseImageContentPath(id), source, signal, hasher: createSha256() },
      ...(token === null ? {} : { token }),
      onProgress: (doneBytes) => meter.report({ label: `Uploading ${name}`, doneBytes, totalBytes: source.sizeBytes }),
      onRetry: (error) => {
        meter.clear()
        output.note(`The upload broke off, trying again: ${error.message}`)
      },
    })
  } catch (error) {
    meter.clear()
    if (signal.aborted) output.note('What was uploaded stays: run it again, and it goes on where it was.')
    throw error
  }
  meter.clear()
}
