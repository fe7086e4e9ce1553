import { createReadStream } from 'node:fs'
import { readFile, stat, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { FreeholdError } from '@freehold/contracts'
import type { FileContent } from '../config/load.ts'
import type { BuildContext } from '../context.ts'
import { runTool } from '../tools/run.ts'
import type { FoundPartition } from './scan.ts'

const longestReadBytes = 4 * 1024 * 1024

/** A file to be written into a partition. */
export interface PartitionFile {
  path: string
  mode: number
  content: FileContent
}

/**
 * Writes files into the copy of a partition, each in place of one that may be there, and reads them back. Throws
 * `invalid-input` where the partition has no room or no file system that can be written.
 */
export async function writeIntoPartition(
  partition: FoundPartition,
  files: readonly PartitionFile[],
  context: BuildContext,
): Promise<void> {
  const { copy, fileSystem } = partition
  if (copy === undefined) throw new FreeholdError('internal', `Partition ${partition.number} was not taken out.`)
  if (fileSystem.isUnclean) {
    throw new FreeholdError(
      'invalid-input',
      `Partition ${partition.number} of the base image was not unmounted cleanly. Mount and unmount it once, or take another image.`,
    )
  }
  const staged = await Promise.all(
    files.map((file, index) => stage(file, `file-${partition.number}-${index}`, context)),
  )
  if (fileSystem.type === 'fat') await writeFat(copy, staged, context)
  else if (fileSystem.type === 'ext') await writeExt(copy, staged, context)
  else {
    throw new FreeholdError(
      'invalid-input',
      `Partition ${partition.number} of the base image has neither FAT nor ext4.`,
    )
  }
  await verify(partition, staged, context)
}

/** Reads one file of a FAT partition, of at most 4 MiB; undefined where it is not there. */
export async function readFromFat(copy: string, path: string, context: BuildContext): Promise<Buffer | undefined> {
  const name = 'read-from-fat'
  try {
    await runTool({ program: 'mcopy', args: ['-n', '-i', copy, `::${path}`, name] }, context.tools)
  } catch (error) {
    // mtools knows one exit code for all; what it says is "File "::/config.json" not found".
    if (error instanceof FreeholdError && /not found/.test(error.message)) return undefined
    throw error
  }
  const file = join(context.workspace, name)
  if ((await stat(file)).size > longestReadBytes) {
    throw new FreeholdError('invalid-input', `${path} of the base image is too large.`)
  }
  return readFile(file)
}

interface StagedFile extends PartitionFile {
  /** Name inside the workspace. */
  name: string
}

async function stage(file: PartitionFile, name: string, context: BuildContext): Promise<StagedFile> {
  const target = join(context.workspace, name)
  const bytes = 'bytes' in file.content ? file.content.bytes : createReadStream(file.content.source)
  await writeFile(target, bytes, { signal: context.signal, mode: 0o600 })
  await utimes(target, context.tools.epochSeconds, context.tools.epochSeconds)
  return { ...file, name }
}

async function writeFat(image: string, files: readonly StagedFile[], context: BuildContext): Promise<void> {
  for (const folder of foldersOf(files)) {
    // `-D s` passes over a folder that is there already; mmd then fails, and a folder that is missing shows below.
    await runTool({ program: 'mmd', args: ['-D', 's', '-i', image, `::${folder}`] }, context.tools).catch(asConflict)
  }
  for (const { name, path } of files) {
    await runTool({ program: 'mcopy', args: ['-o', '-i', image, name, `::${path}`] }, context.tools)
  }
}

/** Failures of the program alone are passed over, not a missing program, a hanging one, or a cancelled build. */
function asConflict(error: unknown): void {
  if (!(error instanceof FreeholdError) || error.code !== 'conflict') throw error
}

/** debugfs reads its commands from a file; paths hold nothing that it takes for more than a name. */
async function writeExt(image: string, files: readonly StagedFile[], context: BuildContext): Promise<void> {
  const commands = [
    `set_current_time @${context.tools.epochSeconds}`,
    ...foldersOf(files).map((folder) => `mkdir ${folder}`),
    ...files.flatMap(({ name, path, mode }) => {
      const at = path.lastIndexOf('/')
      const [folder, file] = [path.slice(0, at) || '/', path.slice(at + 1)]
      return [
        `cd ${folder}`,
        `rm ${file}`,
        `write ${name} ${file}`,
        `set_inode_field ${file} mode 0100${mode.toString(8).padStart(3, '0')}`,
        `set_inode_field ${file} uid 0`,
        `set_inode_field ${file} gid 0`,
      ]
    }),
  ]
  await writeFile(join(context.workspace, 'debugfs-commands'), `${commands.join('\n')}\n`)
  await runTool({ program: 'debugfs', args: ['-w', '-f', 'debugfs-commands', image] }, context.tools)
}

/** The programs say little about what went wrong, so what counts is what is in the partition afterwards. */
async function verify(partition: FoundPartition, files: readonly StagedFile[], context: BuildContext): Promise<void> {
  const { copy = '', fileSystem } = partition
  for (const { path, name } of files) {
    const back = `${name}-back`
    const call =
      fileSystem.type === 'fat'
        ? ({ program: 'mcopy', args: ['-n', '-i', copy, `::${path}`, back] } as const)
        : ({ program: 'debugfs', args: ['-R', `dump ${path} ${back}`, copy] } as const)
    await runTool(call, context.tools).catch(asConflict)
    if (await isSame(join(context.workspace, name), join(context.workspace, back))) continue
    throw new FreeholdError(
      'invalid-input',
      `${path} could not be written into partition ${partition.number}: it has no room, or its file system is damaged.`,
    )
  }
}

async function isSame(one: string, other: string): Promise<boolean> {
  const sizes = await Promise.all([one, other].map((path) => stat(path).catch(() => undefined)))
  if (sizes[0] === undefined || sizes[0].size !== sizes[1]?.size) return false
  const others = createReadStream(other)[Symbol.asyncIterator]()
  for await (const chunk of createReadStream(one)) {
    const { value } = await others.next()
    if (!(chunk as Buffer).equals(value ?? Buffer.alloc(0))) return false
  }
  return true
}

/** Every folder above the files, each before those inside it. */
function foldersOf(files: readonly PartitionFile[]): string[] {
  const folders = files.flatMap(({ path }) => {
    const parts = path.split('/').slice(1, -1)
    return parts.map((_, index) => `/${parts.slice(0, index + 1).join('/')}`)
  })
  return [...new Set(folders)].toSorted()
}
