import { type AgentMessage, FreeholdError, type Operation, type OperationOutput } from '@freehold/contracts'
import { EngineRefusal } from '../docker/engine.ts'
import { sentenceOf } from '../log.ts'

const runningLimit = 16
const rememberedLimit = 1000

/** Runs one operation: sends output as it comes, ends when it is done. */
export type OperationRunner<Kind extends Operation['kind']> = (
  operation: Extract<Operation, { kind: Kind }>,
  send: (output: Extract<OperationOutput, { kind: Kind }>) => Promise<void>,
  signal: AbortSignal,
) => Promise<void>

export type OperationTable = { [K in Operation['kind']]: OperationRunner<K> }

type Send = (message: AgentMessage) => Promise<void>

/**
 * What the control plane asks for over one link. An id is run once per link, however often it is asked; all only read,
 * so running one again after a reconnect does no harm. Every operation ends with one `done`, except when cancelled.
 */
export function createOperations(table: OperationTable) {
  const running = new Map<string, AbortController>()
  const seen = new Set<string>()
  let send: Send | undefined

  const work = async (id: string, operation: Operation, link: Send, signal: AbortSignal): Promise<void> => {
    const run = table[operation.kind] as OperationRunner<Operation['kind']>
    const output = (output: OperationOutput) => link({ type: 'result', id, output, error: null, done: false })
    try {
      await run(operation as never, output as never, signal)
      if (!signal.aborted) await link({ type: 'result', id, output: null, error: null, done: true })
    } catch (error) {
      if (signal.aborted) return
      await link({ type: 'result', id, output: null, error: errorOf(error), done: true }).catch(() => undefined)
    } finally {
      if (running.get(id)?.signal === signal) running.delete(id)
    }
  }

  return {
    onUp: (link: Send) => {
      send = link
    },
    onOperation: (id: string, operation: Operation) => {
      if (!send || seen.has(id)) return
      seen.add(id)
      if (seen.size > rememberedLimit) for (const oldest of [...seen].slice(0, rememberedLimit / 2)) seen.delete(oldest)
      if (running.size >= runningLimit) {
        const error = {
          code: 'too-many-requests',
          message: `This agent runs at most ${runningLimit} operations at once.`,
        }
        void send({ type: 'result', id, output: null, error, done: true }).catch(() => undefined)
        return
      }
      const abort = new AbortController()
      running.set(id, abort)
      void work(id, operation, send, abort.signal)
    },
    onCancel: (id: string) => running.get(id)?.abort(),
    /** The link is down: nobody would get the results. */
    onDown: () => {
      send = undefined
      for (const abort of running.values()) abort.abort()
      running.clear()
      seen.clear()
    },
  }
}

function errorOf(error: unknown): { code: string; message: string } {
  if (error instanceof FreeholdError) return { code: error.code, message: error.message }
  if (error instanceof EngineRefusal) return { code: 'conflict', message: `Docker refused: ${error.message}` }
  return { code: 'internal', message: sentenceOf(error) }
}
