import { type ManifestDetail, routes } from '@freehold/contracts'
import { type Command, Option } from 'commander'
import { CliError, exitCodes } from '../exit-codes.ts'
import { wholeNumber } from '../nouns/values.ts'
import { age, bytes, plain } from '../output/text.ts'
import { type Environment, handle, operand, type Runtime } from '../runtime.ts'
import { addDeletions } from './image-deletions.ts'
import { openImage, parseReference } from './image-reference.ts'

/** Rows asked for at once; the most a page holds is 500. */
const pageRows = 100

/** Adds to `images` what a repository holds: `overview`, `tags`, `manifests`, `inspect`, `delete-tag`, `delete-manifest`. */
export function addImageContentCommands(program: Command, environment: Environment): void {
  const images = program.commands.find((command) => command.name() === 'images')
  if (images === undefined) throw new CliError(exitCodes.failed, 'The contract has no images.')
  addOverview(images, environment)
  addTags(images, environment)
  addManifests(images, environment)
  addInspect(images, environment)
  addDeletions(images, environment)
}

interface ListOptions {
  search?: string
  limit: number
}

const limitOption = () => new Option('--limit <number>', 'stop after this many').argParser(wholeNumber(1)).default(100)

function addOverview(images: Command, environment: Environment): void {
  const command = images
    .command('overview')
    .description('List images with tags, size, last push and the services that use them; the last changed first.')
    .option('--search <text>', 'only those whose name contains this text')
    .addOption(limitOption())
  handle<ListOptions>(command, environment, async ({ options, runtime }) => {
    const api = await runtime.api()
    const items = await collect(options.limit, (page) =>
      api.call(routes.images.summaries, { query: { ...page, ...searchOf(options) } }),
    )
    const { output, io } = runtime
    if (output.json) output.document(items)
    else if (items.length === 0)
      output.note('There are no images. The first push to a repository makes one; so does `freehold images import`.')
    else {
      output.table({
        columns: ['NAME', 'WHERE', 'TAGS', 'SIZE', 'NEWEST', 'PUSHED', 'BY', 'SERVICES'],
        rows: items.map((image) => [
          image.name,
          image.externalImage ?? (image.mirrorOf === null ? 'here' : `mirror of ${image.mirrorOf}`),
          image.externalImage === null ? String(image.tagCount) : '',
          image.externalImage === null ? bytes(image.sizeBytes) : '',
          image.newestTag ?? '',
          image.lastPushAt === null ? '' : age(image.lastPushAt, io.now()),
          image.lastPushBy ?? '',
          image.services.map(({ name }) => name).join(', '),
        ]),
      })
    }
    return undefined
  })
}

function addTags(images: Command, environment: Environment): void {
  const command = images
    .command('tags')
    .description('List the tags of an image, the one moved last first, with what runs them.')
    .argument('<image>', 'name or id')
    .option('--search <text>', 'only those that contain this text')
    .addOption(limitOption())
  handle<ListOptions>(command, environment, async ({ operands, options, runtime }) => {
    const { api, image } = await openImage(runtime, operand(operands, 0))
    const items = await collect(options.limit, (page) =>
      api.call(routes.images.tags, { params: { id: image.id }, query: { ...page, ...searchOf(options) } }),
    )
    const { output, io } = runtime
    if (output.json) output.document(items)
    else if (items.length === 0) output.note('There are no tags.')
    else {
      output.table({
        columns: ['TAG', 'DIGEST', 'PLATFORMS', 'SIZE', 'PUSHED', 'BY', 'SIGNED', 'SBOM', 'RUNS IN'],
        rows: items.map((tag) => [
          tag.tag,
          tag.digest.slice(0, 19),
          tag.purpose === 'image' || tag.purpose === 'index' ? tag.platforms.join(', ') : tag.purpose,
          bytes(tag.sizeBytes),
          age(tag.pushedAt, io.now()),
          tag.pushedBy,
          tag.attachments.signatures > 0 ? 'yes' : '',
          tag.attachments.sboms > 0 ? 'yes' : '',
          runsIn(tag),
        ]),
      })
    }
    return undefined
  })
}

function addManifests(images: Command, environment: Environment): void {
  const command = images
    .command('manifests')
    .description('List the manifests of an image, tagged or not, newest first.')
    .argument('<image>', 'name or id')
    .addOption(limitOption())
  handle<{ limit: number }>(command, environment, async ({ operands, options, runtime }) => {
    const { api, image } = await openImage(runtime, operand(operands, 0))
    const items = await collect(options.limit, (page) =>
      api.call(routes.images.manifests, { params: { id: image.id }, query: page }),
    )
    const { output, io } = runtime
    if (output.json) output.document(items)
    else if (items.length === 0) output.note('There are no manifests.')
    else {
      output.table({
        columns: ['DIGEST', 'PURPOSE', 'TAGS', 'PLATFORMS', 'SIZE', 'PUSHED', 'BY', 'RUNS IN'],
        rows: items.map((manifest) => [
          manifest.digest,
          manifest.purpose,
          manifest.tags.join(', '),
          manifest.platforms.join(', '),
          bytes(manifest.sizeBytes),
          age(manifest.pushedAt, io.now()),
          manifest.pushedBy,
          runsIn(manifest),
        ]),
      })
    }
    return undefined
  })
}

function addInspect(images: Command, environment: Environment): void {
  const command = images
    .command('inspect')
    .description(
      'Show one version of an image: config, layers, platforms, referrers, and the services and releases that run it.',
    )
    .argument('<image>', 'name:tag or name@digest; without either the tag latest')
  handle(command, environment, async ({ operands, runtime }) => {
    const reference = parseReference(operand(operands, 0))
    const { api, image } = await openImage(runtime, reference.name)
    const params = { id: image.id }
    const digest =
      reference.digest ??
      (await api.call(routes.images.tag, { params: { ...params, tag: reference.tag ?? 'latest' } })).digest
    const detail = await api.call(routes.images.manifest, { params: { ...params, digest } })
    if (runtime.output.json) runtime.output.document(detail)
    else printDetail(runtime, detail)
    return undefined
  })
}

function printDetail({ output, io }: Runtime, detail: ManifestDetail): void {
  const facts: [string, string][] = [
    ['Digest', detail.digest],
    ['Repository', detail.repository],
    ['Purpose', detail.purpose],
    ['Media type', detail.mediaType],
    ['Tags', detail.tags.join(', ')],
    ['Platforms', detail.platforms.join(', ')],
    ['Size', bytes(detail.sizeBytes)],
    ['Pushed', `${age(detail.pushedAt, io.now())} ago by ${detail.pushedBy}`],
    ['Runs in', runsIn(detail)],
    ['About', detail.subject ?? ''],
    ['Entrypoint', detail.config?.entrypoint.join(' ') ?? ''],
    ['Command', detail.config?.command.join(' ') ?? ''],
    ['Environment', detail.config?.environmentNames.join(', ') ?? ''],
    ['Ports', detail.config?.exposedPorts.join(', ') ?? ''],
    ['User', detail.config?.user ?? ''],
  ]
  for (const [name, value] of facts) if (value !== '') output.line(`${`${name}:`.padEnd(13)}${plain(value)}`)
  section(
    output,
    'Layers',
    ['DIGEST', 'SIZE', 'MEDIA TYPE'],
    [...detail.layers.map((layer) => [layer.digest, bytes(layer.sizeBytes), layer.mediaType])],
  )
  section(
    output,
    'Manifests',
    ['DIGEST', 'PLATFORM', 'PURPOSE'],
    [...detail.children.map((child) => [child.digest, child.platform ?? '', child.purpose])],
  )
  section(
    output,
    'Referrers',
    ['DIGEST', 'PURPOSE', 'TYPE', 'SIZE'],
    [...detail.referrers.map((each) => [each.digest, each.purpose, each.artifactType ?? '', bytes(each.sizeBytes)])],
  )
}

function section(output: Runtime['output'], title: string, columns: string[], rows: string[][]): void {
  if (rows.length === 0) return
  output.line()
  output.line(output.style('bold', title))
  output.table({ columns, rows })
}

async function collect<Item>(
  limit: number,
  read: (page: { limit: number; cursor?: string }) => Promise<{ items: Item[]; nextCursor: string | null }>,
): Promise<Item[]> {
  const items: Item[] = []
  let cursor: string | null = null
  do {
    const rows = Math.min(pageRows, limit - items.length)
    const page: { items: Item[]; nextCursor: string | null } = await read({
      limit: rows,
      ...(cursor === null ? {} : { cursor }),
    })
    items.push(...page.items)
    cursor = page.nextCursor
  } while (cursor !== null && items.length < limit)
  return items
}

const searchOf = ({ search }: { search?: string }) => (search === undefined ? {} : { search })

/** Services and releases that have a manifest, for one cell. */
export function runsIn({ deployments, releases }: Pick<ManifestDetail, 'deployments' | 'releases'>): string {
  const services = deployments.map(
    ({ serviceName, revisionNumber, current }) => `${serviceName}/${revisionNumber}${current ? '' : ' (kept)'}`,
  )
  return [...services, ...releases.map(({ product, version }) => `release ${product} ${version}`)].join(', ')
}
