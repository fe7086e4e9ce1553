import { type DeletionPlan, routes } from '@freehold/contracts'
import type { Command } from 'commander'
import { CliError, type ExitCode, exitCodes } from '../exit-codes.ts'
import { bytes } from '../output/text.ts'
import { type Environment, handle, type Runtime } from '../runtime.ts'
import { type ImageReference, openImage, parseReference } from './image-reference.ts'

interface DeletionOptions {
  yes?: boolean
  dryRun?: boolean
  /** `--only` leaves what nothing else needs then. */
  only?: boolean
}

/** Adds `delete-tag` and `delete-manifest`: both show what would go, ask on a terminal, and delete all or nothing. */
export function addDeletions(images: Command, environment: Environment): void {
  add(images, {
    environment,
    name: 'delete-tag',
    description: 'Delete tags of an image, and what nothing else needs then; shows it and asks first on a terminal.',
    operand: 'name:tag',
    isRight: ({ tag }) => tag !== undefined,
  })
  add(images, {
    environment,
    name: 'delete-manifest',
    description:
      'Delete manifests of an image with their tags, and what nothing else needs then; shows it and asks first.',
    operand: 'name@digest',
    isRight: ({ digest }) => digest !== undefined,
  })
}

function add(
  images: Command,
  input: {
    environment: Environment
    name: string
    description: string
    operand: string
    isRight: (reference: ImageReference) => boolean
  },
): void {
  const command = images
    .command(input.name)
    .description(input.description)
    .argument('<image...>', `${input.operand}, all of one image`)
    .option('-y, --yes', 'do not ask')
    .option('--dry-run', 'only show what would go; exit 5 where something refuses')
    .option('--only', 'leave untagged manifests, children of indexes and signatures where they are')
  handle<DeletionOptions>(command, input.environment, async ({ operands, options, runtime }) => {
    const references = operands.map((text) => parseReference(text ?? ''))
    for (const [index, reference] of references.entries()) {
      if (input.isRight(reference)) continue
      throw new CliError(
        exitCodes.usage,
        `"${operands[index]}" is not written ${input.operand}.`,
        `\`freehold images tags ${reference.name}\` and \`manifests\` show what there is.`,
      )
    }
    return remove(runtime, references, options)
  })
}

async function remove(
  runtime: Runtime,
  references: readonly ImageReference[],
  options: DeletionOptions,
): Promise<ExitCode | undefined> {
  const [name = '', ...others] = new Set(references.map((reference) => reference.name))
  if (others.length > 0) {
    throw new CliError(exitCodes.usage, `${name} and ${others[0]} are different images.`, 'Delete from one at a time.')
  }
  const { api, image } = await openImage(runtime, name)
  const body = {
    tags: references.flatMap(({ tag }) => (tag === undefined ? [] : [tag])),
    manifests: references.flatMap(({ digest }) => (digest === undefined ? [] : [digest])),
    cascade: options.only !== true,
  }
  const call = (preview: boolean) =>
    api.call(routes.images.deletions, { params: { id: image.id }, body: { ...body, preview } })
  const { output, io } = runtime
  if (options.dryRun === true) {
    const plan = await call(true)
    if (output.json) output.document(plan)
    else show(runtime, name, plan)
    return plan.refusals.length === 0 ? undefined : exitCodes.conflict
  }
  if (io.prompts !== null && options.yes !== true) {
    const plan = await call(true)
    // What refuses is thrown by the delete itself, with the server's own words and code.
    if (plan.refusals.length === 0) {
      show(runtime, name, plan)
      if (!(await io.prompts.confirm(`Delete this from ${name}?`))) {
        throw new CliError(exitCodes.failed, 'Nothing was deleted.')
      }
    }
  }
  const done = await call(false)
  if (output.json) output.document(done)
  else tellDone(runtime, name, done)
  return undefined
}

function show({ output }: Runtime, name: string, plan: DeletionPlan): void {
  const rows = [
    ...plan.tags.map(({ tag, digest }) => ['tag', `${name}:${tag}`, digest, '']),
    ...plan.manifests.map(({ digest, purpose, because }) => [purpose, name, digest, reasons[because]]),
  ]
  if (rows.length > 0) output.table({ columns: ['GOES', 'NAME', 'DIGEST', 'WHY'], rows })
  for (const { digest, purpose, message } of plan.leftBehind) {
    output.line(`Stays: ${purpose} ${digest}.${message === null ? '' : ` ${message}`}`)
  }
  for (const { message } of plan.refusals) output.line(`${output.style('red', 'Refused:')} ${message}`)
  if (plan.refusals.length > 0) output.line('Nothing goes as long as anything refuses.')
  else output.line(`Garbage collection then frees ${bytes(plan.freedBytes)}.`)
}

const reasons: Record<DeletionPlan['manifests'][number]['because'], string> = {
  asked: 'asked for',
  untagged: 'no tag names it then',
  child: 'only a deleted index needs it',
  referrer: 'refers to what goes',
}

function tellDone({ output }: Runtime, name: string, done: DeletionPlan): void {
  for (const { tag } of done.tags) output.line(`Deleted tag ${name}:${tag}.`)
  for (const { digest } of done.manifests) output.line(`Deleted manifest ${name}@${digest}.`)
  output.note(`→ Garbage collection frees ${bytes(done.freedBytes)} once the grace times have passed.`)
}
