/**
 * Disk images for balenaOS-derived devices: configuration, network and files go into the partitions of the base, and the
 * rest of its bytes pass through. Only the partitions that change are ever copied to disk. It mounts nothing.
 */
import { basename, join } from 'node:path'
import { FreeholdError } from '@freehold/contracts'
import type { LocalBase } from '../base/cache.ts'
import { contentOf } from '../config/load.ts'
import type { BalenaRawConfig } from '../config/schema.ts'
import type { BuildContext } from '../context.ts'
import type { ImageHead } from '../output.ts'
import { composed, compressed } from './compose.ts'
import { configPath, deviceConfigOf, wifiConnectionOf, wifiPath } from './device-config.ts'
import { type PartitionFile, readFromFat, writeIntoPartition } from './edit.ts'
import { type Packing, packingOf, unpacked } from './formats.ts'
import { createFileReader, createStreamReader } from './reader.ts'
import { type FoundPartition, scanPartitions } from './scan.ts'

type Target = BalenaRawConfig['files'][number]['partition']

/** Labels of balenaOS; those with `flash` belong to images that write another image onto the device. */
const roles: Record<string, readonly string[]> = {
  boot: ['resin-boot', 'flash-boot'],
  root: ['resin-roota', 'flash-roota'],
  state: ['resin-state', 'flash-state'],
  data: ['resin-data', 'flash-data'],
}

const contentTypes = { xz: 'application/x-xz', zst: 'application/zstd', none: 'application/octet-stream' } as const

/** Prepares everything and gives the image as a stream that is made while it is read. */
export async function buildBalenaRaw(
  config: BalenaRawConfig,
  base: LocalBase,
  context: BuildContext,
): Promise<{ head: ImageHead; bytes: AsyncIterable<Buffer> }> {
  context.progress({ phase: 'inspect', doneBytes: 0, totalBytes: null })
  const packing = await packingOf(join(context.workspace, base.name))
  const targets: Target[] = [...new Set<Target>(['boot', ...config.files.map(({ partition }) => partition)])]
  const partitions = await findPartitions(base, { packing, targets }, context)
  const byTarget = new Map(targets.map((target) => [target, requirePartition(target, partitions)]))
  requireNoFlasher(config, byTarget)

  context.progress({ phase: 'edit', doneBytes: 0, totalBytes: null })
  for (const [partition, files] of await filesOf(config, byTarget, context)) {
    await writeIntoPartition(partition, files, context)
    context.log(`${files.length} files are put into partition ${partition.number}.`)
  }
  const ending = config.compression === 'none' ? 'img' : `img.${config.compression}`
  const image = composed(unpacked(base, packing, context), partitions, context)
  return {
    head: {
      filename: basename(config.output?.path ?? `baseos-${config.architecture}.${ending}`),
      contentType: contentTypes[config.compression],
      estimateBytes: estimateOf(base, { packing, partitions, config }),
    },
    bytes: compressed(image, config, context),
  }
}

async function findPartitions(
  base: LocalBase,
  { packing, targets }: { packing: Packing; targets: readonly Target[] },
  context: BuildContext,
): Promise<FoundPartition[]> {
  const reader =
    packing === 'raw'
      ? await createFileReader(join(context.workspace, base.name))
      : createStreamReader(unpacked(base, packing, context))
  try {
    const wanted = (partition: FoundPartition) => targets.some((target) => isTarget(partition, target))
    // What is packed costs time to read on; the partitions behind the last one that is wanted change nothing.
    const enough = (found: readonly FoundPartition[]) =>
      packing !== 'raw' && targets.every((target) => found.some((partition) => isTarget(partition, target)))
    return await scanPartitions(reader, { wanted, enough }, context)
  } finally {
    await reader.close()
  }
}

function isTarget(partition: FoundPartition, target: Target): boolean {
  if (typeof target === 'number') return partition.number === target
  const labels = roles[target] ?? [target.toLowerCase()]
  return [partition.name, partition.fileSystem.label].some((label) => labels.includes(label.toLowerCase()))
}

function requirePartition(target: Target, partitions: readonly FoundPartition[]): FoundPartition {
  const found = partitions.find((partition) => isTarget(partition, target))
  if (found !== undefined) return found
  const list = partitions.map(({ number, name, fileSystem }) => `${number} (${fileSystem.label || name || 'no label'})`)
  const labels = typeof target === 'number' ? '' : ` (${(roles[target] ?? [target]).join(' or ')})`
  throw new FreeholdError(
    'invalid-input',
    `The base image has no partition ${target}${labels}. It has ${list.join(', ') || 'none'}.`.replace(
      /[^\x20-\x7e]/g,
      '?',
    ),
  )
}

/** The system that an image of this type writes onto the device takes over the files of its boot partition alone. */
function requireNoFlasher(config: BalenaRawConfig, byTarget: ReadonlyMap<Target, FoundPartition>): void {
  const boot = byTarget.get('boot')
  const isFlasher = [boot?.name, boot?.fileSystem.label].some((label) => label?.toLowerCase() === 'flash-boot')
  const lost = config.files.find(({ partition }) => byTarget.get(partition) !== boot)
  if (!isFlasher || lost === undefined) return
  throw new FreeholdError(
    'invalid-input',
    `The base image installs another image onto the device and takes only files of its boot partition there; ${lost.path} would be lost. Put it on the boot partition, or take the image that is not a flasher.`,
  )
}

async function filesOf(
  config: BalenaRawConfig,
  byTarget: ReadonlyMap<Target, FoundPartition>,
  context: BuildContext,
): Promise<Map<FoundPartition, PartitionFile[]>> {
  const boot = byTarget.get('boot')
  if (boot?.copy === undefined || boot.fileSystem.type !== 'fat') {
    throw new FreeholdError('invalid-input', 'The boot partition of the base image has no FAT file system.')
  }
  const existing = await readFromFat(boot.copy, configPath, context)
  const ours: PartitionFile[] = [
    textFile(configPath, deviceConfigOf(existing?.toString(), config)),
    ...(config.wifi === undefined ? [] : [textFile(wifiPath, await wifiConnectionOf(config.wifi))]),
  ]
  const result = new Map([[boot, ours]])
  for (const file of config.files) {
    const partition = byTarget.get(file.partition)
    if (partition === undefined) continue
    const files = result.get(partition) ?? []
    if (files.some(({ path }) => path.toLowerCase() === file.path.toLowerCase())) {
      throw new FreeholdError('invalid-input', `${file.path} is given twice, or is a file that this tool writes.`)
    }
    const content = await contentOf(file, context.folder)
    result.set(partition, [...files, { path: file.path, mode: Number.parseInt(file.mode, 8), content }])
  }
  return result
}

function textFile(path: string, text: string): PartitionFile {
  const bytes = Buffer.from(text)
  return { path, mode: 0o600, content: { bytes, sizeBytes: bytes.length } }
}

/** An image that comes packed is taken to be packed again not much worse. */
function estimateOf(
  base: LocalBase,
  { packing, partitions, config }: { packing: Packing; partitions: readonly FoundPartition[]; config: BalenaRawConfig },
): number {
  if (packing === 'raw') return base.sizeBytes
  const reachBytes = Math.max(...partitions.map(({ startBytes, sizeBytes }) => startBytes + sizeBytes))
  return config.compression === 'none' ? Math.max(base.sizeBytes, reachBytes) : base.sizeBytes * 2
}
