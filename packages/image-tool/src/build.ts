import { join, resolve } from 'node:path'
import { FreeholdError } from '@freehold/contracts'
import { obtainBase } from './base/cache.ts'
import type { ImageConfig } from './config/schema.ts'
import { type BuildContext, defaultLimits, type FetchBase, type Limits, type Progress } from './context.ts'
import { buildUbuntuIso } from './iso/index.ts'
import { createMeter, fileSink, type ImageHead, type ImageSink, storageErrorOf } from './output.ts'
import { buildBalenaRaw } from './raw/index.ts'
import { missingPrograms, type Program, requirePrograms, systemSearchPath } from './tools/programs.ts'
import { freeBytesOf, requireSpace, withWorkspace } from './workspace.ts'

export interface BuildOptions {
  config: ImageConfig
  /** The folder that relative paths of the configuration start from. */
  folder: string
  /** Base images are kept here between builds. */
  cacheFolder: string
  /** Each build has a temporary folder in here. */
  workFolder: string
  /** Takes the image while it is made; without it the image goes to the configuration's `output.path`. */
  sink?: ImageSink
  signal?: AbortSignal
  onProgress?: (progress: Progress) => void
  onLog?: (sentence: string) => void
  limits?: Partial<Limits>
  /** Where programs are looked for; without it PATH and the folders of system programs. */
  searchPath?: string
  /** Fetches base images, where a caller has rules for addresses; without it the system's own `fetch`. */
  fetch?: FetchBase
  /** Tells how much may be written to a folder's file system; without it the system is asked. */
  freeBytes?: (folder: string) => Promise<number>
}

export interface BuiltImage {
  filename: string
  contentType: string
  sizeBytes: number
  sha256: string
  base: { sizeBytes: number; sha256: string }
  /** Where it was written; null where a sink took it. */
  path: string | null
}

/** The programs that an image of this kind needs. */
export const programsOf = {
  'ubuntu-iso': ['xorriso'],
  'balena-raw': ['mcopy', 'mmd', 'debugfs', 'xz'],
} as const satisfies Record<ImageConfig['kind'], readonly Program[]>

/** Programs that are not installed here, of those that an image of this kind needs. */
export function missingProgramsFor(kind: ImageConfig['kind'], searchPath = systemSearchPath()): Promise<Program[]> {
  return missingPrograms(programsOf[kind], searchPath)
}

/**
 * Builds one image. The same configuration and base give the same bytes, on every machine with the same versions of the
 * programs. What it wrote is gone when it fails, but for what the cache keeps.
 *
 * Throws `invalid-input` (configuration, base), `not-found` (base), `upstream-failed` (download), `unavailable` (a
 * program is missing), `storage-full` before anything is written where it can be known, `timeout` (a program hangs),
 * `conflict` (a program failed), and the signal's reason.
 */
export async function buildImage(options: BuildOptions): Promise<BuiltImage> {
  const signal = options.signal ?? new AbortController().signal
  signal.throwIfAborted()
  const { config } = options
  const searchPath = options.searchPath ?? systemSearchPath()
  const path = options.sink === undefined ? outputPathOf(options) : null
  await requirePrograms(programsOf[config.kind], searchPath)
  const workFolder = resolve(options.workFolder)
  return withWorkspace(workFolder, async (workspace) => {
    const limits = { ...defaultLimits, ...options.limits }
    const epochSeconds = Math.floor(Date.parse(config.date) / 1000)
    const context: BuildContext = {
      folder: resolve(options.folder),
      cacheFolder: resolve(options.cacheFolder),
      workspace,
      signal,
      limits,
      tools: {
        folder: workspace,
        searchPath,
        epochSeconds,
        signal,
        timeoutMs: limits.toolTimeoutMs,
        stallMs: limits.stallMs,
      },
      fetch: options.fetch ?? fetch,
      freeBytes: options.freeBytes ?? freeBytesOf,
      progress: progressOf(options.onProgress),
      log: options.onLog ?? (() => undefined),
    }
    try {
      return await build(config, { path, sink: options.sink }, context)
    } catch (error) {
      // Whatever broke because of it, a cancelled build was cancelled.
      signal.throwIfAborted()
      throw storageErrorOf(error, path ?? workFolder)
    }
  })
}

async function build(
  config: ImageConfig,
  { path, sink }: { path: string | null; sink: ImageSink | undefined },
  context: BuildContext,
): Promise<BuiltImage> {
  context.progress({ phase: 'check', doneBytes: 0, totalBytes: null })
  const base = await obtainBase(config.base, context)
  context.log(`The base image has ${base.sizeBytes} bytes and the sha256 ${base.sha256}.`)
  const image =
    config.kind === 'ubuntu-iso'
      ? await buildUbuntuIso(config, base, context)
      : await buildBalenaRaw(config, base, context)
  const { head } = image
  if (path !== null) await requireOutputSpace(path, head, context)
  const meter = createMeter((doneBytes) =>
    context.progress({ phase: 'write', doneBytes, totalBytes: head.estimateBytes }),
  )
  context.log(`${head.filename} is being written.`)
  await (sink ?? fileSink(path ?? head.filename))(meter.of(cancellable(image.bytes, context.signal)), head)
  context.signal.throwIfAborted()
  const { sizeBytes } = meter
  const built = { filename: head.filename, contentType: head.contentType, sizeBytes, sha256: meter.sha256() }
  context.log(`${built.filename} has ${sizeBytes} bytes and the sha256 ${built.sha256}.`)
  return { ...built, base: { sizeBytes: base.sizeBytes, sha256: base.sha256 }, path }
}

/** Every chunk asks whether the build is still wanted, whatever it came through. */
async function* cancellable(bytes: AsyncIterable<Buffer>, signal: AbortSignal): AsyncGenerator<Buffer> {
  for await (const chunk of bytes) {
    signal.throwIfAborted()
    yield chunk
  }
}

function outputPathOf({ config, folder }: BuildOptions): string {
  if (config.output !== undefined) return resolve(folder, config.output.path)
  throw new FreeholdError('invalid-input', 'The configuration has no output.path, so there is no place for the image.')
}

function requireOutputSpace(path: string, head: ImageHead, context: BuildContext): Promise<void> {
  const need = { folder: join(path, '..'), sizeBytes: head.estimateBytes ?? 0, what: 'the image' }
  return requireSpace([need], context.freeBytes)
}

const progressStepBytes = 8 * 1024 * 1024

/** Passes on the first word of each phase, and then one for every 8 MiB and the last. */
function progressOf(tell: ((progress: Progress) => void) | undefined): (progress: Progress) => void {
  let last: Progress | undefined
  return (progress) => {
    const isSame = last?.phase === progress.phase && last.totalBytes === progress.totalBytes
    const isStep = last === undefined || progress.doneBytes - last.doneBytes >= progressStepBytes
    if (isSame && !isStep && progress.doneBytes !== progress.totalBytes) return
    last = progress
    tell?.(progress)
  }
}
