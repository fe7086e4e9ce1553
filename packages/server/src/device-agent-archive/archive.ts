import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { mkdir, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { FreeholdError } from '@freehold/contracts'
import type { Logger } from 'pino'
import type { RawMount } from '../http/mounts.ts'
import type { AgentArchitecture } from './architecture.ts'
import { archivePrefix, createArchiveMount } from './mount.ts'

interface AgentArchive {
  url: string
  /** Lower-case hexadecimal. */
  sha256: string
  sizeBytes: number
}

export interface DeviceAgentArchive {
  /**
   * The archive of what is installed now, made where that was not done before: seconds of work, once. Throws
   * `unavailable` with what to do where a part of it cannot be had, and what storing it throws.
   */
  archiveFor(architecture: AgentArchitecture): Promise<AgentArchive>
  /** Serves archives to everybody, by their hash, and leads to the present one by its architecture. */
  mount: RawMount
  /** Ends what is being made. */
  close(): Promise<void>
}

export interface DeviceAgentArchiveOptions {
  /** Root of the installation: where package.json, packages/ and node_modules/ are. */
  installation: string
  /** Where archives, and Node for the other architecture, are kept; made where missing. */
  cacheFolder: string
  publicUrl: () => string
  log: Pick<Logger, 'info' | 'warn'>
}

/** What `<architecture>.json` beside the archives says. */
interface Kept {
  /** Of everything that the archive was made from. */
  fingerprint: string
  sha256: string
  sizeBytes: number
}

/** A build that was told of an archive may fetch it this long after another took its place. */
const keepOldMs = 86_400_000
const partial = '.making-'

/** Makes nothing before it is asked, and each archive once. */
export function createDeviceAgentArchive(options: DeviceAgentArchiveOptions): DeviceAgentArchive {
  const { installation, cacheFolder, publicUrl, log } = options
  const closing = new AbortController()
  const running = new Map<AgentArchitecture, Promise<Kept>>()
  /** Hashes of archives that this process made, or read. */
  const sound = new Set<string>()

  async function current(architecture: AgentArchitecture): Promise<Kept> {
    await mkdir(cacheFolder, { recursive: true, mode: 0o700 })
    // Loaded at the first use: most control planes never build an image.
    const { contentsOf, fingerprintOf } = await import('./contents.ts')
    const { findNode } = await import('./node.ts')
    const { signal } = closing
    const node = await findNode({ architecture, installation, cacheFolder, signal })
    const contents = await contentsOf({ installation, architecture, cacheFolder })
    const fingerprint = fingerprintOf([
      ...contents,
      { path: 'bin/node', mode: 0o755, bytes: Buffer.from(node.identity) },
    ])
    const kept = await readKept(cacheFolder, architecture)
    if (kept?.fingerprint === fingerprint && (await isSound(kept))) return kept

    const startedAt = performance.now()
    const { writeArchive } = await import('./write.ts')
    const unfinished = join(cacheFolder, `${partial}${architecture}`)
    await rm(unfinished, { recursive: true, force: true })
    await mkdir(unfinished)
    try {
      const binary = await node.take(unfinished)
      const made = await writeArchive(
        join(unfinished, 'archive'),
        [...contents, { path: 'bin/node', ...binary }],
        signal,
      )
      await rename(join(unfinished, 'archive'), join(cacheFolder, `${made.sha256}.tar.gz`))
      const now: Kept = { fingerprint, ...made }
      await writeFile(join(unfinished, 'kept'), JSON.stringify(now))
      await rename(join(unfinished, 'kept'), join(cacheFolder, `${architecture}.json`))
      sound.add(made.sha256)
      const milliseconds = Math.round(performance.now() - startedAt)
      log.info({ architecture, ...made, milliseconds }, 'the archive of the device agent was made')
      return now
    } finally {
      await rm(unfinished, { recursive: true, force: true })
    }
  }

  /** It is there, and was read whole since the start: what a disk damaged is made again. */
  async function isSound({ sha256, sizeBytes }: Kept): Promise<boolean> {
    const path = join(cacheFolder, `${sha256}.tar.gz`)
    try {
      if ((await stat(path)).size !== sizeBytes) return false
      if (sound.has(sha256)) return true
      const hash = createHash('sha256')
      await pipeline(createReadStream(path), hash, { signal: closing.signal })
      if (hash.digest('hex') !== sha256) return false
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false
      throw error
    }
    sound.add(sha256)
    return true
  }

  /** One making at a time for each architecture; who asks meanwhile gets the same. */
  function once(architecture: AgentArchitecture): Promise<Kept> {
    const known = running.get(architecture)
    if (known !== undefined) return known
    const begun = current(architecture)
      .then(async (kept) => {
        await dropOld(cacheFolder, log)
        return kept
      }, explained)
      .finally(() => running.delete(architecture))
    running.set(architecture, begun)
    return begun
  }

  async function archiveFor(architecture: AgentArchitecture): Promise<AgentArchive> {
    closing.signal.throwIfAborted()
    const { sha256, sizeBytes } = await once(architecture)
    return { url: `${publicUrl()}${archivePrefix}/${sha256}.tar.gz`, sha256, sizeBytes }
  }

  return {
    archiveFor,
    mount: createArchiveMount({ cacheFolder, archiveFor, log }),
    async close() {
      closing.abort(new FreeholdError('unavailable', 'The control plane is stopping.'))
      await Promise.allSettled(running.values())
    },
  }
}

function explained(cause: unknown): never {
  if (cause instanceof FreeholdError) throw cause
  const reason = cause instanceof Error ? cause.message : String(cause)
  const isFull = (cause as NodeJS.ErrnoException | null)?.code === 'ENOSPC'
  throw new FreeholdError(
    isFull ? 'storage-full' : 'unavailable',
    isFull
      ? 'The disk of the data directory is full, so the device agent cannot be packed: free 500 MB and try again.'
      : `The device agent of this installation cannot be packed: ${reason}.`,
    { cause },
  )
}

async function readKept(cacheFolder: string, architecture: AgentArchitecture): Promise<Kept | undefined> {
  try {
    const kept: Partial<Kept> | null = JSON.parse(await readFile(join(cacheFolder, `${architecture}.json`), 'utf8'))
    const { fingerprint, sha256, sizeBytes } = kept ?? {}
    if (typeof fingerprint !== 'string' || !/^[0-9a-f]{64}$/.test(sha256 ?? '') || typeof sizeBytes !== 'number') {
      return undefined
    }
    return { fingerprint, sha256: sha256 ?? '', sizeBytes }
  } catch (error) {
    // Nothing was made yet, or a power cut left half a file: it is made again.
    if (error instanceof SyntaxError || (error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}

/** Removes archives that no architecture has any more, once nobody can be about to fetch them. */
async function dropOld(cacheFolder: string, log: Pick<Logger, 'warn'>): Promise<void> {
  try {
    const kept = await Promise.all((['amd64', 'arm64'] as const).map((each) => readKept(cacheFolder, each)))
    const present = new Set(kept.flatMap((each) => (each === undefined ? [] : [`${each.sha256}.tar.gz`])))
    for (const name of await readdir(cacheFolder)) {
      if (!/^[0-9a-f]{64}\.tar\.gz$/.test(name) || present.has(name)) continue
      const path = join(cacheFolder, name)
      if (Date.now() - (await stat(path)).mtimeMs > keepOldMs) await rm(path, { force: true })
    }
  } catch (error) {
    log.warn({ err: error }, 'old archives of the device agent could not be removed')
  }
}
