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
import { boundedText } from './bounded.ts'
import type { Link } from './link.ts'

const firstAnswerLimitMs = 30_000
const queueLimit = 1000
const queueLimitCharacters = 32 * 1024 * 1024

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
  /** Characters in the outputs not yet read. */
  waitingCharacters: number
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
      const entry: Pending = { link, outputs: [], waitingCharacters: 0, ending: null, wake: () => {} }
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
      if (result.output !== null) {
        entry.outputs.push(result.output)
        entry.waitingCharacters += lengthOf(result.output)
      }
      if (entry.outputs.length > queueLimit || entry.waitingCharacters > queueLimitCharacters) {
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

function lengthOf(output: OperationOutput): number {
  const texts = output.kind === 'plan' ? output.steps : output.lines.map(({ line }) => line)
  return texts.reduce((sum, text) => sum + text.length, 0)
}

function errorOf(error: { code: string; message: string }): FreeholdError {
  const code = Object.hasOwn(errorTable, error.code) ? (error.code as ErrorCode) : 'engine-unavailable'
  return new FreeholdError(code, boundedText(error.message))
}
