import { isDeepStrictEqual } from 'node:util'
import { type Revision, type Rollout, revisionKind, rolloutKind, type Service, serviceKind } from '@freehold/contracts'
import type { Actor, Reads, Store, Transaction } from '@freehold/store'
import type { Judge } from '../admission/index.ts'
import { advance, type Observation, type RolloutView } from './kind.ts'
import { isFinal, type RolloutStatus } from './status.ts'

/** A rollout nobody reports on is looked at again this often, even if nothing about it changed. */
const unseenIntervalMs = 60_000
const shortestCheckMs = 50
/** Two proofs further apart than this are no watching: the machine slept in between, or its clock was set. */
const longestGapMs = 10_000
const actor: Actor = { type: 'system', id: 'rollouts', name: 'rollout reconciler' }

export interface RolloutAdvancer {
  /**
   * Takes every rollout under way one step further, if what is observed allows one. Takes no input and may run at any
   * moment. Answers after how many milliseconds it must run again even if nothing is heard, or null if nothing waits.
   */
  run(signal: AbortSignal): Promise<{ checkAfterMs: number | null }>
}

/**
 * The reconciler of rollouts. `observe` answers what agents see; `settle` brings the service's own status up to date
 * in the same transaction as each step.
 */
export function createRolloutAdvancer(options: {
  store: Store
  now: () => number
  observe: (rollout: Rollout) => Observation
  judge: Judge
  settle: (transaction: Transaction, service: Service) => Promise<void>
  onError: (error: unknown, rollout: Rollout) => void
}): RolloutAdvancer {
  const { store, now, observe, judge, settle, onError } = options
  const watch = createWatch(now)
  const unseen = createUnseenMemory(now)

  const step = async (found: Rollout, observation: Observation): Promise<void> => {
    const watchedMs = watch.tick(found, observation.connected ? observation.provenAtMs : null)
    if (found.status.phase === 'verifying') return verify(found, { observation, watchedMs })
    if (observation.connected) return decideAndWrite(found, { observation, watchedMs })
    const service = await store.get(serviceKind, found.data.serviceId)
    if (service === undefined || unseen.isKnown(found, service)) return
    await decideAndWrite(found, { observation, watchedMs })
    unseen.note(found, service)
  }

  /** Signatures are read before the transaction; the verdict holds only for the rule it was made by. */
  const verify = async (found: Rollout, seen: Pick<RolloutView, 'observation' | 'watchedMs'>): Promise<void> => {
    const parts = await partsOf(store, found.id)
    if (parts === undefined) return
    const { admission } = parts.service.data
    const { spec, imageDigest: digest } = parts.revision.data
    const verdict = await judge({ admission, reference: spec.image, digest }).catch((error: unknown) => {
      onError(error, found)
      return null
    })
    await decideAndWrite(found, { ...seen, verdict, rule: admission })
  }

  const decideAndWrite = async (
    found: Rollout,
    seen: Pick<RolloutView, 'observation' | 'watchedMs'> &
      Partial<Pick<RolloutView, 'verdict'>> & { rule?: Service['data']['admission'] },
  ): Promise<void> => {
    const { observation, watchedMs, verdict = null, rule } = seen
    const decide = async (reads: Reads): Promise<{ view: RolloutView; next: RolloutStatus } | undefined> => {
      const parts = await partsOf(reads, found.id)
      if (parts === undefined || parts.rollout.status.phase !== found.status.phase) return undefined
      const holds = isDeepStrictEqual(parts.service.data.admission, rule)
      const view = { ...parts, observation, watchedMs, verdict: holds ? verdict : null, now: new Date(now()) }
      return { view, next: advance(view) }
    }
    const outlook = await decide(store)
    if (outlook === undefined || outlook.next === outlook.view.rollout.status) return
    await store.transaction(actor, async (transaction) => {
      const decision = await decide(transaction)
      if (decision === undefined || decision.next === decision.view.rollout.status) return
      await write(transaction, decision)
      await settle(transaction, decision.view.service)
    })
  }

  return {
    async run(signal) {
      const active = await store.all(rolloutKind, { where: { active: 'yes' } })
      watch.keep(active)
      unseen.keep(active)
      const reportedOn: Rollout[] = []
      for (const rollout of active) {
        if (signal.aborted) break
        try {
          const observation = observe(rollout)
          if (observation.connected) reportedOn.push(rollout)
          await step(rollout, observation)
        } catch (error) {
          onError(error, rollout)
        }
      }
      return { checkAfterMs: reportedOn.length === 0 ? null : watch.nextMs(reportedOn) }
    },
  }
}

/** Writes the step, and which revision serves: the new one once it has proved itself, the old one if it is taken back. */
async function write(
  transaction: Transaction,
  { view, next }: { view: RolloutView; next: RolloutStatus },
): Promise<void> {
  const { rollout, service, revision, previous } = view
  await transaction.setStatus(rolloutKind, rollout.id, next)
  const serving = servingAfter(next, { revision, previous })
  if (serving === undefined || serving?.id === service.status.currentRevisionId) return
  await transaction.setStatus(serviceKind, service.id, {
    ...service.status,
    currentRevisionId: serving?.id ?? null,
    currentRevisionNumber: serving?.data.number ?? null,
  })
}

function servingAfter(
  next: RolloutStatus,
  revisions: { revision: Revision; previous: Revision | null },
): Revision | null | undefined {
  if (next.phase === 'retiring' || next.phase === 'succeeded') return revisions.revision
  if (next.phase === 'reverting' || next.phase === 'failed' || next.phase === 'aborted') return revisions.previous
  return undefined
}

async function partsOf(
  reads: Reads,
  id: string,
): Promise<{ rollout: Rollout; service: Service; revision: Revision; previous: Revision | null } | undefined> {
  const rollout = await reads.get(rolloutKind, id)
  if (rollout === undefined || isFinal(rollout.status.phase)) return undefined
  const { serviceId, revisionId, previousRevisionId } = rollout.data
  const [service, revision, previous] = await Promise.all([
    reads.get(serviceKind, serviceId),
    reads.get(revisionKind, revisionId),
    previousRevisionId === null ? null : reads.get(revisionKind, previousRevisionId),
  ])
  if (service === undefined) return undefined
  if (revision === undefined || previous === undefined) {
    throw new Error(`Rollout ${id} names a revision that is not in the store.`)
  }
  return { rollout, service, revision, previous }
}

/**
 * While no agent reports, nothing but a change of the rollout or its service moves it on: thousands that wait for a
 * cluster that is away must not keep the process busy.
 */
function createUnseenMemory(now: () => number) {
  const looks = new Map<string, { rollout: number; service: number; at: number }>()
  return {
    /** Whether both were looked at as they are now, a short while ago. */
    isKnown(rollout: Rollout, service: Service): boolean {
      const known = looks.get(rollout.id)
      const isSame = known?.rollout === rollout.version && known.service === service.version
      return isSame && now() - known.at < unseenIntervalMs
    },
    note(rollout: Rollout, service: Service): void {
      looks.set(rollout.id, { rollout: rollout.version, service: service.version, at: now() })
    },
    keep(rollouts: readonly Rollout[]): void {
      const ids = new Set(rollouts.map((rollout) => rollout.id))
      for (const id of looks.keys()) if (!ids.has(id)) looks.delete(id)
    },
  }
}

/**
 * What a proof adds to the time that was watched, and from where the next one counts: never from later than now, even if
 * the clock was set back. Before the first proof nothing was watched. A proof may be older than the one before it, where
 * another machine is concerned.
 */
function passed(
  provenAt: number | null,
  from: { lastAt: number | null; phaseSince: number; now: number },
): { passedMs: number; lastAt: number | null } {
  if (provenAt === null) return { passedMs: 0, lastAt: null }
  const lastAt = Math.min(from.lastAt ?? Math.max(provenAt, from.phaseSince), from.now)
  return { passedMs: Math.min(Math.max(provenAt - lastAt, 0), longestGapMs), lastAt: Math.max(provenAt, lastAt) }
}

/**
 * How long each rollout was in its phase while agents proved what they see; `starting` goes on where it was left. A
 * link that only seems to be alive proves nothing, so nothing is decided from its silence.
 */
function createWatch(now: () => number) {
  interface Entry {
    phase: string
    startingMs: number
    phaseMs: number
    lastAt: number | null
  }
  const entries = new Map<string, Entry>()
  const watched = (entry: Entry): number => (entry.phase === 'starting' ? entry.startingMs : entry.phaseMs)
  return {
    /** `provenAt`: up to when what is seen is proved; null: not at all. */
    tick(rollout: Rollout, provenAt: number | null): number {
      const { phase } = rollout.status
      const entry = entries.get(rollout.id) ?? { phase, startingMs: 0, phaseMs: 0, lastAt: null }
      entries.set(rollout.id, entry)
      if (entry.phase !== phase) Object.assign(entry, { phase, phaseMs: 0, lastAt: null })
      const { passedMs, lastAt } = passed(provenAt, {
        lastAt: entry.lastAt,
        phaseSince: Date.parse(rollout.status.phaseSince),
        now: now(),
      })
      if (phase === 'starting') entry.startingMs += passedMs
      else entry.phaseMs += passedMs
      entry.lastAt = lastAt
      return watched(entry)
    },
    keep(rollouts: readonly Rollout[]): void {
      const ids = new Set(rollouts.map((rollout) => rollout.id))
      for (const id of entries.keys()) if (!ids.has(id)) entries.delete(id)
    },
    /** Until the first of them has settled; deadlines are longer and need no better than a second. */
    nextMs(rollouts: readonly Rollout[]): number {
      const waits = rollouts.map((rollout) => {
        const entry = entries.get(rollout.id)
        if (entry === undefined || rollout.status.phase !== 'settling') return 1000
        return Math.max(shortestCheckMs, rollout.data.settleSeconds * 1000 - entry.phaseMs)
      })
      return Math.min(1000, ...waits)
    },
  }
}
