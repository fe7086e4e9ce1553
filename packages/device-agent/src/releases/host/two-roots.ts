import { join } from 'node:path'
import type { ReleaseManifest } from '@freehold/contracts'
import { FreeholdError } from '@freehold/contracts/lean'
import { mkdir, rm, writeFile } from '../../builtin.ts'
import { kernelBootId } from '../../machine.ts'
import type { ReleaseDriver } from '../driver.ts'
import { bootFormat, type Layout, otherRoot, type RootName, readLayout, writeRecord } from './boot-record.ts'
import { createDisk, type Disk } from './disk.ts'
import type { HostHealth } from './host-health.ts'
import type { HostLocks } from './host-locks.ts'
import type { ImageSource } from './image.ts'
import { readOsRelease, versionIn } from './os-release.ts'
import { type UnpackLimits, unpackImage } from './unpack.ts'
import { refusalOfVersion } from './version.ts'

const { readdir } = process.getBuiltinModule('node:fs').promises

export interface TwoRootsOptions {
  /** Absolute; laid out as `boot-record.ts` says, with `current` leading to a root. */
  directory: string
  source: ImageSource
  /** Held from the switch until the host is up again. */
  locks: HostLocks
  /** Takes the host down, to come up again through `two-roots-boot`. Resolves when it was told to. */
  restart: () => Promise<void>
  /** How the host does once it is up; null: being confirmed by the agent is all that is asked. */
  checkHealth: ((signal: AbortSignal) => Promise<HostHealth>) | null
  /** Boots that a new root has to be confirmed in. */
  attemptLimit?: number
  limits?: UnpackLimits
  disk?: Disk
  /** Changes with every boot; the kernel's unless a test says otherwise. */
  bootId?: () => Promise<string | null>
}

/**
 * Switches between two roots. What always holds: the root that boots is never written to; the link leads to a whole
 * root at every moment; what was not confirmed is left by `two-roots-boot`, whether the agent lives or not.
 */
export function createTwoRootsDriver(options: TwoRootsOptions): ReleaseDriver {
  const { directory, source, restart, checkHealth, locks, attemptLimit = 3, limits, disk = createDisk() } = options
  const { bootId = kernelBootId } = options

  const layout = async () => {
    const found = await readLayout(directory)
    if (found.record.formatVersion > bootFormat) throw newerRecord(found.record.formatVersion)
    return present(found)
  }
  /** What was left in an earlier boot is over. */
  const present = async (found: Layout): Promise<Layout> => {
    const { left } = found.record
    if (left === null || left.bootId === ((await bootId()) ?? '')) return found
    return { ...found, record: { ...found.record, left: null } }
  }
  const runningContent = (found: Layout) => {
    const root = runningRoot(found)
    return root === null ? null : found.roots[root].content
  }
  const presentVersion = async (found: Layout) => {
    const root = runningRoot(found)
    if (root === null) return null
    const told = found.roots[root].content?.version
    return told ?? versionIn(await readOsRelease(join(directory, root)))
  }

  const unsupported: ReleaseDriver['unsupported'] = async (manifest, _signal, asked) => {
    const found = await present(await readLayout(directory))
    if (found.record.formatVersion > bootFormat) return newerRecord(found.record.formatVersion).message
    if (manifest.host === null) return 'The release holds no host.'
    if (found.current === null || !found.roots[found.current].isBootable) {
      return `This host has not two roots (not supported): ${join(directory, 'current')} does not lead to the folder a or b.`
    }
    return refusalOfVersion({
      present: await presentVersion(found),
      target: manifest.version,
      minimum: manifest.host.minimumVersion,
      force: asked?.force,
    })
  }

  const download: ReleaseDriver['download'] = async (manifest, { signal, onProgress }) => {
    const host = hostOf(manifest)
    const found = await layout()
    if (found.record.left !== null) throw stillRuns(found.record.left.root)
    if (found.record.trial !== null) {
      throw new FreeholdError('conflict', 'A root is on trial: the one before it stays until the trial is over.')
    }
    const inactive = otherRoot(currentOf(found))
    if (isHeld(found, inactive, manifest)) return onProgress(100)
    const downloads = join(directory, 'downloads')
    await mkdir(downloads, { recursive: true, mode: 0o700 })
    const layers = (await source.layers(host.hostapp, signal)).map((layer) => ({
      layer,
      path: join(downloads, layer.digest.slice('sha256:'.length)),
    }))
    await removeOthers(downloads, new Set(layers.map(({ path }) => path)))
    const totalBytes = layers.reduce((sum, { layer }) => sum + layer.sizeBytes, 0)
    let doneBytes = 0
    for (const { layer, path } of layers) {
      const onBytes = (haveBytes: number) => onProgress(percentOf(doneBytes + haveBytes, totalBytes, 80))
      await source.fetch({ repository: host.hostapp.repository, blob: layer, path, onBytes, signal })
      doneBytes += layer.sizeBytes
    }
    await fill({
      root: inactive,
      manifest,
      layers,
      signal,
      onLayer: (done) => onProgress(80 + percentOf(done, layers.length, 19)),
    })
    onProgress(100)
  }

  /** What an image that was given up left behind would fill the disk. */
  const removeOthers = async (downloads: string, wanted: ReadonlySet<string>) => {
    for (const name of await readdir(downloads)) {
      const path = join(downloads, name)
      if (!wanted.has(path.replace(/\.part$/, ''))) await disk.remove(path)
    }
  }

  /** The mark that the root is not whole is on the disk before the first change of it, and goes after the last. */
  const fill = async (job: {
    root: RootName
    manifest: ReleaseManifest
    layers: Parameters<typeof unpackImage>[0]['layers']
    onLayer: (done: number) => void
    signal: AbortSignal
  }) => {
    const { root, manifest, layers, onLayer, signal } = job
    const partial = join(directory, `${root}.partial`)
    const path = join(directory, root)
    await disk.writeText(partial, 'This root is being filled.\n')
    await disk.remove(path)
    await mkdir(path, { mode: 0o755 })
    await unpackImage({ layers, root: path, disk, signal, onLayer, ...(limits ? { limits } : {}) })
    const { releaseId, version } = manifest
    const content = { releaseId, version, digest: hostOf(manifest).hostapp.digest }
    await disk.writeText(join(directory, `${root}.json`), `${JSON.stringify(content)}\n`)
    await disk.remove(partial)
  }

  /** What stands in the way of a switch is thrown; null: the release runs. */
  const rootToSwitchTo = async (
    found: Layout,
    manifest: ReleaseManifest,
    asked: { force: boolean; signal: AbortSignal },
  ) => {
    const { trial, left } = found.record
    if (left !== null) throw stillRuns(left.root)
    const isBooted = trial !== null && trial.attempts > 0
    if (isHeld(found, currentOf(found), manifest) && (trial === null || isBooted)) return null
    if (isBooted) throw new FreeholdError('conflict', 'Another root is on trial; it is confirmed or left first.')
    const root = trial?.root ?? otherRoot(currentOf(found))
    if (!isHeld(found, root, manifest)) {
      const { version } = manifest
      throw new FreeholdError(
        'conflict',
        `Root ${root} does not hold ${version} as it was asked for; download it again.`,
      )
    }
    const refusal = await unsupported(manifest, asked.signal, { force: asked.force })
    if (refusal !== null) throw new FreeholdError('conflict', refusal)
    return root
  }

  const apply: ReleaseDriver['apply'] = async (manifest, { force, signal }) => {
    const found = await layout()
    const root = await rootToSwitchTo(found, manifest, { force, signal })
    if (root === null) return 'applied'
    await locks.take({ force })
    try {
      signal.throwIfAborted()
      const trial = { root, previous: otherRoot(root), attempts: 0, attemptLimit }
      await writeRecord(directory, { ...found.record, formatVersion: bootFormat, trial, returned: null }, disk)
      await disk.pointLink(join(directory, 'current'), root)
      await restart()
      return 'restarting'
    } catch (error) {
      await locks.release()
      throw error
    }
  }

  const health: ReleaseDriver['health'] = async (manifest, signal) => {
    const found = await layout()
    const isSwitching = found.record.trial?.attempts === 0
    if (!isSwitching) await locks.release()
    const content = runningContent(found)
    if (content?.digest !== hostOf(manifest).hostapp.digest) {
      const reason = found.record.returned?.reason ?? 'It was not switched to.'
      const message = `Version ${manifest.version} does not run: ${content?.version ?? 'the root of before'} does. ${reason}`
      return { isHealthy: false, message, log: '' }
    }
    if (checkHealth === null) return { isHealthy: true, message: 'It is up, and the agent runs in it.', log: '' }
    return checkHealth(signal)
  }

  const commit: ReleaseDriver['commit'] = async (manifest) => {
    const found = await layout()
    const { trial } = found.record
    if (runningContent(found)?.digest !== hostOf(manifest).hostapp.digest) {
      throw new FreeholdError('conflict', `Version ${manifest.version} does not run, so it cannot be confirmed.`)
    }
    if (trial !== null) await writeRecord(directory, { ...found.record, trial: null, returned: null }, disk)
    await rm(join(directory, 'downloads'), { recursive: true, force: true })
  }

  /**
   * The link leads to the root before as soon as it can; the root that is left runs on until the host is down. That is on
   * record first: an agent that is cut off in between, or cannot restart the host, would take the root it stands on for
   * the free one.
   */
  const rollBack: ReleaseDriver['rollBack'] = async () => {
    const found = await layout()
    const { trial } = found.record
    const left = found.record.left ?? (await leaving(found))
    if (trial !== null) {
      const { releaseId = null } = found.roots[trial.root].content ?? {}
      if (left !== found.record.left) await writeRecord(directory, { ...found.record, left }, disk)
      if (found.current !== trial.previous) await disk.pointLink(join(directory, 'current'), trial.previous)
      const returned = { releaseId, reason: 'The agent returned to the root before.' }
      await writeRecord(directory, { ...found.record, trial: null, returned, left }, disk)
    }
    if (left === null) {
      await locks.release()
      return 'returned'
    }
    await restart()
    return 'restarting'
  }
  /** Null: the root on trial was never booted, so there is none to go down from. */
  const leaving = async ({ record: { trial }, current }: Layout) => {
    if (trial === null || trial.attempts === 0 || current !== trial.root) return null
    return { root: trial.root, bootId: (await bootId()) ?? '' }
  }

  return {
    name: 'two-roots',
    unsupported,
    running: async () => runningContent(await layout())?.releaseId ?? null,
    download,
    apply,
    health,
    commit,
    rollBack,
  }
}

/** Lays out a folder whose root `a`, already there, boots; for whoever makes such a host. Does nothing the second time. */
export async function layOutTwoRoots(directory: string, disk: Disk = createDisk()): Promise<void> {
  const { current } = await readLayout(directory)
  if (current !== null) return
  await writeFile(
    join(directory, 'boot.json'),
    `${JSON.stringify({ formatVersion: bootFormat, trial: null, returned: null, left: null })}\n`,
  )
  await disk.pointLink(join(directory, 'current'), 'a')
}

/** A switch that was not booted yet has not changed what runs. */
function runningRoot({ record: { trial, left }, current }: Layout): RootName | null {
  if (left !== null) return left.root
  return trial !== null && trial.attempts === 0 && current === trial.root ? trial.previous : current
}

function currentOf({ current, roots }: Layout): RootName {
  if (current !== null && roots[current].isBootable) return current
  throw new FreeholdError('conflict', 'The link `current` of this host leads to no whole root.')
}

function isHeld({ roots }: Layout, root: RootName, manifest: ReleaseManifest): boolean {
  const { isBootable, content } = roots[root]
  return isBootable && content?.digest === hostOf(manifest).hostapp.digest && content.releaseId === manifest.releaseId
}

function hostOf(manifest: ReleaseManifest): NonNullable<ReleaseManifest['host']> {
  if (manifest.host) return manifest.host
  throw new FreeholdError('invalid-input', 'The release holds no host.')
}

function percentOf(done: number, all: number, of: number): number {
  return all === 0 ? of : Math.floor((done / all) * of)
}

function stillRuns(root: RootName): FreeholdError {
  return new FreeholdError('conflict', `Root ${root} was left and still runs: the host has to restart first.`)
}

function newerRecord(formatVersion: number): FreeholdError {
  return new FreeholdError(
    'conflict',
    `The boot record has the format ${formatVersion}, of a newer agent; this one knows ${bootFormat} and changes nothing.`,
  )
}
