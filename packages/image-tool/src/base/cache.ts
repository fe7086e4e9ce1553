import { createHash, randomUUID } from 'node:crypto'
import { link, mkdir, readdir, readFile, rename, rm, stat, symlink, utimes, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { FreeholdError } from '@freehold/contracts'
import type { BaseImage } from '../config/schema.ts'
import type { BuildContext } from '../context.ts'
import { readFileStream } from '../output.ts'
import { isAlive, requireSpace } from '../workspace.ts'
import { download } from './download.ts'

/** A base image ready to be read. */
export interface LocalBase {
  /** Name inside the workspace. */
  name: string
  sha256: string
  sizeBytes: number
}

/**
 * Brings the base image into the workspace, as a link: from a path, from the cache, or by download. With a digest in the
 * configuration it is certain to be that one.
 *
 * The cache: `CACHE/<sha256>` are images, named by digest and therefore shared by all builds;
 * `CACHE/<sha256>.<pid>-<id>.part` are downloads, which a later build takes up once their process is gone;
 * `CACHE/<sha256 of a path>.verified` remembers that a file was hashed, and how the file looked then.
 *
 * Throws `invalid-input` where the digest is another, `not-found`, and what `download` throws.
 */
export async function obtainBase(base: BaseImage, context: BuildContext): Promise<LocalBase> {
  await mkdir(context.cacheFolder, { recursive: true, mode: 0o700 })
  const found = base.url === undefined ? await fromPath(base, context) : await fromUrl(base, base.url, context)
  const name = 'base'
  const target = join(context.workspace, name)
  // A hard link keeps the bytes even where another build clears the cache; across file systems there is none.
  await link(found.path, target).catch(() => symlink(found.path, target))
  const { size } = await stat(target)
  if (base.url !== undefined) await trimCache(context)
  return { name, sha256: found.sha256, sizeBytes: size }
}

/** In the name of a download that no process works on. */
const nobody = '0'

interface Found {
  path: string
  sha256: string
}

async function fromPath(base: BaseImage, context: BuildContext): Promise<Found> {
  const path = resolve(context.folder, base.path ?? '')
  const found = await stat(path).catch(() => undefined)
  if (found === undefined || !found.isFile()) {
    throw new FreeholdError('not-found', `The base image ${path} does not exist or is not a file.`)
  }
  return { path, sha256: await verified(path, base, context) }
}

async function fromUrl(base: BaseImage, url: string, context: BuildContext): Promise<Found> {
  if (base.sha256 === undefined) {
    const path = join(context.workspace, 'download')
    const { sha256 } = await downloadTo(path, url, context)
    return { path, sha256 }
  }
  const cached = join(context.cacheFolder, base.sha256)
  if ((await stat(cached).catch(() => undefined))?.isFile()) {
    try {
      const sha256 = await verified(cached, base, context)
      context.log('The base image is in the cache.')
      await utimes(cached, new Date(), (await stat(cached)).mtime)
      return { path: cached, sha256 }
    } catch (error) {
      context.signal.throwIfAborted()
      if (!(error instanceof FreeholdError)) throw error
      context.log('The base image in the cache is damaged; it is downloaded anew.')
      await rm(cached, { force: true })
    }
  }
  return { path: await downloadVerified(url, base.sha256, cached, context), sha256: base.sha256 }
}

async function downloadVerified(url: string, sha256: string, cached: string, context: BuildContext): Promise<string> {
  for (const chance of ['taken up', 'anew']) {
    const part = join(context.cacheFolder, `${sha256}.${process.pid}-${randomUUID()}.part`)
    const resumed = chance === 'taken up' && (await claimPart(sha256, part, context))
    if (resumed) context.log('A download that was broken off is taken up.')
    const result = await downloadTo(part, url, context).catch(async (error) => {
      await release(part, sha256, context)
      throw error
    })
    if (result.sha256 === sha256) {
      await rename(part, cached)
      await remember(cached, sha256, context)
      return cached
    }
    await rm(part, { force: true })
    if (!resumed) throw wrongDigest(sha256, result.sha256)
  }
  throw new FreeholdError('internal', 'A download was neither taken up nor begun.')
}

function downloadTo(path: string, url: string, context: BuildContext) {
  return download({
    url,
    path,
    largestBytes: context.limits.baseBytes,
    stallMs: context.limits.stallMs,
    signal: context.signal,
    fetch: context.fetch,
    requireRoom: (sizeBytes) =>
      requireSpace([{ folder: join(path, '..'), sizeBytes, what: 'the base image' }], context.freeBytes),
    progress: (doneBytes, totalBytes) => context.progress({ phase: 'download', doneBytes, totalBytes }),
  })
}

/** Renaming is what claims: of two builds that want the same beginning, one gets it. */
async function claimPart(sha256: string, target: string, context: BuildContext): Promise<boolean> {
  for (const name of await readdir(context.cacheFolder)) {
    const pid = /^[0-9a-f]{64}\.(\d+)-.*\.part$/.exec(name)?.[1]
    if (pid === undefined || !name.startsWith(`${sha256}.`)) continue
    if (pid !== nobody && isAlive(Number(pid))) continue
    const claimed = await rename(join(context.cacheFolder, name), target).then(
      () => true,
      () => false,
    )
    if (claimed) return true
  }
  return false
}

/** Leaves what was downloaded so far to whoever wants it next. */
async function release(part: string, sha256: string, context: BuildContext): Promise<void> {
  await rename(part, join(context.cacheFolder, `${sha256}.${nobody}-${randomUUID()}.part`)).catch(() => undefined)
}

/** The digest of a file: as remembered where the file has not changed since, else by reading it whole. */
async function verified(path: string, base: BaseImage, context: BuildContext): Promise<string> {
  const looks = await looksOf(path)
  const memory = await readFile(memoryOf(path, context), 'utf8').catch(() => '')
  const [looksThen, digestThen] = memory.split('\n')
  let sha256 = looksThen === looks && digestThen !== undefined ? digestThen : undefined
  if (sha256 === undefined) {
    sha256 = await hashOf(path, context)
    if (looks === (await looksOf(path))) await remember(path, sha256, context)
  }
  if (base.sha256 !== undefined && sha256 !== base.sha256) throw wrongDigest(base.sha256, sha256)
  return sha256
}

async function hashOf(path: string, context: BuildContext): Promise<string> {
  const { size } = await stat(path)
  const hash = createHash('sha256')
  let doneBytes = 0
  for await (const chunk of readFileStream(path, { signal: context.signal })) {
    hash.update(chunk)
    doneBytes += chunk.length
    context.progress({ phase: 'verify', doneBytes, totalBytes: size })
  }
  return hash.digest('hex')
}

/** Links change a file's change time, so it is the time of its last write that counts. */
async function looksOf(path: string): Promise<string> {
  const { dev, ino, size, mtimeNs } = await stat(path, { bigint: true })
  return [dev, ino, size, mtimeNs].join(' ')
}

function memoryOf(path: string, context: BuildContext): string {
  return join(context.cacheFolder, `${createHash('sha256').update(path).digest('hex')}.verified`)
}

async function remember(path: string, sha256: string, context: BuildContext): Promise<void> {
  await writeFile(memoryOf(path, context), `${await looksOf(path)}\n${sha256}\n`)
}

function wrongDigest(expected: string, actual: string): FreeholdError {
  return new FreeholdError(
    'invalid-input',
    `The base image is not the one of the configuration: its sha256 is ${actual}, expected was ${expected}. It was changed, or did not arrive whole.`,
  )
}

/** Forgets what was unused for longest until the cache keeps its limit. */
async function trimCache(context: BuildContext): Promise<void> {
  const entries = []
  for (const name of await readdir(context.cacheFolder)) {
    const path = join(context.cacheFolder, name)
    const found = await stat(path).catch(() => undefined)
    if (found !== undefined)
      entries.push({ path, sizeBytes: found.size, usedAt: Math.max(found.atimeMs, found.mtimeMs) })
  }
  let totalBytes = entries.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)
  for (const { path, sizeBytes } of entries.toSorted((one, other) => one.usedAt - other.usedAt)) {
    if (totalBytes <= context.limits.cacheBytes) return
    await rm(path, { force: true })
    totalBytes -= sizeBytes
  }
}
