import { FreeholdError } from '@freehold/contracts'
import type { Awaitable, Session } from './engine.ts'
import type { Actor, Transaction } from './store.ts'
import { type Batch, BatchedTransaction, type TransactionTools } from './transaction.ts'
import { createWrites, isEmpty } from './writes.ts'

export interface Writer {
  transaction<T>(actor: Actor, work: (transaction: Transaction) => Promise<T>): Promise<T>
  /** Runs something that is no transaction of resources between two of them, in the same commit. */
  maintain<T>(work: (session: Session) => Awaitable<T>): Promise<T>
  /** Refuses new work and waits for what was accepted. */
  close(): Promise<void>
}

/** One accepted piece of work. `run` answers what to do once the batch is on disk. */
interface Job {
  run(batch: Batch): Promise<() => void>
  fail(error: unknown): void
}

const batchJobs = 256
const batchMs = 25
const queueJobs = 20_000

/**
 * Group commit: work queues up while a batch is being committed; the next batch takes all of it (at most 256 pieces,
 * or 25 ms), runs it piece by piece, commits once, and only then settles the promises. When the engine fails, the whole
 * batch is rolled back and every piece of it rejected. A rollback that fails is repeated before the next batch begins;
 * while it keeps failing, so does everything that waits.
 */
export function createWriter(options: {
  session: Session
  tools: TransactionTools
  transactionTimeoutMs: number
  onCommit: (committed: { changed: boolean }) => void
  onDelete: (resource: { kind: string; id: string }) => void
}): Writer {
  const queue: Job[] = []
  const watchdog = createWatchdog(options.transactionTimeoutMs)
  let running: Promise<void> | undefined
  let closed = false
  let isRollbackDue = false

  function enqueue(job: Job): void {
    const refusal = closed
      ? 'The store is closed.'
      : queue.length >= queueJobs
        ? `More than ${queueJobs} writes are waiting; try again later.`
        : undefined
    if (refusal !== undefined) {
      job.fail(new FreeholdError('unavailable', refusal))
      return
    }
    queue.push(job)
    running ??= drain()
  }

  async function drain(): Promise<void> {
    // One turn of the event loop before each batch: callers that were just answered can join, and reads get their turn.
    await nextTurn()
    while (queue.length > 0) {
      await runBatch()
      await nextTurn()
    }
    running = undefined
  }

  async function runBatch(): Promise<void> {
    const started: Job[] = []
    const settle: (() => void)[] = []
    try {
      if (isRollbackDue) await rollback()
      const head = await options.session.begin()
      const batch: Batch = { session: options.session, writes: createWrites(), head, failure: undefined }
      const endMs = performance.now() + batchMs
      while (started.length < batchJobs && batch.failure === undefined && performance.now() < endMs) {
        const job = queue.shift()
        if (!job) break
        started.push(job)
        settle.push(await job.run(batch))
      }
      if (batch.failure !== undefined) throw batch.failure
      if (!isEmpty(batch.writes)) await options.session.apply(batch.writes)
      const changed = batch.head.version !== head.version
      await options.session.commit(batch.head, { changed })
      for (const done of settle) done()
      options.onCommit({ changed })
    } catch (error) {
      if (started.length === 0) started.push(...queue.splice(0))
      for (const job of started) job.fail(error)
      // The jobs have their error, the cause; what the rollback has to say is said to the next batch, which repeats it.
      await rollback().catch(() => undefined)
    }
  }

  async function rollback(): Promise<void> {
    isRollbackDue = true
    await options.session.rollback()
    isRollbackDue = false
  }

  function transactionJob<T>(
    actor: Actor,
    work: (transaction: Transaction) => Promise<T>,
    resolve: (value: T) => void,
    fail: (error: unknown) => void,
  ): Job {
    return {
      fail,
      async run(batch) {
        const transaction = new BatchedTransaction(batch, options.tools, actor)
        try {
          const value = await watchdog(() => work(transaction))
          const { deleted } = await transaction.accept()
          return () => {
            for (const resource of deleted) options.onDelete(resource)
            resolve(value)
          }
        } catch (error) {
          await transaction.abandon()
          return () => fail(error)
        }
      },
    }
  }

  function maintenanceJob<T>(
    work: (session: Session) => Awaitable<T>,
    resolve: (value: T) => void,
    fail: (error: unknown) => void,
  ): Job {
    return {
      fail,
      async run(batch) {
        try {
          if (!isEmpty(batch.writes)) await batch.session.apply(batch.writes)
          batch.writes = createWrites()
          const value = await work(batch.session)
          return () => resolve(value)
        } catch (error) {
          batch.failure ??= error
          return () => fail(error)
        }
      },
    }
  }

  return {
    transaction: (actor, work) =>
      new Promise((resolve, reject) => enqueue(transactionJob(actor, work, resolve, reject))),
    maintain: (work) => new Promise((resolve, reject) => enqueue(maintenanceJob(work, resolve, reject))),
    async close() {
      closed = true
      await running
    },
  }
}

/** Answers a function that runs a callback, one at a time, and rejects when it takes longer than the bound. */
function createWatchdog(timeoutMs: number): <T>(work: () => Promise<T>) => Promise<T> {
  let expire: (() => void) | undefined
  const timer = setTimeout(() => expire?.(), timeoutMs)
  timer.unref()
  return async (work) => {
    const expired = new Promise<never>((_, reject) => {
      expire = () =>
        reject(
          new FreeholdError(
            'timeout',
            `A transaction was aborted because it took longer than ${timeoutMs} ms. Nothing but the transaction's own methods may be awaited in it, no other transaction either.`,
          ),
        )
    })
    timer.refresh()
    try {
      return await Promise.race([work(), expired])
    } finally {
      expire = undefined
    }
  }
}

function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}
