import {
  type GarbagePreview,
  type GarbageStatus,
  type RetentionReport,
  type RetentionStep,
  routes,
} from '@freehold/contracts'
import { type Command, Option } from 'commander'
import type { Api } from '../api.ts'
import { find, nameOf } from '../nouns/lookup.ts'
import { findNoun, listNouns } from '../nouns/noun.ts'
import { addRetentionFlags, type RetentionOptions, readRetentionFlags } from '../nouns/retention-flags.ts'
import type { Output } from '../output/output.ts'
import { age, bytes } from '../output/text.ts'
import { type Environment, handle, operand, type Runtime } from '../runtime.ts'

const pollMs = 500

/** Adds `registry storage`, `registry garbage`, and `images retention`. */
export function addRegistryCommands(program: Command, environment: Environment): void {
  const registry = program
    .command('registry')
    .summary('what the registry holds, and its garbage')
    .description('What the registry as a whole holds, and what it can do without.')
  addStorage(registry, environment)
  addGarbage(registry, environment)
  const images = program.commands.find((command) => command.name() === 'images')
  if (images !== undefined) addRetention(images, environment)
}

function addStorage(registry: Command, environment: Environment): void {
  const command = registry.command('storage').description('How much the registry holds, and may hold.')
  handle(command, environment, async ({ runtime: { api, output } }) => {
    const storage = await (await api()).call(routes.registry.storage)
    if (output.json) {
      output.document(storage)
      return undefined
    }
    const { usedBytes, quotaBytes, heldBytes, freedBytes } = storage
    const limit = quotaBytes === null ? 'no quota' : `of ${bytes(quotaBytes)}`
    output.line(`Used       ${bytes(usedBytes)} (${limit})`)
    output.line(
      `On disk    ${heldBytes === null ? 'not counted yet' : `${bytes(heldBytes)}, with garbage, as the last pass of garbage collection found it`}`,
    )
    output.line(`Freed      ${bytes(freedBytes)} since the start`)
    output.note('→ `freehold images overview` shows what each repository holds.')
    return undefined
  })
}

interface GarbageOptions {
  dryRun?: boolean
  run?: boolean
}

function addGarbage(registry: Command, environment: Environment): void {
  const command = registry
    .command('garbage')
    .description('How garbage collection stands; with a flag, what it would take, or a pass now.')
    .option('--dry-run', 'show what a pass would take now and later, and why; changes nothing')
    .addOption(new Option('--run', 'do a pass now and wait for its end; grace times hold as ever').conflicts('dryRun'))
  handle<GarbageOptions>(command, environment, async ({ options, runtime }) => {
    const api = await runtime.api()
    const { output } = runtime
    if (options.dryRun === true) {
      const preview = await api.call(routes.registry.previewGarbage)
      if (output.json) output.document(preview)
      else printPreview(output, preview)
      return undefined
    }
    const status = options.run === true ? await runPass(api, runtime) : await api.call(routes.registry.garbage)
    if (output.json) output.document(status)
    else printStatus(runtime, status)
    return undefined
  })
}

/** Asks for a pass; one under way when it was asked for does not count. */
async function runPass(api: Api, { signal }: Runtime): Promise<GarbageStatus> {
  const asked = await api.call(routes.registry.collectGarbage)
  const wanted = asked.passes + (asked.running ? 2 : 1)
  while (true) {
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, pollMs)
      signal.addEventListener('abort', () => resolve(clearTimeout(timer)), { once: true })
    })
    const status = await api.call(routes.registry.garbage)
    if (status.passes >= wanted) return status
  }
}

function printStatus({ io, output }: Runtime, { running, last, graceMs, periodMs }: GarbageStatus): void {
  const hours = graceMs / 3_600_000
  output.line(
    `${running ? 'A pass is under way.' : 'No pass is under way.'} One every ${periodMs / 60_000} minutes; what is condemned goes after ${hours} hours.`,
  )
  if (last === null) output.line('There was none yet since the start.')
  else {
    output.line(
      `The last ended ${age(last.finishedAt, io.now())} ago${last.complete ? '' : ', before it was through'}: condemned ${last.condemned}, dropped ${last.droppedLinks} links, removed ${last.removedBlobs} blobs, freed ${bytes(last.freedBytes)}.`,
    )
  }
  output.note('→ `freehold registry garbage --dry-run` shows what would go.')
}

function printPreview(output: Output, { complete, due, waiting, items, truncated }: GarbagePreview): void {
  if (items.length > 0) {
    output.table({
      columns: ['GOES', 'WHAT', 'SIZE', 'DIGEST', 'WHY'],
      rows: items.map(({ repository, digest, sizeBytes, due: now, goesAt, reason }) => [
        now ? 'now' : goesAt,
        repository === null ? 'blob' : `link of ${repository}`,
        bytes(sizeBytes),
        digest.slice(0, 19),
        reason,
      ]),
    })
  }
  output.note(`Now: ${due.blobs} blobs (${bytes(due.bytes)}) and ${due.links} links.`)
  output.note(
    `Later, unless needed again: ${waiting.blobs} blobs (${bytes(waiting.bytes)}) and ${waiting.links} links.`,
  )
  if (truncated) output.note('There are more than shown.')
  if (!complete) output.note('There was too much to look at all of it; the numbers are of what was seen.')
}

interface ImageRetentionOptions extends RetentionOptions {
  dryRun?: boolean
  apply?: boolean
}

function addRetention(images: Command, environment: Environment): void {
  const command = images
    .command('retention')
    .description('What retention would remove of an image now, and why; with rules given, what those would.')
    .argument('<image>', 'name or id')
    .option('--dry-run', 'change nothing; so it is unless --apply is given')
    .addOption(
      new Option('--apply', "carry the image's own rules out now").conflicts([
        ...['dryRun', 'keepLast', 'keepTags', 'keepDays', 'untaggedDays'],
      ]),
    )
  addRetentionFlags(command)
  handle<ImageRetentionOptions>(command, environment, async ({ operands, options, runtime }) => {
    const api = await runtime.api()
    const image = await find(api, findNoun(listNouns(), 'images'), operand(operands, 0))
    const params = { id: image.id }
    const retention = readRetentionFlags(options)
    const report =
      options.apply === true
        ? await api.call(routes.images.applyRetention, { params, body: {} })
        : await api.call(routes.images.previewRetention, { params, body: retention === undefined ? {} : { retention } })
    if (runtime.output.json) runtime.output.document(report)
    else printReport(runtime, { report, name: nameOf(image), applied: options.apply === true })
    return undefined
  })
}

function printReport(
  { io, output }: Runtime,
  { report, name, applied }: { report: RetentionReport; name: string; applied: boolean },
): void {
  const { steps, tags, manifests, truncated, source, releasedBytes } = report
  if (source === 'none') {
    output.note(`${name} has no retention rules, and the server has no default: everything stays.`)
    output.note(`→ Try some: \`freehold images retention ${name} --keep-last 10 --untagged-days 14\``)
    return
  }
  if (steps.length > 0) {
    output.table({
      columns: [applied ? 'DONE' : 'WOULD', 'WHAT', 'DIGEST', 'PUSHED', 'WHY'],
      rows: steps.map((step) => [
        actionOf(step),
        step.tag ?? 'manifest',
        step.digest.slice(0, 19),
        age(step.pushedAt, io.now()),
        step.reason,
      ]),
    })
  }
  const verb = applied ? 'Removed' : 'Would remove'
  output.note(
    `${verb} ${tags.delete} tags and ${manifests.delete} manifests, with ${bytes(releasedBytes)} that garbage collection then frees.`,
  )
  if (truncated) output.note('There are more than shown.')
  if (source === 'request') output.note('→ `freehold images update` with the same flags saves these rules.')
  else if (!applied && tags.delete + manifests.delete > 0) {
    output.note(`→ The next regular pass does this; \`freehold images retention ${name} --apply\` does it now.`)
  }
}

function actionOf(step: RetentionStep): string {
  return step.action === 'delete' ? 'remove' : 'keep'
}
