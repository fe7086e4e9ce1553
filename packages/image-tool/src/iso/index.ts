/**
 * Ubuntu live-server images that install themselves: answers for the installer, files for the installed system and
 * new menu entries go into the image, everything else of it stays. It boots nothing and installs nothing.
 */
import { createHash } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { FreeholdError } from '@freehold/contracts'
import type { LocalBase } from '../base/cache.ts'
import type { UbuntuIsoConfig } from '../config/schema.ts'
import type { BuildContext } from '../context.ts'
import { type ImageHead, readFileStream } from '../output.ts'
import { requireSpace } from '../workspace.ts'
import { installerArguments, installScriptOf, isoPaths, metaDataOf, userDataOf } from './autoinstall.ts'
import { rewriteGrubMenu } from './grub.ts'
import { type IsoContents, readIsoContents, readIsoVolume } from './inspect.ts'
import { type IsoChange, repackIso } from './repack.ts'
import { rootfsEntries } from './rootfs.ts'
import { type TarEntry, tarOf } from './tar.ts'

const checksums = '/md5sum.txt'
const about = '/.disk/info'
const menus = ['/boot/grub/grub.cfg', '/boot/grub/loopback.cfg']

/** Prepares everything and gives the image as a stream that is made while it is read. */
export async function buildUbuntuIso(
  config: UbuntuIsoConfig,
  base: LocalBase,
  context: BuildContext,
): Promise<{ head: ImageHead; bytes: AsyncIterable<Buffer> }> {
  context.progress({ phase: 'inspect', doneBytes: 0, totalBytes: null })
  const volume = await readIsoVolume(join(context.workspace, base.name))
  const contents = await readIsoContents(base, [about, checksums, ...menus], context)
  requireUbuntu(config, contents)
  const entries = await rootfsEntries(config, context.folder)
  const addedBytes = entries.reduce((sum, entry) => sum + sizeOf(entry), 0)
  await requireSpace([{ folder: context.workspace, sizeBytes: addedBytes, what: 'the added files' }], context.freeBytes)
  context.progress({ phase: 'edit', doneBytes: 0, totalBytes: null })
  const changes = await writeChanges(config, { contents, entries }, context)
  context.log(`${changes.length} files are put into the image.`)
  return {
    head: {
      filename: basename(config.output?.path ?? `${config.hostname}-${config.architecture}.iso`),
      contentType: 'application/x-iso9660-image',
      estimateBytes: base.sizeBytes + addedBytes + entries.length * 1024 + 4 * 1024 * 1024,
    },
    bytes: repackIso(base, { volume, changes }, context),
  }
}

function requireUbuntu(config: UbuntuIsoConfig, { texts, boots }: IsoContents): void {
  const line = texts.get(about)?.trim() ?? ''
  const found = /^Ubuntu-Server (\d\d\.\d\d(?:\.\d+)?).* (amd64|arm64)\b/.exec(line)
  if (found === null) {
    throw new FreeholdError(
      'invalid-input',
      'The base image is not an Ubuntu live-server image: /.disk/info says otherwise.',
    )
  }
  const [, version = '', architecture] = found
  if (architecture !== config.architecture) {
    throw new FreeholdError('invalid-input', `The base image is for ${architecture}, not for ${config.architecture}.`)
  }
  if (config.ubuntuVersion !== undefined && `${version}.`.startsWith(`${config.ubuntuVersion}.`) === false) {
    throw new FreeholdError('invalid-input', `The base image is Ubuntu ${version}, not ${config.ubuntuVersion}.`)
  }
  if (!boots) throw new FreeholdError('invalid-input', 'The base image has no boot record (El Torito).')
}

/** Writes all files that change into the workspace, their checksums last. */
async function writeChanges(
  config: UbuntuIsoConfig,
  { contents, entries }: { contents: IsoContents; entries: readonly TarEntry[] },
  context: BuildContext,
): Promise<IsoChange[]> {
  const instanceId = config.instanceId ?? `freehold-${digestOf(config).slice(0, 16)}`
  const texts = new Map<string, string>([
    [isoPaths.userData, userDataOf(config)],
    [isoPaths.metaData, metaDataOf({ instanceId, hostname: config.hostname })],
    [isoPaths.installScript, installScriptOf({ hasScript: config.installScript !== undefined })],
    ...newMenus(config, contents),
  ])
  const changes: IsoChange[] = []
  const sums = new Map<string, string>()
  for (const [path, text] of texts) {
    changes.push(await writeText(path, text, context))
    sums.set(path, createHash('md5').update(text).digest('hex'))
  }
  const archive = 'rootfs.tar'
  await writeFile(join(context.workspace, archive), tarOf(entries, context.tools.epochSeconds), {
    signal: context.signal,
  })
  changes.push({ path: isoPaths.archive, name: archive })
  sums.set(isoPaths.archive, await md5OfFile(join(context.workspace, archive)))
  const old = contents.texts.get(checksums)
  if (old !== undefined) {
    changes.push(await writeText(checksums, updateChecksums(old, { sums, gone: contents.bootFiles }), context))
  }
  return changes
}

function newMenus(config: UbuntuIsoConfig, { texts }: IsoContents): [string, string][] {
  const changed = menus.flatMap((path): [string, string][] => {
    const menu = texts.get(path)
    if (menu === undefined) return []
    const text = rewriteGrubMenu(menu, { installerArguments, systemArguments: config.kernelArguments })
    return text === undefined ? [] : [[path, text]]
  })
  if (changed.some(([path]) => path === menus[0])) return changed
  throw new FreeholdError(
    'invalid-input',
    `${menus[0]} of the base image has no entry that boots /casper/vmlinuz. Ubuntu 22.04 and newer live-server images have one.`,
  )
}

async function writeText(path: string, text: string, context: BuildContext): Promise<IsoChange> {
  const name = `change${path.replaceAll('/', '-')}`
  await writeFile(join(context.workspace, name), text, { mode: 0o600 })
  return { path, name }
}

/**
 * The list that the installer checks the medium by: lines of what changed are replaced, new ones are added, and those of
 * `gone` left out: files that boot hold the place they lie at, which is another one now.
 */
export function updateChecksums(
  list: string,
  { sums, gone }: { sums: ReadonlyMap<string, string>; gone: readonly string[] },
): string {
  const rest = new Map(sums)
  const lines = list.split('\n').flatMap((line) => {
    const path = /^[0-9a-f]{32} [ *]\.(\/.*)$/.exec(line)?.[1]
    if (line === '' || (path !== undefined && gone.includes(path))) return []
    const sum = path === undefined ? undefined : rest.get(path)
    if (path === undefined || sum === undefined) return [line]
    rest.delete(path)
    return [`${sum}  .${path}`]
  })
  return `${[...lines, ...[...rest].map(([path, sum]) => `${sum}  .${path}`)].join('\n')}\n`
}

async function md5OfFile(path: string): Promise<string> {
  const hash = createHash('md5')
  for await (const chunk of readFileStream(path)) hash.update(chunk)
  return hash.digest('hex')
}

/** The same for the same configuration, wherever it was built. */
function digestOf({ base: _base, output: _output, ...config }: UbuntuIsoConfig): string {
  return createHash('sha256').update(JSON.stringify(config)).digest('hex')
}

function sizeOf(entry: TarEntry): number {
  if ('target' in entry) return 1024
  return ('bytes' in entry ? entry.bytes.length : entry.sizeBytes) + 1024
}
