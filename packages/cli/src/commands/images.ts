import { type ImportProgress, routes } from '@freehold/contracts'
import type { Command } from 'commander'
import { CliError, exitCodes } from '../exit-codes.ts'
import { registryId } from '../nouns/extra-flags.ts'
import { collect } from '../nouns/values.ts'
import { bytes } from '../output/text.ts'
import { type Environment, handle, operand } from '../runtime.ts'

interface ImportOptions {
  as: string
  registry?: string
  platform?: string[]
}

/** Adds what images have besides their verbs: `images import`. */
export function addImageCommands(program: Command, environment: Environment): void {
  const images = program.commands.find((command) => command.name() === 'images')
  if (images === undefined) throw new Error('The contract has no images.')
  const command = images
    .command('import')
    .description(
      'Copy an image from a registry elsewhere into one of ours. Interrupted, it stops; run again, it goes on where it was.',
    )
    .argument('<source>', 'such as docker.io/library/nginx:1.27, or with a digest')
    .requiredOption('--as <repository[:tag]>', "where it goes here; without a tag it has the source's")
    .option(
      '--registry <name|id>',
      "external registry whose credentials to use; default: the one for the source's host",
    )
    .option('--platform <os/arch>', 'only this platform, such as linux/amd64 (repeatable; default: all)', collect)
  handle<ImportOptions>(command, environment, async ({ operands, options, runtime }) => {
    const { output } = runtime
    const { repository, tag } = parseTarget(options.as)
    const body = {
      source: operand(operands, 0),
      repository,
      ...(tag === undefined ? {} : { tag }),
      ...(options.registry === undefined ? {} : { externalRegistryId: await registryId(runtime, options.registry) }),
      ...(options.platform === undefined ? {} : { platforms: options.platform }),
    }
    let last: ImportProgress | undefined
    for await (const line of (await runtime.api()).lines(routes.images.import, { body })) {
      last = line
      if (output.json) output.record(line)
      else if (line.done === null) output.note(describe(line))
    }
    if (last === undefined || last.done === null) {
      throw new CliError(exitCodes.failed, 'The import was broken off.', 'Run it again: what was copied stays.')
    }
    if (!output.json) output.line(`Imported ${last.done.repository}:${last.done.tag} (${last.done.digest}).`)
    return undefined
  })
}

/** A colon after the last slash divides repository and tag. */
function parseTarget(text: string): { repository: string; tag: string | undefined } {
  const colon = text.lastIndexOf(':')
  if (colon <= text.lastIndexOf('/')) return { repository: text, tag: undefined }
  return { repository: text.slice(0, colon), tag: text.slice(colon + 1) }
}

function describe({ message, blobs, bytes: sizes }: ImportProgress): string {
  if (blobs.total === 0) return message
  const done = `${blobs.present} of ${blobs.total} blobs here, ${bytes(sizes.copied)} copied`
  return `${message} ${done} of ${bytes(sizes.total)}.`
}
