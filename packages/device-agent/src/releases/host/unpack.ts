import { basename, dirname, join, normalize } from 'node:path'
import { FreeholdError } from '@freehold/contracts/lean'
import type { Disk } from './disk.ts'
import type { Layer } from './image.ts'
import { readTar, type TarEntry } from './tar.ts'
import { isIntact } from './transfer.ts'

const fs = process.getBuiltinModule('node:fs')
const { chmod, lchown, link, lstat, lutimes, mkdir, open, readdir, rm, symlink } = fs.promises

export interface UnpackLimits {
  /** Of all files together, unpacked. */
  sizeBytes: number
  entries: number
}

const unpackLimits: UnpackLimits = { sizeBytes: 16 * 1024 ** 3, entries: 1_000_000 }

/**
 * Unpacks the layers of an image, lowest first, into the folder `root` (OCI Image 1.1, "Image Layer Filesystem
 * Changeset"). What always holds:
 *
 * 1. No byte is unpacked before the whole layer hashed to its digest.
 * 2. Nothing is written, removed or linked outside of `root`: no path climbs, and none leads through a symbolic link.
 * 3. A symbolic link may be absolute, since the root is once the root of a host; a relative one may not climb out.
 * 4. All is on the disk when it resolves.
 *
 * Owners are kept where this process is root. Device nodes are refused, extended attributes are not kept.
 */
export async function unpackImage(options: {
  layers: readonly { layer: Layer; path: string }[]
  root: string
  disk: Disk
  limits?: UnpackLimits
  onLayer?: (done: number) => void
  signal: AbortSignal
}): Promise<void> {
  const { layers, root, disk, limits = unpackLimits, onLayer = () => {}, signal } = options
  const left = { ...limits }
  const directories = new Map<string, TarEntry>()
  for (const [index, { layer, path }] of layers.entries()) {
    if (!(await isIntact(path, layer.digest))) {
      await disk.remove(path)
      throw new FreeholdError('conflict', `What was downloaded as ${layer.digest} is damaged; it is downloaded again.`)
    }
    await unpackLayer({ source: opened(path, layer.mediaType), root, left, directories, signal })
    onLayer(index + 1)
  }
  // At the end: a folder without write permission takes no files.
  for (const [path, entry] of [...directories].reverse()) {
    if (await isDirectory(join(root, path))) await setAttributes(join(root, path), entry)
  }
  await disk.syncTree(root)
}

async function unpackLayer(options: {
  source: AsyncIterable<Buffer>
  root: string
  left: UnpackLimits
  directories: Map<string, TarEntry>
  signal: AbortSignal
}): Promise<void> {
  const { source, root, left, directories, signal } = options
  const written = new Set<string>()
  for await (const entry of readTar(source)) {
    signal.throwIfAborted()
    left.entries -= 1
    left.sizeBytes -= entry.sizeBytes
    if (left.entries < 0 || left.sizeBytes < 0) {
      throw new FreeholdError('invalid-input', 'The image is larger or has more files than a root may have.')
    }
    const path = insideOf(entry.path)
    if (path === '') continue
    const name = basename(path)
    const parent = dirname(path) === '.' ? '' : dirname(path)
    await makeParents(root, parent)
    if (name === '.wh..wh..opq') {
      await emptyOfLower({ root, folder: parent, written })
    } else if (name.startsWith('.wh.')) {
      await rm(join(root, parent, insideName(name.slice('.wh.'.length))), { recursive: true, force: true })
    } else {
      await place(entry, { path, root })
      if (entry.kind === 'directory') directories.set(path, entry)
      else directories.delete(path)
      for (let part = path; part !== '.'; part = dirname(part)) written.add(part)
    }
  }
}

async function place(entry: TarEntry, { path, root }: { path: string; root: string }): Promise<void> {
  const target = join(root, path)
  if (entry.kind === 'device') {
    throw new FreeholdError('invalid-input', `The image holds the device node ${path}, which cannot be unpacked here.`)
  }
  if (entry.kind === 'directory') {
    if (await isDirectory(target)) return
    await rm(target, { force: true })
    await mkdir(target, { mode: 0o755 })
    return
  }
  await rm(target, { recursive: true, force: true })
  if (entry.kind === 'hardlink') {
    const source = insideOf(entry.linkPath)
    await makeParents(root, dirname(source) === '.' ? '' : dirname(source))
    if (!(await lstat(join(root, source))).isFile()) throw outside(`the link ${path} leads to no file`)
    return link(join(root, source), target)
  }
  if (entry.kind === 'symlink') {
    if (climbs(join(dirname(path), entry.linkPath)) && !entry.linkPath.startsWith('/')) {
      throw outside(`the link ${path} leads out of the root`)
    }
    await symlink(entry.linkPath, target)
    if (process.getuid?.() === 0) await lchown(target, entry.userId, entry.groupId)
    return
  }
  const handle = await open(target, 'wx', 0o600)
  try {
    for await (const chunk of entry.content()) await handle.writeFile(chunk)
    await setAttributes(target, entry)
    await handle.sync()
  } finally {
    await handle.close()
  }
}

/** The owner first: a change of owner takes special bits away. */
async function setAttributes(path: string, entry: TarEntry): Promise<void> {
  if (process.getuid?.() === 0) await lchown(path, entry.userId, entry.groupId)
  await chmod(path, entry.mode)
  await lutimes(path, entry.modifiedSeconds, entry.modifiedSeconds)
}

/** Every folder on the way; each is a folder itself, not a link to one. */
async function makeParents(root: string, folder: string): Promise<void> {
  let path = root
  for (const part of folder === '' ? [] : folder.split('/')) {
    path = join(path, part)
    if (await isDirectory(path)) continue
    try {
      await mkdir(path, { mode: 0o755 })
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
      throw outside(`${folder} leads through what is no folder`)
    }
  }
}

/** An opaque folder hides what lower layers put there, not what this one did. */
async function emptyOfLower(options: { root: string; folder: string; written: ReadonlySet<string> }): Promise<void> {
  const { root, folder, written } = options
  for (const entry of await readdir(join(root, folder), { withFileTypes: true })) {
    const path = folder === '' ? entry.name : `${folder}/${entry.name}`
    if (!written.has(path)) await rm(join(root, path), { recursive: true, force: true })
    else if (entry.isDirectory()) await emptyOfLower({ root, folder: path, written })
  }
}

/** The path below the root, without dots; empty: the root itself. Absolute paths count from the root. */
function insideOf(path: string): string {
  if (path.length > 4096 || path.includes('\0')) throw outside('a path is too long, or holds a zero')
  const parts = path.split('/').filter((part) => part !== '' && part !== '.')
  if (parts.includes('..')) throw outside(`the path ${path} climbs`)
  return parts.join('/')
}

function insideName(name: string): string {
  if (name === '' || name === '.' || name === '..') throw outside('a whiteout names nothing')
  return name
}

function climbs(path: string): boolean {
  const plain = normalize(path)
  return plain === '..' || plain.startsWith('../')
}

async function isDirectory(path: string): Promise<boolean> {
  try {
    return (await lstat(path)).isDirectory()
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false
    throw error
  }
}

/** The bytes of the archive. Failures of decompression come out of the iteration. */
function opened(path: string, mediaType: string): AsyncIterable<Buffer> {
  const file = fs.createReadStream(path, { highWaterMark: 256 * 1024 })
  if (/[.+]tar$/.test(mediaType)) return file
  if (!/[.+]gzip$/.test(mediaType)) {
    file.destroy()
    throw new FreeholdError(
      'invalid-input',
      `Layers of the type ${mediaType || 'none'} cannot be unpacked; push it as tar or gzip.`,
    )
  }
  const gunzip = process.getBuiltinModule('node:zlib').createGunzip()
  file.once('error', (error) => gunzip.destroy(error))
  gunzip.once('close', () => file.destroy())
  return file.pipe(gunzip)
}

function outside(reason: string): FreeholdError {
  return new FreeholdError('invalid-input', `The image is refused: ${reason}.`)
}
