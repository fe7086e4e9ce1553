import type { DeviceStatus, ReleaseManifest } from '@freehold/contracts'
import { type Clock, createDriver, type Random } from '@freehold/reconcile'
import { type Log, sentenceOf } from '../log.ts'
import type { Urgency } from '../nudge.ts'
import type { Redactor } from '../secret.ts'
import type { StateStore } from '../state/store.ts'
import { readManifest } from '../updates/index.ts'
import { type Action, type ActionRecord, actionsStatus, afterRestart, nextAction, withRecord } from './actions.ts'
import { DriverLocked, HostUpdateFailed, NoWayBack, type ReleaseDriver } from './driver.ts'
import { type HalfName, halves, isWaiting, urgencyOf } from './half.ts'
import type { Judge } from './judge.ts'
import { afterStep, type Moment, nextStep, type Outcome, type Seen, type Step } from './plan.ts'
import { releasesStatus } from './status.ts'
import type { StoredReleases } from './stored.ts'
import { limited, timeLimitsMs } from './time-limit.ts'

/** Null: this device has no way to change that half. */
export type ReleaseDrivers = Record<HalfName, ReleaseDriver | null>

export interface Releases {
  start(): void
  stop(): Promise<void>
  /** The control plane answered a heartbeat; it may have brought another desired state. */
  noteAnswer(): void
  status(): Pick<DeviceStatus, 'releases' | 'actions'>
  /** See Judge. */
  askAnew: { isWanted(): boolean; noteAsked(): void }
}

type ActingStep = Exclude<Step, { kind: 'note' | 'wait' }>

/**
 * Brings assigned releases onto the device, a step at a time, and carries out actions. What is to be done is decided in
 * plan.ts; here it is done, with everything on disk before it begins.
 */
export function createReleases(options: {
  store: StateStore
  drivers: ReleaseDrivers
  judge: Judge
  /** Carries out an action; the outcome is for the report. */
  act: (action: Action, signal: AbortSignal) => Promise<Pick<ActionRecord, 'outcome' | 'message'>>
  /** The text of a manifest that was verified, by its SHA-256; null: it is not here. */
  manifestText: (sha256: string) => Promise<string | null>
  kernelBootId: string | null
  clock: Clock
  random: Random
  monotonicMs: () => number
  /** Null: it was not told since the start. */
  believedMs: () => number | null
  redactor: Redactor
  log: Log
  /** A phase or an outcome changed, and the control plane is to hear of it before its turn. */
  onChange: (urgency: Urgency) => void
}): Releases {
  const { store, drivers, judge, clock, random, monotonicMs, log } = options
  const seen: Record<HalfName, Seen> = { host: nothingSeen(drivers.host), app: nothingSeen(drivers.app) }
  const progress: Record<HalfName, number | null> = { host: null, app: null }
  let reasons: Record<HalfName, string | null> = { host: null, app: null }
  let downloading: AbortController | undefined

  const stored = (): StoredReleases => store.current().releases
  const keep = async (part: Partial<StoredReleases>): Promise<void> => {
    await store.change((state) => ({ ...state, releases: { ...state.releases, ...part } }))
  }
  const moment = (): Moment => ({
    monotonicMs: monotonicMs(),
    believedMs: options.believedMs(),
    offsets: stored().zone?.offsets ?? [],
  })

  const observe = async (name: HalfName, signal: AbortSignal): Promise<void> => {
    const driver = drivers[name]
    const isWanted = stored()[name] !== null || (stored().assignment?.[name] ?? null) !== null
    if (!driver || !isWanted) return
    try {
      seen[name].running = await limited((inner) => driver.running(inner), {
        clock,
        signal,
        limitMs: timeLimitsMs.look,
      })
    } catch (error) {
      signal.throwIfAborted()
      seen[name].running = undefined
      log.warn('What runs cannot be told.', { half: name, reason: sentenceOf(error) })
    }
  }

  const keepHalf = async (name: HalfName, half: StoredReleases[HalfName]): Promise<void> => {
    const before = stored()[name]
    if (before?.releaseId !== half?.releaseId) forget(name)
    if (before?.phase !== half?.phase) {
      seen[name].soak = null
      seen[name].restartingSinceMs = null
      seen[name].isReturnTold = false
      log.info(`Release (${name}): ${half?.phase ?? 'none'}.`, { version: half?.version, message: half?.message })
    }
    const change = keep({ [name]: half })
    // What has to be left is left even where the disk cannot be written.
    await (half?.phase === 'rolling-back' ? change.catch(() => keepInMemory(name, half)) : change)
    const isChanged = before?.phase !== half?.phase || before?.releaseId !== half?.releaseId
    if (isChanged) options.onChange(half === null ? 'soon' : urgencyOf(half))
  }
  const keepInMemory = (name: HalfName, half: StoredReleases[HalfName]) =>
    store.changeInMemory((state) => ({ ...state, releases: { ...state.releases, [name]: half } }))
  const forget = (name: HalfName) => {
    seen[name].isDownloaded = false
    seen[name].pauseUntilMs = 0
    progress[name] = null
  }

  const manifestOf = async (step: ActingStep): Promise<ReleaseManifest> => {
    const text = await options.manifestText(step.half.sha256)
    const manifest = text === null ? null : readManifest(text)
    if (manifest) return manifest
    judge.again()
    throw new Error('The manifest of the release is not here any more; it is asked for again.')
  }

  const take = async (step: Step, signal: AbortSignal): Promise<void> => {
    if (step.kind === 'wait') return
    if (JSON.stringify(stored()[step.name]) !== JSON.stringify(step.half)) await keepHalf(step.name, step.half)
    if (step.kind === 'note') return
    const driver = drivers[step.name]
    if (!driver) return
    if (step.kind === 'look') return await look(step, driver, signal)
    const outcome = await outcomeOf(step, driver, signal)
    if (outcome === null) return
    const { half, pauseMs } = afterStep(step, outcome)
    if (step.kind === 'download' && outcome.kind === 'done') seen[step.name].isDownloaded = true
    if (step.kind === 'apply') seen[step.name].isDownloaded = false
    if (step.kind === 'roll-back') seen[step.name].isReturnTold = true
    seen[step.name].pauseUntilMs = monotonicMs() + pauseMs
    if (outcome.kind === 'failed' || outcome.kind === 'no-way-back') {
      log.warn(`Release (${step.name}): ${step.kind} failed.`, { version: half.version, reason: outcome.message })
    }
    // What is reported of this half is of one moment: its phase never stands beside what ran before the step.
    // A device that goes down is not asked, and whoever stops the agent while it looks does not take the outcome away.
    if ((step.kind === 'apply' || step.kind === 'roll-back') && outcome.kind !== 'restarting') {
      seen[step.name].running = undefined
      await observe(step.name, signal).catch((error: unknown) => {
        if (!signal.aborted) throw error
      })
    }
    const { redactor } = options
    const message = redactor.clean(half.message).slice(0, 1000)
    await keepHalf(step.name, { ...half, message, log: redactor.clean(half.log).slice(-8000) })
    if (outcome.kind === 'restarting') seen[step.name].restartingSinceMs = monotonicMs()
  }

  /** Null: it was stopped in the middle, which says nothing of the release. */
  const outcomeOf = async (step: ActingStep, driver: ReleaseDriver, signal: AbortSignal): Promise<Outcome | null> => {
    const bound = <Value>(limitMs: number, run: (inner: AbortSignal) => Promise<Value>) =>
      limited(run, { clock, signal, limitMs })
    try {
      if (step.kind === 'roll-back') {
        const came = await bound(timeLimitsMs.rollBack[step.name], (inner) => driver.rollBack(inner))
        return { kind: came === 'restarting' ? 'restarting' : 'done' }
      }
      const manifest = await manifestOf(step)
      if (step.kind === 'download') return await download(step, { driver, manifest, signal })
      if (step.kind === 'commit') {
        await bound(timeLimitsMs.commit[step.name], (inner) => driver.commit(manifest, inner))
        return { kind: 'done' }
      }
      const { force } = step
      const came = await bound(timeLimitsMs.apply[step.name], (inner) =>
        driver.apply(manifest, { force, signal: inner }),
      )
      return { kind: came === 'restarting' ? 'restarting' : 'done' }
    } catch (error) {
      if (signal.aborted) return null
      return outcomeOfError(error)
    }
  }

  const download = async (
    step: ActingStep,
    given: { driver: ReleaseDriver; manifest: ReleaseManifest; signal: AbortSignal },
  ): Promise<Outcome | null> => {
    const { driver, manifest } = given
    const stop = new AbortController()
    downloading = stop
    const signal = AbortSignal.any([given.signal, stop.signal])
    try {
      const { force } = step
      const look = (inner: AbortSignal) => driver.unsupported(manifest, inner, { force })
      const message = await limited(look, { clock, signal, limitMs: timeLimitsMs.look })
      if (message !== null) return { kind: 'unsupported', message }
      const onProgress = (percent: number) => {
        progress[step.name] = Math.min(100, Math.max(0, percent))
      }
      const bring = (inner: AbortSignal) => driver.download(manifest, { signal: inner, onProgress })
      await limited(bring, { clock, signal, limitMs: timeLimitsMs.download })
      return { kind: 'done' }
    } catch (error) {
      if (stop.signal.aborted) return null
      throw error
    } finally {
      downloading = undefined
    }
  }

  const look = async (step: ActingStep, driver: ReleaseDriver, signal: AbortSignal): Promise<void> => {
    const health = await (async () => {
      const manifest = await manifestOf(step)
      return await limited((inner) => driver.health(manifest, inner), { clock, signal, limitMs: timeLimitsMs.look })
    })().catch((error: unknown) => ({ isHealthy: false, message: sentenceOf(error), log: '' }))
    signal.throwIfAborted()
    const { redactor } = options
    const isThere = seen[step.name].running === step.half.releaseId
    const message = isThere || !health.isHealthy ? health.message : 'It does not run.'
    const nowMs = monotonicMs()
    const isHealthy = health.isHealthy && isThere
    const before = seen[step.name].soak
    seen[step.name].soak = {
      sinceMs: before?.sinceMs ?? nowMs,
      lookedMs: nowMs,
      healthyMs: isHealthy ? nowMs : (before?.healthyMs ?? null),
      look: {
        isHealthy,
        message: redactor.clean(message).slice(0, 1000),
        log: redactor.clean(health.log).slice(-8000),
      },
      isContacted: before?.isContacted ?? false,
    }
  }

  const runAction = async (signal: AbortSignal): Promise<boolean> => {
    const { assignment, actions: records, app, host } = stored()
    const next = nextAction({ assignment, records, halves: { app, host }, believedMs: options.believedMs() })
    if (!next) return false
    const { id, kind } = next.action
    const record = (outcome: ActionRecord['outcome'], message: string): Promise<void> => {
      const text = options.redactor.clean(message).slice(0, 500)
      const { actions, assignment: wanted } = stored()
      const { kernelBootId } = options
      return keep({ actions: withRecord(actions, { id, kind, outcome, message: text, kernelBootId }, wanted) })
    }
    if (next.kind === 'expire') await record('expired', `It was to be begun until ${next.action.expiresAt}.`)
    else {
      await record('begun', 'It is being carried out.')
      const act = (inner: AbortSignal) => options.act(next.action, inner)
      const came = await limited(act, { clock, signal, limitMs: timeLimitsMs.action }).catch((error: unknown) => ({
        outcome: 'failed' as const,
        message: sentenceOf(error),
      }))
      await record(came.outcome, came.message)
      log.info(`Action ${kind}: ${came.outcome}.`, { id, message: came.message })
    }
    options.onChange('now')
    return true
  }

  const run = async (signal: AbortSignal): Promise<{ againInMs: number }> => {
    const judged = await judge.run(signal)
    if (judged.isChanged) options.onChange(judge.refusal() === null ? 'soon' : 'now')
    for (let steps = 0; steps < mostSteps; steps += 1) {
      signal.throwIfAborted()
      if (await runAction(signal)) continue
      for (const name of halves) await observe(name, signal)
      const { app, host, assignment } = stored()
      const step = nextStep({ app, host }, assignment, seen, moment())
      if (step.kind === 'wait') {
        reasons = step.reasons
        return { againInMs: Math.min(step.againInMs, judged.againInMs) }
      }
      reasons = { app: null, host: null }
      await take(step, signal)
      if (judge.isDue()) return { againInMs: 0 }
    }
    return { againInMs: 1_000 }
  }

  const driver = createDriver({
    run,
    clock,
    random,
    periodMs: 60 * 60_000,
    backoff: { minMs: 2_000, maxMs: 5 * 60_000 },
    // Each await has its own.
    timeLimitMs: 24 * 60 * 60_000,
    onFailure: ({ error, retryInMs }) =>
      log.warn('Releases: a step could not be taken.', { reason: sentenceOf(error), retryInMs: Math.round(retryInMs) }),
  })
  return {
    start: () => {
      const { actions } = stored()
      const settled = afterRestart(actions, options.kernelBootId)
      if (JSON.stringify(settled) !== JSON.stringify(actions)) {
        store.changeInMemory((state) => ({ ...state, releases: { ...state.releases, actions: settled } }))
      }
      driver.start()
    },
    stop: () => driver.stop(),
    noteAnswer: () => {
      for (const name of halves) {
        const { soak } = seen[name]
        if (soak) seen[name].soak = { ...soak, isContacted: true }
      }
      const isDue = judge.isDue()
      if (isDue) downloading?.abort(new Error('Another assignment came.'))
      // What waits may wait for the time, which is known now.
      if (isDue || halves.some((name) => isWaiting(stored()[name]))) driver.wake({ forgetFailures: isDue })
    },
    status: () => ({
      releases: releasesStatus({ stored: stored(), seen, reasons, progress, refusal: judge.refusal() }),
      actions: actionsStatus(stored().actions),
    }),
    askAnew: { isWanted: () => judge.wantsAnew(), noteAsked: () => judge.noteAskedAnew() },
  }
}

const mostSteps = 100

function outcomeOfError(error: unknown): Outcome {
  const message = sentenceOf(error)
  if (error instanceof DriverLocked) return { kind: 'locked', message }
  if (error instanceof NoWayBack) return { kind: 'no-way-back', message }
  return { kind: 'failed', message, ...(error instanceof HostUpdateFailed ? { log: error.log } : {}) }
}

function nothingSeen(driver: ReleaseDriver | null): Seen {
  return {
    hasDriver: driver !== null,
    running: undefined,
    isDownloaded: false,
    pauseUntilMs: 0,
    restartingSinceMs: null,
    isReturnTold: false,
    soak: null,
  }
}
