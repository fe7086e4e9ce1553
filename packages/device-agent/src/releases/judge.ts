import type { Random } from '@freehold/reconcile'
import { createHash } from '../builtin.ts'
import { type Log, sentenceOf } from '../log.ts'
import { fieldsOf } from '../parse.ts'
import type { StateStore } from '../state/store.ts'
import { mayPass, type Refusal, type Verifier, type VerifyRequest } from '../updates/index.ts'

/** Has each assignment judged once, and again later where what kept it from being trusted may pass. */
export interface Judge {
  /** Judges where it is due. `isChanged`: trusted or refused anew. */
  run(signal: AbortSignal): Promise<{ isChanged: boolean; againInMs: number }>
  isDue(): boolean
  /** What was judged is to be judged once more: a manifest was lost. */
  again(): void
  /** Why the newest assignment, or a half of it, was not trusted; null: it was. */
  refusal(): Refusal | null
  /**
   * The newest assignment stays refused, and another one may not be: the control plane is to be asked for all of the
   * desired state. First after 10 to 20 minutes, then ever more rarely, up to 12 hours.
   */
  wantsAnew(): boolean
  /** It was asked, and answered. */
  noteAskedAnew(): void
}

const retryMs = { shortest: 30_000, longest: 60 * 60_000 }
const anewMs = { shortest: 10 * 60_000, longest: 6 * 60 * 60_000 }
const neverMs = 24 * 60 * 60_000

export function createJudge(options: {
  store: StateStore
  verify: Verifier
  url: string
  folder: string
  rootPath: string | null
  deviceType: string | null
  timeZone: string | null
  /** Null: it was not told since the start; nothing is judged then. */
  believedMs: () => number | null
  monotonicMs: () => number
  random: Random
  log: Log
}): Judge {
  const { store, verify, url, folder, rootPath, deviceType, timeZone, monotonicMs, random, log } = options
  const refused: { hash: string | null; failures: number; retryAtMs: number; refusal: Refusal | null } = {
    hash: null,
    failures: 0,
    retryAtMs: 0,
    refusal: null,
  }
  let isWantedAgain = false
  /** Null: nothing is refused. */
  let anew: { asks: number; atMs: number } | null = null
  const nextAnew = (asks: number) => {
    const pauseMs = Math.min(anewMs.longest, anewMs.shortest * 2 ** Math.min(20, asks))
    return { asks, atMs: monotonicMs() + pauseMs * (1 + random.next()) }
  }

  let hashed: { assignment: unknown; hash: string | null } = { assignment: null, hash: null }

  /** The state is never changed, only replaced: the same object is the same assignment, and is hashed once. */
  const wanted = (): { assignment: unknown; hash: string | null } => {
    const assignment = store.current().desiredState?.assignment ?? null
    if (assignment !== hashed.assignment) {
      const text = JSON.stringify([assignment, timeZone])
      hashed = { assignment, hash: assignment === null ? null : createHash('sha256').update(text).digest('hex') }
    }
    return hashed
  }
  const isDueFor = (hash: string | null): boolean => {
    const { judged, assignment } = store.current().releases
    if (hash === null) return assignment !== null || judged !== null
    if (refused.hash === hash && monotonicMs() < refused.retryAtMs) return false
    return (hash !== judged || isWantedAgain) && options.believedMs() !== null
  }

  const onRefused = (hash: string, refusal: Refusal): void => {
    const isNew = refused.hash !== hash || refused.refusal?.code !== refusal.code
    refused.failures = refused.hash === hash ? refused.failures + 1 : 1
    const pauseMs = Math.min(retryMs.longest, retryMs.shortest * 2 ** Math.min(20, refused.failures - 1))
    refused.retryAtMs = mayPass(refusal.code) ? monotonicMs() + pauseMs * (1 + random.next() / 2) : Infinity
    refused.hash = hash
    refused.refusal = refusal
    anew ??= nextAnew(0)
    if (isNew) log.warn('An assignment was refused.', { ...refusal })
  }

  const judge = async (assignment: unknown, hash: string, signal: AbortSignal): Promise<void> => {
    const { releases, nodeId, nodeToken, previousNodeToken } = store.current()
    const believedMs = options.believedMs() ?? releases.believedMs
    const counter = refusalCounter(assignment)
    const answer = await verify(
      {
        url,
        // The one before it is good until the newest was used, and the newest from the start.
        nodeToken: nodeToken ?? previousNodeToken,
        nodeId,
        folder,
        rootPath,
        trust: releases.trust,
        newest: releases.newest,
        believedMs,
        deviceType,
        timeZone,
        assignment,
        keepManifests: [releases.app, releases.host].flatMap((half) => (half ? [half.sha256] : [])),
      } satisfies VerifyRequest,
      signal,
    ).catch((error: unknown) => {
      signal.throwIfAborted()
      onRefused(hash, { code: 'unreachable', message: sentenceOf(error).slice(0, 500), counter })
      return null
    })
    if (!answer) return
    const { trust, zone, newest, refusals } = answer
    const [first] = refusals
    if (first) onRefused(hash, first)
    else {
      Object.assign(refused, { hash: null, failures: 0, retryAtMs: 0, refusal: null })
      anew = null
    }
    isWantedAgain = false
    const isWhole = !refusals.some(({ code }) => mayPass(code))
    await store.change((state) => {
      const next = { ...state.releases, trust }
      if (!answer.assignment) return isSame(state.releases, next) ? state : { ...state, releases: next }
      const judged = isWhole ? hash : null
      const highestMs = Math.max(state.releases.believedMs, believedMs)
      const { assignment: trusted } = answer
      return { ...state, releases: { ...next, judged, newest, zone, assignment: trusted, believedMs: highestMs } }
    })
  }

  return {
    isDue: () => isDueFor(wanted().hash),
    again: () => {
      isWantedAgain = true
    },
    refusal: () => refused.refusal,
    wantsAnew: () => anew !== null && monotonicMs() >= anew.atMs,
    noteAskedAnew: () => {
      if (anew) anew = nextAnew(anew.asks + 1)
    },
    run: async (signal) => {
      const { assignment, hash } = wanted()
      const isDue = isDueFor(hash)
      if (isDue && hash === null) {
        // Nothing is wanted: that needs no signature, since nothing is begun by it.
        await store.change((state) => ({ ...state, releases: { ...state.releases, assignment: null, judged: null } }))
        refused.refusal = null
        anew = null
      } else if (isDue && hash !== null) await judge(assignment, hash, signal)
      const isWaiting = refused.hash !== null && refused.hash === hash && Number.isFinite(refused.retryAtMs)
      return { isChanged: isDue, againInMs: isWaiting ? Math.max(1_000, refused.retryAtMs - monotonicMs()) : neverMs }
    },
  }
}

function isSame(one: unknown, other: unknown): boolean {
  return JSON.stringify(one) === JSON.stringify(other)
}

function refusalCounter(assignment: unknown): number | null {
  const { counter } = fieldsOf(fieldsOf(assignment).signed)
  return typeof counter === 'number' && Number.isSafeInteger(counter) ? counter : null
}
