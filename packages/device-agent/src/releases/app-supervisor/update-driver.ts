import type { ReleaseManifest } from '@freehold/contracts'
import type { SupervisorClient } from '../../supervisor/client.ts'
import type { Updater } from '../../supervisor/updater.ts'
import { DriverLocked, NoWayBack, type ReleaseDriver } from '../driver.ts'
import type { MemoryFile } from './memory.ts'

export const updateDriverName = 'app-update'

/** A label of a service of the release: the commit by which the owner of the target state knows the same release. */
export const commitLabel = 'io.freehold.supervisor-commit'

/**
 * Where something else, such as a balena cloud, owns what the device runs: all that may be asked for is that the
 * Supervisor looks for its own newest release (`POST /v1/update`). It is a release of ours only where that one's commit
 * is known and is the one that runs afterwards; everything else is said, not assumed. What was there before is not ours
 * to bring back.
 */
export function createUpdateDriver(options: {
  client: SupervisorClient
  updater: Updater
  memory: MemoryFile
}): ReleaseDriver {
  const { client, updater, memory } = options
  const endTrial = async () => memory.save({ ...(await memory.load()), trial: null })

  const apply: ReleaseDriver['apply'] = async (manifest, { force, signal }) => {
    const expected = expectedCommit(manifest)
    const { releaseId } = manifest
    const trial = { driver: updateDriverName, releaseId, previous: null, baseline: null }
    // Stored first: the Supervisor may replace this agent as soon as it was asked.
    await memory.save({ ...(await memory.load()), trial, update: { releaseId, commit: expected } })
    await updater.request({ force, requestedBy: 'release' })
    const outcome = await updater.settled(signal)
    signal.throwIfAborted()
    if (outcome?.outcome === 'locked') {
      await endTrial()
      throw new DriverLocked(outcome.message ?? 'An update lock is held.')
    }
    if (outcome?.outcome !== 'applied' && outcome?.outcome !== 'nothing-new') {
      throw new Error(outcome?.message ?? 'Nothing is known of what came of the update.')
    }
    const { commit } = await client.device(signal)
    if (commit === expected) return 'applied'
    const told = outcome.outcome === 'applied' ? `brought ${commit ?? 'another release'}` : 'had nothing newer'
    throw new Error(`The owner of what this device runs ${told}; the release is ${expected} there.`)
  }

  return {
    name: updateDriverName,
    unsupported: async (manifest) => {
      if (manifest.type !== 'app') return 'The Supervisor runs applications; this is a release of the host.'
      const commits = commitsOf(manifest)
      if (commits.length === 1) return null
      const named = commits.length === 0 ? 'the release does not name' : 'the release names several of'
      return `Something else owns what this device runs, and ${named} its commit there (label ${commitLabel}): nobody could tell whether an update brought it.`
    },
    running: async (signal) => {
      const { update } = await memory.load()
      if (update === null) return null
      const { commit } = await client.device(signal)
      return commit === update.commit ? update.releaseId : null
    },
    download: async (_manifest, { onProgress }) => onProgress(100),
    apply,
    health: async (manifest, signal) => {
      const [{ commit }, { containers }] = await Promise.all([client.device(signal), client.apps(signal)])
      const expected = expectedCommit(manifest)
      if (commit !== expected) {
        return { isHealthy: false, message: `${commit ?? 'Nothing known'} runs, not ${expected}.`, log: '' }
      }
      const failing = containers.filter((container) => container?.status?.toLowerCase() !== 'running')
      const message = failing.map((one) => `${one?.serviceName} is ${one?.status ?? 'unknown'}`).join('; ')
      return { isHealthy: failing.length === 0, message: message || 'All run.', log: '' }
    },
    commit: endTrial,
    rollBack: async () => {
      await endTrial()
      throw new NoWayBack('What ran before can be brought back only by who owns the target state of this device.')
    },
  }
}

function commitsOf(manifest: ReleaseManifest): string[] {
  const named = manifest.services.flatMap(({ labels }) => labels[commitLabel] ?? [])
  return [...new Set(named)]
}

function expectedCommit(manifest: ReleaseManifest): string {
  const [commit] = commitsOf(manifest)
  if (commit === undefined) throw new Error(`The release has no label ${commitLabel}.`)
  return commit
}
