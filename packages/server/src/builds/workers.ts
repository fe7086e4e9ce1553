import {
  buildArchitectures,
  type buildWorkerSchema,
  type CorebuildCapabilities,
  FreeholdError,
  imageKinds,
} from '@freehold/contracts'
import type { Store } from '@freehold/store'
import type { z } from 'zod'
import { Secret } from '../secrets/index.ts'
import type { ConfiguredWorker, RuntimeSettings } from '../settings/index.ts'
import { jobsOf, roomOf, type SeenWorker } from './choose.ts'
import type { createWorkerClient, WorkerClient } from './worker-client.ts'

/** The worker of this machine: started when somebody takes it, ended some time after the last one let go of it. */
export interface LocalWorker {
  acquire(): Promise<{ url: string; token: string; release(): void }>
}

export interface OpenWorker {
  client: WorkerClient
  /** What must not show in anything that it says. */
  token: string | null
  release(): void
}

export const localId = 'local'

/** Taken for granted until it runs: it is asked before it gets a job. */
const localCapabilities: CorebuildCapabilities = {
  workerId: localId,
  supportedBuildTypes: ['baseos-image'],
  supportedArchitectures: [...buildArchitectures],
  supportedImageKinds: [...imageKinds],
  cpuCores: 0,
  memoryGb: 0,
  workdir: '',
  maxRunningJobs: 1,
}

/** All workers there are: those of the settings, and the one of this machine. */
export function createWorkers(options: {
  store: Store
  settings: Pick<RuntimeSettings, 'buildWorkers'>
  local: LocalWorker | null
  connect: typeof createWorkerClient
  now: () => number
}) {
  const { store, settings, local, connect, now } = options
  const resting = new Map<string, { untilMs: number; why: string }>()
  /** Workers that refused the token with a job, which is all that those of old can be told by. */
  const refusing = new Set<string>()

  function clientOf({ url, token }: ConfiguredWorker): WorkerClient {
    if (token === 'unreadable') {
      throw new FreeholdError(
        'conflict',
        'Its token cannot be read: the secret of this installation is another one. Set it again.',
      )
    }
    return connect({ url, token })
  }

  async function ask(worker: ConfiguredWorker, signal: AbortSignal): Promise<CorebuildCapabilities | string> {
    try {
      return await clientOf(worker).capabilities(signal)
    } catch (error) {
      if (error instanceof FreeholdError) return error.message.replace(/\.$/, '')
      throw error
    }
  }

  /** Whoever says now that the token is right has been mended; whoever cannot say it is believed what it said before. */
  async function refusalOf(worker: ConfiguredWorker, signal: AbortSignal): Promise<string | null> {
    if (worker.token === 'unreadable') return null
    const admits = await clientOf(worker).admits(signal)
    if (admits === 'yes') refusing.delete(worker.id)
    if (admits !== 'no' && !refusing.has(worker.id)) return null
    const why =
      worker.token === null
        ? 'it asks for a token, and none is configured for it'
        : 'it does not accept the token that is configured for it'
    const mended = admits === 'no' ? '' : '; where the worker was mended instead, save the setting once more'
    return `${why}: set the one that it was started with (COREBUILD_TOKEN) in ${settingOf(worker)}${mended}`
  }

  function restOf(id: string): string | null {
    const rest = resting.get(id)
    if (rest !== undefined && rest.untilMs > now()) return rest.why
    resting.delete(id)
    return null
  }

  async function asked(worker: ConfiguredWorker, signal: AbortSignal) {
    const [capabilities, refused] = await Promise.all([ask(worker, signal), refusalOf(worker, signal)])
    return { capabilities, refused }
  }

  /** Asks all of them, at the same time. */
  async function look(oursOn: (id: string) => number, signal: AbortSignal) {
    const configured = await settings.buildWorkers(store)
    const seen = await Promise.all(
      configured.map(
        async (worker): Promise<SeenWorker & { url: string | null }> => ({
          id: worker.id,
          url: worker.url,
          isLocal: false,
          ...(await asked(worker, signal)),
          ours: oursOn(worker.id),
          resting: restOf(worker.id),
        }),
      ),
    )
    if (local !== null) {
      const own = { id: localId, url: null, isLocal: true, ours: oursOn(localId), resting: restOf(localId) }
      seen.push({ ...own, capabilities: localCapabilities, refused: null })
    }
    return seen
  }

  return {
    look,
    /** Leaves a worker alone for some time. `why` ends a sentence. */
    rest(id: string, { forMs, why }: { forMs: number; why: string }): void {
      resting.set(id, { untilMs: now() + forMs, why })
    },
    /** It refused the token with a job. */
    refuse(id: string): void {
      refusing.add(id)
    },
    /** The settings were changed: what kept workers out may be mended. */
    forget(): void {
      refusing.clear()
      resting.clear()
    },
    /** To give it a job. Throws a `FreeholdError` whose sentence says why it cannot be. */
    async open(id: string): Promise<OpenWorker> {
      if (id === localId && local !== null) {
        const { url, token, release } = await local.acquire()
        return { client: connect({ url, token: new Secret(token) }), token, release }
      }
      const worker = (await settings.buildWorkers(store)).find((each) => each.id === id)
      if (worker === undefined) throw new FreeholdError('not-found', 'It is not configured any more.')
      const token = worker.token instanceof Secret ? worker.token.reveal() : null
      return { client: clientOf(worker), token, release: () => {} }
    },
    /** For people. */
    async list(oursOn: (id: string) => number, signal: AbortSignal): Promise<z.output<typeof buildWorkerSchema>[]> {
      const workers = (await look(oursOn, signal)).map(shown)
      return local === null ? [...workers, switchedOff] : workers
    },
  }
}
export type Workers = ReturnType<typeof createWorkers>

/** Where its token stands. */
function settingOf({ id, url }: ConfiguredWorker): string {
  return id === url ? 'corebuildWorkersJson or corebuildWorkerToken' : 'corebuildWorkersJson'
}

const switchedOff = {
  id: localId,
  url: null,
  state: 'off' as const,
  message: 'The worker of this machine is switched off.',
  workerId: null,
  architectures: [],
  imageKinds: [],
  cpuCores: null,
  memoryGb: null,
  runningJobs: 0,
}

function shown(worker: SeenWorker & { url: string | null }): z.output<typeof buildWorkerSchema> {
  const { id, url, capabilities, isLocal, refused, resting } = worker
  if (typeof capabilities === 'string') {
    const nothing = { workerId: null, architectures: [], imageKinds: [], cpuCores: null, memoryGb: null }
    return { id, url, state: 'unreachable', message: sentence(capabilities), ...nothing, runningJobs: worker.ours }
  }
  const jobs = jobsOf(worker)
  const [problem] = capabilities.problems ?? []
  return {
    id,
    url,
    state: refused !== null ? 'token-refused' : resting !== null || jobs >= roomOf(worker) ? 'busy' : 'idle',
    message: sentence(refused ?? resting ?? problem ?? messageOf({ isLocal, jobs })),
    workerId: isLocal ? null : capabilities.workerId,
    architectures: capabilities.supportedArchitectures,
    imageKinds: capabilities.supportedImageKinds,
    cpuCores: isLocal ? null : capabilities.cpuCores,
    memoryGb: isLocal ? null : capabilities.memoryGb,
    runningJobs: jobs,
  }
}

function messageOf({ isLocal, jobs }: { isLocal: boolean; jobs: number }): string {
  if (jobs > 0) return jobs === 1 ? 'Runs one job.' : `Has ${jobs} jobs.`
  return isLocal ? 'Starts when there is a build to do.' : 'Ready.'
}

function sentence(text: string): string {
  return `${text.slice(0, 1).toUpperCase()}${text.slice(1).replace(/\.$/, '')}.`
}
