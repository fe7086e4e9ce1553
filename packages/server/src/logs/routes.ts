import { type LogLine, type OperationOutput, serviceKind } from '@freehold/contracts'
import type { Store } from '@freehold/store'
import type { AgentHub } from '../agents/index.ts'
import type { Handlers } from '../http/handler.ts'
import { getResource } from '../http/resources.ts'

/** The `logs` verb of services. It ends when the client goes away, and so does the agent's part of it. */
export function createLogHandlers(options: {
  store: Store
  hub: Pick<AgentHub, 'request'>
}): Pick<Handlers<'services'>, 'logs'> {
  const { store, hub } = options
  return {
    async logs({ params, query, signal }) {
      const service = await getResource(store, serviceKind, params.id)
      const { tail, follow } = query
      const outputs = hub.request(
        service.data.clusterId,
        { kind: 'service-logs', serviceId: service.id, tail, follow },
        { signal },
      )
      return follow ? linesOf(outputs) : linesOf(await begun(outputs))
    },
  }
}

/** Waits for the first answer, so that a failure to get one is an error of the request and not the end of a stream. */
async function begun(outputs: AsyncIterable<OperationOutput>): Promise<AsyncIterable<OperationOutput>> {
  const iterator = outputs[Symbol.asyncIterator]()
  const first = await iterator.next()
  return (async function* () {
    try {
      for (let next = first; next.done !== true; next = await iterator.next()) yield next.value
    } finally {
      await iterator.return?.()
    }
  })()
}

async function* linesOf(outputs: AsyncIterable<OperationOutput>): AsyncGenerator<LogLine> {
  for await (const output of outputs) if (output.kind === 'service-logs') yield* output.lines
}
