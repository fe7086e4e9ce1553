import type { IncomingMessage, ServerResponse } from 'node:http'
import {
  type CorebuildArtifact,
  type CorebuildJob,
  corebuildLinesType,
  corebuildRequestSchema,
  FreeholdError,
} from '@freehold/contracts'
import { failureOf, linesTeller, plainTeller, type Teller } from '../http/answer.ts'
import { type JobPlan, planJob, wrongFields } from '../image/plan.ts'
import { createRedact, type Redact } from '../secret.ts'
import { createJobLog, type JobLog } from './log.ts'
import { createMemoryGuard, type MemoryGuard } from './memory.ts'
import { createQueue, type Queue } from './queue.ts'
import { type JobSurroundings, runJob } from './run.ts'

/** The jobs of this worker, from request to answer. */
export interface Jobs {
  readonly queue: Queue
  /** Checks a request and runs its job; resolves when it is answered. Throws what is wrong before it is one. */
  run(input: unknown, request: IncomingMessage, response: ServerResponse): Promise<void>
  /** Ends a job, and resolves when nothing of it is left. Throws `not-found`. */
  cancel(id: string): Promise<void>
  stop(): Promise<void>
}

interface OpenJob {
  cancelled: AbortController
  ended: Promise<void>
}

interface Setting {
  surroundings: JobSurroundings
  queue: Queue
  memory: MemoryGuard
  say: (sentence: string) => void
}

export function createJobs(surroundings: JobSurroundings, say: (sentence: string) => void): Jobs {
  const { config } = surroundings
  const queue = createQueue({ maxRunning: config.maxRunningJobs, maxWaiting: config.maxWaitingJobs })
  const memory = createMemoryGuard({ limitBytes: config.memoryBytes, say })
  const open = new Map<string, OpenJob>()
  let isStopping = false
  const requireOpen = () => {
    if (isStopping) throw new FreeholdError('unavailable', 'This build worker is stopping.', { retryAfterSeconds: 30 })
  }
  const end = async (id: string, reason: FreeholdError) => {
    const found = open.get(id)
    found?.cancelled.abort(reason)
    await found?.ended
  }
  return {
    queue,
    async run(input, request, response) {
      const { job, apiToken } = readRequest(input)
      const plan = planJob(job, config)
      requireOpen()
      // A caller that lost its connection asks again; two of one job would write to the same place.
      while (open.has(job.id)) await end(job.id, cancelledError('The same job was asked for again.'))
      requireOpen()
      queue.requireRoom()
      const cancelled = new AbortController()
      const { promise: ended, resolve } = Promise.withResolvers<void>()
      open.set(job.id, { cancelled, ended })
      try {
        const redact = createRedact([...secretsOf(job), apiToken, config.token?.reveal()])
        const run = new AnsweredJob({ surroundings, queue, memory, say }, { job, plan, redact, cancelled })
        await run.answer(request, response)
      } finally {
        open.delete(job.id)
        resolve()
      }
    },
    async cancel(id) {
      if (!open.has(id)) throw new FreeholdError('not-found', 'This worker has no such job, or it has ended.')
      await end(id, cancelledError('The job was cancelled.'))
    },
    async stop() {
      isStopping = true
      const reason = new FreeholdError('unavailable', 'This build worker is stopping.', { retryAfterSeconds: 30 })
      await Promise.all([...open.keys()].map((id) => end(id, reason)))
    },
  }
}

class AnsweredJob {
  readonly #setting: Setting
  readonly #parts: { job: CorebuildJob; plan: JobPlan; redact: Redact; cancelled: AbortController }

  constructor(
    setting: Setting,
    parts: { job: CorebuildJob; plan: JobPlan; redact: Redact; cancelled: AbortController },
  ) {
    this.#setting = setting
    this.#parts = parts
  }

  async answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { job, cancelled, redact } = this.#parts
    const { say } = this.#setting
    const takesLines = (request.headers.accept ?? '').includes(corebuildLinesType)
    const teller = takesLines ? linesTeller(response) : plainTeller(response)
    const left = () => {
      if (!response.writableFinished) cancelled.abort(cancelledError('The caller went away.'))
    }
    response.once('close', left)
    const log = createJobLog(redact, (line) => teller.line({ log: line }))
    try {
      if (response.destroyed) left()
      const artifact = await this.#run(teller, log)
      say(`Job ${job.id} is done: ${artifact.filename}, ${artifact.size} bytes.`)
      teller.end({ success: true, artifact, logs: log.lines() }, undefined)
    } catch (error) {
      const failure = this.#failureOf(error)
      say(`Job ${job.id} failed (${failure.code}): ${failure.message}`)
      log.add(failure.message)
      teller.end(failureOf(failure, log.lines()), failure)
    } finally {
      response.off('close', left)
    }
  }

  async #run(teller: Teller, log: JobLog): Promise<CorebuildArtifact> {
    const { job, plan, cancelled } = this.#parts
    const { queue, memory, surroundings, say } = this.#setting
    const { signal } = cancelled
    const leave = await queue.enter({ signal, waits: (before) => teller.line({ waiting: before }) })
    const { jobTimeoutMs } = surroundings.config
    const timer = setTimeout(() => cancelled.abort(tooLong(jobTimeoutMs)), jobTimeoutMs)
    const unguard = memory.enter((reason) => cancelled.abort(reason))
    say(`Job ${job.id} begins: ${job.architecture} ${job.imageKind}.`)
    try {
      const events = {
        signal,
        log: (sentence: string) => log.add(sentence),
        progress: (progress: { phase: string; doneBytes: number; totalBytes: number | null }) =>
          teller.line({ progress }),
      }
      return await runJob(job, plan, { events, surroundings })
    } finally {
      clearTimeout(timer)
      unguard()
      leave()
    }
  }

  /** What the caller is told; never a secret, nor what only a developer understands. */
  #failureOf(error: unknown): FreeholdError {
    const { redact } = this.#parts
    if (error instanceof FreeholdError) {
      const { retryAfterSeconds } = error
      const options = retryAfterSeconds === undefined ? {} : { retryAfterSeconds }
      return new FreeholdError(error.code, redact(error.message), options)
    }
    const stack = error instanceof Error ? (error.stack ?? error.message) : String(error)
    this.#setting.say(redact(`Job ${this.#parts.job.id} failed unexpectedly: ${stack}`))
    return new FreeholdError('internal', 'The build worker failed unexpectedly; its own log says more.')
  }
}

function readRequest(input: unknown): { job: CorebuildJob; apiToken: string | undefined } {
  const parsed = corebuildRequestSchema.safeParse(input)
  if (parsed.success) return { job: parsed.data.job, apiToken: parsed.data.apiToken }
  throw wrongFields(parsed.error.issues.map(({ path, message }) => ({ path: path.join('.') || 'body', message })))
}

function secretsOf(job: CorebuildJob): (string | undefined)[] {
  const queries = [job.sourceImageUrl, job.agent?.url, job.upload?.url].flatMap((address) => {
    if (address === undefined) return []
    const url = new URL(address)
    const signatures = [...url.searchParams.values()].filter((value) => value.length >= 16)
    return [url.password, url.search.slice(1), ...signatures]
  })
  return [job.provisioningToken, job.wifi?.passphrase, job.s3Descriptor?.accessSecret, job.upload?.token, ...queries]
}

function cancelledError(sentence: string): FreeholdError {
  return new FreeholdError('conflict', sentence)
}

function tooLong(timeoutMs: number): FreeholdError {
  return new FreeholdError(
    'timeout',
    `The job took longer than ${Math.round(timeoutMs / 1000)} s and was ended (COREBUILD_JOB_TIMEOUT_MS).`,
  )
}
