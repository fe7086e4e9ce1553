import { hash, randomBytes, timingSafeEqual } from 'node:crypto'
import { type Build, type CorebuildLine, corebuildLimits, FreeholdError } from '@freehold/contracts'
import type { Clock } from '@freehold/reconcile'
import { type JobMaker, jobIdOf } from './job.ts'
import type { BuildStatus } from './kind.ts'
import { cut, isNews, meaningOf } from './kind.ts'
import type { BuildLogs } from './logs.ts'
import type { Receiving } from './receiving.ts'
import { type BuildSecrets, createRedactor } from './secrets.ts'
import type { JobOutcome } from './worker-client.ts'
import type { OpenWorker } from './workers.ts'
import { localId } from './workers.ts'

/** How an attempt ended. */
export type AttemptEnd =
  | { kind: 'succeeded'; said: Extract<JobOutcome, { kind: 'result' }>['result'] & { success: true } }
  | { kind: 'failed'; message: string }
  /** Another attempt may do better; `full`: not before there is room, at the worker or here. */
  | { kind: 'lost'; message: string; full?: 'worker' | 'here' | undefined }
  /** The worker did not take it: it counts for nothing, and the worker is left alone for some time. */
  | { kind: 'not-begun'; message: string; restMs: number; isTokenRefused?: boolean }

/** An attempt under way. */
export interface Attempt {
  build: Build
  number: number
  workerId: string
  receiving: Receiving
  /** Ends it: the worker cancels the job when we go away. */
  stop: AbortController
  /** Whether this is the token that the worker was given for its upload. */
  isUploadToken(token: string): boolean
}

/** How an attempt tells of itself while it runs. */
export interface AttemptNews {
  progress: BuildStatus['progress']
  message: string
}

const silenceMs = 3 * corebuildLimits.quietMs
const longestMs = 3 * 3_600_000
const writeEveryMs = 2_000
/** A worker that does not take our token is asked again after that; a change of the settings makes it sooner. */
const refusedRestMs = 60_000
const unreachableRestMs = 10_000
/** A worker of old says nothing until it is ready. */
const quietWorkerMs = longestMs

/** A random value, of which only the hash is kept. */
export function makeUploadToken(): { value: string; matches: (token: string) => boolean } {
  const value = `fhu_${randomBytes(32).toString('base64url')}`
  const kept = hash('sha256', value, 'buffer')
  return { value, matches: (token) => timingSafeEqual(hash('sha256', token, 'buffer'), kept) }
}

/** Gives the job to the worker and listens until it has ended, has fallen silent, or is ended from here. Throws nothing. */
export async function runAttempt(options: {
  attempt: Attempt
  openWorker: () => Promise<OpenWorker>
  secrets: BuildSecrets
  uploadToken: string
  jobs: JobMaker
  logs: BuildLogs
  clock: Clock
  /** Writes what it tells of itself; called every two seconds at most. */
  write: (news: AttemptNews) => Promise<void>
  /** Something failed here that has no sentence for people. */
  onFailure: (error: unknown) => void
}): Promise<AttemptEnd> {
  const { attempt, secrets, uploadToken, jobs, logs, clock } = options
  const { build, number, workerId } = attempt
  let worker: OpenWorker
  try {
    worker = await options.openWorker()
  } catch (error) {
    return { kind: 'not-begun', message: sentenceOf(error, workerId), restMs: refusedRestMs }
  }
  const watch = createWatch(clock, attempt.stop.signal)
  try {
    const capabilities = await worker.client
      .capabilities(watch.signal)
      .catch((error: unknown) => sentenceOf(error, workerId))
    if (typeof capabilities === 'string') return { kind: 'not-begun', message: capabilities, restMs: unreachableRestMs }
    const trouble = troubleOf(build, capabilities)
    if (trouble !== undefined) return { kind: 'not-begun', message: `${workerId}: ${trouble}.`, restMs: refusedRestMs }
    const isLocal = workerId === localId
    const job = await jobs.make({ build, attempt: number, secrets, uploadToken, isLocal })
    const redact = createRedactor([
      secrets.joinToken,
      secrets.wifiPassphrase,
      uploadToken,
      worker.token,
      job.s3Descriptor?.accessSecret,
      ...(job.sourceImageUrl === undefined ? [] : [new URL(job.sourceImageUrl).searchParams.get('signature')]),
    ])
    const news = createNews({ build, workerId, clock, write: options.write, keepLog: () => logs.keep(build.id) })
    const say = (text: string) => logs.add(build.id, { attempt: number, text: redact(text) })
    say(`Attempt ${number} on ${workerId}. The device will look for its control plane at ${job.cloudlyUrl}.`)
    if (isLoopback(job.cloudlyUrl)) {
      say('No other machine reaches that address: set SERVEZONE_URL to the name that devices reach, and build anew.')
    }
    let hasBegun = false
    let hasSpoken = false
    const onLine = (line: CorebuildLine) => {
      if ('log' in line) {
        hasSpoken = true
        say(line.log)
        news.spoke()
      } else if ('waiting' in line) news.waiting(line.waiting)
      else if ('progress' in line) {
        hasBegun = true
        news.progress({ ...line.progress, phase: redact(line.progress.phase) })
      }
    }
    watch.begin(capabilities.runningJobs === undefined ? quietWorkerMs : silenceMs)
    const outcome = await worker.client.build(job, { signal: watch.signal, onLine, onSign: watch.sign })
    news.end()
    if (outcome.kind !== 'result') {
      // Behind a proxy nobody notices that we went away.
      if (outcome.kind === 'lost') await worker.client.cancel(jobIdOf(build.id, number)).catch(() => undefined)
    } else if (!hasSpoken) for (const text of outcome.result.logs.slice(0, corebuildLimits.logLines)) say(text)
    return endOf(outcome, { workerId, hasBegun, redact, silence: watch.why() })
  } catch (error) {
    // Neither the worker's fault nor the build's: the archive of the agent, the store.
    if (!(error instanceof FreeholdError)) options.onFailure(error)
    const isFull = error instanceof FreeholdError && error.code === 'storage-full'
    return { kind: 'lost', message: sentenceOf(error, workerId), full: isFull ? 'here' : undefined }
  } finally {
    watch.end()
    worker.release()
  }
}

function endOf(
  outcome: JobOutcome,
  about: { workerId: string; hasBegun: boolean; redact: (text: string) => string; silence: string | undefined },
): AttemptEnd {
  const { workerId, hasBegun, redact, silence } = about
  if (outcome.kind === 'busy') {
    return { kind: 'not-begun', message: `${workerId} is busy.`, restMs: outcome.retryAfterMs }
  }
  if (outcome.kind === 'lost') {
    return { kind: 'lost', message: `The worker ${workerId} was lost: ${redact(silence ?? outcome.reason)}.` }
  }
  const { result } = outcome
  if (result.success) return { kind: 'succeeded', said: result }
  const message = cut(redact(result.error))
  const meaning = meaningOf(result.code)
  if (meaning === 'final') return { kind: 'failed', message }
  if (meaning === 'again' || hasBegun) {
    const full = result.code === 'storage-full' ? 'worker' : undefined
    return { kind: 'lost', message: `${workerId}: ${message}`, full }
  }
  const isTokenRefused = result.code === 'unauthenticated'
  return { kind: 'not-begun', message: `${workerId}: ${message}`, restMs: refusedRestMs, isTokenRefused }
}

/** Whether an address means whatever machine it is used on. */
function isLoopback(url: string): boolean {
  return /^(localhost|127\.[\d.]+|\[::1\])$/.test(new URL(url).hostname)
}

/** What it was chosen for by what it said before may not hold any more, or was only taken for granted. */
function troubleOf(
  { data }: Build,
  { supportedArchitectures, supportedImageKinds, problems }: Awaited<ReturnType<OpenWorker['client']['capabilities']>>,
): string | undefined {
  if (supportedArchitectures.includes(data.architecture) && supportedImageKinds.includes(data.imageKind))
    return undefined
  const [problem] = problems ?? []
  return problem?.replace(/\.$/, '') ?? `it makes no ${data.imageKind} for ${data.architecture}`
}

/** Ends an attempt whose worker says nothing, or that takes longer than any build. */
function createWatch(clock: Clock, stop: AbortSignal) {
  const limit = new AbortController()
  let why: string | undefined
  let lastMs = clock.now()
  let cancelSilence = () => {}
  const give = (reason: string) => {
    why ??= reason
    limit.abort()
  }
  const cancelLongest = clock.after(longestMs, () => give(`it took longer than ${longestMs / 3_600_000} hours`))
  const look = (limitMs: number) => {
    const leftMs = lastMs + limitMs - clock.now()
    if (leftMs <= 0) give(`it said nothing for ${Math.round(limitMs / 1000)} s`)
    else cancelSilence = clock.after(leftMs, () => look(limitMs))
  }
  return {
    signal: AbortSignal.any([stop, limit.signal]),
    begin(limitMs: number): void {
      lastMs = clock.now()
      look(limitMs)
    },
    sign: () => {
      lastMs = clock.now()
    },
    why: () => why,
    end(): void {
      cancelSilence()
      cancelLongest()
    },
  }
}

/** Gathers what is told and hands on the newest of it. */
function createNews(options: {
  build: Build
  workerId: string
  clock: Clock
  write: (news: AttemptNews) => Promise<void>
  keepLog: () => void
}) {
  const { workerId, clock, write, keepLog } = options
  let told: AttemptNews = { progress: null, message: '' }
  let newest: AttemptNews | undefined
  let cancel: (() => void) | undefined
  let writing = Promise.resolve()

  const flush = () => {
    cancel = undefined
    keepLog()
    const news = newest
    if (news === undefined) return
    const isDone = news.message === told.message && news.progress !== null && !isNews(told.progress, news.progress)
    if (isDone) return
    told = news
    // What cannot be written is told again with the next of it.
    writing = writing.then(() => write(news)).catch(() => undefined)
  }
  const tell = (news: AttemptNews) => {
    newest = news
    cancel ??= clock.after(writeEveryMs, flush)
  }

  return {
    spoke(): void {
      cancel ??= clock.after(writeEveryMs, flush)
    },
    progress: (progress: NonNullable<AttemptNews['progress']>) =>
      tell({ progress, message: `Being built by ${workerId}: ${progress.phase}.` }),
    waiting: (before: number) =>
      tell({ progress: null, message: `Waits at ${workerId}, ${before} ${before === 1 ? 'job' : 'jobs'} before it.` }),
    end: () => cancel?.(),
  }
}

function sentenceOf(error: unknown, workerId: string): string {
  if (error instanceof FreeholdError) return `${workerId}: ${error.message}`
  return `${workerId}: the control plane failed at it; its log says more.`
}
