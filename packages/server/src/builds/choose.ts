import type { BuildArchitecture, CorebuildCapabilities, ImageKind } from '@freehold/contracts'

/** A worker as the dispatcher sees it before it decides. */
export interface SeenWorker {
  /** As configured, else its address; `local`: the one of this machine. */
  id: string
  isLocal: boolean
  /** A string: why it cannot be asked, the end of a sentence. */
  capabilities: CorebuildCapabilities | string
  /** Attempts of ours that run there now. */
  ours: number
  /** That it does not take our token, and what to do, the end of a sentence; null: it does, as far as is known. */
  refused: string | null
  /** Why it is left alone for some time, the end of a sentence; null: it is not. */
  resting: string | null
}

export interface Need {
  buildId: string
  imageKind: ImageKind
  architecture: BuildArchitecture
  /** Workers that an attempt of this build was lost on; asked again only where there is no other. */
  avoid: ReadonlySet<string>
}

export type Choice = { workerId: string } | { why: string }

const buildType = 'baseos-image'

/** The least busy worker that can do it; else a sentence that says why there is none. */
function chooseWorker(need: Need, workers: readonly SeenWorker[]): Choice {
  const able = workers.filter((worker) => troubleOf(worker, need) === undefined)
  const [best] = able.toSorted((one, other) => compare(one, other, need))
  return best === undefined ? { why: whyNone(need, workers) } : { workerId: best.id }
}

/** Decides for waiting builds, the oldest first; each choice counts for those after it. */
export function planDispatch(needs: readonly Need[], workers: readonly SeenWorker[]): Map<string, Choice> {
  const plan = new Map<string, Choice>()
  const now = workers.map((worker) => ({ ...worker }))
  for (const need of needs) {
    const choice = chooseWorker(need, now)
    plan.set(need.buildId, choice)
    const chosen = 'workerId' in choice ? now.find(({ id }) => id === choice.workerId) : undefined
    if (chosen !== undefined) chosen.ours += 1
  }
  return plan
}

/** Jobs that it runs or lets wait, as far as is known. Ours may not have arrived yet when it is asked. */
export function jobsOf({ capabilities, ours }: SeenWorker): number {
  if (typeof capabilities === 'string') return ours
  return Math.max(ours, (capabilities.runningJobs ?? 0) + (capabilities.waitingJobs ?? 0))
}

/** Jobs at once; of a worker that does not tell, one. */
export function roomOf({ capabilities }: SeenWorker): number {
  return typeof capabilities === 'string' ? 0 : (capabilities.maxRunningJobs ?? 1)
}

/** Why a worker does not do it, the end of a sentence; undefined where it can, now. */
function troubleOf(worker: SeenWorker, { imageKind, architecture }: Need): string | undefined {
  const { capabilities, refused, resting } = worker
  if (typeof capabilities === 'string') return capabilities
  if (!capabilities.supportedBuildTypes.includes(buildType)) return `it does not build ${buildType}`
  if (!capabilities.supportedImageKinds.includes(imageKind)) return withProblems(worker, `it makes no ${imageKind}`)
  if (!capabilities.supportedArchitectures.includes(architecture)) {
    return withProblems(worker, `it makes nothing for ${architecture}`)
  }
  if (refused !== null) return refused
  if (resting !== null) return resting
  return jobsOf(worker) >= roomOf(worker) ? 'it is busy' : undefined
}

function withProblems({ capabilities }: SeenWorker, trouble: string): string {
  const problem = typeof capabilities === 'string' ? undefined : capabilities.problems?.[0]
  return problem === undefined ? trouble : `${trouble} (${problem.replace(/\.$/, '')})`
}

/** Those first that have lost nothing of this build, are elsewhere, have the most room, no problems, and most cores. */
function compare(one: SeenWorker, other: SeenWorker, { avoid }: Need): number {
  return (
    Number(avoid.has(one.id)) - Number(avoid.has(other.id)) ||
    Number(one.isLocal) - Number(other.isLocal) ||
    jobsOf(one) / roomOf(one) - jobsOf(other) / roomOf(other) ||
    problemsOf(one) - problemsOf(other) ||
    coresOf(other) - coresOf(one) ||
    (one.id < other.id ? -1 : Number(one.id > other.id))
  )
}

const problemsOf = ({ capabilities }: SeenWorker) =>
  typeof capabilities === 'string' ? 0 : (capabilities.problems?.length ?? 0)
const coresOf = ({ capabilities }: SeenWorker) => (typeof capabilities === 'string' ? 0 : capabilities.cpuCores)

const namedAtMost = 5

function whyNone(need: Need, workers: readonly SeenWorker[]): string {
  if (workers.length === 0) {
    return 'Waits: there is no build worker. Set corebuildWorkersJson, or let the one of this machine run (FREEHOLD_LOCAL_BUILD_WORKER=auto).'
  }
  const named = workers.slice(0, namedAtMost).map((worker) => `${worker.id}: ${troubleOf(worker, need)}`)
  const more = workers.length > namedAtMost ? `; and ${workers.length - namedAtMost} more` : ''
  return `Waits for a build worker. ${named.join('; ')}${more}.`
}
