import { randomUUID } from 'node:crypto'
import {
  type AgentMessage,
  type ErrorCode,
  errorTable,
  FreeholdError,
  type Operation,
  type OperationOutput,
} from '@freehold/contracts'
import type { Clock } from '@freehold/reconcile'
import type { Link } from './link.ts'

const firstAnswerLimitMs = 30_000
const queueLimit = 1000

type Result = Extract<AgentMessage, { type: 'result' }>

/** Operations under way: what was asked of which link, and the answers not yet read. */
export interface Operations {
  /**
   * Asks an agent; yields outputs until it says it is done. Throws `timeout` where no first answer comes within 30 s
   * (logs that are followed may stay silent for longer), `agent-offline` where the link ends, and what the agent
   * answers. An aborted signal cancels it on the agent too.
   */
  ask(link: Link, operation: Operation, signal: AbortSignal): AsyncIterable<OperationOutput>
  answer(link: Link, result: Result): void
  /** Ends everything asked of a link that is gone. */
  lose(link: Link): void
}

interface Pending {
  link: Link
  outputs: OperationOutput[]
  ending: { error: FreeholdError | null } | null
  wake: () => void
}

export function createOperations({ clock }: { clock: Clock }): Operations {
  const pending = new Map<string, Pending>()

  const end = (entry: Pending, error: FreeholdError | null): void => {
    entry.ending ??= { error }
    entry.wake()
  }

  return {
    async *ask(link, operation, signal) {
      const id = randomUUID()
      const entry: Pending = { link, outputs: [], ending: null, wake: () => {} }
      pending.set(id, entry)
      const abort = (): void => end(entry, null)
      signal.addEventListener('abort', abort, { once: true })
      const mayBeSilent = operation.kind === 'service-logs' && operation.follow
      const cancelLimit = mayBeSilent
        ? (): void => {}
        : clock.after(firstAnswerLimitMs, () =>
            end(entry, new FreeholdError('timeout', `The agent on ${link.nodeName} did not answer within 30 s.`)),
          )
      let wasDone = false
      try {
        if (signal.aborted) return
        link.send({ type: 'operation', id, operation })
        while (true) {
          const output = entry.outputs.shift()
          if (output !== undefined) {
            cancelLimit()
            yield output
          } else if (entry.ending !== null) {
            wasDone = !signal.aborted && entry.ending.error?.code !== 'timeout'
            if (entry.ending.error !== null) throw entry.ending.error
            return
          } else {
            await new Promise<void>((resolve) => {
              entry.wake = resolve
            })
          }
        }
      } finally {
        cancelLimit()
        signal.removeEventListener('abort', abort)
        pending.delete(id)
        if (!wasDone) link.send({ type: 'cancel', id })
      }
    },
    answer(link, result) {
      const entry = pending.get(result.id)
      if (entry === undefined || entry.link !== link || entry.ending !== null) return
      if (result.output !== null) entry.outputs.push(result.output)
      if (entry.outputs.length > queueLimit) {
        return end(entry, new FreeholdError('timeout', 'The answers came faster than they were read.'))
      }
      if (result.error !== null) return end(entry, errorOf(result.error))
      if (result.done) return end(entry, null)
      entry.wake()
    },
    lose(link) {
      for (const entry of pending.values()) {
        if (entry.link === link) end(entry, new FreeholdError('agent-offline', `The link to ${link.nodeName} ended.`))
      }
    },
  }
}

function errorOf(error: { code: string; message: string }): FreeholdError {
  const code = error.code in errorTable ? (error.code as ErrorCode) : 'engine-unavailable'
  return new FreeholdError(code, error.message)
}
