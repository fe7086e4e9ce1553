import type { ReleaseManifest } from '@freehold/contracts'
import type { Clock } from '@freehold/reconcile'
import { readFile } from '../../builtin.ts'
import { type Log, sentenceOf } from '../../log.ts'
import type { Redactor } from '../../secret.ts'
import { type SupervisorClient, SupervisorError } from '../../supervisor/client.ts'
import { DriverLocked, type ReleaseDriver } from '../driver.ts'
import { baselineOf, faultsOf, lockedServices, logOf, type OurContainer, ourContainers } from './containers.ts'
import type { Engine, RegistryCredentials } from './engine.ts'
import { imagesNeededBy, type LocalApp, NotPostable, ourCommitIn, ourPostableApp, targetWith } from './local-target.ts'
import type { AppMemory, MemoryFile } from './memory.ts'
import { commitOf, digestHexOf, localImage, localRepository, ourImagesPattern, releaseIdOf } from './names.ts'
import { imagesOf, releaseApp } from './release-app.ts'

export const supervisorDriverName = 'supervisor'

/** How long a switch may take, and how long the Supervisor may say that it failed before that is believed. */
export interface SwitchLimits {
  totalMs: number
  failedMs: number
  lookEveryMs: number
}
const switchLimits: SwitchLimits = { totalMs: 10 * 60_000, failedMs: 60_000, lookEveryMs: 1_000 }

export interface SupervisorDriverOptions {
  client: SupervisorClient
  engine: Engine
  memory: MemoryFile
  /** Host and port of our registry. */
  registry: string
  /** Asked for before each pull, since tokens change. */
  credentials: () => RegistryCredentials | null
  redactor: Redactor
  log: Log
  clock: Clock
  monotonicMs: () => number
  /** Another one after each start of the device. */
  bootId?: () => Promise<string>
  limits?: SwitchLimits
}

/**
 * Runs a release as one application in the Supervisor's local target state. What always holds:
 *
 * 1. Images come from our registry, by digest, before anything that runs is touched; the Supervisor downloads nothing.
 * 2. What is not ours in the target state is handed back as it was; where it cannot be, nothing is set at all.
 * 3. Before a switch the application that ran is on disk; its images stay until the new one is to stay.
 * 4. Volumes are never removed, and no image but those that earlier releases of ours needed.
 */
export function createSupervisorDriver(options: SupervisorDriverOptions): ReleaseDriver {
  const { client, engine, memory, registry, redactor, log, clock, monotonicMs, limits = switchLimits } = options
  const { bootId = readBootId } = options
  const update = async (change: (memory: AppMemory) => AppMemory) => memory.save(change(await memory.load()))
  const endTrial = () => update((kept) => ({ ...kept, trial: null }))

  /** Puts an application in the place of ours, whatever else there is now. */
  const set = async (app: LocalApp | null, how: { force: boolean; signal: AbortSignal }) =>
    client.setLocalTarget(targetWith(await client.localTarget(how.signal), app), how)

  /** Until every service of `app` was begun and nothing else of ours is left. Throws where that does not come. */
  const settled = async (app: LocalApp | null, how: { force: boolean; signal: AbortSignal }): Promise<void> => {
    const startedMs = monotonicMs()
    let failingSinceMs: number | null = null
    let lockedLooks = 0
    let problem = 'the Supervisor has not begun'
    for (;;) {
      how.signal.throwIfAborted()
      const look = await lookAt(app, how.signal).catch((error: unknown) => {
        if (error instanceof SupervisorError && error.reason === 'unauthorized') throw error
        return { isDone: false, hasFailed: false, containers: [] as OurContainer[], problem: sentenceOf(error) }
      })
      if (look.isDone) return
      problem = look.problem
      if (look.hasFailed) {
        const locked = how.force ? [] : await lockedServices(engine, look.containers, how.signal)
        lockedLooks = locked.length > 0 ? lockedLooks + 1 : 0
        // The Supervisor itself holds the same file for a moment; a second look tells the one from the other.
        if (lockedLooks >= 2) throw lockedBy(locked)
        failingSinceMs ??= monotonicMs()
        if (monotonicMs() - failingSinceMs >= limits.failedMs) {
          throw new Error(`The Supervisor says that it cannot apply the release: ${problem}.`)
        }
      } else failingSinceMs = null
      if (monotonicMs() - startedMs >= limits.totalMs) {
        throw new Error(`It was not applied within ${Math.round(limits.totalMs / 60_000)} minutes: ${problem}.`)
      }
      await clock.sleep(limits.lookEveryMs, how.signal)
    }
  }
  const lookAt = async (app: LocalApp | null, signal: AbortSignal) => {
    const [device, containers] = await Promise.all([client.device(signal), ourContainers(engine, signal)])
    const problem = switchProblem(app, containers)
    return { isDone: problem === null, hasFailed: device.updateFailed === true, containers, problem: problem ?? '' }
  }

  const download: ReleaseDriver['download'] = async (manifest, { signal, onProgress }) => {
    const images = imagesOf(manifest)
    for (const [index, { repository, digest }] of images.entries()) {
      const tell = (percent: number) => onProgress(Math.floor((index * 100 + percent) / images.length))
      const remote = `${registry}/${repository}`
      if ((await engine.image(`${remote}@${digest}`, signal)) === null) {
        await engine.pull({
          repository: remote,
          digest,
          credentials: options.credentials(),
          onProgress: tell,
          signal,
        })
      }
      // Named after its digest, and the engine is asked by digest: a name cannot come to mean another image.
      await engine.tag(`${remote}@${digest}`, { repository: localRepository(digest), tag: 'latest' }, signal)
      tell(100)
    }
  }

  const apply: ReleaseDriver['apply'] = async (manifest, { force, signal }) => {
    await missingImage(engine, manifest, signal)
    const told = await client.localTarget(signal)
    const app = releaseApp(manifest)
    if (ourCommitIn(told) !== app.commit) {
      const target = targetWith(told, app)
      const previous = ourPostableApp(told)
      if (!force) await throwIfLocked(engine, signal)
      const trial = { driver: supervisorDriverName, releaseId: manifest.releaseId, previous, baseline: null }
      await update((kept) => ({ ...kept, trial }))
      await client.setLocalTarget(target, { force, signal }).catch(async (error: unknown) => {
        // It said no, so nothing has changed; where it said nothing, nobody knows.
        if (error instanceof SupervisorError && error.reason !== 'unavailable') await endTrial()
        throw error instanceof SupervisorError && error.reason === 'locked' ? new DriverLocked(error.message) : error
      })
    }
    try {
      await settled(app, { force, signal })
    } catch (error) {
      if (error instanceof DriverLocked) await withdraw(signal)
      throw error
    }
    return 'applied'
  }
  /** A Supervisor that met a lock would go on by itself when the lock opens, whatever was decided meanwhile. */
  const withdraw = async (signal: AbortSignal) => {
    const { trial } = await memory.load()
    if (trial === null) return
    await set(trial.previous, { force: false, signal })
    await endTrial()
  }

  const health: ReleaseDriver['health'] = async (manifest, signal) => {
    const told = await client.localTarget(signal)
    if (ourCommitIn(told) !== commitOf(manifest.releaseId)) {
      return { isHealthy: false, message: 'Another target state was set on the device meanwhile.', log: '' }
    }
    const all = await ourContainers(engine, signal)
    const containers = all.filter(({ commit }) => commit === commitOf(manifest.releaseId))
    const { trial } = await memory.load()
    const boot = await bootId()
    const baseline = trial?.baseline?.bootId === boot ? trial.baseline : null
    if (trial !== null && baseline === null) {
      await update((kept) => ({ ...kept, trial: { ...trial, baseline: baselineOf(containers, boot) } }))
    }
    const services = manifest.services.map(({ name }) => name)
    const faults = faultsOf(services, containers, baseline)
    if (faults.length > 0) {
      const message = `${faults.map(({ service, what }) => `${service} ${what}`).join('; ')}.`
      return { isHealthy: false, message, log: await logOf({ engine, faults, redactor, signal }) }
    }
    const starting = containers.filter(({ health: check }) => check === 'starting').map(({ service }) => service)
    const message = starting.length > 0 ? `The check of ${starting.join(', ')} has not answered yet.` : 'All run.'
    return { isHealthy: true, message, log: '' }
  }

  const commit: ReleaseDriver['commit'] = async (manifest, signal) => {
    await endTrial()
    const needed = new Set(imagesOf(manifest).map(({ digest }) => localImage(digest)))
    const running = ourPostableApp(await client.localTarget(signal))
    for (const name of imagesNeededBy(running)) needed.add(name)
    await removeImagesBut(needed, signal)
  }
  const removeImagesBut = async (needed: ReadonlySet<string>, signal: AbortSignal) => {
    for (const image of await engine.imagesNamed(ourImagesPattern, signal)) {
      const names = image.tags.filter((name) => digestHexOf(name) !== null)
      if (names.length === 0 || names.some((name) => needed.has(name))) continue
      const hexes = names.map(digestHexOf)
      const digests = image.digests.filter(
        (name) => name.startsWith(`${registry}/`) && hexes.includes(name.slice(name.lastIndexOf(':') + 1)),
      )
      for (const name of [...names, ...digests]) {
        const isGone = await engine.removeImage(name, signal)
        if (!isGone) log.info('An image of an earlier release stays until nothing needs it.', { image: name })
      }
    }
  }

  const rollBack: ReleaseDriver['rollBack'] = async (signal) => {
    const { trial } = await memory.load()
    if (trial === null) throw new Error('There is nothing to return to: no release is on trial.')
    // What fails may hold its lock for ever; what works is in the middle of something. What ran before is not touched.
    const working = (await ourContainers(engine, signal)).filter(
      (container) =>
        container.commit === commitOf(trial.releaseId) &&
        faultsOf([container.service], [container], trial.baseline).length === 0,
    )
    const locked = await lockedServices(engine, working, signal)
    if (locked.length > 0) throw lockedBy(locked)
    await set(trial.previous, { force: true, signal })
    await settled(trial.previous, { force: true, signal })
    await endTrial()
    return 'returned'
  }

  return {
    name: supervisorDriverName,
    unsupported: async (manifest, signal) => {
      if (manifest.type !== 'app') return 'The Supervisor runs applications; this is a release of the host.'
      try {
        targetWith(await client.localTarget(signal), releaseApp(manifest))
        return null
      } catch (error) {
        if (error instanceof NotPostable) return error.message
        throw error
      }
    },
    running: async (signal) => releaseIdOf(ourCommitIn(await client.localTarget(signal))),
    download,
    apply,
    health,
    commit,
    rollBack,
  }
}

/** What is still to come of a switch to `app`, for people; null: it is done. Whether it does well is asked later. */
function switchProblem(app: LocalApp | null, containers: readonly OurContainer[]): string | null {
  const services = Object.values(app?.services ?? {}).map(({ serviceName }) => String(serviceName))
  const isOld = ({ service, commit }: OurContainer) => commit !== app?.commit || !services.includes(service)
  const old = containers.filter(isOld)
  if (old.length > 0) return `${old.map(({ service }) => service).join(', ')} of the release before is still there`
  const begun = containers.filter(({ status }) => status !== 'created')
  const missing = services.filter((name) => !begun.some(({ service }) => service === name))
  return missing.length > 0 ? `${missing.join(', ')} has not been started` : null
}

async function missingImage(engine: Engine, manifest: ReleaseManifest, signal: AbortSignal): Promise<void> {
  for (const { repository, digest } of imagesOf(manifest)) {
    if ((await engine.image(localImage(digest), signal)) !== null) continue
    throw new Error(`The image ${repository}@${digest} is not here any more; the release must be downloaded again.`)
  }
}

async function throwIfLocked(engine: Engine, signal: AbortSignal): Promise<void> {
  const locked = await lockedServices(engine, await ourContainers(engine, signal), signal)
  if (locked.length > 0) throw lockedBy(locked)
}

function lockedBy(services: readonly string[]): DriverLocked {
  return new DriverLocked(`An update lock is held by ${services.join(', ')}.`)
}

async function readBootId(): Promise<string> {
  return (await readFile('/proc/sys/kernel/random/boot_id', 'utf8').catch(() => 'unknown')).trim()
}
